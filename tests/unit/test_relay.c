/* Relay: each way of healing as a row, and a random walk against a model of a stream that loses its tail or its
 * middle, is wiped, refuses, stores without answering, and comes and goes. */
#include "runtime/relay.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

#define HEALTHY(n) .exists = 1, .first_sequence = 1, .last_sequence = (n), .messages = (n), .has_last = 1, .is_ours = 1, .position = (n)

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
        { "repeats in the stream", 5, { .exists = 1, .first_sequence = 1, .last_sequence = 7, .messages = 7, .has_last = 1, .is_ours = 1, .position = 4 },
          RELAY_PUBLISHING, RELAY_PUBLISH, 5, 7 },
        { "purged", 5, { .exists = 1, .first_sequence = 6, .last_sequence = 5 }, RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0 },
        { "expired", 5, { .exists = 1, .expires = 1, .first_sequence = 6, .last_sequence = 5 }, RELAY_PUBLISHING, RELAY_NOTHING, 0, 0 },
        { "head gone", 5, { .exists = 1, .first_sequence = 3, .last_sequence = 5, .messages = 3, .has_last = 1, .is_ours = 1, .position = 5 },
          RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0 },
        { "head expired", 5, { .exists = 1, .expires = 1, .first_sequence = 3, .last_sequence = 5, .messages = 3, .has_last = 1, .is_ours = 1, .position = 5 },
          RELAY_PUBLISHING, RELAY_NOTHING, 0, 0 },
        { "a hole", 5, { .exists = 1, .first_sequence = 1, .last_sequence = 5, .messages = 4, .deleted = 1, .has_last = 1, .is_ours = 1, .position = 5 },
          RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0 },
        { "sequence behind", 5, { .exists = 1, .first_sequence = 1, .last_sequence = 2, .messages = 2, .has_last = 1, .is_ours = 1, .position = 5 },
          RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0 },
        { "database lost", 0, { HEALTHY(5), .fit = TAIL_AHEAD }, RELAY_RECOVERING, RELAY_RECOVER, 0, 1 },
        { "database restored", 3, { HEALTHY(5), .fit = TAIL_AHEAD }, RELAY_RECOVERING, RELAY_RECOVER, 0, 3 },
        { "another chain", 5, { HEALTHY(5), .fit = TAIL_DIFFERENT }, RELAY_FORKED, RELAY_NOTHING, 0, 0 },
        { "intruder", 5, { .exists = 1, .first_sequence = 1, .last_sequence = 6, .messages = 6, .has_last = 1 }, RELAY_FORKED, RELAY_NOTHING, 0, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct relay relay = relay_asking(cases[i].head);
        relay_tail(&relay, &cases[i].tail, 1);
        struct relay_action action = relay_next(&relay, 1);
        cr_expect_eq(relay.state, cases[i].state, "%s: %s", cases[i].name, relay_state_name(relay.state));
        cr_expect_eq(action.kind, cases[i].next, "%s: action %d", cases[i].name, action.kind);
        if (action.kind == RELAY_PUBLISH || action.kind == RELAY_RECOVER)
            cr_expect(action.first == cases[i].first && action.sequence == cases[i].sequence, "%s: %lld after %lld", cases[i].name,
                      (long long)action.first, (long long)action.sequence);
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
    relay_acked(&relay, publish.epoch, 9, 3);            /* of the old epoch: it says nothing any more */
    cr_assert(relay.state == RELAY_WAITING && relay.published == 4);
    cr_assert_eq(relay_next(&relay, relay_due_ms(&relay)).kind, RELAY_ASK);
}

Test(relay, silence_is_noticed_and_waits_grow)
{
    struct relay relay = relay_asking(3);
    int64_t now = 0, waited = 0;
    for (int i = 0; i < 12; i++) {
        now = relay_due_ms(&relay);                      /* no answer */
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
        cr_assert(next.kind == RELAY_PUBLISH && next.first == publish.last + 1 && next.last - publish.last <= relay_defaults.publish_max);
        publish = next;
    }
    cr_assert_eq(publish.last, relay_defaults.window_max);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_NOTHING);
    relay_acked(&relay, publish.epoch, 10, 1);
    publish = relay_next(&relay, 1);
    cr_assert(publish.kind == RELAY_PUBLISH && publish.first == relay_defaults.window_max + 1 && publish.last == relay_defaults.window_max + 10);
}

/* ---- A random walk --------------------------------------------------------------------------- */

#define LOG_MAX 4000
struct model {
    unsigned seed;
    _Bool up, exists;
    int64_t positions[LOG_MAX * 4];                      /* by sequence - 1; 0: lost */
    int64_t last_sequence;
    _Bool expects_tail;
};

static unsigned draw(struct model *model, unsigned below)
{
    model->seed = model->seed * 1664525u + 1013904223u;
    return (model->seed >> 8) % below;
}

static struct relay_tail look(const struct model *model, int64_t head)
{
    struct relay_tail tail = { .exists = model->exists, .last_sequence = model->last_sequence };
    for (int64_t s = model->last_sequence; s >= 1; s--) {
        if (!model->positions[s - 1])
            continue;
        tail.messages++;
        tail.first_sequence = s;
    }
    if (tail.messages > 0)
        tail.deleted = model->last_sequence - tail.first_sequence + 1 - tail.messages;
    int64_t last = model->last_sequence > 0 ? model->positions[model->last_sequence - 1] : 0;
    if (last) {
        tail.has_last = tail.is_ours = 1;
        tail.position = last;
        tail.fit = last > head ? TAIL_AHEAD : TAIL_EQUAL;
    } else if (tail.messages > 0) {
        tail.has_last = 0;
        tail.messages = 0;
    }
    return tail;
}

static void hurt(struct model *model, struct relay *relay, int64_t now)
{
    switch (draw(model, 6)) {
    case 0:                                              /* the server goes */
        model->up = 0;
        relay_disconnected(relay);
        break;
    case 1:                                              /* power cut: the tail is lost */
        model->last_sequence -= draw(model, (unsigned)model->last_sequence + 1);
        break;
    case 2:                                              /* a message in the middle */
        if (model->last_sequence > 1)
            model->positions[draw(model, (unsigned)model->last_sequence - 1)] = 0;
        break;
    case 3:                                              /* deleted */
        model->exists = 0;
        model->last_sequence = 0;
        break;
    case 4:                                              /* purged */
        memset(model->positions, 0, sizeof(model->positions));
        break;
    default:
        relay_refused(relay, relay->epoch, "drawn", now);
    }
}

static void carry_out(struct model *model, struct relay *relay, const struct relay_action *action, int64_t now)
{
    if (!model->up || draw(model, 20) == 0)
        return;                                          /* nothing comes back */
    struct relay_tail tail = look(model, relay->head);
    switch (action->kind) {
    case RELAY_ASK:   relay_tail(relay, &tail, now); break;
    case RELAY_AUDIT: relay_audited(relay, &tail, now); break;
    case RELAY_DELETE_STREAM:
    case RELAY_MAKE_STREAM:
        model->exists = action->kind == RELAY_MAKE_STREAM;
        if (action->kind == RELAY_DELETE_STREAM)
            model->last_sequence = 0;
        relay_made(relay, now);
        break;
    case RELAY_PUBLISH:
        for (int64_t p = action->first; p <= action->last; p++) {
            if (!model->exists || model->last_sequence != action->sequence + p - action->first) {
                relay_refused(relay, action->epoch, "wrong last sequence", now);
                return;
            }
            model->positions[model->last_sequence++] = p;
            if (draw(model, 50) == 0)
                return;                                  /* stored, and the rest of the acknowledgements is lost */
            relay_acked(relay, action->epoch, p, now);
        }
        break;
    case RELAY_RECOVER:
    case RELAY_NOTHING: break;
    }
}

static void step(struct model *model, struct relay *relay, int64_t *now)
{
    if (!model->up) {
        model->up = 1;
        relay_connected(relay, *now);
    }
    struct relay_action action;
    for (int i = 0; i < 8 && (action = relay_next(relay, *now)).kind != RELAY_NOTHING; i++)
        carry_out(model, relay, &action, *now);
    int64_t due = relay_due_ms(relay);
    *now = due > *now && due < *now + 60000 ? due : *now + 1;
}

Test(relay, a_random_walk_ends_with_the_stream_equal_to_the_log)
{
    static struct model model;
    for (unsigned seed = 1; seed <= 300; seed++) {
        memset(&model, 0, sizeof(model));
        model.seed = seed;
        struct relay relay;
        struct relay_config config = relay_defaults;
        config.window_max = 1 + seed % 17;
        int64_t now = 0;
        relay_init(&relay, &config, 0);
        for (int i = 0; i < 200; i++) {
            relay_grew(&relay, relay.head + draw(&model, 4), now);
            if (draw(&model, 8) == 0)
                hurt(&model, &relay, now);
            step(&model, &relay, &now);
        }
        int rounds = 0;
        struct relay_tail tail;
        do {                                             /* no more faults: it must come to rest */
            step(&model, &relay, &now);
            tail = look(&model, relay.head);
        } while (++rounds < 5000 && !(relay.state == RELAY_PUBLISHING && relay.published == relay.head && tail.messages == relay.head && tail.deleted == 0));
        cr_assert(rounds < 5000, "seed %u: %s, published %lld of %lld, stream has %lld", seed, relay_state_name(relay.state),
                  (long long)relay.published, (long long)relay.head, (long long)tail.messages);
        for (int64_t s = 1; s <= model.last_sequence; s++)
            cr_assert_eq(model.positions[s - 1], s, "seed %u: sequence %lld holds position %lld", seed, (long long)s, (long long)model.positions[s - 1]);
    }
}
