/* Feed: what a look at stream and durable leads to, as a table, and the bounds. Step by step:
 * test_feed_heal.c; random walks: test_feed_walk.c. */
#include "runtime/sync/feed.h"
#include <criterion/criterion.h>

static struct feed feed_asking(int64_t cursor)
{
    struct feed feed;
    feed_init(&feed, &feed_defaults, cursor);
    feed_connected(&feed);
    cr_assert_eq(feed_next(&feed, 0).kind, FEED_ASK);
    cr_assert_eq(feed_next(&feed, 0).kind, FEED_NOTHING);
    return feed;
}

/* A stream that ends with the leader's event `last`; how far the durable is. */
#define STREAM(last) .stream_exists = 1, .last_sequence = (last), .last_position = (last)
#define DURABLE(acked, delivered) \
    .durable_exists = 1, .acked_sequence = (acked), .delivered_sequence = (delivered)

Test(feed, the_look_at_stream_and_durable_decides_the_next_action)
{
    static const struct {
        const char *name;
        int64_t cursor;
        struct feed_info info;
        enum feed_state state;
        enum feed_action_kind next;
    } cases[] = {
        // clang-format off: a table
        { "no stream yet", 0, { 0 },         FEED_WAITING, FEED_NOTHING },
        { "no durable",    3, { STREAM(5) }, FEED_MAKING, FEED_MAKE_DURABLE },
        { "all well",
          3, { STREAM(5), DURABLE(3, 3), .pending = 2 },     FEED_PULLING, FEED_PULL },
        { "durable ahead of us",
          3, { STREAM(5), DURABLE(4, 4), .pending = 1 },     FEED_MAKING, FEED_DELETE_DURABLE },
        { "durable ahead of its stream",
          3, { STREAM(3), DURABLE(3, 9) },                   FEED_MAKING, FEED_DELETE_DURABLE },
        { "deliveries of an earlier life",
          3, { STREAM(5), DURABLE(3, 5), .ack_pending = 2 }, FEED_MAKING, FEED_DELETE_DURABLE },
        { "nothing to come although there is",
          3, { STREAM(5), .durable_exists = 1 },             FEED_MAKING, FEED_DELETE_DURABLE },
        { "at the end",
          5, { STREAM(5), DURABLE(5, 5) },                   FEED_PULLING, FEED_PULL },
        // clang-format on
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct feed feed = feed_asking(cases[i].cursor);
        feed_looked(&feed, &cases[i].info, 1);
        struct feed_action action = feed_next(&feed, 1);
        cr_expect_eq(feed.state, cases[i].state, "%s: %s", cases[i].name,
                     feed_state_name(feed.state));
        cr_expect_eq(action.kind, cases[i].next, "%s: action %d", cases[i].name, action.kind);
        if (action.kind == FEED_MAKE_DURABLE)
            cr_expect_eq(action.sequence, cases[i].cursor + 1);
    }
}

static struct feed feed_pulling(int64_t cursor)
{
    struct feed feed = feed_asking(cursor);
    feed_looked(&feed, &(struct feed_info){ STREAM(cursor), DURABLE(cursor, cursor) }, 0);
    cr_assert_eq(feed.state, FEED_PULLING);
    return feed;
}

Test(feed, a_gap_is_filled_by_the_leader_and_the_durable_is_made_anew)
{
    struct feed feed = feed_pulling(3);
    cr_assert_eq(feed_next(&feed, 0).kind, FEED_PULL);
    feed_delivered(&feed, 1, 10, 0, 1);
    feed_gap(&feed, feed.epoch, 10, 1);
    feed_settled(&feed, 1, 3, 1);
    struct feed_action fill = feed_next(&feed, 1);
    cr_assert(feed.state == FEED_FILLING && fill.kind == FEED_FILL && fill.position == 3);
    for (int64_t p = 4; p <= 9; p++)
        feed_delivered(&feed, 1, p, 0, 2);
    feed_filled(&feed, 12, 2);
    feed_settled(&feed, 6, 9, 3);
    cr_assert(feed.state == FEED_ASKING && feed.leader_position == 12);
    cr_assert_eq(feed_next(&feed, 3).kind, FEED_ASK);
    feed_looked(&feed, &(struct feed_info){ STREAM(12), .durable_exists = 1, .pending = 3 }, 3);
    cr_assert_eq(feed_next(&feed, 3).kind, FEED_DELETE_DURABLE);
    feed_made(&feed, 3);
    struct feed_action make = feed_next(&feed, 3);
    cr_assert(make.kind == FEED_MAKE_DURABLE && make.sequence == 10);
}

Test(feed, an_unreachable_leader_is_asked_again)
{
    struct feed feed = feed_pulling(3);
    feed_gap(&feed, feed.epoch, 10, 1);
    cr_assert_eq(feed_next(&feed, 1).kind, FEED_FILL);
    feed_failed(&feed, "the leader is away", 2);
    cr_assert_eq(feed.state, FEED_WAITING);
    cr_assert_eq(feed_next(&feed, feed_due_ms(&feed)).kind, FEED_FILL);
}

Test(feed, silence_while_pulling_leads_to_asking)
{
    struct feed feed = feed_pulling(3);
    cr_assert_eq(feed_next(&feed, 0).kind, FEED_PULL);
    feed_heartbeat(&feed, 1000);
    cr_assert_eq(feed_next(&feed, 3900).kind, FEED_NOTHING);
    cr_assert_eq(feed_next(&feed, feed_due_ms(&feed)).kind, FEED_ASK);
}

Test(feed, the_window_bounds_unsettled_events)
{
    struct feed feed = feed_pulling(0);
    int64_t asked = 0;
    struct feed_action action;
    for (int64_t p = 1; p <= 10000; p++) {
        while ((action = feed_next(&feed, 0)).kind == FEED_PULL)
            asked += action.count;
        if (asked == 0)
            break;
        asked--;
        feed_delivered(&feed, 1, p, 10000 - p, 0);
        cr_assert(feed.unsettled <= feed_defaults.window_max);
    }
    cr_assert(feed.unsettled > feed_defaults.window_max / 2, "%lld", (long long)feed.unsettled);
    feed_settled(&feed, feed.unsettled, feed.unsettled, 1);
    cr_assert_eq(feed_next(&feed, 1).kind, FEED_PULL);
}

Test(feed, freshness_is_known_only_without_a_gap)
{
    struct feed feed = feed_pulling(3);
    cr_assert_eq(feed.complete_ms, 0);
    feed_heartbeat(&feed, 50);
    cr_assert_eq(feed.complete_ms, 50);
    feed_next(&feed, 50);
    feed_delivered(&feed, 1, 4, 5, 60);
    feed_settled(&feed, 1, 4, 70);
    feed_heartbeat(&feed, 80);
    cr_assert_eq(feed.complete_ms, 50); /* five more are known to come */
    for (int64_t p = 5; p <= 9; p++)
        feed_delivered(&feed, 1, p, 9 - p, 90);
    feed_settled(&feed, 5, 9, 100);
    cr_assert_eq(feed.complete_ms, 100);
}
