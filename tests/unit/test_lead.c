/* Lead: who of several instances leads, step by step. Times are in milliseconds; a silence of 600
 * makes suspect (no random part here). */
#include <criterion/criterion.h>
#include <string.h>
#include "runtime/sync/lead.h"

/* All that it wants to do now, as letters: f follow, t read the tail, c claim, s serve, b beat,
 * l look, n say that nobody leads, e end the term, k step back, a start again. */
static const char *act(struct lead *lead, int64_t now_ms)
{
    static char letters[16];
    static const char names[] = "-ftcsblneka";
    int length = 0;
    enum lead_action_kind action;
    while ((action = lead_next(lead, now_ms)) != LEAD_NOTHING && length < 15)
        letters[length++] = names[action];
    letters[length] = '\0';
    return letters;
}

static void beat(struct lead *lead, int64_t term, const char *instance, int64_t now_ms)
{
    lead_heard(lead, &(struct lead_beat){ .term = term, .instance = instance }, now_ms);
}

static struct lead made(_Bool is_auto)
{
    struct lead lead;
    struct lead_config config = lead_defaults;
    config.is_auto = is_auto;
    lead_init(&lead, &config, "M");
    lead_connected(&lead, 1);
    return lead;
}

static struct lead following(_Bool is_auto)
{
    struct lead lead = made(is_auto);
    lead_follow(&lead, "L", 1);
    cr_assert_str_eq(act(&lead, 1), "f");
    for (int64_t now_ms = 100; now_ms <= 1000; now_ms += 100) {
        beat(&lead, 3, "L", now_ms);
        cr_assert_str_eq(act(&lead, now_ms), "");
    }
    cr_assert(lead.term == 3 && strcmp(lead.leader, "L") == 0);
    return lead;
}

/* to_ms: no turn is further than that from the next, so it is not frozen */
static const char *pass(struct lead *lead, int64_t from_ms, int64_t to_ms)
{
    static char all[64];
    all[0] = '\0';
    for (int64_t now_ms = from_ms; now_ms <= to_ms; now_ms += 50)
        strncat(all, act(lead, now_ms), sizeof(all) - strlen(all) - 1);
    return all;
}

static struct lead suspecting(void)
{
    struct lead lead = following(1);
    cr_assert_str_eq(pass(&lead, 1050, 1550), "");
    cr_assert_str_eq(act(&lead, 1600), "t");
    cr_assert_eq(lead.state, LEAD_SUSPECTING);
    return lead;
}

static struct lead claiming(void)
{
    struct lead lead = suspecting();
    lead_tail_read(&lead, 1610);
    cr_assert_str_eq(act(&lead, 1610), "c");
    lead_began(&lead, 4);
    return lead;
}

static struct lead leading(void)
{
    struct lead lead = claiming();
    lead_took(&lead, 1620);
    cr_assert_str_eq(act(&lead, 1620), "sb");
    cr_assert(lead.term == 4 && strcmp(lead.leader, "M") == 0);
    return lead;
}

Test(lead, a_claimant_that_hears_who_was_faster_looks_at_the_stream)
{
    struct lead lead = claiming();
    beat(&lead, 3, "L", 1615);
    cr_expect_str_eq(act(&lead, 1615), "", "of the term before");
    beat(&lead, 4, "K", 1616);
    cr_expect_str_eq(act(&lead, 1616), "l");
}

/* Nobody leads, and a standby has seen more in the stream than this log has. */
Test(lead, one_that_is_alone_and_behind_reads_first)
{
    struct lead lead = made(0);
    lead_alone_behind(&lead, "S", 10);
    cr_assert_str_eq(act(&lead, 10), "f");
    cr_expect_str_eq(pass(&lead, 50, 600), "");
    cr_expect_str_eq(act(&lead, 610), "t", "by itself, with --take-over manual too");
    lead_tail_read(&lead, 620);
    cr_expect_str_eq(act(&lead, 620), "c");
}

/* That one has published what this log has not, and would be overwritten. */
Test(lead, one_that_claims_goes_back_when_another_has_seen_more)
{
    struct lead lead = suspecting();
    lead_tail_read(&lead, 1610);
    cr_assert_str_eq(act(&lead, 1610), "c");
    lead_behind(&lead, "S", 1620);
    cr_assert_eq(lead.state, LEAD_FOLLOWING);
    cr_expect_str_eq(lead.leader, "S");
    struct lead other = claiming();
    lead_behind(&other, "S", 1620);
    cr_expect_eq(other.state, LEAD_CLAIMING, "its term has begun: the stream decides");
}

Test(lead, alone_it_claims_and_leads_when_its_term_is_in_the_stream)
{
    struct lead lead = made(0);
    lead_alone(&lead, 5);
    cr_assert_str_eq(act(&lead, 5), "c");
    lead_took(&lead, 6);
    cr_assert_eq(lead.state, LEAD_CLAIMING, "no term has begun yet");
    lead_began(&lead, 1);
    lead_took(&lead, 10);
    cr_assert_str_eq(act(&lead, 10), "sb");
    cr_assert_eq(lead_role(lead.state), ROLE_LEADING);
}

Test(lead, a_silent_leader_is_followed_after_four_intervals)
{
    struct lead lead = leading();
    cr_expect(lead.claims == 1 && lead.returns == 0);
}

Test(lead, it_beats_each_interval_and_sooner_when_something_moved)
{
    struct lead lead = leading();
    cr_expect_eq(lead_due_ms(&lead), 1770);
    cr_expect_str_eq(act(&lead, 1700), "");
    lead_note_moved(&lead);
    cr_expect_str_eq(act(&lead, 1700), "b");
    lead_note_moved(&lead);
    cr_expect_str_eq(act(&lead, 1710), "", "not more often than each 20 ms");
    cr_expect_eq(lead_due_ms(&lead), 1720);
    cr_expect_str_eq(act(&lead, 1720), "b");
    cr_expect_str_eq(act(&lead, 1870), "b");
}

Test(lead, a_heartbeat_that_comes_back_ends_the_suspicion)
{
    struct lead lead = suspecting();
    beat(&lead, 3, "L", 1605);
    cr_assert_str_eq(act(&lead, 1605), "f");
    lead_tail_read(&lead, 1610);
    cr_expect_eq(lead.state, LEAD_FOLLOWING, "an answer to an older question claims nothing");
    cr_expect_eq(lead.returns, 1);
}

Test(lead, a_heartbeat_before_its_own_term_ends_the_claim)
{
    struct lead lead = suspecting();
    lead_tail_read(&lead, 1610);
    cr_assert_str_eq(act(&lead, 1610), "c");
    beat(&lead, 3, "L", 1611);
    cr_expect_str_eq(act(&lead, 1611), "f");
}

Test(lead, after_its_own_term_began_the_stream_decides)
{
    struct lead lead = claiming();
    beat(&lead, 3, "L", 1612);
    beat(&lead, 4, "N", 1613);
    cr_expect_eq(lead.state, LEAD_CLAIMING);
    lead_took(&lead, 1620);
    cr_expect_eq(lead.state, LEAD_LEADING);
}

Test(lead, of_two_claimants_the_slower_one_steps_back_and_follows)
{
    struct lead lead = claiming();
    lead_fenced(&lead, 4, "N");
    cr_assert_str_eq(act(&lead, 1620), "k");
    cr_expect_eq(lead_role(lead.state), ROLE_FENCED);
    lead_took(&lead, 1621);
    lead_set_aside(&lead);
    cr_expect_str_eq(act(&lead, 1622), "a");
    cr_expect(lead.term == 4 && strcmp(lead.leader, "N") == 0);
}

Test(lead, a_leader_that_hears_a_higher_term_looks_and_is_fenced)
{
    struct lead lead = leading();
    beat(&lead, 3, "L", 1630);
    cr_expect_str_eq(act(&lead, 1630), "", "a lower term does not know yet");
    beat(&lead, 5, "N", 1631);
    cr_assert_str_eq(act(&lead, 1631), "l");
    lead_fenced(&lead, 5, "N");
    cr_expect_str_eq(act(&lead, 1640), "k");
    cr_expect_eq(lead_due_ms(&lead), INT64_MAX);
}

Test(lead, without_its_own_server_it_suspects_nobody)
{
    struct lead lead = following(1);
    lead_disconnected(&lead);
    cr_expect_str_eq(pass(&lead, 1050, 4000), "");
    lead_connected(&lead, 4000);
    cr_expect_str_eq(pass(&lead, 4000, 4550), "");
    cr_expect_str_eq(act(&lead, 4600), "t");
    lead_disconnected(&lead);
    cr_expect_eq(lead.state, LEAD_FOLLOWING);
    lead_tail_read(&lead, 4601);
    cr_expect_eq(lead.state, LEAD_FOLLOWING);
}

Test(lead, a_tail_that_nobody_gives_is_asked_for_again)
{
    struct lead lead = suspecting();
    cr_expect_str_eq(pass(&lead, 1650, 2550), "");
    cr_expect_str_eq(act(&lead, 2600), "t");
}

Test(lead, a_frozen_follower_listens_before_it_suspects)
{
    struct lead lead = following(1);
    cr_assert_str_eq(act(&lead, 9000), "", "eight seconds without a turn");
    cr_expect_str_eq(pass(&lead, 9050, 9550), "");
    cr_expect_str_eq(act(&lead, 9600), "t");
}

Test(lead, a_frozen_leader_looks_before_it_goes_on)
{
    struct lead lead = leading();
    cr_expect_str_eq(act(&lead, 9000), "lb");
}

Test(lead, by_hand_it_says_once_that_nobody_leads)
{
    struct lead lead = following(0);
    cr_assert_str_eq(pass(&lead, 1050, 3000), "n");
    cr_expect_eq(lead_due_ms(&lead), INT64_MAX);
    beat(&lead, 3, "L", 3010);
    cr_expect_str_eq(pass(&lead, 3050, 4000), "n", "it came back, and went again");
    cr_assert(lead_take_over(&lead, 4010));
    cr_expect_str_eq(act(&lead, 4010), "t");
}

Test(lead, an_operator_gives_up_what_others_have_seen_until_it_leads_or_follows)
{
    struct lead lead = following(0), other = following(1);
    cr_assert(lead_take_over_as_told(&lead, 1010) && lead.gives_up);
    cr_assert_str_eq(act(&lead, 1010), "t");
    lead_tail_read(&lead, 1015);
    cr_assert_str_eq(act(&lead, 1015), "c");
    cr_expect(lead.gives_up, "also while it claims");
    lead_behind(&lead, "M", 1020);
    cr_expect(lead.state == LEAD_FOLLOWING && !lead.gives_up);
    cr_assert(lead_take_over(&other, 1010));
    cr_expect_not(other.gives_up, "who takes over by itself gives up nothing");
}

Test(lead, a_term_that_was_ended_is_claimed_at_once_also_by_hand)
{
    struct lead lead = following(0);
    lead_ended(&lead, NULL, 1010);
    cr_assert_str_eq(act(&lead, 1010), "t");
    lead_tail_read(&lead, 1015);
    cr_expect_str_eq(act(&lead, 1015), "c");
}

Test(lead, a_term_that_was_ended_for_another_is_claimed_after_a_silence)
{
    struct lead lead = following(0), first = following(0);
    lead_ended(&first, "M", 1010);
    cr_expect_str_eq(act(&first, 1010), "t", "for this one: at once");
    lead_ended(&lead, "N", 1010);
    cr_expect_str_eq(pass(&lead, 1050, 1550), "", "the other is given the time");
    cr_expect_str_eq(pass(&lead, 1600, 1650), "t", "and nothing can be lost");
    struct lead led = following(0);
    lead_ended(&led, "N", 1010);
    beat(&led, 4, "N", 1100);
    cr_expect_str_eq(pass(&led, 1150, 3000), "n", "that is over when another leads");
}

Test(lead, a_handover_ends_the_term_and_follows)
{
    struct lead lead = leading(), other = following(0);
    cr_assert(!lead_hand_over(&other));
    cr_assert(lead_hand_over(&lead));
    cr_assert_str_eq(act(&lead, 1625), "e");
    lead_ended_own(&lead, 1630);
    cr_expect_str_eq(act(&lead, 1630), "f");
    beat(&lead, 5, "N", 1700);
    cr_expect(lead.term == 5 && strcmp(lead.leader, "N") == 0);
}

Test(lead, one_is_fenced_from_any_state)
{
    struct lead undecided = made(1), follower = following(1), suspect = suspecting();
    lead_fenced(&undecided, 9, "N");
    lead_fenced(&follower, 9, "N");
    lead_fenced(&suspect, 9, "N");
    cr_expect(undecided.state == LEAD_FENCED && follower.state == LEAD_FENCED &&
              suspect.state == LEAD_FENCED);
    cr_expect_not(lead_take_over(&follower, 2000));
}
