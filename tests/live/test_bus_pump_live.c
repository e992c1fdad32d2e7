/* Bus, the lane that one thread of its user reads and writes, on a real nats-server: this thread,
 * which looks at it as the sender does. */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/result.h"
#include "bus/bus.h"
#include "server.h"

#define TURN_MS 50
#define PING_MS 300
#define QUIET_MS (5 * PING_MS) /* three without an answer would be the end */
#define FLOOD 400
#define LARGE 65536 /* bytes of one; all of them are more than sockets and buffers take */

static struct server server;
static struct bus *bus;
static struct bus_subscription *subscription;
static pthread_t pumping;
static int count;         /* that came */
static _Bool is_in_order; /* each said the number of those before it */
static char *large;

static void on_message(void *context, struct bus_message *message)
{
    cr_assert_eq(context, &count);
    cr_assert(pthread_equal(pthread_self(), pumping), "no other thread calls it");
    is_in_order = is_in_order && strtol(bus_message_data(message), NULL, 10) == count;
    count++;
    bus_message_free(message);
}

/* One pass, when there is something or a while has passed. */
static void turn(void)
{
    struct pollfd on = { .fd = bus_pump_fd(bus), .events = POLLIN };
    poll(&on, 1, TURN_MS);
    bus_pump(bus, clock_monotonic_ms());
}

static void turn_until_connected(_Bool wanted)
{
    while (bus_is_connected(bus) != wanted) /* criterion ends what never comes */
        turn();
}

static int publish_number(int number, size_t length)
{
    snprintf(large, LARGE, "%d", number);
    const struct bus_outgoing message = { .subject = "own.a", .data = large, .length = length };
    return bus_publish(bus, BUS_PUMPED, &message);
}

static void expect_more(int more)
{
    const int wanted = count + more;
    bus_pump_out(bus);
    while (count < wanted)
        turn();
    cr_expect_eq(count, wanted);
    cr_expect(is_in_order);
}

static void setup(void)
{
    server_init(&server, NULL);
    server_start(&server);
    const struct bus_options options = { .url = server.url,
                                         .name = "live-test",
                                         .reconnect_wait_ms = 20,
                                         .ping_interval_ms = PING_MS,
                                         .is_pumped = 1 };
    pumping = pthread_self();
    is_in_order = 1;
    large = calloc(1, LARGE);
    cr_assert(large && bus_open(&options, &bus) == 0, "%s", failure_text());
    cr_assert_eq(bus_subscribe_pumped(bus, "own.>", on_message, &count, &subscription), 0);
    turn_until_connected(1);
}

static void teardown(void)
{
    bus_subscription_free(subscription);
    bus_free(bus);
    bus_library_close();
    server_deinit(&server);
    free(large);
}

Test(bus_pump, what_is_published_leaves_when_told_and_comes_back_on_this_thread, .init = setup,
     .fini = teardown)
{
    for (int i = 0; i < 10; i++)
        cr_assert_eq(publish_number(i, 10), 0);
    cr_expect_eq(count, 0);
    expect_more(10);
    struct bus_stats stats;
    bus_read_stats(bus, &stats);
    cr_expect_eq(stats.messages_out, 10);
    cr_expect_eq(stats.messages_in, 10);
    cr_expect_eq(bus_subscribe_pumped(bus, "a b", on_message, &count, &subscription), -ERR_INVALID);
    cr_expect_eq(bus_flush(bus, FAR_MS), 0, "it does not wait for this lane, which nobody reads");
}

Test(bus_pump, a_server_that_reads_nothing_is_not_waited_for, .init = setup, .fini = teardown)
{
    kill(server.pid, SIGSTOP);
    int64_t before_ms = clock_monotonic_ms();
    for (int i = 0; i < FLOOD; i++)
        cr_assert_eq(publish_number(i, LARGE), 0);
    cr_expect_lt(clock_monotonic_ms() - before_ms, slower_ms(1000));
    kill(server.pid, SIGCONT);
    expect_more(FLOOD);
}

/* Nothing more is published: nats.c's pings alone say that the server is there. */
Test(bus_pump, a_server_that_has_nothing_to_say_is_not_left, .init = setup, .fini = teardown)
{
    struct bus_stats stats;
    cr_assert_eq(publish_number(0, 10), 0);
    expect_more(1);
    for (int64_t end_ms = clock_monotonic_ms() + QUIET_MS; clock_monotonic_ms() < end_ms;)
        turn();
    bus_read_stats(bus, &stats);
    cr_expect_eq(stats.connects, 1);
    cr_expect(bus_is_connected(bus));
}

/* Its other connections are closed by nats.c, this one by the pump. */
Test(bus_pump, a_frozen_server_is_left_and_a_killed_one_found_again, .init = setup,
     .fini = teardown)
{
    kill(server.pid, SIGSTOP);
    turn_until_connected(0);
    kill(server.pid, SIGCONT);
    turn_until_connected(1);
    cr_assert_eq(publish_number(0, 10), 0);
    expect_more(1);
    server_kill(&server);
    turn_until_connected(0);
    cr_expect_eq(publish_number(1, 10), -ERR_NETWORK);
    server_start(&server);
    turn_until_connected(1);
    cr_assert_eq(publish_number(1, 10), 0);
    expect_more(1);
}
