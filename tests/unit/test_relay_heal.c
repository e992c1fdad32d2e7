/* The relay's ways to heal: where every input leads from every state; what it makes of every kind
 * of stream; and each way of FAULTS.md (its number in the name) step by step, as a table of what
 * happens and what it says. */
#include <criterion/criterion.h>
#include <string.h>
#include "runtime/sync/relay.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static const struct relay_config config = {
    .window_max = 10,
    .publish_max = 10,
    .answer_timeout_ms = 100,
    .backoff_min_ms = 10,
    .backoff_max_ms = 80,
    .audit_interval_ms = 1000,
    .seed = 7,
};

#define OURS .exists = 1, .has_last = 1, .is_ours = 1
#define HEALTHY(n) OURS, .first_sequence = 1, .last_sequence = (n), .messages = (n), .position = (n)
static const struct relay_tail missing = { 0 };
static const struct relay_tail unused = { .exists = 1 };
static const struct relay_tail equal_20 = { HEALTHY(20) };
static const struct relay_tail equal_30 = { HEALTHY(30) };
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
    RESOLVED,
    AUDIT_BAD,
    TIME_OUT,
    INPUTS,
};

static void put_in(struct relay *relay, enum input input, int64_t now_ms)
{
    switch (input) {
    case CONNECTED:    relay_connected(relay, now_ms); break;
    case DISCONNECTED: relay_disconnected(relay); break;
    case MISSING:      relay_tail(relay, &missing, now_ms); break;
    case EQUAL:        relay_tail(relay, &equal_20, now_ms); break;
    case AHEAD:        relay_tail(relay, &ahead_50, now_ms); break;
    case DIFFERENT:    relay_tail(relay, &other_20, now_ms); break;
    case MADE:         relay_made(relay, now_ms); break;
    case FAILED:       relay_failed(relay, "no", now_ms); break;
    case ACKED:        relay_acked(relay, relay->epoch, relay->published + 1, now_ms); break;
    case REFUSED:      relay_refused(relay, relay->epoch, "no", now_ms); break;
    case RECOVERED:    relay_recovered(relay, 50, now_ms); break;
    case FORK:         relay_fork(relay, "fork"); break;
    case RESOLVED:     relay_resolved(relay); break;
    case AUDIT_BAD:    relay_audited(relay, &missing, now_ms); break;
    case TIME_OUT:     relay_next(relay, now_ms + 1000000); break;
    case INPUTS:       break;
    }
}

/* A relay with 30 events, brought there in the way that leads there. */
static struct relay relay_in(char state)
{
    struct relay relay;
    relay_init(&relay, &config, 30);
    if (state == 'O')
        return relay;
    relay_connected(&relay, 0);
    relay_next(&relay, 0);
    switch (state) {
    case 'M': relay_tail(&relay, &missing, 0); break;
    case 'R': relay_tail(&relay, &ahead_50, 0); break;
    case 'P': relay_tail(&relay, &equal_20, 0); break;
    case 'W': relay_failed(&relay, "no", 0); break;
    case 'F': relay_fork(&relay, "fork"); break;
    }
    if (state != 'W')
        relay_next(&relay, 0);
    return relay;
}

Test(relay_heal, goes_from_every_state_where_the_table_says)
{
    static const char letters[] = "OAMRPWF"; /* in the order of enum relay_state */
    static const struct {
        char from;
        const char *to;
    } table[] = {
        /*       con dis mis equ ahe dif mad fai ack ref rec frk res aud time */
        { 'O', "A   O   O   O   O   O   O   O   O   O   O   F   O   O   O" },
        { 'A', "A   O   M   P   R   F   A   W   A   A   A   F   A   A   W" },
        { 'M', "M   O   M   M   M   M   A   W   M   M   M   F   M   M   W" },
        { 'R', "R   O   R   R   R   R   R   W   R   R   A   F   R   R   W" },
        { 'P', "P   O   P   P   P   P   P   P   P   W   P   F   P   W   W" },
        { 'W', "W   O   W   W   W   W   W   W   W   W   W   F   W   W   A" },
        { 'F', "F   F   F   F   F   F   F   F   F   F   F   F   M   F   F" },
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

Test(relay_heal, names_its_states)
{
    for (int state = RELAY_OFFLINE; state <= RELAY_FORKED; state++)
        cr_expect(strlen(relay_state_name((enum relay_state)state)) > 0);
}

/* ---- What it makes of a stream -------------------------------------------------------------- */

Test(relay_heal, decides_by_the_streams_tail)
{
    static const struct {
        const char *what;
        struct relay_tail tail;
        enum relay_state state;
        enum relay_action_kind kind;
        int64_t first, last, sequence;
    } table[] = {
        /* our log has 30 events; the window is 10 */
        { "no stream", { 0 }, RELAY_MAKING, RELAY_MAKE_STREAM, 0, 0, 0 },
        { "never used", { .exists = 1 }, RELAY_PUBLISHING, RELAY_PUBLISH, 1, 10, 0 },
        { "purged",
          { .exists = 1, .first_sequence = 31, .last_sequence = 30 },
          RELAY_MAKING,
          RELAY_DELETE_STREAM,
          0,
          0,
          0 },
        { "purged, and our log has lost events",
          { .exists = 1, .first_sequence = 41, .last_sequence = 40 },
          RELAY_FORKED,
          RELAY_NOTHING,
          0,
          0,
          0 },
        { "behind", { HEALTHY(20) }, RELAY_PUBLISHING, RELAY_PUBLISH, 21, 30, 20 },
        { "as far as we", { HEALTHY(30) }, RELAY_PUBLISHING, RELAY_NOTHING, 0, 0, 0 },
        { "as far, its head is gone",
          { OURS, .first_sequence = 11, .last_sequence = 30, .messages = 20, .position = 30 },
          RELAY_MAKING,
          RELAY_DELETE_STREAM,
          0,
          0,
          0 },
        { "as far, its head has expired",
          { OURS, .expires = 1, .first_sequence = 11, .last_sequence = 30, .messages = 20,
            .position = 30 },
          RELAY_PUBLISHING,
          RELAY_NOTHING,
          0,
          0,
          0 },
        { "all of it has expired",
          { .exists = 1, .expires = 1, .first_sequence = 21, .last_sequence = 20 },
          RELAY_PUBLISHING,
          RELAY_PUBLISH,
          21,
          30,
          20 },
        { "all of it has expired, and our log has lost events",
          { .exists = 1, .expires = 1, .first_sequence = 41, .last_sequence = 40 },
          RELAY_FORKED,
          RELAY_NOTHING,
          0,
          0,
          0 },
        { "its sequence runs ahead",
          { OURS, .first_sequence = 1, .last_sequence = 25, .messages = 25, .position = 20 },
          RELAY_PUBLISHING,
          RELAY_PUBLISH,
          21,
          30,
          25 },
        { "its sequence is behind",
          { OURS, .first_sequence = 1, .last_sequence = 15, .messages = 15, .position = 20 },
          RELAY_MAKING,
          RELAY_DELETE_STREAM,
          0,
          0,
          0 },
        { "a hole that the server counts",
          { OURS, .first_sequence = 1, .last_sequence = 30, .messages = 29, .deleted = 1,
            .position = 30 },
          RELAY_MAKING,
          RELAY_DELETE_STREAM,
          0,
          0,
          0 },
        { "a hole that it does not count",
          { OURS, .first_sequence = 1, .last_sequence = 30, .messages = 28, .position = 30 },
          RELAY_MAKING,
          RELAY_DELETE_STREAM,
          0,
          0,
          0 },
        { "the last message was deleted",
          { OURS, .first_sequence = 1, .last_sequence = 30, .message_sequence = 29, .messages = 29,
            .deleted = 1, .position = 29 },
          RELAY_MAKING,
          RELAY_DELETE_STREAM,
          0,
          0,
          0 },
        { "the last was deleted, and our log has lost it too",
          { OURS, .first_sequence = 1, .last_sequence = 31, .message_sequence = 30, .messages = 30,
            .deleted = 1, .position = 30 },
          RELAY_FORKED,
          RELAY_NOTHING,
          0,
          0,
          0 },
        { "ahead", { HEALTHY(50), .fit = TAIL_AHEAD }, RELAY_RECOVERING, RELAY_RECOVER, 0, 50, 30 },
        { "ahead, with a sequence that runs ahead",
          { OURS, .first_sequence = 1, .last_sequence = 53, .messages = 53, .position = 50,
            .fit = TAIL_AHEAD },
          RELAY_RECOVERING,
          RELAY_RECOVER,
          0,
          53,
          33 },
        { "ahead, and its last message was deleted",
          { OURS, .first_sequence = 1, .last_sequence = 50, .message_sequence = 49, .messages = 49,
            .deleted = 1, .position = 49, .fit = TAIL_AHEAD },
          RELAY_RECOVERING,
          RELAY_RECOVER,
          0,
          49,
          30 },
        { "ahead, holes: what there is comes first",
          { OURS, .first_sequence = 1, .last_sequence = 50, .messages = 40, .deleted = 10,
            .position = 50, .fit = TAIL_AHEAD },
          RELAY_RECOVERING,
          RELAY_RECOVER,
          0,
          50,
          30 },
        { "another chain",
          { HEALTHY(20), .fit = TAIL_DIFFERENT },
          RELAY_FORKED,
          RELAY_NOTHING,
          0,
          0,
          0 },
        { "an intruder",
          { .exists = 1, .first_sequence = 1, .last_sequence = 31, .messages = 31, .has_last = 1 },
          RELAY_FORKED,
          RELAY_NOTHING,
          0,
          0,
          0 },
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct relay relay = relay_in('A');
        relay_tail(&relay, &table[i].tail, 5);
        struct relay_action action = relay_next(&relay, 5);
        cr_expect_eq(relay.state, table[i].state, "%s: %s", table[i].what,
                     relay_state_name(relay.state));
        cr_expect_eq(action.kind, table[i].kind, "%s: action %d", table[i].what, action.kind);
        if (action.kind == RELAY_PUBLISH || action.kind == RELAY_RECOVER) {
            cr_expect_eq(action.first, table[i].first, "%s", table[i].what);
            cr_expect_eq(action.last, table[i].last, "%s", table[i].what);
            cr_expect_eq(action.sequence, table[i].sequence, "%s", table[i].what);
        }
        cr_expect_eq(relay_next(&relay, 5).kind, RELAY_NOTHING, "%s: one question at a time",
                     table[i].what);
        if (relay.state == RELAY_FORKED)
            cr_expect(relay.reason && *relay.reason && relay_due_ms(&relay) == INT64_MAX);
    }
}

Test(relay_heal, starts_an_empty_log_from_the_streams_beginning)
{
    struct relay relay;
    relay_init(&relay, &config, 0);
    relay_connected(&relay, 0);
    cr_expect_eq(relay_next(&relay, 0).kind, RELAY_ASK);
    relay_tail(&relay, &ahead_50, 1);
    struct relay_action action = relay_next(&relay, 1);
    cr_expect(action.kind == RELAY_RECOVER && action.sequence == 1 && action.last == 50);
}

/* ---- Ways to heal, step by step ------------------------------------------------------------- */

struct step {
    const char *does;
    int64_t at_ms;
    int64_t position;              /* grew, acked, recovered */
    const struct relay_tail *tail; /* tail, audited */
    enum relay_state state;        /* afterwards */
    enum relay_action_kind kind;
    int64_t first, last, sequence;
};

static void take_step(struct relay *relay, const struct step *step)
{
    if (strcmp(step->does, "connected") == 0)
        relay_connected(relay, step->at_ms);
    else if (strcmp(step->does, "disconnected") == 0)
        relay_disconnected(relay);
    else if (strcmp(step->does, "grew") == 0)
        relay_grew(relay, step->position, step->at_ms);
    else if (strcmp(step->does, "tail") == 0)
        relay_tail(relay, step->tail, step->at_ms);
    else if (strcmp(step->does, "audited") == 0)
        relay_audited(relay, step->tail, step->at_ms);
    else if (strcmp(step->does, "made") == 0)
        relay_made(relay, step->at_ms);
    else if (strcmp(step->does, "failed") == 0)
        relay_failed(relay, "no", step->at_ms);
    else if (strcmp(step->does, "acked") == 0)
        relay_acked(relay, relay->epoch, step->position, step->at_ms);
    else if (strcmp(step->does, "old ack") == 0)
        relay_acked(relay, relay->epoch - 1, step->position, step->at_ms);
    else if (strcmp(step->does, "refused") == 0)
        relay_refused(relay, relay->epoch, "full", step->at_ms);
    else if (strcmp(step->does, "old refusal") == 0)
        relay_refused(relay, relay->epoch - 1, "full", step->at_ms);
    else if (strcmp(step->does, "recovered") == 0)
        relay_recovered(relay, step->position, step->at_ms);
    else if (strcmp(step->does, "resolved") == 0)
        relay_resolved(relay);
    else
        cr_assert_str_eq(step->does, "time");
}

/* After each step the state and the one action that follows must be those of the table. */
static struct relay run_steps(int64_t head, const struct step *steps)
{
    struct relay relay;
    relay_init(&relay, &config, head);
    for (int i = 0; steps[i].does; i++) {
        const struct step *step = &steps[i];
        take_step(&relay, step);
        struct relay_action action = relay_next(&relay, step->at_ms);
        cr_assert_eq(relay.state, step->state, "step %d, %s: %s", i, step->does,
                     relay_state_name(relay.state));
        cr_assert_eq(action.kind, step->kind, "step %d, %s: action %d", i, step->does, action.kind);
        if (action.kind == RELAY_PUBLISH || action.kind == RELAY_RECOVER) {
            cr_assert_eq(action.first, step->first, "step %d: from %lld", i,
                         (long long)action.first);
            cr_assert_eq(action.last, step->last, "step %d: to %lld", i, (long long)action.last);
            cr_assert_eq(action.sequence, step->sequence, "step %d: after %lld", i,
                         (long long)action.sequence);
        }
        if (action.kind != RELAY_NOTHING)
            cr_assert_eq(action.epoch, relay.epoch);
    }
    return relay;
}

#define ASKS { "connected", 0, .state = RELAY_ASKING, .kind = RELAY_ASK }

Test(relay_heal, publishes_in_order_a_window_at_a_time)
{
    struct relay relay =
        run_steps(25, (const struct step[]){
                          ASKS,
                          { "tail", 1, .tail = &unused, .state = RELAY_PUBLISHING,
                            .kind = RELAY_PUBLISH, .first = 1, .last = 10, .sequence = 0 },
                          { "time", 2, .state = RELAY_PUBLISHING },
                          { "acked", 3, 4, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                            .first = 11, .last = 14, .sequence = 10 },
                          { "acked", 4, 2, .state = RELAY_PUBLISHING }, /* late, and implied */
                          { "old ack", 4, 14, .state = RELAY_PUBLISHING },
                          { "acked", 4, 99, .state = RELAY_PUBLISHING }, /* never sent */
                          { "acked", 5, 14, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                            .first = 15, .last = 24, .sequence = 14 },
                          { "acked", 6, 24, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                            .first = 25, .last = 25, .sequence = 24 },
                          { "acked", 7, 25, .state = RELAY_PUBLISHING },
                          { "time", 900, .state = RELAY_PUBLISHING }, /* nothing is waited for */
                          { "grew", 901, 26, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                            .first = 26, .last = 26, .sequence = 25 },
                          { "grew", 901, 20, .state = RELAY_PUBLISHING },
                          { 0 } });
    cr_expect(relay.published == 25 && relay.head == 26 && relay.republished == 0);
}

Test(relay_heal, F14_stream_deleted_under_it)
{
    struct relay relay = run_steps(
        30, (const struct step[]){
                ASKS,
                { "tail", 1, .tail = &equal_30, .state = RELAY_PUBLISHING },
                { "grew", 2, 31, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH, .first = 31,
                  .last = 31, .sequence = 30 },
                { "refused", 3, .state = RELAY_WAITING },
                { "time", 13, .state = RELAY_ASKING, .kind = RELAY_ASK },
                { "tail", 14, .tail = &missing, .state = RELAY_MAKING, .kind = RELAY_MAKE_STREAM },
                { "made", 15, .state = RELAY_ASKING, .kind = RELAY_ASK },
                { "tail", 16, .tail = &unused, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                  .first = 1, .last = 1, .sequence = 0 },
                { "acked", 17, 1, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH, .first = 2,
                  .last = 11, .sequence = 1 },
                { "acked", 18, 11, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH, .first = 12,
                  .last = 21, .sequence = 11 },
                { 0 } });
    cr_expect(relay.refusals == 1 && relay.republished == 11 && relay.remade == 0);
}

Test(relay_heal, F14_stream_purged_is_made_anew)
{
    static const struct relay_tail purged = { .exists = 1,
                                              .first_sequence = 31,
                                              .last_sequence = 30 };
    struct relay relay = run_steps(
        30, (const struct step[]){
                ASKS,
                { "tail", 1, .tail = &purged, .state = RELAY_MAKING, .kind = RELAY_DELETE_STREAM },
                { "made", 2, .state = RELAY_MAKING, .kind = RELAY_MAKE_STREAM },
                { "failed", 3, .state = RELAY_WAITING },
                { "time", 13, .state = RELAY_ASKING, .kind = RELAY_ASK },
                { "tail", 14, .tail = &missing, .state = RELAY_MAKING, .kind = RELAY_MAKE_STREAM },
                { "made", 15, .state = RELAY_ASKING, .kind = RELAY_ASK },
                { "tail", 16, .tail = &unused, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                  .first = 1, .last = 10, .sequence = 0 },
                { 0 } });
    cr_expect_eq(relay.remade, 1);
}

/* Our database is older than the stream, and the stream goes before it was read: what is gone from
 * both is never made up for in silence, in this life and in the next. */
Test(relay_heal, F14_a_stream_lost_while_we_read_it_is_a_fork)
{
    static const struct step step[] = {
        ASKS,
        { "tail", 1, .tail = &ahead_50, .state = RELAY_RECOVERING, .kind = RELAY_RECOVER,
          .first = 0, .last = 50, .sequence = 30 },
        { "recovered", 2, 40, .state = RELAY_RECOVERING, .kind = RELAY_RECOVER, .first = 0,
          .last = 50, .sequence = 40 },
        { "disconnected", 3, .state = RELAY_OFFLINE },
        { "connected", 4, .state = RELAY_ASKING, .kind = RELAY_ASK },
        { "tail", 5, .tail = &missing, .state = RELAY_FORKED },
        { "disconnected", 6, .state = RELAY_FORKED },
        { "resolved", 7, .state = RELAY_MAKING, .kind = RELAY_DELETE_STREAM },
        { "made", 8, .state = RELAY_MAKING, .kind = RELAY_MAKE_STREAM },
        { "made", 9, .state = RELAY_ASKING, .kind = RELAY_ASK },
        { "tail", 10, .tail = &unused, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH, .first = 1,
          .last = 10, .sequence = 0 },
        { 0 },
    };
    run_steps(30, step);
    struct relay relay;
    relay_init(&relay, &config, 40);
    relay_saw(&relay, 50); /* as the file says after a restart */
    relay_connected(&relay, 0);
    relay_tail(&relay, &missing, 1);
    cr_expect_eq(relay.state, RELAY_FORKED);
}

Test(relay_heal, F15_the_audit_finds_a_hole)
{
    static const struct relay_tail hole = {
        OURS, .first_sequence = 1, .last_sequence = 30, .messages = 29, .deleted = 1, .position = 30
    };
    struct relay relay = run_steps(
        30, (const struct step[]){
                ASKS,
                { "tail", 1, .tail = &equal_30, .state = RELAY_PUBLISHING },
                { "time", 1001, .state = RELAY_PUBLISHING, .kind = RELAY_AUDIT },
                { "audited", 1002, .tail = &equal_30, .state = RELAY_PUBLISHING },
                { "time", 2001, .state = RELAY_PUBLISHING, .kind = RELAY_AUDIT },
                { "audited", 2002, .tail = &hole, .state = RELAY_WAITING },
                { "time", 2012, .state = RELAY_ASKING, .kind = RELAY_ASK },
                { "tail", 2013, .tail = &hole, .state = RELAY_MAKING, .kind = RELAY_DELETE_STREAM },
                { "made", 2014, .state = RELAY_MAKING, .kind = RELAY_MAKE_STREAM },
                { "made", 2015, .state = RELAY_ASKING, .kind = RELAY_ASK },
                { "tail", 2016, .tail = &unused, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                  .first = 1, .last = 10, .sequence = 0 },
                { 0 } });
    cr_expect_eq(relay.remade, 1);
}

Test(relay_heal, the_audit_is_not_fooled_by_what_happens_meanwhile)
{
    static const struct relay_tail intruder = { OURS, .first_sequence = 1, .last_sequence = 32,
                                                .messages = 32, .position = 30 };
    run_steps(30, (const struct step[]){
                      ASKS,
                      { "tail", 1, .tail = &equal_30, .state = RELAY_PUBLISHING },
                      { "time", 1001, .state = RELAY_PUBLISHING, .kind = RELAY_AUDIT },
                      { "grew", 1001, 31, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                        .first = 31, .last = 31, .sequence = 30 },
                      { "acked", 1002, 31, .state = RELAY_PUBLISHING }, /* overtook the answer */
                      { "audited", 1003, .tail = &equal_30, .state = RELAY_PUBLISHING },
                      { "time", 2001, .state = RELAY_PUBLISHING, .kind = RELAY_AUDIT },
                      { "audited", 2002, .tail = &intruder, .state = RELAY_WAITING },
                      { 0 } });
}

Test(relay_heal, F11_lost_tail_after_a_reconnect)
{
    struct relay relay = run_steps(
        30,
        (const struct step[]){ ASKS,
                               { "tail", 1, .tail = &equal_30, .state = RELAY_PUBLISHING },
                               { "disconnected", 2, .state = RELAY_OFFLINE },
                               { "grew", 3, 31, .state = RELAY_OFFLINE },
                               { "connected", 4, .state = RELAY_ASKING, .kind = RELAY_ASK },
                               { "tail", 5, .tail = &equal_20, .state = RELAY_PUBLISHING,
                                 .kind = RELAY_PUBLISH, .first = 21, .last = 30, .sequence = 20 },
                               { "acked", 6, 30, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                                 .first = 31, .last = 31, .sequence = 30 },
                               { "acked", 7, 31, .state = RELAY_PUBLISHING },
                               { 0 } });
    cr_expect_eq(relay.republished, 10);
}

Test(relay_heal, F18_a_full_stream_costs_one_message_a_try_and_the_wait_grows)
{
    struct relay relay =
        run_steps(30, (const struct step[]){
                          ASKS,
                          { "tail", 1, .tail = &equal_20, .state = RELAY_PUBLISHING,
                            .kind = RELAY_PUBLISH, .first = 21, .last = 30, .sequence = 20 },
                          { "refused", 2, .state = RELAY_WAITING },
                          { "old refusal", 2, .state = RELAY_WAITING }, /* of the nine behind it */
                          { 0 } });
    int64_t now_ms = 2, longest_ms = 0;
    for (int i = 0; i < 8; i++) {
        int64_t due_ms = relay_due_ms(&relay);
        cr_expect(due_ms > now_ms && due_ms <= now_ms + config.backoff_max_ms);
        cr_expect_eq(relay_next(&relay, due_ms - 1).kind, RELAY_NOTHING);
        longest_ms = due_ms - now_ms > longest_ms ? due_ms - now_ms : longest_ms;
        now_ms = due_ms;
        cr_expect_eq(relay_next(&relay, now_ms).kind, RELAY_ASK);
        relay_tail(&relay, &equal_20, now_ms);
        struct relay_action action = relay_next(&relay, now_ms);
        cr_expect(action.kind == RELAY_PUBLISH && action.first == 21 && action.last == 21);
        relay_refused(&relay, relay.epoch, "full", now_ms);
    }
    cr_expect_eq(relay.refusals, 9);
    cr_expect_geq(longest_ms, config.backoff_max_ms / 2);
    now_ms = relay_due_ms(&relay); /* and then it is enlarged */
    relay_next(&relay, now_ms);
    relay_tail(&relay, &equal_20, now_ms);
    relay_next(&relay, now_ms);
    relay_acked(&relay, relay.epoch, 21, now_ms);
    struct relay_action action = relay_next(&relay, now_ms);
    cr_expect(action.kind == RELAY_PUBLISH && action.first == 22 && action.last == 30);
    cr_expect_eq(relay.backoff.next_ms, config.backoff_min_ms);
}

Test(relay_heal, F35_a_paused_server_says_nothing_and_has_stored_all)
{
    struct relay relay = run_steps(
        30,
        (const struct step[]){ ASKS,
                               { "tail", 1, .tail = &equal_20, .state = RELAY_PUBLISHING,
                                 .kind = RELAY_PUBLISH, .first = 21, .last = 30, .sequence = 20 },
                               { "time", 100, .state = RELAY_PUBLISHING },
                               { "time", 101, .state = RELAY_WAITING },
                               { "old ack", 102, 30, .state = RELAY_WAITING },
                               { "time", 111, .state = RELAY_ASKING, .kind = RELAY_ASK },
                               { "time", 211, .state = RELAY_WAITING },
                               { "time", 231, .state = RELAY_ASKING, .kind = RELAY_ASK },
                               { "tail", 232, .tail = &equal_30, .state = RELAY_PUBLISHING },
                               { 0 } });
    cr_expect(relay.published == 30 && relay.republished == 0);
}

Test(relay_heal, F28_an_old_database_catches_up_on_itself_piece_by_piece)
{
    struct relay relay = run_steps(
        30,
        (const struct step[]){ ASKS,
                               { "tail", 1, .tail = &ahead_50, .state = RELAY_RECOVERING,
                                 .kind = RELAY_RECOVER, .first = 0, .last = 50, .sequence = 30 },
                               { "time", 2, .state = RELAY_RECOVERING },
                               { "recovered", 50, 40, .state = RELAY_RECOVERING,
                                 .kind = RELAY_RECOVER, .last = 50, .sequence = 40 },
                               { "time", 149, .state = RELAY_RECOVERING },
                               { "time", 150, .state = RELAY_WAITING },
                               { "time", 160, .state = RELAY_ASKING, .kind = RELAY_ASK },
                               { "tail", 161, .tail = &ahead_50, .state = RELAY_RECOVERING,
                                 .kind = RELAY_RECOVER, .first = 0, .last = 50, .sequence = 40 },
                               { "recovered", 170, 50, .state = RELAY_ASKING, .kind = RELAY_ASK },
                               { 0 } });
    cr_expect_eq(relay.head, 50);
}

Test(relay_heal, F29_a_fork_stays_until_a_person_says_that_the_log_is_right)
{
    struct relay relay = run_steps(
        30, (const struct step[]){
                ASKS,
                { "tail", 1, .tail = &other_20, .state = RELAY_FORKED },
                { "disconnected", 2, .state = RELAY_FORKED },
                { "connected", 3, .state = RELAY_FORKED },
                { "grew", 4, 31, .state = RELAY_FORKED },
                { "time", 100000, .state = RELAY_FORKED },
                { "resolved", 100001, .state = RELAY_MAKING, .kind = RELAY_DELETE_STREAM },
                { "made", 100002, .state = RELAY_MAKING, .kind = RELAY_MAKE_STREAM },
                { "made", 100003, .state = RELAY_ASKING, .kind = RELAY_ASK },
                { "tail", 100004, .tail = &unused, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                  .first = 1, .last = 10, .sequence = 0 },
                { 0 } });
    cr_expect_eq(relay.remade, 1);
}
