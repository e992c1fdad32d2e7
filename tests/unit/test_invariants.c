/* Invariants: each check of a machine passes on one that is fine, and ends the process for each
 * fault that is planted in it. The numbers are those of the headers. */
#include "base/thread_owner.h"
#include "runtime/request/inbox.h"
#include "runtime/request/readers.h"
#include "runtime/sync/feed.h"
#include "runtime/sync/relay.h"
#include "runtime/writer/loop.h"
#include <criterion/criterion.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Does it end the process? In a child, whose words nobody wants to read. */
static _Bool aborts(void (*check)(void))
{
    int state = 0;
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        check();
        _exit(0);
    }
    cr_assert(child > 0 && waitpid(child, &state, 0) == child);
    return WIFSIGNALED(state) && WTERMSIG(state) == SIGABRT;
}

#define fine(check) cr_expect_not(aborts(check), "a machine that is fine")
#define planted(what, check)                         \
    do {                                             \
        what;                                        \
        cr_expect(aborts(check), "planted: " #what); \
    } while (0)

/* ---- Relay ----------------------------------------------------------------------------------- */

static struct relay relay;

static void check_relay(void)
{
    relay_check(&relay);
}

/* One that publishes: 3 of 9 are in the stream, 2 are in flight. */
static void make_relay(void)
{
    struct relay_config config = relay_defaults;
    config.publish_max = 2;
    relay_init(&relay, &config, 9);
    relay_connected(&relay, 1);
    relay_next(&relay, 1);
    relay_looked(&relay,
                 &(struct relay_tail){ .exists = 1,
                                       .first_sequence = 1,
                                       .last_sequence = 3,
                                       .messages = 3,
                                       .has_last = 1,
                                       .position = 3 },
                 1);
    cr_assert_eq(relay_next(&relay, 1).kind, RELAY_PUBLISH);
    cr_assert_eq(relay.sent - relay.published, 2);
}

Test(invariants, of_the_relay, .init = make_relay)
{
    const struct relay as_it_was = relay;
    fine(check_relay);
    planted(relay.published = -1, check_relay); /* R1 */
    relay = as_it_was;
    planted(relay.head = 4, check_relay); /* R1 */
    relay = as_it_was;
    planted(relay.sent = 2, check_relay); /* R1 */
    relay = as_it_was;
    planted(relay.probing = 1, check_relay); /* R2 */
    relay = as_it_was;
    planted(relay.config.window_max = 1, check_relay); /* R2 */
    relay = as_it_was;
    planted(relay.state = RELAY_ASKING, check_relay); /* R2 */
    relay = as_it_was;
    planted(relay.group_last = 4, check_relay); /* R2 */
    relay = as_it_was;
    planted(relay.group_last = 10, check_relay); /* R2 */
    relay = as_it_was;
    planted(relay.deadline_ms = INT64_MAX, check_relay); /* R3 */
    relay = as_it_was;
    planted(relay.high_water = 2, check_relay); /* R6 */
    relay_disconnected(&relay);
    planted(relay.deadline_ms = 7, check_relay); /* R4 */
    relay_fork(&relay, "because");
    planted(relay.reason = NULL, check_relay); /* R5 */
    relay.reason = "because";
}

/* ---- Feed ------------------------------------------------------------------------------------ */

static struct feed feed;

static void check_feed(void)
{
    feed_check(&feed);
}

/* One that pulls, with a pull out. */
static void make_feed(void)
{
    feed_init(&feed, &feed_defaults, 5);
    feed_connected(&feed);
    feed_next(&feed, 1);
    feed_looked(&feed,
                &(struct feed_info){ .stream_exists = 1,
                                     .last_sequence = 9,
                                     .last_position = 9,
                                     .durable_exists = 1,
                                     .acked_sequence = 5,
                                     .delivered_sequence = 5,
                                     .pending = 4 },
                1);
    cr_assert_eq(feed_next(&feed, 1).kind, FEED_PULL);
}

Test(invariants, of_a_feed, .init = make_feed)
{
    const struct feed as_it_was = feed;
    fine(check_feed);
    planted(feed.unsettled = -1, check_feed); /* F1 */
    feed = as_it_was;
    planted(feed.leader_position = 4, check_feed); /* F1 */
    feed = as_it_was;
    planted(feed.state = FEED_ASKING, check_feed); /* F2 */
    feed = as_it_was;
    planted(feed.pulls[FEED_PULLS - 1].left = 0, check_feed); /* F2 */
    feed = as_it_was;
    planted(feed.pulls[FEED_PULLS - 1].left = feed.config.pull_batch + 1, check_feed); /* F2 */
    feed = as_it_was;
    planted(feed.deadline_ms = 7, check_feed); /* F3 */
    feed = as_it_was;
    planted(feed.idle_rounds = feed.config.idle_rounds_max, check_feed); /* F5 */
    feed = as_it_was;
    feed_fork(&feed, feed.epoch);
    planted(feed.reason = NULL, check_feed); /* F4 */
}

/* ---- Inbox ----------------------------------------------------------------------------------- */

static struct inbox inbox;

static void check_inbox(void)
{
    inbox_check(&inbox);
}

Test(invariants, of_the_inbox)
{
    inbox_init(&inbox, 2);
    fine(check_inbox);
    cr_assert_eq(inbox_push(&inbox, item_new(ITEM_COMMAND)), 0);
    cr_assert_eq(inbox_push(&inbox, item_new(ITEM_EVENT)), 0);
    const struct inbox as_it_was = inbox;
    fine(check_inbox);
    planted(inbox.length = 0, check_inbox); /* N1 */
    inbox = as_it_was;
    planted(inbox.last = &inbox.first, check_inbox); /* N2 */
    inbox = as_it_was;
    planted(inbox.requests.length = 3, check_inbox); /* N3 */
    inbox = as_it_was;
    planted(inbox.requests.max = 0, check_inbox); /* N3 */
    inbox = as_it_was;
    inbox_deinit(&inbox);
}

/* ---- Fair queue ------------------------------------------------------------------------------ */

static struct fair_queue fair;

static void check_fair_queue(void)
{
    fair_queue_check(&fair, 0);
}

Test(invariants, of_a_fair_queue)
{
    fair_queue_init(&fair, 2);
    fine(check_fair_queue);
    fair_queue_add(&fair, item_new(ITEM_QUERY));
    const struct fair_queue as_it_was = fair;
    fine(check_fair_queue);
    planted(fair.length = 0, check_fair_queue); /* C1 */
    fair = as_it_was;
    planted(fair.queues[0].length = 2, check_fair_queue); /* C1 */
    fair = as_it_was;
    planted(fair.filled[0] = 2, check_fair_queue); /* C2 */
    fair = as_it_was;
    planted(fair.queues[0].last = NULL, check_fair_queue); /* C2 */
    fair = as_it_was;
    fair_queue_deinit(&fair);
}

/* ---- Readers --------------------------------------------------------------------------------- */

static struct readers readers;

static void check_readers(void)
{
    readers_check(&readers);
}

static void drop(void *context, struct item *item)
{
    (void)context;
    item_free(item);
}

Test(invariants, of_the_readers)
{
    static const struct service service = { .name = "test-svc" };
    static struct status status;
    const struct readers_options options = {
        .service = &service,
        .status = &status,
        .reply = drop,
        .queue_max = 2,
    };
    readers_init(&readers, &options);
    fine(check_readers);
    cr_assert_eq(readers_push(&readers, item_new(ITEM_QUERY)), 0);
    const struct readers as_it_was = readers;
    fine(check_readers);
    planted(readers.last_waiting = &readers.journeys.queues[0].first, check_readers); /* Q1 */
    readers = as_it_was;
    planted(readers.waiting_count = 1, check_readers); /* Q2 */
    readers = as_it_was;
    planted(readers.options.queue_max = 0, check_readers); /* Q3 */
    readers = as_it_was;
    readers_deinit(&readers);
}

/* ---- Loop and process ------------------------------------------------------------------------ */

static struct loop loop;
static struct item late = { .kind = ITEM_ANSWER };

static void check_loop(void)
{
    loop_check(&loop);
}

Test(invariants, of_the_loop_and_the_process)
{
    static const struct process process;
    static const struct service service = { .name = "test-svc", .process = &process };
    loop = (struct loop){ .service = &service };
    process_init(&loop.process, &service);
    const struct loop as_it_was = loop;
    fine(check_loop);
    planted(loop.at.head.position = -1, check_loop); /* L1 */
    loop = as_it_was;
    planted(loop.at.parked_count = -1, check_loop); /* L1 */
    loop = as_it_was;
    planted(loop.isolates = 1, check_loop); /* L2 */
    loop = as_it_was;
    planted(loop.cursor_moved[3] = 1, check_loop); /* L3 */
    loop = as_it_was;
    planted(loop.process.runs = 1, check_loop); /* P1 */
    loop = as_it_was;
    planted(loop.process.due_ms = 7, check_loop); /* P2 */
    loop = as_it_was;
    loop.process.runs = loop.process.wanted = 1;
    fine(check_loop);
    loop.process.delayed = loop.process.last_delayed = &late;
    planted(loop.process.delayed_count = 0, check_loop); /* P3 */
}

/* ---- Threads --------------------------------------------------------------------------------- */

static struct thread_owner owner;

static void assert_owner(void)
{
    owner_assert(&owner);
}

static void *take_owner(void *context)
{
    (void)context;
    owner_take(&owner);
    owner_assert(&owner);
    return NULL;
}

Test(invariants, of_a_thread_and_what_is_its_own)
{
    pthread_t thread;
    fine(assert_owner); /* nobody has taken it: there is one thread */
    cr_assert_eq(pthread_create(&thread, NULL, take_owner, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect(aborts(assert_owner), "it belongs to another thread");
    owner_release(&owner);
    fine(assert_owner);
}
