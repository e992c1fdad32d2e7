/* Relay: where every input leads from every state, and what a look at the stream leads to, as
 * tables; and the bounds of waiting and publishing. Repairs step by step: test_relay_heal.c; random
 * walks: test_relay_walk.c. */
#include "runtime/sync/relay.h"
#include <criterion/criterion.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static const struct relay_config config = {
    .window_max = 10,
    .publish_max = 10,
    .answer_timeout_ms = 100,
    .backoff_min_ms = 10,
    .heal_min_ms = 100,
    .heal_max_ms = 1000,
    .heal_reset_ms = 60000,
    .backoff_max_ms = 80,
    .audit_interval_ms = 1000,
    .seed = 7,
};

#define OURS .exists = 1, .has_last = 1
#define HEALTHY(n) OURS, .first_sequence = 1, .last_sequence = (n), .messages = (n), .position = (n)
static const struct relay_tail missing = { 0 };
static const struct relay_tail equal_20 = { HEALTHY(20) };
static const struct relay_tail ahead_50 = { HEALTHY(50), .fit = TAIL_AHEAD };
static const struct relay_tail other_20 = { HEALTHY(20), .fit = TAIL_DIFFERENT };

/* ---- Every state, every input --------------------------------------------------------------- */

enum input {
    CONNECTED,
    DISCONNECTED,
    MISSING,
    EQUAL,
    AHEAD,
    DIFFERENT,
    MADE,
    FAILED,
    ACKED,
    REFUSED,
    RECOVERED,
    FORK,
    AUDIT_BAD,
    TIME_OUT,
    INPUTS,
};

static void put_in(struct relay *relay, enum input input, int64_t now_ms)
{
    switch (input) {
    case CONNECTED:    relay_connected(relay, now_ms); break;
    case DISCONNECTED: relay_disconnected(relay); break;
    case MISSING:      relay_looked(relay, &missing, now_ms); break;
    case EQUAL:        relay_looked(relay, &equal_20, now_ms); break;
    case AHEAD:        relay_looked(relay, &ahead_50, now_ms); break;
    case DIFFERENT:    relay_looked(relay, &other_20, now_ms); break;
    case MADE:         relay_made(relay, now_ms); break;
    case FAILED:       relay_failed(relay, "no", now_ms); break;
    case ACKED:        relay_acked(relay, relay->epoch, relay->published + 1, now_ms); break;
    case REFUSED:      relay_refused(relay, relay->epoch, "no", now_ms); break;
    case RECOVERED:    relay_recovered(relay, 50, now_ms); break;
    case FORK:         relay_fork(relay, "fork"); break;
    case AUDIT_BAD:    relay_audited(relay, &missing, now_ms); break;
    case TIME_OUT:     relay_next(relay, now_ms + 1000000); break;
    case INPUTS:       break;
    }
}

/* A relay with 30 events, brought to a state by the inputs that lead there. */
static struct relay relay_in(char state)
{
    struct relay relay;
    relay_init(&relay, &config, 30);
    if (state == 'O')
        return relay;
    relay_connected(&relay, 0);
    relay_next(&relay, 0);
    switch (state) {
    case 'M': relay_looked(&relay, &missing, 0); break;
    case 'R': relay_looked(&relay, &ahead_50, 0); break;
    case 'P': relay_looked(&relay, &equal_20, 0); break;
    case 'W': relay_failed(&relay, "no", 0); break;
    case 'F': relay_fork(&relay, "fork"); break;
    }
    if (state != 'W')
        relay_next(&relay, 0);
    return relay;
}

Test(relay, every_input_leads_from_every_state_where_the_table_says)
{
    static const char letters[] = "OAMRPWF"; /* in the order of enum relay_state */
    static const struct {
        char from;
        const char *to;
    } table[] = {
        /*       con dis mis equ ahe dif mad fai ack ref rec frk aud time */
        { 'O', "A   O   O   O   O   O   O   O   O   O   O   F   O   O" },
        { 'A', "A   O   M   P   R   F   A   W   A   A   A   F   A   W" },
        { 'M', "M   O   M   M   M   M   A   W   M   M   M   F   M   W" },
        { 'R', "R   O   R   R   R   R   R   W   R   R   A   F   R   W" },
        { 'P', "P   O   P   P   P   P   P   P   P   W   P   F   W   W" },
        { 'W', "W   O   W   W   W   W   W   W   W   W   W   F   W   A" },
        { 'F', "F   F   F   F   F   F   F   F   F   F   F   F   F   F" },
    };
    for (size_t i = 0; i < COUNT(table); i++)
        for (int input = 0; input < INPUTS; input++) {
            struct relay relay = relay_in(table[i].from);
            cr_assert_eq(letters[relay.state], table[i].from);
            int64_t epoch = relay.epoch;
            put_in(&relay, (enum input)input, 1);
            cr_expect_eq(letters[relay.state], table[i].to[4 * input],
                         "from %c by input %d: to %c, not %c", table[i].from, input,
                         letters[relay.state], table[i].to[4 * input]);
            cr_expect(relay.state == (enum relay_state)(strchr(letters, table[i].from) - letters) ||
                          relay.epoch > epoch,
                      "answers to the old state are still believed");
        }
}

Test(relay, each_state_has_a_name)
{
    for (int state = RELAY_OFFLINE; state <= RELAY_FORKED; state++)
        cr_expect(strlen(relay_state_name((enum relay_state)state)) > 0);
}

/* ---- What it makes of a stream -------------------------------------------------------------- */

#define GONE(first, last) .exists = 1, .first_sequence = (first), .last_sequence = (last)
/* What is left of the stream: from `first` to `last`, so many messages, the newest our event
 * `at`. */
#define TAIL(first, last, count, at) \
    OURS, .first_sequence = (first), .last_sequence = (last), .messages = (count), .position = (at)

/* A relay with so many events finds this tail of the stream. */
static void look(const char *what, int64_t head, const struct relay_tail *tail,
                 enum relay_state state, const struct relay_action *wanted)
{
    struct relay relay;
    relay_init(&relay, &config, head);
    relay_connected(&relay, 0);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_ASK);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_NOTHING);
    relay_looked(&relay, tail, 5);
    struct relay_action action = relay_next(&relay, 5);
    cr_expect_eq(relay.state, state, "%s: %s", what, relay_state_name(relay.state));
    cr_expect_eq(action.kind, wanted->kind, "%s: action %d", what, action.kind);
    if (action.kind == RELAY_PUBLISH || action.kind == RELAY_RECOVER)
        cr_expect(action.first == wanted->first && action.last == wanted->last &&
                      action.sequence == wanted->sequence,
                  "%s: from %lld to %lld after %lld", what, (long long)action.first,
                  (long long)action.last, (long long)action.sequence);
    cr_expect_eq(relay_next(&relay, 5).kind, RELAY_NOTHING, "%s: one question at a time", what);
    if (relay.state == RELAY_FORKED)
        cr_expect(relay.reason && *relay.reason && relay_due_ms(&relay) == INT64_MAX);
}

struct look_row {
    const char *what;
    int64_t head;
    struct relay_tail tail;
    enum relay_state state;
    enum relay_action_kind kind;
    int64_t first, last, sequence; /* of what is published, or read back */
};

Test(relay, decides_by_the_streams_tail)
{
    static const struct look_row table[] = {
        // clang-format off: a table
        { "no stream",         30, { 0 },           RELAY_MAKING, RELAY_MAKE_STREAM, 0, 0, 0 },
        { "never used",        30, { .exists = 1 }, RELAY_PUBLISHING, RELAY_PUBLISH, 1, 10, 0 },
        { "never used, empty", 0,  { .exists = 1 }, RELAY_PUBLISHING, RELAY_NOTHING, 0, 0, 0 },
        { "purged",            30, { GONE(31, 30) }, RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "purged, and our log has lost events",
                               30, { GONE(41, 40) }, RELAY_FORKED, RELAY_NOTHING, 0, 0, 0 },
        { "behind",            30, { HEALTHY(20) }, RELAY_PUBLISHING, RELAY_PUBLISH, 21, 30, 20 },
        { "as far as we",      30, { HEALTHY(30) }, RELAY_PUBLISHING, RELAY_NOTHING, 0, 0, 0 },
        { "as far, its head is gone",
          30, { TAIL(11, 30, 20, 30) },               RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "as far, its head has expired",
          30, { TAIL(11, 30, 20, 30), .expires = 1 }, RELAY_PUBLISHING, RELAY_NOTHING, 0, 0, 0 },
        { "all of it has expired",
          30, { GONE(21, 20), .expires = 1 },         RELAY_PUBLISHING, RELAY_PUBLISH, 21, 30, 20 },
        { "all of it has expired, just now",
          30, { GONE(31, 30), .expires = 1 },         RELAY_PUBLISHING, RELAY_NOTHING, 0, 0, 0 },
        { "all of it has expired, and our log has lost events",
          30, { GONE(41, 40), .expires = 1 },         RELAY_FORKED, RELAY_NOTHING, 0, 0, 0 },
        { "the server writes markers: one event a group",
          30, { TAIL(1, 25, 25, 20), .marked = 1 },   RELAY_PUBLISHING, RELAY_PUBLISH, 21, 21, 25 },
        { "its sequence runs ahead",
          30, { TAIL(1, 25, 25, 20) },                RELAY_PUBLISHING, RELAY_PUBLISH, 21, 30, 25 },
        { "its sequence is behind",
          30, { TAIL(1, 15, 15, 20) },                RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "a hole that the server counts",
          30, { TAIL(1, 30, 29, 30), .deleted = 1 },  RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "a hole that it does not count",
          30, { TAIL(1, 30, 28, 30) },                RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "the last message was deleted",
          30, { TAIL(1, 30, 29, 29), .message_sequence = 29, .deleted = 1 },
          RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "the last was deleted, and our log has lost it too",
          30, { TAIL(1, 31, 30, 30), .message_sequence = 30, .deleted = 1 },
          RELAY_FORKED, RELAY_NOTHING, 0, 0, 0 },
        { "ahead",
          30, { HEALTHY(50), .fit = TAIL_AHEAD },     RELAY_RECOVERING, RELAY_RECOVER, 0, 50, 30 },
        { "ahead, our log is empty: from the beginning",
          0,  { HEALTHY(50), .fit = TAIL_AHEAD },     RELAY_RECOVERING, RELAY_RECOVER, 0, 50, 1 },
        { "ahead, with a sequence that runs ahead",
          30, { TAIL(1, 53, 53, 50), .fit = TAIL_AHEAD },
          RELAY_RECOVERING, RELAY_RECOVER, 0, 53, 33 },
        { "ahead, and its last message was deleted",
          30, { TAIL(1, 50, 49, 49), .message_sequence = 49, .deleted = 1, .fit = TAIL_AHEAD },
          RELAY_RECOVERING, RELAY_RECOVER, 0, 49, 30 },
        { "ahead, holes: what there is comes first",
          30, { TAIL(1, 50, 40, 50), .deleted = 10, .fit = TAIL_AHEAD },
          RELAY_RECOVERING, RELAY_RECOVER, 0, 50, 30 },
        { "another chain",
          30, { HEALTHY(20), .fit = TAIL_DIFFERENT }, RELAY_FORKED, RELAY_NOTHING, 0, 0, 0 },
        // clang-format on
    };
    for (size_t i = 0; i < COUNT(table); i++)
        look(table[i].what, table[i].head, &table[i].tail, table[i].state,
             &(struct relay_action){ .kind = table[i].kind,
                                     .first = table[i].first,
                                     .last = table[i].last,
                                     .sequence = table[i].sequence });
}

Test(relay, heals_when_only_the_stream_is_wrong)
{
    static const struct look_row table[] = {
        // clang-format off: a table
        { "an intruder behind the end",
          30, { TAIL(1, 31, 31, 30), .message_sequence = 30, .foreign = 1, .foreign_behind = 1 },
          RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "an intruder in the place of an event",
          30, { TAIL(1, 30, 30, 30), .foreign = 1, .has_gap = 1 },
          RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "nothing but intruders",
          30, { GONE(1, 3), .messages = 3, .foreign = 3, .foreign_behind = 3 },
          RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "more intruders than we have events",
          30, { TAIL(1, 99, 99, 30), .message_sequence = 30, .foreign = 69, .foreign_behind = 69 },
          RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "an event is missing",
          30, { TAIL(1, 30, 30, 30), .has_gap = 1 },
          RELAY_MAKING, RELAY_DELETE_STREAM, 0, 0, 0 },
        { "an intruder, and our log is older: what there is comes first",
          30, { TAIL(1, 51, 51, 50), .message_sequence = 50, .foreign = 1, .foreign_behind = 1,
                .fit = TAIL_AHEAD },
          RELAY_RECOVERING, RELAY_RECOVER, 0, 50, 30 },
        { "an intruder, and another chain of ours",
          30, { TAIL(1, 30, 30, 30), .foreign = 1, .fit = TAIL_DIFFERENT },
          RELAY_FORKED, RELAY_NOTHING, 0, 0, 0 },
        { "an intruder, and events that both have lost",
          30, { TAIL(1, 40, 40, 30), .message_sequence = 30, .foreign = 1, .foreign_behind = 1 },
          RELAY_FORKED, RELAY_NOTHING, 0, 0, 0 },
        // clang-format on
    };
    for (size_t i = 0; i < COUNT(table); i++)
        look(table[i].what, table[i].head, &table[i].tail, table[i].state,
             &(struct relay_action){ .kind = table[i].kind,
                                     .first = table[i].first,
                                     .last = table[i].last,
                                     .sequence = table[i].sequence });
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

static struct relay relay_asking(int64_t head)
{
    struct relay relay;
    relay_init(&relay, &relay_defaults, head);
    relay_connected(&relay, 0);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_ASK);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_NOTHING);
    return relay;
}

Test(relay, a_refusal_discards_the_rest_in_flight)
{
    struct relay relay = relay_asking(10);
    relay_looked(&relay, &(struct relay_tail){ .exists = 1 }, 0);
    struct relay_action publish = relay_next(&relay, 0);
    cr_assert(publish.kind == RELAY_PUBLISH && publish.first == 1 && publish.last == 10);
    relay_acked(&relay, publish.epoch, 4, 1);
    relay_refused(&relay, publish.epoch, "wrong last sequence", 2);
    relay_acked(&relay, publish.epoch, 9, 3); /* of the old epoch: it is ignored */
    cr_assert(relay.state == RELAY_WAITING && relay.published == 4);
    cr_assert_eq(relay_next(&relay, relay_due_ms(&relay)).kind, RELAY_ASK);
}

Test(relay, silence_is_noticed_and_retries_back_off)
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

/* Rule 1: nothing leaves before all of the group are taken. */
Test(relay, one_group_is_in_flight_and_all_of_it_is_acknowledged_before_the_next)
{
    struct relay relay = relay_asking(1000000);
    relay_looked(&relay, &(struct relay_tail){ .exists = 1 }, 0);
    struct relay_action publish = { 0 };
    while (publish.last < relay_defaults.window_max) {
        struct relay_action next = relay_next(&relay, 0);
        cr_assert(next.kind == RELAY_PUBLISH && next.first == publish.last + 1 &&
                  next.last - publish.last <= relay_defaults.publish_max);
        publish = next;
    }
    cr_assert_eq(publish.last, relay_defaults.window_max);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_NOTHING);
    relay_acked(&relay, publish.epoch, publish.last - 1, 1);
    cr_assert_eq(relay_next(&relay, 1).kind, RELAY_NOTHING, "one of the group is not taken");
    relay_acked(&relay, publish.epoch, publish.last, 2);
    publish = relay_next(&relay, 2);
    cr_assert(publish.kind == RELAY_PUBLISH && publish.first == relay_defaults.window_max + 1);
}

Test(relay, a_group_ends_where_the_log_ended_when_it_began)
{
    struct relay relay = relay_asking(3);
    relay_looked(&relay, &(struct relay_tail){ .exists = 1 }, 0);
    cr_assert_eq(relay_next(&relay, 0).last, 3);
    relay_grew(&relay, 5, 1);
    relay_acked(&relay, relay.epoch, 2, 1);
    cr_assert_eq(relay_next(&relay, 1).kind, RELAY_NOTHING);
    relay_acked(&relay, relay.epoch, 3, 2);
    struct relay_action publish = relay_next(&relay, 2);
    cr_assert(publish.first == 4 && publish.last == 5 && publish.sequence == 3);
}

/* The outcome of the rest of a group is unknown: all of it is read back. */
Test(relay, a_look_begins_at_what_is_known_to_be_right)
{
    struct relay relay;
    relay_init(&relay, &relay_defaults, 100);
    relay_connected(&relay, 0);
    cr_assert_eq(relay_next(&relay, 0).sequence, 0, "nothing is known yet");
    relay_looked(&relay, &(struct relay_tail){ TAIL(1, 22, 22, 20) }, 0);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_PUBLISH);
    relay_acked(&relay, relay.epoch, 57, 1);
    relay_refused(&relay, relay.epoch, "wrong last sequence", 2);
    struct relay_action ask = relay_next(&relay, relay_due_ms(&relay));
    cr_assert(ask.kind == RELAY_ASK && ask.sequence == 59);
    int64_t due_ms = relay_due_ms(&relay);
    relay_reading(&relay, due_ms - 1);
    cr_assert_gt(relay_due_ms(&relay), due_ms, "a long span is read for as long as it comes");
}

/* That nothing is published is known, too: what another instance has written meanwhile is read from
 * its first message on, where it differs from our log, and not only its newest. */
Test(relay, a_look_begins_at_the_first_message_when_nothing_of_ours_is_there)
{
    struct relay relay;
    relay_init(&relay, &relay_defaults, 0);
    relay_connected(&relay, 0);
    cr_assert_eq(relay_next(&relay, 0).sequence, 0, "nothing is known yet");
    relay_looked(&relay, &(struct relay_tail){ .exists = 1 }, 0);
    relay_grew(&relay, 1, 1);
    cr_assert_eq(relay_next(&relay, 1).kind, RELAY_PUBLISH);
    relay_refused(&relay, relay.epoch, "wrong last sequence", 2);
    struct relay_action ask = relay_next(&relay, relay_due_ms(&relay));
    cr_assert(ask.kind == RELAY_ASK && ask.sequence == 1);
}
