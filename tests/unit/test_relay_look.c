/* Relay's look: streams as tables, oldest message first, and what a look says of them: who wrote
 * void messages, and who leads from where the stream leaves our log. Then the relay's fence. */
#include <criterion/criterion.h>
#include <string.h>
#include "runtime/sync/relay_look.h"

#define KNOWN(position, of_term) { .place = (position), .term = (of_term), .fit = TAIL_EQUAL }
#define OTHER(position, of_term) { .place = (position), .term = (of_term), .fit = TAIL_DIFFERENT }
#define AHEAD(position, of_term) { .place = (position), .term = (of_term), .fit = TAIL_AHEAD }
#define STRANGE(of_term) { .place = PLACE_FOREIGN, .term = (of_term), .is_event = 1 }
#define STRANGE_BEGIN(of_term) \
    { .place = PLACE_FOREIGN, .term = (of_term), .is_event = 1, .begins = (of_term) }
#define FOREIGN { .place = PLACE_FOREIGN }
#define BEGINS(position, of_term, how) \
    { .place = (position), .term = (of_term), .fit = (how), .begins = (of_term), .instance = "B" }

struct stream_case {
    const char *what;
    struct look_message messages[8]; /* from sequence 1 */
    int count;
    int64_t position, sequence, voids, behind, foreign, leaves_at, fence;
    enum tail_fit fit;
    _Bool has_gap;
};

static const struct stream_case cases[] = {
    { "ours, from before the first term on",
      { KNOWN(1, 0), KNOWN(2, 1), KNOWN(3, 1) },
      3,
      .position = 3,
      .sequence = 3 },
    { "the rest of a group of the leader before, behind our TermBegan",
      { KNOWN(1, 1), KNOWN(2, 2), OTHER(2, 1), STRANGE(1), KNOWN(3, 2) },
      5,
      .position = 3,
      .sequence = 5,
      .voids = 2 },
    { "the same at the end",
      { KNOWN(1, 1), KNOWN(2, 2), OTHER(2, 1), AHEAD(3, 1) },
      4,
      .position = 2,
      .sequence = 2,
      .voids = 2,
      .behind = 2 },
    { "what is no event at all is nobody's void",
      { KNOWN(1, 1), KNOWN(2, 2), FOREIGN },
      3,
      .position = 2,
      .sequence = 2,
      .foreign = 1 },
    { "of our term, and not of our log: foreign as ever",
      { KNOWN(1, 1), KNOWN(2, 2), STRANGE(2) },
      3,
      .position = 2,
      .sequence = 2,
      .foreign = 1 },
    { "without a term behind a TermBegan: of nobody who has led, and no void",
      { KNOWN(1, 1), KNOWN(2, 2), STRANGE(0), KNOWN(3, 2) },
      4,
      .position = 3,
      .sequence = 4,
      .foreign = 1 },
    { "the same with a position that our log has not yet",
      { KNOWN(1, 1), KNOWN(2, 2), AHEAD(3, 0) },
      3,
      .position = 3,
      .sequence = 3,
      .leaves_at = 3,
      .fit = TAIL_AHEAD },
    { "the same behind what another leader has written: it is no void, and counted",
      { KNOWN(1, 1), BEGINS(2, 2, TAIL_DIFFERENT), AHEAD(3, 0) },
      3,
      .position = 2,
      .sequence = 2,
      .foreign = 1,
      .leaves_at = 2,
      .fence = 2,
      .fit = TAIL_DIFFERENT },
    { "another has begun a term behind what both have",
      { KNOWN(1, 1), BEGINS(2, 2, TAIL_DIFFERENT), AHEAD(3, 2) },
      3,
      .position = 3,
      .sequence = 3,
      .leaves_at = 2,
      .fence = 2,
      .fit = TAIL_DIFFERENT },
    { "the same, with the rest of our own group behind it",
      { KNOWN(1, 1), BEGINS(2, 2, TAIL_DIFFERENT), OTHER(3, 1), AHEAD(3, 2) },
      4,
      .position = 3,
      .sequence = 4,
      .voids = 1,
      .behind = 0,
      .leaves_at = 2,
      .fence = 2,
      .fit = TAIL_DIFFERENT },
    { "two have begun terms since; what does not follow our own last event is a stranger",
      { KNOWN(1, 1), BEGINS(2, 2, TAIL_DIFFERENT), STRANGE_BEGIN(3), AHEAD(4, 3) },
      4,
      .position = 4,
      .sequence = 4,
      .foreign = 1,
      .leaves_at = 2,
      .fence = 2,
      .fit = TAIL_DIFFERENT,
      .has_gap = 1 },
    { "our log is older than the stream, in which a term ended",
      { KNOWN(1, 1), AHEAD(2, 1), BEGINS(3, 2, TAIL_AHEAD), AHEAD(4, 2) },
      4,
      .position = 4,
      .sequence = 4,
      .leaves_at = 2,
      .fit = TAIL_AHEAD },
    { "the same, with a void message among what is ahead",
      { KNOWN(1, 1), BEGINS(2, 2, TAIL_AHEAD), AHEAD(2, 1), AHEAD(3, 2) },
      4,
      .position = 3,
      .sequence = 4,
      .voids = 1,
      .leaves_at = 2,
      .fence = 2,
      .fit = TAIL_AHEAD },
    { "no term stands between the two: a fork",
      { KNOWN(1, 1), OTHER(2, 1) },
      2,
      .position = 2,
      .sequence = 2,
      .leaves_at = 2,
      .fit = TAIL_DIFFERENT },
    { "an event is missing",
      { KNOWN(1, 1), KNOWN(3, 1) },
      2,
      .position = 3,
      .sequence = 2,
      .has_gap = 1 },
};

Test(relay_look, a_stream_says_who_wrote_it)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const struct stream_case *c = &cases[i];
        struct relay_tail tail = { .exists = 1 };
        struct look_judge judge;
        look_begin(&judge, &tail);
        for (int s = c->count; s >= 1; s--)
            look_judge(&judge, s, &c->messages[s - 1]);
        look_end(&judge);
        cr_expect(tail.has_last && tail.position == c->position &&
                      tail.message_sequence == c->sequence,
                  "%s: ends at %lld, sequence %lld", c->what, (long long)tail.position,
                  (long long)tail.message_sequence);
        cr_expect(tail.voids == c->voids && tail.voids_behind == c->behind,
                  "%s: %lld voids, %lld behind", c->what, (long long)tail.voids,
                  (long long)tail.voids_behind);
        cr_expect(tail.foreign == c->foreign && tail.has_gap == c->has_gap, "%s: %lld foreign",
                  c->what, (long long)tail.foreign);
        cr_expect(tail.leaves_at == c->leaves_at && tail.fence_term == c->fence &&
                      tail.fit == c->fit,
                  "%s: leaves at %lld, fence %lld, fit %d", c->what, (long long)tail.leaves_at,
                  (long long)tail.fence_term, tail.fit);
    }
}

/* ---- The fence ------------------------------------------------------------------------------ */

static struct relay relay;

static void begin(void)
{
    relay_init(&relay, &relay_defaults, 20);
    relay_connected(&relay, 1);
}

TestSuite(relay_look, .init = begin);

/* That leaves our log at a position with a TermBegan. */
static struct relay_tail leaving_at(int64_t position, int64_t term, enum tail_fit fit)
{
    return (struct relay_tail){ .exists = 1,
                                .first_sequence = 1,
                                .last_sequence = position,
                                .messages = position,
                                .has_last = 1,
                                .message_sequence = position,
                                .position = position,
                                .leaves_at = position,
                                .fence_term = term,
                                .fence_instance = "B",
                                .log_term = 1,
                                .fit = fit };
}

Test(relay_look, a_higher_term_where_our_log_goes_on_fences_us)
{
    struct relay_tail tail = leaving_at(15, 2, TAIL_DIFFERENT);
    relay_looked(&relay, &tail, 2);
    cr_assert(relay.state == RELAY_FENCED && relay.fence.common == 14 && relay.fence.term == 2);
    cr_assert_str_eq(relay.fence.instance, "B");
    cr_assert(relay_next(&relay, 99999).kind == RELAY_NOTHING && relay_due_ms(&relay) == INT64_MAX);
    relay_disconnected(&relay);
    relay_connected(&relay, 3);
    relay_fork(&relay, "no");
    cr_assert_eq(relay.state, RELAY_FENCED, "it has no way out");
}

Test(relay_look, a_lower_term_or_none_is_a_fork)
{
    struct relay_tail tail = leaving_at(15, 2, TAIL_DIFFERENT);
    tail.log_term = 3;
    relay_looked(&relay, &tail, 2);
    cr_assert_eq(relay.state, RELAY_FORKED);
    begin();
    tail = leaving_at(15, 0, TAIL_DIFFERENT);
    relay_looked(&relay, &tail, 2);
    cr_assert_eq(relay.state, RELAY_FORKED);
}

Test(relay_look, a_claim_that_came_too_late_is_taken_back)
{
    struct relay_tail tail = leaving_at(20, 0, TAIL_DIFFERENT);
    tail.only_terms = 1;
    relay_looked(&relay, &tail, 2);
    cr_assert(relay.state == RELAY_FENCED && relay.fence.common == 19);
}

Test(relay_look, one_that_has_just_started_is_only_older)
{
    struct relay_tail tail = leaving_at(21, 2, TAIL_AHEAD);
    relay_looked(&relay, &tail, 2);
    cr_assert_eq(relay.state, RELAY_RECOVERING);
}

Test(relay_look, one_that_has_published_all_of_its_log_is_fenced_without_an_orphan)
{
    struct relay_tail equal = leaving_at(20, 0, TAIL_EQUAL), tail = leaving_at(21, 2, TAIL_AHEAD);
    equal.leaves_at = 0;
    relay_looked(&relay, &equal, 2);
    cr_assert_eq(relay.state, RELAY_PUBLISHING);
    relay_doubt(&relay, "another", 3);
    relay_next(&relay, 99999);
    cr_assert_eq(relay.state, RELAY_ASKING);
    relay_looked(&relay, &tail, 99999);
    cr_assert(relay.state == RELAY_FENCED && relay.fence.common == 20);
}

/* The stream has had our event there: somebody has put another stream in its place. */
Test(relay_look, what_was_published_is_not_set_aside)
{
    struct relay_tail equal = leaving_at(20, 0, TAIL_EQUAL),
                      tail = leaving_at(15, 2, TAIL_DIFFERENT);
    equal.leaves_at = 0;
    relay_looked(&relay, &equal, 2);
    relay_doubt(&relay, "another", 3);
    relay_next(&relay, 99999);
    relay_looked(&relay, &tail, 99999);
    cr_assert_eq(relay.state, RELAY_FORKED);
}

/* It was killed with events that the stream never had, and hears its successor when it comes back:
 * how far that one's stream goes says nothing of our events. */
Test(relay_look, one_that_comes_back_with_events_of_its_own_is_fenced_by_whom_it_follows)
{
    struct relay_tail tail = leaving_at(15, 2, TAIL_DIFFERENT);
    struct relay again;
    relay_init(&again, &relay_defaults, 20);
    relay_had(&again, 14);
    relay_follow(&again);
    relay_heard(&again, 40, 1);
    relay_connected(&again, 1);
    relay_next(&again, 1);
    relay_looked(&again, &tail, 2);
    cr_assert(again.state == RELAY_FENCED && again.fence.common == 14 && again.fence.term == 2);
}

/* Its stream has had them, and they are gone: no orphans. */
Test(relay_look, one_that_comes_back_with_events_that_the_stream_had_is_forked)
{
    struct relay_tail tail = leaving_at(15, 2, TAIL_DIFFERENT);
    struct relay again;
    relay_init(&again, &relay_defaults, 20);
    relay_had(&again, 15);
    relay_follow(&again);
    relay_connected(&again, 1);
    relay_next(&again, 1);
    relay_looked(&again, &tail, 2);
    cr_assert_eq(again.state, RELAY_FORKED);
}

/* A log with more of its own than a look reads: only an event that both have tells. */
Test(relay_look, strangers_are_read_on_from_until_an_event_that_both_have)
{
    const struct look_message messages[] = { AHEAD(43, 3), STRANGE(3), KNOWN(20, 2) };
    struct relay_tail tail = { 0 };
    struct look_judge judge;
    look_begin(&judge, &tail);
    look_judge(&judge, 43, &messages[0]);
    cr_expect_not(look_has_strangers(&judge));
    look_judge(&judge, 42, &messages[1]);
    cr_expect(look_has_strangers(&judge) && look_has_event(&judge));
    look_judge(&judge, 20, &messages[2]);
    cr_expect_not(look_has_strangers(&judge));
}
