/* Status: which state a service reports, and what it refuses, when several conditions hold at
 * once. */
#include "runtime/core/status.h"
#include <criterion/criterion.h>
#include <string.h>

#define BACKLOG_MAX 100

struct situation {
    _Bool draining, damaged, forked, degraded, whole, caught_up;
    int64_t position, published, replay_target;
};

static void put(struct status *status, const struct situation *situation)
{
    *status = (struct status){ 0 };
    atomic_store(&status->draining, situation->draining);
    atomic_store(&status->damaged, situation->damaged);
    atomic_store(&status->relay_state, situation->forked ? RELAY_FORKED : RELAY_PUBLISHING);
    atomic_store(&status->disk, situation->degraded ? DISK_DEGRADED : DISK_FINE);
    atomic_store(&status->whole, situation->whole);
    atomic_store(&status->caught_up, situation->caught_up);
    atomic_store(&status->position, situation->position);
    atomic_store(&status->published, situation->published);
    atomic_store(&status->replay_target, situation->replay_target);
    atomic_store(&status->sources[0].position, 3);
    atomic_store(&status->sources[0].leader_position, 8);
    atomic_store(&status->sources[1].leader_position, 2);
}

Test(status, the_worst_condition_is_reported_and_decides_what_is_refused)
{
    static const struct {
        struct situation situation;
        const char *name;
        enum refusal refusal;
        const char *message;
    } cases[] = {
        { { .caught_up = 1, .whole = 1 }, "ready", 0, "" },
        /* the disk may work again: the writer will try */
        { { .caught_up = 1, .degraded = 1 }, "degraded", 0, "" },
        { { .caught_up = 1, .position = 99 }, "ready", 0, "" },
        { { .caught_up = 1, .position = 120, .published = 20 },
          "ready",
          REFUSED_BUSY,
          "100 events wait for the stream" },
        { { 0 }, "starting", REFUSED_REPLAYING, "its own log: 0 of 0" },
        { { .replay_target = 9, .position = 4 },
          "replaying",
          REFUSED_REPLAYING,
          "its own log: 4 of 9 events" },
        { { .whole = 1 },
          "replaying",
          REFUSED_REPLAYING,
          "what the other services have published: 3 of 10 events" },
        { { .draining = 1, .caught_up = 1 }, "draining", REFUSED_BUSY, "the service is stopping" },
        { { .forked = 1, .caught_up = 1, .degraded = 1 },
          "forked",
          REFUSED_INTERNAL,
          "have forked" },
        { { .damaged = 1, .forked = 1, .caught_up = 1 },
          "corrupt",
          REFUSED_INTERNAL,
          "is damaged" },
        { { .damaged = 1, .draining = 1 }, "draining", REFUSED_INTERNAL, "is damaged" },
    };
    static struct status status;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *message = NULL;
        put(&status, &cases[i].situation);
        cr_expect_str_eq(status_name(&status), cases[i].name, "case %zu", i);
        cr_expect_eq(status_refuses(&status, BACKLOG_MAX, &message), cases[i].refusal, "case %zu",
                     i);
        cr_expect(!cases[i].refusal || strstr(message, cases[i].message), "case %zu: %s", i,
                  message);
    }
}
