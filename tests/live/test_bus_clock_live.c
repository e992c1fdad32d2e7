/* Bus and the wall clock, on a real nats-server: nats.c waits by the wall clock, and where that is
 * set back it waits for longer. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "base/result.h"
#include "bus/bus.h"
#include "server.h"

/* As if set back. The server never returns, so only a bus that is closed says so; and a close that
 * comes just before nats.c begins to wait is not heard before the wait's end. */
#define WAIT_MS 15000

static struct server server;
static struct bus *bus;
static atomic_int closes;

static void on_closed(void *context, const char *reason)
{
    (void)context;
    (void)reason;
    atomic_fetch_add(&closes, 1);
}

static _Bool has_closed(void *context)
{
    (void)context;
    return atomic_load(&closes) > 0;
}

static void setup(void)
{
    server_init(&server, NULL);
    server_start(&server);
    const struct bus_options options = { .url = server.url,
                                         .name = "live-test",
                                         .reconnect_wait_ms = WAIT_MS,
                                         .handlers = { .closed = on_closed } };
    cr_assert_eq(bus_open(&options, &bus), 0, "%s", failure_text());
    cr_assert(wait_until(bus_is_there, bus, FAR_MS));
}

static void teardown(void)
{
    bus_free(bus);
    bus_library_close();
    server_deinit(&server);
}

Test(bus_clock_live, fault_38_a_bus_whose_wait_the_clock_has_prolonged_is_closed, .init = setup,
     .fini = teardown)
{
    const int64_t wall_ms = clock_wall_ms(), now_ms = clock_monotonic_ms();
    bus_push(bus, wall_ms, now_ms);
    server_kill(&server);
    cr_assert(wait_until(bus_is_away, bus, FAR_MS));
    bus_push(bus, wall_ms + 60000, now_ms + 60000);
    cr_assert_eq(atomic_load(&closes), 0, "its clock is right");
    bus_push(bus, wall_ms - 3540000, now_ms + 60000);
    bus_push(bus, wall_ms - 3530001, now_ms + 69999);
    cr_assert_eq(atomic_load(&closes), 0, "it may still connect by itself");
    bus_push(bus, wall_ms - 3530000, now_ms + 70000);
    cr_assert(wait_until(has_closed, NULL, FAR_MS));
}

static int64_t echoes_before;

static _Bool has_echoes(void *context)
{
    struct bus_stats stats;
    bus_read_stats(bus, &stats);
    return (int64_t)stats.echoes >= echoes_before + *(const int64_t *)context;
}

struct times {
    int64_t wall_ms, now_ms;
};

static _Bool closes_two_seconds_later(void *context)
{
    struct times *times = context;
    if (atomic_load(&closes) == 0 && bus_is_connected(bus))
        bus_push(bus, times->wall_ms += 2000, times->now_ms += 2000);
    return atomic_load(&closes) > 0;
}

/* Frozen, the server does not close anything: nats.c would notice by its pings, an hour later. */
Test(bus_clock_live, fault_38_a_dead_connection_is_given_up_after_the_clock_was_set_back,
     .init = setup, .fini = teardown)
{
    const int64_t wall_ms = clock_wall_ms() - 3600000;
    int64_t now_ms = clock_monotonic_ms(), echoes = 1; /* of one lane the first may be too early */
    struct bus_stats stats;
    bus_push(bus, wall_ms + 3600000, now_ms);
    for (int i = 1; i <= 10; i++) { /* for twenty seconds the server is there */
        bus_read_stats(bus, &stats);
        echoes_before = (int64_t)stats.echoes;
        now_ms += 2000;
        bus_push(bus, wall_ms + 2000 * i, now_ms);
        cr_assert(wait_until(has_echoes, &echoes, FAR_MS), "echo %d", i);
        echoes = 2; /* of both lanes */
    }
    struct times times = { wall_ms + 20000, now_ms };
    cr_assert_eq(kill(server.pid, SIGSTOP), 0);
    cr_assert(wait_until(closes_two_seconds_later, &times, FAR_MS));
    /* ten seconds after the first that has not come back */
    cr_assert_geq(times.now_ms, now_ms + 12000);
}
