/* Handover: a leader gives its lead to a standby, step by step. Times are in milliseconds. */
#include <criterion/criterion.h>
#include <string.h>
#include "runtime/sync/handover.h"

/* All that it wants to do now, as letters: a ask, o offer, l leave, e end the term, w is the
 * successor there, d say that it is over, g give up. */
static const char *act(struct handover *handover, int64_t now_ms)
{
    static char letters[16];
    int length = 0;
    enum handover_action action;
    while ((action = handover_next(handover, now_ms)) != HANDOVER_NOTHING && length < 15)
        letters[length++] = "-aolewdg"[action];
    letters[length] = '\0';
    return letters;
}

static void answer(struct handover *handover, const char *instance, int64_t behind,
                   _Bool has_joined, int64_t now_ms)
{
    handover_answered(handover,
                      &(struct handover_answer){
                          .instance = instance, .behind = behind, .has_joined = has_joined },
                      now_ms);
}

static struct handover begun(const char *to)
{
    struct handover handover;
    handover_init(&handover, &handover_defaults);
    cr_assert_str_eq(act(&handover, 1), "");
    cr_assert_eq(handover_due_ms(&handover), INT64_MAX);
    cr_assert(handover_begin(&handover, to, handover_defaults.ask_ms, 10));
    cr_assert_str_eq(act(&handover, 10), "a");
    return handover;
}

Test(handover, the_successor_joins_before_we_leave_and_the_term_ends_behind_all)
{
    struct handover handover = begun(NULL);
    cr_expect(!handover_begin(&handover, NULL, 1000, 11), "one at a time");
    cr_expect_null(handover_successor(&handover));
    answer(&handover, "B", 3, 0, 20);
    answer(&handover, "C", 0, 0, 20);
    cr_expect_str_eq(handover_successor(&handover), "B", "the first that answers");
    cr_expect_str_eq(act(&handover, 20), "o");
    answer(&handover, "C", 0, 1, 25);
    answer(&handover, "B", 0, 0, 25);
    cr_expect_str_eq(act(&handover, 25), "", "B has not joined");
    answer(&handover, "B", 0, 1, 30);
    cr_expect_str_eq(act(&handover, 39), "");
    cr_expect_eq(handover_due_ms(&handover), 40, "other servers hear of it first");
    cr_expect_str_eq(act(&handover, 40), "l");
    handover_left(&handover, 44);
    cr_expect_str_eq(act(&handover, 44), "e");
    handover_fail(&handover, "too late", 45);
    cr_expect_eq(handover.state, HANDOVER_ENDING, "there is no way back");
    handover_ended(&handover, 50);
    cr_expect_str_eq(act(&handover, 50), "");
    handover_followed(&handover, 70);
    cr_expect_str_eq(act(&handover, 70), "d");
    cr_expect(handover.leads && handover.count == 1);
    cr_expect_eq(handover_due_ms(&handover), INT64_MAX);
}

Test(handover, without_a_standby_within_reach_it_is_given_up)
{
    struct handover handover = begun(NULL);
    answer(&handover, "B", handover_defaults.behind_max + 1, 0, 20);
    cr_expect_str_eq(act(&handover, 1009), "", "it is far behind");
    cr_expect_str_eq(act(&handover, 1010), "g");
    cr_expect_str_eq(handover.reason, "no standby within reach of the leader answers");
    cr_expect_str_eq(act(&handover, 1010), "", "once");
    cr_expect(handover_begin(&handover, "C", handover_defaults.ask_ms, 1020),
              "and may be asked again");
    cr_expect_str_eq(act(&handover, 1020), "a");
    answer(&handover, "B", 0, 0, 1030);
    cr_expect_eq(handover.state, HANDOVER_ASKING, "another was named");
    answer(&handover, "C", 0, 0, 1030);
    cr_expect_str_eq(act(&handover, 1030), "o");
    cr_expect_str_eq(act(&handover, 3030), "g", "it has not joined in time");
    cr_expect_null(handover_successor(&handover));
}

Test(handover, what_makes_it_impossible_gives_it_up_before_we_leave)
{
    struct handover asking = begun(NULL), offering = begun(NULL);
    answer(&offering, "B", 0, 0, 20);
    cr_expect_str_eq(act(&offering, 20), "o");
    handover_fail(&asking, "gone", 30);
    handover_fail(&offering, "gone", 30);
    cr_expect_str_eq(act(&asking, 30), "g");
    cr_expect_str_eq(act(&offering, 30), "g");
    cr_expect_eq(asking.state, HANDOVER_IDLE);
}

/* As `begun`, up to a TermEnded that the stream has. */
static struct handover ended(int64_t now_ms)
{
    struct handover handover = begun("B");
    answer(&handover, "B", 0, 0, 20);
    cr_expect_str_eq(act(&handover, 20), "o");
    answer(&handover, "B", 0, 1, 30);
    cr_expect_str_eq(act(&handover, 40), "l");
    handover_left(&handover, 40);
    cr_expect_str_eq(act(&handover, 40), "e");
    handover_ended(&handover, now_ms);
    return handover;
}

Test(handover, a_successor_that_is_there_and_does_not_lead_in_time_is_not_waited_for)
{
    struct handover handover = ended(50);
    cr_expect_str_eq(act(&handover, 199), "");
    for (int64_t now_ms = 200; now_ms < 3050; now_ms += 150) {
        cr_expect_eq(handover_due_ms(&handover), now_ms);
        cr_expect_str_eq(act(&handover, now_ms), "w");
        handover_seen(&handover, now_ms + 1);
    }
    cr_expect_str_eq(act(&handover, 3050), "d");
    cr_expect_not(handover.leads);
}

Test(handover, a_successor_that_is_gone_is_not_waited_for)
{
    struct handover handover = ended(50);
    cr_expect_str_eq(act(&handover, 200), "w");
    handover_seen(&handover, 201);
    for (int64_t now_ms = 350; now_ms <= 800; now_ms += 150)
        cr_expect_str_eq(act(&handover, now_ms), "w");
    cr_expect_eq(handover_due_ms(&handover), 801);
    cr_expect_str_eq(act(&handover, 801), "d", "it was silent as long as a dead leader");
    cr_expect_not(handover.leads);
}

Test(handover, a_standby_that_nobody_knows_of_is_waited_for_briefly)
{
    struct handover handover;
    handover_init(&handover, &handover_defaults);
    cr_assert(handover_begin(&handover, NULL, handover_defaults.brief_ms, 10));
    cr_expect_str_eq(act(&handover, 10), "a");
    cr_expect_str_eq(act(&handover, 159), "");
    cr_expect_str_eq(act(&handover, 160), "g");
}
