/* Following: the relay of an instance that another one leads, and feeds that are held at its
 * leader's cursors. */
#include <criterion/criterion.h>
#include "runtime/sync/feed.h"
#include "runtime/sync/relay.h"

#define TAIL(n)                                                                             \
    .exists = 1, .has_last = 1, .first_sequence = 1, .last_sequence = (n), .messages = (n), \
    .position = (n)

/* The log has `head` events, and the stream those up to `tail`. */
static struct relay relay_of(int64_t head, int64_t tail)
{
    struct relay relay;
    relay_init(&relay, &relay_defaults, head);
    relay_follow(&relay);
    relay_connected(&relay, 0);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_ASK);
    relay_looked(&relay,
                 &(struct relay_tail){ TAIL(tail), .fit = tail > head ? TAIL_AHEAD : TAIL_EQUAL },
                 1);
    return relay;
}

Test(follow, it_reads_what_the_stream_has_behind_its_log)
{
    struct relay relay = relay_of(20, 50);
    cr_assert_eq(relay.state, RELAY_FOLLOWING);
    struct relay_action action = relay_next(&relay, 1);
    cr_assert(action.kind == RELAY_RECOVER && action.sequence == 20 && action.last == 50);
    cr_assert_eq(relay_next(&relay, 2).kind, RELAY_NOTHING, "one window at a time");
    relay_recovered(&relay, 45, 3);
    action = relay_next(&relay, 3);
    cr_assert(action.kind == RELAY_RECOVER && action.sequence == 45 && action.last == 50);
    relay_recovered(&relay, 50, 4);
    cr_assert(relay_next(&relay, 4).kind == RELAY_NOTHING && relay.state == RELAY_FOLLOWING);
    cr_expect(relay_has_tail(&relay) && relay.published == 50);
}

Test(follow, a_heartbeat_makes_it_read_at_once_and_none_makes_it_look)
{
    struct relay relay = relay_of(20, 20);
    cr_assert_eq(relay_next(&relay, 500).kind, RELAY_NOTHING);
    relay_heard(&relay, 23, 500);
    cr_assert_not(relay_has_tail(&relay));
    struct relay_action action = relay_next(&relay, 500);
    cr_assert(action.kind == RELAY_RECOVER && action.sequence == 20 && action.last == 23);
    relay_recovered(&relay, 23, 510);
    cr_assert_eq(relay_due_ms(&relay), 1500);
    cr_assert_eq(relay_next(&relay, 1499).kind, RELAY_NOTHING);
    action = relay_next(&relay, 1500);
    cr_assert(action.kind == RELAY_ASK && action.sequence == 23);
}

/* A stream that has lost its Raft leader answers nothing: who may take over finds the next one soon
 * after it is there, however long that took. */
Test(follow, without_an_answer_it_asks_again_soon)
{
    struct relay relay = relay_of(20, 20);
    int64_t now_ms = 1501;
    cr_assert_eq(relay_next(&relay, now_ms).kind, RELAY_ASK);
    for (int i = 0; i < 12; i++) {
        cr_assert_eq(relay_due_ms(&relay) - now_ms, 1000, "try %d", i);
        now_ms += 1000;
        cr_assert_eq(relay_next(&relay, now_ms).kind, RELAY_NOTHING);
        const int64_t waits_ms = relay_due_ms(&relay) - now_ms;
        cr_assert(relay.state == RELAY_WAITING && waits_ms > 0 && waits_ms <= 250, "try %d", i);
        now_ms += waits_ms;
        cr_assert_eq(relay_next(&relay, now_ms).kind, RELAY_ASK);
    }
}

Test(follow, it_makes_no_stream_and_mends_none)
{
    struct relay relay;
    relay_init(&relay, &relay_defaults, 20);
    relay_follow(&relay);
    relay_connected(&relay, 0);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_ASK);
    relay_looked(&relay, &(struct relay_tail){ 0 }, 1);
    cr_assert_eq(relay.state, RELAY_WAITING);
    int64_t now_ms = relay_due_ms(&relay);
    cr_assert_eq(relay_next(&relay, now_ms).kind, RELAY_ASK);
    relay_looked(&relay, &(struct relay_tail){ TAIL(20), .foreign = 3, .deleted = 2 }, now_ms);
    cr_assert_eq(relay.state, RELAY_FOLLOWING);
}

Test(follow, what_it_has_more_than_the_stream_it_keeps_and_publishes_when_it_leads)
{
    struct relay relay = relay_of(25, 20);
    cr_assert(relay.state == RELAY_FOLLOWING && relay.published == 20);
    cr_assert(relay_has_tail(&relay));
    relay_lead(&relay);
    cr_assert_eq(relay_next(&relay, 2).kind, RELAY_ASK);
    relay_looked(&relay, &(struct relay_tail){ TAIL(20) }, 3);
    struct relay_action action = relay_next(&relay, 3);
    cr_assert(action.kind == RELAY_PUBLISH && action.first == 21 && action.last == 25 &&
              action.sequence == 20);
}

Test(follow, a_claim_reads_the_end_of_the_stream_first)
{
    struct relay relay = relay_of(20, 20);
    relay_read_tail(&relay, 10);
    cr_assert_not(relay_has_tail(&relay), "what was seen before may be old");
    cr_assert_eq(relay_next(&relay, 10).kind, RELAY_ASK);
    relay_looked(&relay, &(struct relay_tail){ TAIL(22), .fit = TAIL_AHEAD }, 11);
    cr_assert_not(relay_has_tail(&relay));
    cr_assert_eq(relay_next(&relay, 11).kind, RELAY_RECOVER);
    relay_recovered(&relay, 22, 12);
    cr_assert(relay_has_tail(&relay));
}

Test(follow, another_chain_at_a_position_is_a_fork)
{
    struct relay relay;
    relay_init(&relay, &relay_defaults, 20);
    relay_follow(&relay);
    relay_connected(&relay, 0);
    (void)relay_next(&relay, 0);
    relay_looked(&relay, &(struct relay_tail){ TAIL(20), .fit = TAIL_DIFFERENT }, 1);
    cr_assert_eq(relay.state, RELAY_FORKED);
}

/* ---- Others' logs --------------------------------------------------------------------------- */

/* Pulling, with a cursor at 10; the leader has 30. */
static struct feed feed_at_10(int64_t until)
{
    struct feed feed;
    feed_init(&feed, &feed_defaults, 10);
    feed_hold_at(&feed, until, 0);
    feed_connected(&feed);
    cr_assert_eq(feed_next(&feed, 0).kind, FEED_ASK);
    feed_looked(&feed,
                &(struct feed_info){ .stream_exists = 1,
                                     .last_sequence = 30,
                                     .last_position = 30,
                                     .durable_exists = 1,
                                     .acked_sequence = 10,
                                     .delivered_sequence = 10,
                                     .pending = 20 },
                1);
    cr_assert_eq(feed.state, FEED_PULLING);
    return feed;
}

Test(follow, a_feed_pulls_no_more_than_its_leader_has_applied)
{
    struct feed feed = feed_at_10(15);
    struct feed_action action = feed_next(&feed, 1);
    cr_assert(action.kind == FEED_PULL && action.count == 5);
    cr_assert_eq(feed_next(&feed, 1).kind, FEED_NOTHING);
    feed_delivered(&feed, 5, 15, 15, 2);
    cr_assert_eq(feed_next(&feed, 2).kind, FEED_NOTHING, "they are not applied yet");
    feed_settled(&feed, 5, 15, 3);
    cr_assert_eq(feed_next(&feed, 3).kind, FEED_NOTHING);
    cr_expect_eq(feed.complete_ms, 3, "it has what there is for it");
    feed_hold_at(&feed, 17, 4);
    action = feed_next(&feed, 4);
    cr_assert(action.kind == FEED_PULL && action.count == 2);
}

Test(follow, a_held_feed_asks_nobody_while_nothing_moves)
{
    struct feed feed = feed_at_10(10);
    cr_assert_eq(feed_next(&feed, 100000).kind, FEED_NOTHING);
    cr_expect_eq(feed_due_ms(&feed), INT64_MAX);
}

Test(follow, who_leads_is_held_no_more)
{
    struct feed feed = feed_at_10(10);
    feed_hold_at(&feed, INT64_MAX, 2);
    cr_expect_eq(feed_next(&feed, 2).count, feed_defaults.pull_batch);
}

/* A leader that does not know yet that it was followed: the stream is the other one's to make. */
Test(follow, a_leader_that_hears_of_another_makes_no_stream)
{
    struct relay relay;
    relay_init(&relay, &relay_defaults, 20);
    relay_connected(&relay, 0);
    relay_doubt(&relay, "another instance may lead", 1);
    cr_assert_eq(relay_next(&relay, 1).kind, RELAY_ASK);
    relay_looked(&relay, &(struct relay_tail){ .exists = 0 }, 2);
    cr_expect(relay.state == RELAY_WAITING && relay_due_ms(&relay) == 1001);
    cr_assert_eq(relay_next(&relay, 1001).kind, RELAY_ASK);
    relay_looked(&relay, &(struct relay_tail){ .exists = 0 }, 1002);
    cr_expect_eq(relay.state, RELAY_MAKING, "nothing more was heard of it");
}

/* The leader before may have left a hole in the last group that it had in flight. */
Test(follow, one_that_takes_over_looks_at_all_that_may_have_been_in_flight)
{
    struct relay relay = relay_of(20, 20);
    relay_lead(&relay);
    const struct relay_action action = relay_next(&relay, 2);
    cr_expect(action.kind == RELAY_ASK && action.sequence == 0);
}

/* Another may claim with a longer log, and have published it there. */
Test(follow, one_that_claims_does_not_delete_a_stream_at_once)
{
    struct relay_tail strange = { TAIL(20), .foreign = 1, .foreign_behind = 1 };
    strange.last_sequence = strange.messages = 21;
    strange.message_sequence = 20;
    struct relay relay = relay_of(20, 20);
    relay_claim(&relay);
    (void)relay_next(&relay, 2);
    relay_looked(&relay, &strange, 3);
    cr_assert(relay.state == RELAY_WAITING && relay_due_ms(&relay) == 1003);
    cr_assert_eq(relay_next(&relay, 1003).kind, RELAY_ASK);
    relay_looked(&relay, &strange, 1004);
    cr_assert_eq(relay.state, RELAY_MAKING, "nobody else has made it anew");
    (void)relay_next(&relay, 1004);
    relay_made(&relay, 1005); /* deleted */
    relay_made(&relay, 1006);
    (void)relay_next(&relay, 1006);
    relay_looked(&relay, &(struct relay_tail){ .exists = 1 }, 1007);
    cr_expect(relay.state == RELAY_WAITING && relay_due_ms(&relay) == 2007,
              "another may have deleted it, too, and fill it");
}

Test(follow, one_that_claims_waits_once_for_who_may_be_making_the_stream_anew)
{
    struct relay relay = relay_of(20, 20);
    relay_claim(&relay);
    (void)relay_next(&relay, 2);
    relay_looked(&relay, &(struct relay_tail){ TAIL(7) }, 3);
    cr_assert(relay.state == RELAY_WAITING && relay_due_ms(&relay) == 1003);
    cr_assert_eq(relay_next(&relay, 1003).kind, RELAY_ASK);
    relay_looked(&relay, &(struct relay_tail){ TAIL(7) }, 1004);
    cr_expect(relay.state == RELAY_PUBLISHING && relay.published == 7);
}

/* Where the stream is gone altogether, whoever has all that it had may make it anew. */
Test(follow, a_stream_that_is_not_there_has_no_tail_to_wait_for)
{
    struct relay relay;
    relay_init(&relay, &relay_defaults, 20);
    relay_follow(&relay);
    relay_connected(&relay, 0);
    relay_read_tail(&relay, 0);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_ASK);
    cr_expect_not(relay_has_tail(&relay), "no answer yet");
    relay_looked(&relay, &(struct relay_tail){ .exists = 0 }, 1);
    cr_expect(relay_has_tail(&relay) && relay.state == RELAY_WAITING);
    relay_heard(&relay, 21, 2);
    cr_expect_not(relay_has_tail(&relay), "its leader has published more than our log has");
}

/* An empty stream that its leader has just made, to fill it with 22 events, is not all there is. */
Test(follow, a_stream_that_is_being_filled_is_waited_for)
{
    const struct relay_tail made = { .exists = 1, .filled_to = 22 };
    struct relay relay = relay_of(20, 20);
    relay_read_tail(&relay, 3);
    cr_assert_eq(relay_next(&relay, 3).kind, RELAY_ASK);
    relay_looked(&relay, &made, 4);
    cr_expect(relay.state == RELAY_FOLLOWING && !relay_has_tail(&relay), "it has 20 of 22");
    struct relay alone;
    relay_init(&alone, &relay_defaults, 20);
    relay_connected(&alone, 0);
    cr_assert_eq(relay_next(&alone, 0).kind, RELAY_ASK);
    relay_looked(&alone, &made, 1);
    cr_expect(alone.state == RELAY_FORKED && alone.high_water == 22, "it is not filled from 20");
    struct relay whole;
    relay_init(&whole, &relay_defaults, 22);
    relay_connected(&whole, 0);
    cr_assert_eq(relay_next(&whole, 0).kind, RELAY_ASK);
    relay_looked(&whole, &made, 1);
    cr_expect(whole.state == RELAY_PUBLISHING && whole.published == 0);
}

Test(follow, what_the_stream_has_lost_is_waited_for)
{
    struct relay relay = relay_of(20, 20);
    relay_heard(&relay, 22, 2);
    relay_read_tail(&relay, 3);
    cr_assert_eq(relay_next(&relay, 3).kind, RELAY_RECOVER);
    relay_failed(&relay, "no answer came", 4);
    (void)relay_next(&relay, 6000); /* the wait is over */
    cr_assert_eq(relay.state, RELAY_ASKING);
    relay_looked(&relay, &(struct relay_tail){ TAIL(20), .fit = TAIL_EQUAL }, 6001);
    cr_assert_eq(relay.state, RELAY_FOLLOWING);
    cr_expect_not(relay_has_tail(&relay), "the leader's log has 21 and 22, the stream no more");
    relay_give_up(&relay);
    cr_expect(relay_has_tail(&relay), "an operator has given them up");
}
