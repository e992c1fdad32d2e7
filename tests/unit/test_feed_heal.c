/* Feed, repairs: where every input leads from every state, and each repair step by step. The random
 * walk is in test_feed_walk.c. */
#include <criterion/criterion.h>
#include <string.h>
#include "runtime/sync/feed.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static const struct feed_config config = {
    .window_max = 40,
    .pull_batch = 10,
    .pull_expires_ms = 500,
    .heartbeat_ms = 100,
    .answer_timeout_ms = 200,
    .backoff_min_ms = 10,
    .backoff_max_ms = 80,
    .fill_limit = 7,
    .idle_rounds_max = 2,
};

static const struct feed_info missing = { 0 };
static const struct feed_info no_durable = { .stream_exists = 1,
                                             .last_sequence = 30,
                                             .last_position = 30 };
static const struct feed_info fine = {
    .stream_exists = 1,
    .last_sequence = 30,
    .last_position = 30,
    .durable_exists = 1,
    .acked_sequence = 20,
    .delivered_sequence = 20,
    .pending = 10,
};

static const struct feed_info behind = { .stream_exists = 1,
                                         .last_sequence = 12,
                                         .last_position = 12 };

/* ---- Every state, every input --------------------------------------------------------------- */

enum input {
    CONNECTED,
    DISCONNECTED,
    MISSING,
    NO_DURABLE,
    FINE,
    BEHIND,
    AGREES,
    DIFFERS,
    SHORTER,
    MADE,
    FAILED,
    DELIVERED,
    ENDED,
    REFUSED,
    SETTLED,
    GAP,
    FILLED,
    FORK,
    RESET,
    TIME_OUT,
    INPUTS,
};

static void put_in(struct feed *feed, enum input input, int64_t now_ms)
{
    switch (input) {
    case CONNECTED:    feed_connected(feed); break;
    case DISCONNECTED: feed_disconnected(feed); break;
    case MISSING:      feed_looked(feed, &missing, now_ms); break;
    case NO_DURABLE:   feed_looked(feed, &no_durable, now_ms); break;
    case FINE:         feed_looked(feed, &fine, now_ms); break;
    case BEHIND:       feed_looked(feed, &behind, now_ms); break;
    case AGREES:       feed_compared(feed, FEED_LEADER_AGREES, 30, now_ms); break;
    case DIFFERS:      feed_compared(feed, FEED_LEADER_DIFFERS, 30, now_ms); break;
    case SHORTER:      feed_compared(feed, FEED_LEADER_IS_SHORTER, 10, now_ms); break;
    case MADE:         feed_made(feed, now_ms); break;
    case FAILED:       feed_failed(feed, "no", now_ms); break;
    case DELIVERED:    feed_delivered(feed, 1, 21, 9, now_ms); break;
    case ENDED:        feed_pull_ended(feed, feed->pull_number, 0, now_ms); break;
    case REFUSED:      feed_pull_ended(feed, feed->pull_number, 1, now_ms); break;
    case SETTLED:
        feed_delivered(feed, 1, 29, 0, now_ms);
        feed_settled(feed, 1, 29, now_ms);
        break;
    case GAP:      feed_gap(feed, feed->epoch, 25, now_ms); break;
    case FILLED:   feed_filled(feed, 30, now_ms); break;
    case FORK:     feed_fork(feed, feed->epoch); break;
    case RESET:    feed_reset(feed, "overflow", now_ms); break;
    case TIME_OUT: feed_next(feed, now_ms + 1000000); break;
    case INPUTS:   break;
    }
}

/* A feed with the cursor at 20, brought to a state by the inputs that lead there. */
static struct feed feed_in(char state)
{
    struct feed feed;
    feed_init(&feed, &config, 20);
    if (state == 'O')
        return feed;
    feed_connected(&feed);
    feed_next(&feed, 0);
    if (state == 'C')
        feed_looked(&feed, &behind, 0);
    else if (state == 'M')
        feed_looked(&feed, &no_durable, 0);
    else if (state == 'P' || state == 'L')
        feed_looked(&feed, &fine, 0);
    else if (state == 'W')
        feed_failed(&feed, "no", 0);
    else if (state == 'F')
        feed_fork(&feed, feed.epoch);
    if (state == 'L')
        feed_gap(&feed, feed.epoch, 25, 0);
    if (state != 'W')
        feed_next(&feed, 0);
    return feed;
}

Test(feed_heal, every_input_leads_from_every_state_where_the_table_says)
{
    /* in the order of enum feed_state; C: comparing, L: filling */
    static const char letters[] = "OACMPLWF";
    static const struct {
        char from;
        const char *to;
    } table[] = {
        /*       con dis mis nod fin beh agr dif sho mad fai del end ref set gap fil frk rst time */
        { 'O',
          "A   O   O   O   O   O   O   O   O   O   O   O   O   O   O   O   O   F   O   O   O   O" },
        { 'A',
          "A   O   W   M   P   C   A   A   A   A   W   A   A   A   A   A   A   F   A   W   A   A" },
        { 'C',
          "C   O   C   C   C   C   M   F   F   C   W   C   C   C   C   C   C   F   C   W   C   C" },
        { 'M',
          "M   O   M   M   M   M   M   M   M   P   W   M   M   M   M   M   M   F   M   W   M   M" },
        { 'P',
          "P   O   P   P   P   P   P   P   P   P   P   P   P   W   P   L   P   F   W   A   C   P" },
        { 'L',
          "L   O   L   L   L   L   L   L   L   L   W   L   L   L   A   L   W   F   W   W   L   C" },
        { 'W',
          "W   O   W   W   W   W   W   W   W   W   W   W   W   W   W   W   W   F   W   A   W   W" },
        { 'F',
          "F   F   F   F   F   F   F   F   F   F   F   F   F   F   F   F   F   F   F   F   F   F" },
    };
    for (size_t i = 0; i < COUNT(table); i++)
        for (int input = 0; input < INPUTS; input++) {
            struct feed feed = feed_in(table[i].from);
            cr_assert_eq(letters[feed.state], table[i].from, "%c: %s", table[i].from,
                         feed_state_name(feed.state));
            int64_t epoch = feed.epoch;
            put_in(&feed, (enum input)input, 1);
            cr_expect_eq(letters[feed.state], table[i].to[4 * input],
                         "from %c by input %d: to %c, not %c", table[i].from, input,
                         letters[feed.state], table[i].to[4 * input]);
            cr_expect(letters[feed.state] == table[i].from || feed.epoch > epoch,
                      "answers to the old state are still believed");
        }
}

Test(feed_heal, the_leader_judges_only_what_was_delivered_or_could_not_be_filled)
{
    for (const char *from = "OACMPLWF"; *from; from++) {
        struct feed feed = feed_in(*from);
        const enum feed_state before = feed.state;
        cr_expect_eq(feed_differs(&feed, feed.epoch, 21), *from == 'P');
        cr_expect_eq(feed.state, *from == 'P' ? FEED_COMPARING : before);
        feed = feed_in(*from);
        feed_not_filled(&feed);
        cr_expect_eq(feed.state, *from == 'L' ? FEED_COMPARING : before);
    }
}

Test(feed_heal, answers_of_an_older_epoch_are_ignored)
{
    struct feed feed = feed_in('P');
    feed_gap(&feed, feed.epoch - 1, 25, 1);
    feed_fork(&feed, feed.epoch - 1);
    feed_pull_ended(&feed, feed.pull_number + 1, 1, 1);
    feed_pull_ended(&feed, 0, 1, 1);
    cr_expect(feed.state == FEED_PULLING && feed.gaps == 0);
}

/* ---- Step by step --------------------------------------------------------------------------- */

static void expect(struct feed *feed, int64_t now_ms, enum feed_state state,
                   enum feed_action_kind kind)
{
    struct feed_action action = feed_next(feed, now_ms);
    cr_assert_eq(feed->state, state, "at %lld: %s", (long long)now_ms,
                 feed_state_name(feed->state));
    cr_assert_eq(action.kind, kind, "at %lld: action %d", (long long)now_ms, action.kind);
}

Test(feed_heal, two_pulls_are_out_and_unsettled_events_are_bounded)
{
    struct feed feed = feed_in('P'); /* one pull is out */
    expect(&feed, 0, FEED_PULLING, FEED_NOTHING);
    for (int64_t p = 21; p <= 25; p++)
        feed_delivered(&feed, 1, p, 30 - p, 1);
    expect(&feed, 1, FEED_PULLING, FEED_PULL); /* the first pull is half delivered */
    for (int64_t p = 26; p <= 100; p++) {
        feed_delivered(&feed, 1, p, 0, 2);
        while (feed_next(&feed, 2).kind == FEED_PULL)
            ;
        int64_t asked = feed.pulls[0].left + feed.pulls[1].left;
        cr_assert_leq(feed.unsettled + asked,
                      config.window_max > p - 20 ? config.window_max : feed.unsettled);
    }
    feed_settled(&feed, 80, 100, 3);
    cr_expect(feed.unsettled == 0 && feed.cursor == 100 && feed.leader_position == 100);
    expect(&feed, 3, FEED_PULLING, FEED_PULL);
}

Test(feed_heal, F31_a_stalled_loop_is_not_taken_for_silence_of_the_server)
{
    struct feed feed = feed_in('P');
    for (int64_t p = 21; p <= 60; p++) {
        feed_delivered(&feed, 1, p, 0, 1);
        feed_next(&feed, 1);
    }
    cr_assert(feed.unsettled == 40 && feed.pulls[0].number == 0 && feed.pulls[1].number == 0);
    cr_expect_eq(feed_due_ms(&feed), INT64_MAX);
    expect(&feed, 30000, FEED_PULLING, FEED_NOTHING); /* the write lock was held for 30 s */
    feed_settled(&feed, 40, 60, 30001);
    expect(&feed, 30001, FEED_PULLING, FEED_PULL);
    expect(&feed, 30300, FEED_PULLING, FEED_NOTHING);
    expect(&feed, 30302, FEED_ASKING, FEED_ASK); /* this is silence */
}

Test(feed_heal, F16_an_idle_feed_asks_after_two_empty_rounds)
{
    struct feed feed = feed_in('P');
    feed_pull_ended(&feed, feed.pull_number, 0, 500);
    expect(&feed, 500, FEED_PULLING, FEED_PULL);
    feed_pull_ended(&feed, feed.pull_number, 0, 1000);
    expect(&feed, 1000, FEED_ASKING, FEED_ASK);
    feed_looked(&feed, &no_durable, 1001); /* somebody has deleted it */
    expect(&feed, 1001, FEED_MAKING, FEED_MAKE_DURABLE);
    feed_made(&feed, 1002);
    expect(&feed, 1002, FEED_PULLING, FEED_PULL);
    cr_expect_eq(feed.remade, 0);
}

Test(feed_heal, a_pull_whose_end_is_lost_times_out)
{
    struct feed feed = feed_in('P');
    int64_t first = feed.pull_number;
    for (int64_t at = 100; at <= 600; at += 100) {
        feed_heartbeat(&feed, at);
        expect(&feed, at, FEED_PULLING, FEED_NOTHING);
    }
    feed_heartbeat(&feed, 601);
    expect(&feed, 601, FEED_PULLING, FEED_PULL);
    cr_expect_gt(feed.pull_number, first);
}

Test(feed_heal, refused_pulls_back_off)
{
    struct feed feed = feed_in('P');
    int64_t now_ms = 1, longest_ms = 0;
    for (int i = 0; i < 8; i++) {
        feed_pull_ended(&feed, feed.pull_number, 1, now_ms);
        cr_assert_eq(feed.state, FEED_WAITING);
        longest_ms = feed_due_ms(&feed) - now_ms;
        now_ms = feed_due_ms(&feed);
        expect(&feed, now_ms, FEED_ASKING, FEED_ASK);
        feed_looked(&feed, &fine, now_ms);
        expect(&feed, now_ms, FEED_PULLING, FEED_PULL);
    }
    cr_expect_eq(longest_ms, config.backoff_max_ms);
    feed_delivered(&feed, 1, 21, 0, now_ms);
    feed_settled(&feed, 1, 21, now_ms);
    cr_expect_eq(feed.backoff.next_ms, config.backoff_min_ms);
}

Test(feed_heal, a_gap_is_filled_page_by_page)
{
    struct feed feed = feed_in('P');
    feed_delivered(&feed, 1, 40, 0, 1);
    feed_gap(&feed, feed.epoch, 40, 1);
    expect(&feed, 1, FEED_FILLING, FEED_FILL);
    feed_settled(&feed, 1, 20, 1);
    expect(&feed, 1, FEED_FILLING, FEED_NOTHING); /* not the page that was asked for */
    for (int64_t end = 27; end <= 34; end += 7) {
        for (int64_t p = end - 6; p <= end; p++)
            feed_delivered(&feed, 1, p, 0, 2);
        feed_filled(&feed, 50, 2);
        feed_settled(&feed, 3, end - 4, 2);
        expect(&feed, 2, FEED_FILLING, FEED_NOTHING); /* four events are still in the loop */
        feed_settled(&feed, 4, end, 3);
        struct feed_action action = feed_next(&feed, 3);
        cr_assert(action.kind == FEED_FILL && action.position == end &&
                  action.count == config.fill_limit);
    }
    for (int64_t p = 35; p <= 41; p++)
        feed_delivered(&feed, 1, p, 0, 4);
    feed_filled(&feed, 50, 4);
    feed_settled(&feed, 7, 41, 5);
    expect(&feed, 5, FEED_ASKING, FEED_ASK);
    struct feed_info filled_again = fine;
    filled_again.last_sequence = filled_again.last_position = 50;
    feed_looked(&feed, &filled_again, 6);
    expect(&feed, 6, FEED_MAKING, FEED_DELETE_DURABLE);
    feed_made(&feed, 7);
    struct feed_action action = feed_next(&feed, 7);
    cr_assert(action.kind == FEED_MAKE_DURABLE && action.sequence == 42);
    feed_made(&feed, 8);
    expect(&feed, 8, FEED_PULLING, FEED_PULL);
    cr_expect(feed.gaps == 1 && feed.remade == 1);
}

/* A stream that ends before the cursor: the leader will publish the missing events again, or has
 * lost them. */
Test(feed_heal, a_stream_behind_the_cursor_is_compared_with_the_leader_first)
{
    struct feed feed = feed_in('A');
    feed_looked(&feed, &behind, 1);
    struct feed_action action = feed_next(&feed, 1);
    cr_assert(feed.state == FEED_COMPARING && action.kind == FEED_COMPARE && action.position == 20);
    feed_failed(&feed, "the leader is away", 2);
    expect(&feed, feed_due_ms(&feed), FEED_ASKING, FEED_ASK);
    feed_looked(&feed, &behind, 20);
    expect(&feed, 20, FEED_COMPARING, FEED_COMPARE);
    feed_compared(&feed, FEED_LEADER_AGREES, 20, 21);
    action = feed_next(&feed, 21);
    cr_assert(feed.state == FEED_MAKING && action.kind == FEED_MAKE_DURABLE &&
              action.sequence == 21);
    feed = feed_in('A');
    /* it ends at the cursor, with another chain */
    struct feed_info same_length = behind;
    same_length.last_sequence = same_length.last_position = 20;
    same_length.last_differs = 1;
    feed_looked(&feed, &same_length, 1);
    expect(&feed, 1, FEED_COMPARING, FEED_COMPARE);
    feed_compared(&feed, FEED_LEADER_DIFFERS, 20, 1);
    cr_expect_eq(feed.state, FEED_FORKED);
    feed = feed_in('C');
    feed_compared(&feed, FEED_LEADER_IS_SHORTER, 10, 1);
    cr_expect(feed.state == FEED_FORKED && strstr(feed.reason, "lost"));
}

/* An instance that was frozen answers once, before it steps back; one that reads its log back from
 * the stream is shorter for a while. */
Test(feed_heal, a_leader_that_disagrees_is_asked_again_before_that_is_believed)
{
    struct feed_config patient = config;
    struct feed feed = feed_in('C');
    patient.disagree_ms = 10000;
    feed.config = patient;
    feed_compared(&feed, FEED_LEADER_IS_SHORTER, 10, 1000);
    cr_expect(feed.state == FEED_WAITING && strstr(feed.reason, "lost"));
    feed_next(&feed, feed_due_ms(&feed));
    feed_looked(&feed, &behind, 9000);
    feed_next(&feed, 9000);
    cr_assert_eq(feed.state, FEED_COMPARING);
    feed_compared(&feed, FEED_LEADER_IS_SHORTER, 15, 11500); /* it grows: from here on */
    cr_expect_eq(feed.state, FEED_WAITING);
    feed_next(&feed, feed_due_ms(&feed));
    feed_looked(&feed, &behind, 12000);
    feed_next(&feed, 12000);
    struct feed healed = feed;
    feed_compared(&healed, FEED_LEADER_AGREES, 20, 12001);
    cr_expect_eq(healed.disagreed_ms, 0);
    feed_compared(&feed, FEED_LEADER_IS_SHORTER, 15, 21500);
    cr_expect(feed.state == FEED_FORKED && strstr(feed.reason, "lost"));
}

/* A forged event at the next position, published before the leader's own. */
Test(feed_heal, a_message_that_does_not_follow_is_judged_by_the_leaders_log)
{
    struct feed feed = feed_in('P');
    cr_assert(feed_differs(&feed, feed.epoch, 21));
    cr_expect(!feed_differs(&feed, feed.epoch - 1, 21));
    struct feed_action action = feed_next(&feed, 1);
    cr_assert(feed.state == FEED_COMPARING && action.kind == FEED_COMPARE && action.position == 20);
    feed_failed(&feed, "the leader is away", 2); /* no reason to call it a fork */
    cr_expect_eq(feed.state, FEED_WAITING);
    expect(&feed, feed_due_ms(&feed), FEED_COMPARING, FEED_COMPARE);
    feed_compared(&feed, FEED_LEADER_AGREES, 25, 3); /* it has an event there, another one */
    action = feed_next(&feed, 3);
    cr_assert(feed.state == FEED_FILLING && action.kind == FEED_FILL && action.position == 20);
    cr_expect(feed.fill_until == 21 && feed.leader_position == 25);
    feed_delivered(&feed, 1, 21, 0, 4);
    feed_filled(&feed, 25, 4);
    feed_settled(&feed, 1, 21, 5);
    expect(&feed, 5, FEED_ASKING, FEED_ASK);
    cr_expect(feed.must_remake && feed.gaps == 0);
}

Test(feed_heal, a_message_that_the_leader_has_nothing_for_is_waited_out)
{
    struct feed feed = feed_in('P');
    feed_delivered(&feed, 1, 1000, 0, 1);
    feed_settled(&feed, 1, 20, 1);
    feed_differs(&feed, feed.epoch, 21);
    feed_next(&feed, 1);
    feed_compared(&feed, FEED_LEADER_AGREES, 20, 2);
    cr_expect(feed.state == FEED_WAITING && strstr(feed.reason, "not in the leader's log"));
    /* what it claimed is no lag, and nothing is missing */
    cr_expect(feed.leader_position == 20 && feed.complete_ms == 2);
    expect(&feed, feed_due_ms(&feed), FEED_ASKING, FEED_ASK);
    feed = feed_in('P');
    feed_differs(&feed, feed.epoch, 21);
    feed_next(&feed, 1);
    feed_compared(&feed, FEED_LEADER_DIFFERS, 30, 2); /* we have read what is not in its log */
    cr_expect_eq(feed.state, FEED_FORKED);
}

/* A forged event from far ahead: a gap that nobody can fill. */
Test(feed_heal, a_gap_before_a_message_that_the_leader_does_not_have_is_none)
{
    struct feed feed = feed_in('P');
    feed_gap(&feed, feed.epoch, 1000, 1);
    feed_next(&feed, 1);
    feed_not_filled(&feed);
    expect(&feed, 2, FEED_COMPARING, FEED_COMPARE);
    cr_expect_eq(feed.judged, 1000);
    feed_compared(&feed, FEED_LEADER_AGREES, 20, 3);
    expect(&feed, feed_due_ms(&feed), FEED_ASKING, FEED_ASK);
}

Test(feed_heal, a_page_that_fills_no_gap_is_retried_with_back_off)
{
    struct feed feed = feed_in('L');
    feed_delivered(&feed, 1, 23, 0, 1); /* the leader has lost these events, too */
    feed_filled(&feed, 30, 1);
    feed_settled(&feed, 1, 20, 2);
    cr_assert_eq(feed.state, FEED_WAITING);
    expect(&feed, feed_due_ms(&feed), FEED_FILLING, FEED_FILL);
    feed_disconnected(&feed);
    feed_connected(&feed);
    expect(&feed, 1000, FEED_ASKING, FEED_ASK);
}

Test(feed_heal, F24_events_that_the_loop_could_not_write_are_delivered_again)
{
    struct feed feed = feed_in('P');
    feed_delivered(&feed, 1, 21, 0, 1);
    feed_reset(&feed, "the loop could not write", 2);
    feed_settled(&feed, 1, 20, 2);
    expect(&feed, feed_due_ms(&feed), FEED_ASKING, FEED_ASK);
    feed_looked(&feed, &fine, 20); /* it looks fine; we know better */
    expect(&feed, 20, FEED_MAKING, FEED_DELETE_DURABLE);
}

Test(feed_heal, lag_is_corrected_by_what_the_stream_says)
{
    struct feed feed = feed_in('P');
    feed_delivered(&feed, 1, 21, 500, 1); /* repeats are pending */
    feed_settled(&feed, 1, 21, 1);
    cr_expect_eq(feed.leader_position, 521);
    feed_pull_ended(&feed, feed.pull_number, 0, 2);
    feed_disconnected(&feed);
    feed_connected(&feed);
    feed_next(&feed, 3);
    feed_looked(&feed,
                &(struct feed_info){ .stream_exists = 1,
                                     .last_sequence = 521,
                                     .last_position = 21,
                                     .durable_exists = 1,
                                     .acked_sequence = 521,
                                     .delivered_sequence = 521 },
                9);
    cr_expect(feed.leader_position == 21 && feed.complete_ms == 9 && feed.state == FEED_PULLING);
}
