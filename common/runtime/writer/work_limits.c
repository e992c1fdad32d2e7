/* Work limits: what a type of work likes, within the bounds that work.h gives. */
#include "runtime/writer/work_list.h"

#define OPEN_PER_IN_FLIGHT 16
#define OPEN_MAX (1 << 20)
#define IN_FLIGHT_MAX 65536
#define TIME_MAX_MS (3600 * 1000)
#define TIMEOUT_GROWTH 8 /* the longest time-out, in first ones; see timeout_max_ms */

static int bounded(int value, int min, int max)
{
    return value < min ? min : value > max ? max : value;
}

static void bound_timeouts(struct work_limits *limits)
{
    limits->timeout_ms = bounded(limits->timeout_ms, 1, TIME_MAX_MS);
    if (limits->timeout_max_ms == 0)
        limits->timeout_max_ms = TIMEOUT_GROWTH *
                                 bounded(limits->timeout_ms, 1, TIME_MAX_MS / TIMEOUT_GROWTH);
    limits->timeout_max_ms = bounded(limits->timeout_max_ms, limits->timeout_ms, TIME_MAX_MS);
}

int work_limits_read(const struct work_type *type, struct journey *j,
                     struct work_limits *ret_limits)
{
    struct work_limits limits = {
        .timeout_ms = 5000,
        .in_flight_max = 64,
        .backoff_min_ms = 200,
        .backoff_max_ms = 30000,
    };
    int r = type->limits ? type->limits(j, &limits) : 0;
    if (type->in_order)
        limits.in_flight_max = limits.open_max = 1;
    bound_timeouts(&limits);
    limits.in_flight_max = bounded(limits.in_flight_max, 1, IN_FLIGHT_MAX);
    limits.in_flight_each_max = bounded(limits.in_flight_each_max, 0, IN_FLIGHT_MAX);
    if (limits.open_max == 0)
        limits.open_max = limits.in_flight_max * OPEN_PER_IN_FLIGHT;
    limits.open_max = bounded(limits.open_max, limits.in_flight_max, OPEN_MAX);
    limits.backoff_max_ms = bounded(limits.backoff_max_ms, 1, TIME_MAX_MS);
    limits.backoff_min_ms = bounded(limits.backoff_min_ms, 1, limits.backoff_max_ms);
    *ret_limits = limits;
    return trace(r);
}
