/* Work list: the calls of its pieces: how long each is given, whose turn it is, what a late answer
 * is worth, and what is said of a party that is away. */
#include "work_stage.h"
#include <criterion/criterion.h>

/* ---- The party ------------------------------------------------------------------------------- */

static void answer_all(const char *text, int count)
{
    for (int i = 0; i < count; i++)
        cr_assert_eq(stage_answer(text, "a", 1), 0);
}

Test(work_list, a_call_is_given_twice_as_long_as_the_one_that_was_given_up)
{
    static const int wanted_ms[] = { 1000, 2000, 4000, 8000, 8000 };
    stage_begin(&plain, 2, 0);
    stage_open("a", 1, 0);
    stage_observe("");
    stage_settle();
    for (size_t i = 0; i < sizeof(wanted_ms) / sizeof(wanted_ms[0]); i++) {
        stage_wait(i > 0 ? 100 << i : 0);
        cr_assert_eq(stage.seen_timeout_ms, wanted_ms[i], "call %zu", i + 1);
        cr_assert_eq(stage_answer("timeout", "a", 1), 0);
    }
    stage_end();
}

Test(work_list, who_is_not_there_is_given_no_more_time)
{
    stage_begin(&plain, 2, 0);
    stage_open("a", 1, 0);
    stage_observe("");
    stage_settle();
    for (int i = 0; i < 5; i++) {
        stage_wait(i > 0 ? 100 << i : 0);
        cr_assert_eq(stage_answer("unreachable", "a", 1), 0);
    }
    cr_assert_eq(stage.seen_timeout_ms, TIMEOUT_MS);
    stage_end();
}

/* The answer to the first call comes while the second is open. */
Test(work_list, an_answer_after_the_time_out_ends_the_piece_and_is_counted_as_late)
{
    struct work_counts counts;
    stage_begin(&plain, 2, 0);
    stage_open("a", 1, 0);
    stage_observe("");
    stage_settle();
    cr_assert_eq(stage_answer("timeout", "a", 1), 0);
    stage_wait(200);
    cr_assert_str_eq(stage.happened, "a/1 a/1");
    cr_assert_eq(stage_answer("late", "a", 1), 0);
    work_list_counts(&stage.list, &counts);
    cr_assert_eq(counts.late, 1);
    cr_assert_eq(counts.again, 1);
    cr_assert_eq(counts.open, 0);
    stage_end();
}

Test(work_list, a_late_answer_that_cannot_be_read_does_not_end_the_call_that_is_open)
{
    stage_begin(&plain, 2, 0);
    stage_open("a", 1, 0);
    stage_observe("");
    stage_settle();
    struct answer late = { .outcome = ANSWER_INVALID, .tag = "a", .number = 1, .is_late = 1 };
    struct journey j;
    stage_journey(&j);
    cr_assert_eq(work_list_answer(&stage.list, &j, &late), 0);
    cr_assert_eq(stage.list.queue.in_flight.count, 1);
    stage_end();
}

Test(work_list, a_party_is_away_when_nobody_listens_for_a_second_in_three_calls)
{
    struct work_counts counts;
    stage_begin(&sourceless, 2, 0);
    answer_all("unreachable", 100);
    stage.now_ms += AWAY_MS - 1;
    answer_all("unreachable", 1);
    cr_assert_not(stage.list.party.is_away, "a flaky call says nothing of the party");
    stage.now_ms++;
    answer_all("timeout", 1);
    cr_assert_not(stage.list.party.is_away, "a time-out says nothing");
    answer_all("unreachable", 1);
    work_list_counts(&stage.list, &counts);
    cr_assert(counts.is_away);
    answer_all("voided", 1);
    cr_assert_not(stage.list.party.is_away);
    answer_all("unreachable", 3);
    stage.now_ms += AWAY_MS;
    answer_all("unreachable", 1);
    cr_assert_not(stage.list.party.is_away, "said a second ago");
    stage.now_ms += AWAY_LOG_MS;
    answer_all("unreachable", 1);
    cr_assert(stage.list.party.is_away);
    stage_end();
}

/* ---- Owners ---------------------------------------------------------------------------------- */

static void begin_owned(void)
{
    stage_begin(&deadline, 4, 8); /* its limits are read, and it begins anew below */
    work_list_deinit(&stage.list);
    stage.each_max = 1;
    struct journey j;
    stage_journey(&j);
    cr_assert_eq(work_list_init(&stage.list, &plain, &j), 0);
}

Test(work_list, an_owner_has_so_many_in_flight_and_the_others_in_their_order)
{
    begin_owned();
    stage_open("a1 a2 a3 b1", 1, 0);
    stage_observe("");
    stage_settle();
    cr_assert_str_eq(stage.happened, "a1/1 b1/1");
    cr_assert_eq(stage_answer("voided", "a1", 1), 0);
    stage_settle();
    cr_assert_eq(stage_answer("timeout", "a2", 1), 0);
    stage_settle();
    cr_assert_str_eq(stage.happened, "a1/1 b1/1 =a1/1 a2/1 a3/1");
    stage_end();
}

Test(work_list, the_deadline_of_a_piece_that_waits_for_its_turn_counts)
{
    begin_owned();
    stage_open("a1", 1, 0);
    stage_open("a2", 1, 500);
    stage_observe("");
    stage_settle();
    stage_close("a2", 1);
    stage_wait(500);
    cr_assert_str_eq(stage.happened, "a1/1 !a2/1");
    cr_assert_eq(stage_answer("voided", "a1", 1), 0);
    stage_wait(500);
    cr_assert_str_eq(stage.happened, "a1/1 !a2/1 =a1/1");
    stage_end();
}

Test(work_list, a_turn_that_is_not_taken_is_the_next_ones)
{
    begin_owned();
    stage_open("a1 a2 a3", 1, 0);
    stage_observe("");
    stage_settle();
    stage.asks = WORK_GONE;
    stage_close("a2", 1);
    cr_assert_eq(stage_answer("voided", "a1", 1), 0);
    work_list_due_ms(&stage.list, stage.now_ms);
    stage_settle();
    cr_assert_eq(stage.list.queue.open, 0, "all are gone");
    stage_end();
}

Test(work_list, whether_an_earlier_call_may_have_left_is_known)
{
    stage_begin(&plain, 2, 0);
    stage.list.old_place = 1; /* the log's end at the start */
    stage_open("a b", 1, 0);
    stage_observe("");
    stage_settle();
    cr_assert_not(stage.seen_may_have_left, "b is new");
    cr_assert_eq(stage_answer("timeout", "b", 1), 0);
    stage_wait(200);
    cr_assert(stage.seen_may_have_left, "b was asked for");
    stage_end();
    stage_begin(&plain, 2, 0);
    stage.list.old_place = 1;
    stage_open("a", 1, 0);
    stage_observe("");
    stage_settle();
    cr_assert(stage.seen_may_have_left, "a is older than the process");
    stage_end();
}

Test(work_list, refusals_are_counted)
{
    struct work_counts counts;
    stage_begin(&plain, 2, 0);
    stage.answers = WORK_AGAIN;
    stage_open("a", 1, 0);
    stage_observe("");
    stage_settle();
    cr_assert_eq(stage_answer("voided", "a", 1), 0);
    stage_wait(200);
    cr_assert_eq(stage.seen_refusals, 1);
    work_list_counts(&stage.list, &counts);
    cr_assert_eq(counts.refused, 1);
    stage_end();
}
