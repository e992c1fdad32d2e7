/* Relay: what a look at the stream leads to, as rows, and the bounds of waiting and publishing. How
 * it heals, step by step: test_relay_heal.c; random walks: test_relay_walk.c. */
#include "runtime/sync/relay.h"
#include <criterion/criterion.h>

static struct relay relay_asking(int64_t head)
{
    struct relay relay;
    relay_init(&relay, &relay_defaults, head);
    relay_connected(&relay, 0);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_ASK);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_NOTHING);
    return relay;
}

/* ---- What a look at the stream leads to ------------------------------------------------------ */

#define HEALTHY(n)                                                                          \
    .exists = 1, .first_sequence = 1, .last_sequence = (n), .messages = (n), .has_last = 1, \
    .is_ours = 1, .position = (n)

Test(relay, what_it_finds_decides_what_it_does)
{
    static const struct {
        const char *name;
        int64_t head;
        struct relay_tail tail;
        enum relay_state state;
        enum relay_action_kind next;
        int64_t first, sequence;
    } cases[] = {
        { "no stream", 5, { 0 }, RELAY_MAKING, RELAY_MAKE_STREAM, 0, 0 },
        { "a new stream", 5, { .exists = 1 }, RELAY_PUBLISHING, RELAY_PUBLISH, 1, 0 },
        { "nothing to say", 0, { .exists = 1 }, RELAY_PUBLISHING, RELAY_NOTHING, 0, 0 },
        { "in agreement", 5, { HEALTHY(5) }, RELAY_PUBLISHING, RELAY_NOTHING, 0, 0 },
        { "tail lost", 5, { HEALTHY(3) }, RELAY_PUBLISHING, RELAY_PUBLISH, 4, 3 },
        { "repeats in the stream",
          5,
          { .exists = 1,
            .first_sequence = 1,
            .last_sequence = 7,
            .messages = 7,
            .has_last = 1,
            .is_ours = 1,
            .position = 4 },
          RELAY_PUBLISHING,
          RELAY_PUBLISH,
          5,
          7 },
        { "purged",
          5,
          { .exists = 1, .first_sequence = 6, .last_sequence = 5 },
          RELAY_MAKING,
          RELAY_DELETE_STREAM,
          0,
          0 },
        { "expired",
          5,
          { .exists = 1, .expires = 1, .first_sequence = 6, .last_sequence = 5 },
          RELAY_PUBLISHING,
          RELAY_NOTHING,
          0,
          0 },
        { "head gone",
          5,
          { .exists = 1,
            .first_sequence = 3,
            .last_sequence = 5,
            .messages = 3,
            .has_last = 1,
            .is_ours = 1,
            .position = 5 },
          RELAY_MAKING,
          RELAY_DELETE_STREAM,
          0,
          0 },
        { "head expired",
          5,
          { .exists = 1,
            .expires = 1,
            .first_sequence = 3,
            .last_sequence = 5,
            .messages = 3,
            .has_last = 1,
            .is_ours = 1,
            .position = 5 },
          RELAY_PUBLISHING,
          RELAY_NOTHING,
          0,
          0 },
        { "a hole",
          5,
          { .exists = 1,
            .first_sequence = 1,
            .last_sequence = 5,
            .messages = 4,
            .deleted = 1,
            .has_last = 1,
            .is_ours = 1,
            .position = 5 },
          RELAY_MAKING,
          RELAY_DELETE_STREAM,
          0,
          0 },
        { "sequence behind",
          5,
          { .exists = 1,
            .first_sequence = 1,
            .last_sequence = 2,
            .messages = 2,
            .has_last = 1,
            .is_ours = 1,
            .position = 5 },
          RELAY_MAKING,
          RELAY_DELETE_STREAM,
          0,
          0 },
        { "database lost",
          0,
          { HEALTHY(5), .fit = TAIL_AHEAD },
          RELAY_RECOVERING,
          RELAY_RECOVER,
          0,
          1 },
        { "database restored",
          3,
          { HEALTHY(5), .fit = TAIL_AHEAD },
          RELAY_RECOVERING,
          RELAY_RECOVER,
          0,
          3 },
        { "another chain",
          5,
          { HEALTHY(5), .fit = TAIL_DIFFERENT },
          RELAY_FORKED,
          RELAY_NOTHING,
          0,
          0 },
        { "intruder",
          5,
          { .exists = 1, .first_sequence = 1, .last_sequence = 6, .messages = 6, .has_last = 1 },
          RELAY_FORKED,
          RELAY_NOTHING,
          0,
          0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct relay relay = relay_asking(cases[i].head);
        relay_tail(&relay, &cases[i].tail, 1);
        struct relay_action action = relay_next(&relay, 1);
        cr_expect_eq(relay.state, cases[i].state, "%s: %s", cases[i].name,
                     relay_state_name(relay.state));
        cr_expect_eq(action.kind, cases[i].next, "%s: action %d", cases[i].name, action.kind);
        if (action.kind == RELAY_PUBLISH || action.kind == RELAY_RECOVER)
            cr_expect(action.first == cases[i].first && action.sequence == cases[i].sequence,
                      "%s: %lld after %lld", cases[i].name, (long long)action.first,
                      (long long)action.sequence);
    }
}

Test(relay, a_refusal_makes_the_rest_in_flight_worthless)
{
    struct relay relay = relay_asking(10);
    relay_tail(&relay, &(struct relay_tail){ .exists = 1 }, 0);
    struct relay_action publish = relay_next(&relay, 0);
    cr_assert(publish.kind == RELAY_PUBLISH && publish.first == 1 && publish.last == 10);
    relay_acked(&relay, publish.epoch, 4, 1);
    relay_refused(&relay, publish.epoch, "wrong last sequence", 2);
    relay_acked(&relay, publish.epoch, 9, 3); /* of the old epoch: it says nothing any more */
    cr_assert(relay.state == RELAY_WAITING && relay.published == 4);
    cr_assert_eq(relay_next(&relay, relay_due_ms(&relay)).kind, RELAY_ASK);
}

Test(relay, silence_is_noticed_and_waits_grow)
{
    struct relay relay = relay_asking(3);
    int64_t now = 0, waited = 0;
    for (int i = 0; i < 12; i++) {
        now = relay_due_ms(&relay); /* no answer */
        cr_assert_eq(relay_next(&relay, now).kind, RELAY_NOTHING);
        cr_assert_eq(relay.state, RELAY_WAITING);
        cr_assert(relay_due_ms(&relay) - now >= waited);
        waited = relay_due_ms(&relay) - now;
        now = relay_due_ms(&relay);
        cr_assert_eq(relay_next(&relay, now).kind, RELAY_ASK);
    }
    cr_assert_eq(waited, relay_defaults.backoff_max_ms);
}

Test(relay, a_window_bounds_what_is_in_flight)
{
    struct relay relay = relay_asking(1000000);
    relay_tail(&relay, &(struct relay_tail){ .exists = 1 }, 0);
    struct relay_action publish = { 0 };
    while (publish.last < relay_defaults.window_max) {
        struct relay_action next = relay_next(&relay, 0);
        cr_assert(next.kind == RELAY_PUBLISH && next.first == publish.last + 1 &&
                  next.last - publish.last <= relay_defaults.publish_max);
        publish = next;
    }
    cr_assert_eq(publish.last, relay_defaults.window_max);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_NOTHING);
    relay_acked(&relay, publish.epoch, 10, 1);
    publish = relay_next(&relay, 1);
    cr_assert(publish.kind == RELAY_PUBLISH && publish.first == relay_defaults.window_max + 1 &&
              publish.last == relay_defaults.window_max + 10);
}
