/* Relay, repairs: the faults of docs/FAULTS-COVERED.md (the number is in the name of the test),
 * step by step, each as a table of inputs and the expected state and action. */
#include <criterion/criterion.h>
#include <string.h>
#include "runtime/sync/relay.h"

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
static const struct relay_tail unused = { .exists = 1 };
static const struct relay_tail equal_20 = { HEALTHY(20) };
static const struct relay_tail equal_30 = { HEALTHY(30) };
static const struct relay_tail ahead_50 = { HEALTHY(50), .fit = TAIL_AHEAD };
static const struct relay_tail other_20 = { HEALTHY(20), .fit = TAIL_DIFFERENT };

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
        relay_looked(relay, step->tail, step->at_ms);
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

Test(relay_heal, publishes_in_order_a_group_at_a_time)
{
    struct relay relay =
        run_steps(25, (const struct step[]){
                          ASKS,
                          { "tail", 1, .tail = &unused, .state = RELAY_PUBLISHING,
                            .kind = RELAY_PUBLISH, .first = 1, .last = 10, .sequence = 0 },
                          { "time", 2, .state = RELAY_PUBLISHING },
                          { "acked", 3, 4, .state = RELAY_PUBLISHING }, /* not all of the group */
                          { "acked", 4, 2, .state = RELAY_PUBLISHING }, /* late, and implied */
                          { "old ack", 4, 10, .state = RELAY_PUBLISHING },
                          { "acked", 4, 99, .state = RELAY_PUBLISHING }, /* never sent */
                          { "acked", 5, 10, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                            .first = 11, .last = 20, .sequence = 10 },
                          { "acked", 6, 20, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                            .first = 21, .last = 25, .sequence = 20 },
                          { "acked", 7, 25, .state = RELAY_PUBLISHING },
                          { "time", 900, .state = RELAY_PUBLISHING }, /* nothing is waited for */
                          { "grew", 901, 26, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                            .first = 26, .last = 26, .sequence = 25 },
                          { "grew", 901, 20, .state = RELAY_PUBLISHING },
                          { 0 } });
    cr_expect(relay.published == 25 && relay.head == 26 && relay.republished == 0);
}

Test(relay_heal, F14_a_deleted_stream_is_made_anew)
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

/* In the life in which all of our log was in the stream, nothing behind it can have been ours.
 * After a restart nobody can tell. */
Test(relay_heal, F45_purged_messages_of_others_were_no_events_of_ours)
{
    static const struct relay_tail gone = { .exists = 1,
                                            .first_sequence = 34,
                                            .last_sequence = 33 };
    struct relay relay = run_steps(
        30, (const struct step[]){
                ASKS,
                { "tail", 1, .tail = &equal_30, .state = RELAY_PUBLISHING },
                { "disconnected", 2, .state = RELAY_OFFLINE },
                { "connected", 3, .state = RELAY_ASKING, .kind = RELAY_ASK },
                { "tail", 4, .tail = &gone, .state = RELAY_MAKING, .kind = RELAY_DELETE_STREAM },
                { 0 } });
    cr_expect_eq(relay.remade, 1);
    run_steps(30, (const struct step[]){
                      ASKS, { "tail", 1, .tail = &gone, .state = RELAY_FORKED }, { 0 } });
}

/* Its server removes messages of its own, and its end was lost when it had none left. */
Test(relay_heal, F51_an_empty_stream_whose_sequence_is_behind_is_made_anew)
{
    static const struct relay_tail cut = {
        .exists = 1, .marked = 1, .first_sequence = 2, .last_sequence = 1
    };
    static const struct relay_tail emptied = {
        .exists = 1, .marked = 1, .first_sequence = 21, .last_sequence = 20
    };
    struct relay relay;
    relay_init(&relay, &config, 30);
    relay_connected(&relay, 0);
    cr_assert_eq(relay_next(&relay, 0).kind, RELAY_ASK);
    relay_looked(&relay, &equal_20, 1);
    cr_assert(relay.state == RELAY_PUBLISHING && relay.published == 20);
    relay_disconnected(&relay);
    relay_connected(&relay, 2);
    cr_assert_eq(relay_next(&relay, 2).kind, RELAY_ASK);
    struct relay other = relay;
    relay_looked(&relay, &cut, 3);
    cr_expect(relay.state == RELAY_MAKING && relay.delete_first);
    relay_looked(&other, &emptied, 3);
    cr_expect(other.state == RELAY_PUBLISHING && other.published == 20);
}

Test(relay_heal, F14_a_purged_stream_is_made_anew)
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

/* The database is older than the stream, and the stream is lost before it was read: events that are
 * gone from both are never replaced silently, not after a restart either. */
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
        { 0 },
    };
    run_steps(30, step);
    struct relay relay;
    relay_init(&relay, &config, 40);
    relay_saw(&relay, 50); /* as the file says after a restart */
    relay_connected(&relay, 0);
    relay_looked(&relay, &missing, 1);
    cr_expect_eq(relay.state, RELAY_FORKED);
}

/* By the server's counts the stream held more than our log has: that is kept in our file, so the
 * positions are not used again when the stream is deleted. */
Test(relay_heal, F15_a_stream_that_was_longer_is_known_when_it_is_gone)
{
    static const struct relay_tail purged = { .exists = 1,
                                              .first_sequence = 34,
                                              .last_sequence = 33 };
    struct relay relay;
    relay_init(&relay, &config, 30);
    relay_connected(&relay, 0);
    relay_looked(&relay, &purged, 1);
    cr_expect_eq(relay.state, RELAY_FORKED);
    cr_expect_eq(relay.high_water, 33);
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

Test(relay_heal, the_audit_allows_for_events_that_are_published_meanwhile)
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

Test(relay_heal, F11_a_lost_tail_is_published_again_after_a_reconnect)
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

Test(relay_heal, F18_a_full_stream_is_retried_with_one_message_and_back_off)
{
    struct relay relay = run_steps(
        30, (const struct step[]){
                ASKS,
                { "tail", 1, .tail = &equal_20, .state = RELAY_PUBLISHING, .kind = RELAY_PUBLISH,
                  .first = 21, .last = 30, .sequence = 20 },
                { "refused", 2, .state = RELAY_WAITING },
                { "old refusal", 2, .state = RELAY_WAITING }, /* of the nine messages behind it */
                { 0 } });
    int64_t now_ms = 2, longest_ms = 0;
    for (int i = 0; i < 8; i++) {
        int64_t due_ms = relay_due_ms(&relay);
        cr_expect(due_ms > now_ms && due_ms <= now_ms + config.backoff_max_ms);
        cr_expect_eq(relay_next(&relay, due_ms - 1).kind, RELAY_NOTHING);
        longest_ms = due_ms - now_ms > longest_ms ? due_ms - now_ms : longest_ms;
        now_ms = due_ms;
        cr_expect_eq(relay_next(&relay, now_ms).kind, RELAY_ASK);
        relay_looked(&relay, &equal_20, now_ms);
        struct relay_action action = relay_next(&relay, now_ms);
        cr_expect(action.kind == RELAY_PUBLISH && action.first == 21 && action.last == 21);
        relay_refused(&relay, relay.epoch, "full", now_ms);
    }
    cr_expect_eq(relay.refusals, 9);
    cr_expect_geq(longest_ms, config.backoff_max_ms / 2);
    now_ms = relay_due_ms(&relay); /* then the stream is enlarged */
    relay_next(&relay, now_ms);
    relay_looked(&relay, &equal_20, now_ms);
    relay_next(&relay, now_ms);
    relay_acked(&relay, relay.epoch, 21, now_ms);
    struct relay_action action = relay_next(&relay, now_ms);
    cr_expect(action.kind == RELAY_PUBLISH && action.first == 22 && action.last == 30);
    cr_expect_eq(relay.backoff.next_ms, config.backoff_min_ms);
}

Test(relay_heal, F35_a_paused_server_answers_nothing_and_has_stored_all)
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

Test(relay_heal, F28_an_old_database_replays_its_own_stream_piece_by_piece)
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

Test(relay_heal, F29_a_fork_stays)
{
    struct relay relay = run_steps(
        30, (const struct step[]){ ASKS,
                                   { "tail", 1, .tail = &other_20, .state = RELAY_FORKED },
                                   { "disconnected", 2, .state = RELAY_FORKED },
                                   { "connected", 3, .state = RELAY_FORKED },
                                   { "grew", 4, 31, .state = RELAY_FORKED },
                                   { "time", 100000, .state = RELAY_FORKED },
                                   { 0 } });
    cr_expect_eq(relay.remade, 0);
}

/* One foreign message takes the sequence of an event: that event alone is refused. */
Test(relay_heal, F45_an_intruder_in_the_group_is_healed_from_the_log)
{
    static const struct relay_tail intruder = {
        OURS,           .first_sequence = 1, .last_sequence = 10, .messages = 10,
        .position = 10, .foreign = 1,        .has_gap = 1
    };
    struct relay relay = run_steps(
        30, (const struct step[]){ ASKS,
                                   { "tail", 1, .tail = &unused, .state = RELAY_PUBLISHING,
                                     .kind = RELAY_PUBLISH, .first = 1, .last = 10, .sequence = 0 },
                                   { "acked", 2, 4, .state = RELAY_PUBLISHING },
                                   { "refused", 3, .state = RELAY_WAITING },
                                   { "old ack", 4, 10, .state = RELAY_WAITING },
                                   { "time", 13, .state = RELAY_ASKING, .kind = RELAY_ASK },
                                   { "tail", 14, .tail = &intruder, .state = RELAY_MAKING,
                                     .kind = RELAY_DELETE_STREAM },
                                   { "made", 15, .state = RELAY_MAKING, .kind = RELAY_MAKE_STREAM },
                                   { "made", 16, .state = RELAY_ASKING, .kind = RELAY_ASK },
                                   { "tail", 17, .tail = &unused, .state = RELAY_PUBLISHING,
                                     .kind = RELAY_PUBLISH, .first = 1, .last = 1, .sequence = 0 },
                                   { 0 } });
    cr_expect(relay.published == 0 && relay.remade == 1 && relay.refusals == 1);
    cr_expect_str_eq(relay.reason, "a message in the stream is not an event of ours");
}

/* Forged events, of which the newest claims to be far ahead. */
Test(relay_heal, F45_messages_ahead_that_do_not_follow_are_healed_and_forgotten)
{
    static const struct relay_tail far = { OURS,           .first_sequence = 1,
                                           .messages = 31, .last_sequence = 31,
                                           .position = 30, .message_sequence = 30 };
    struct relay_tail forged = far;
    forged.position = 1030;
    forged.message_sequence = 31;
    forged.fit = TAIL_AHEAD;
    struct relay relay = run_steps(
        30, (const struct step[]){ ASKS,
                                   { "tail", 1, .tail = &forged, .state = RELAY_RECOVERING,
                                     .kind = RELAY_RECOVER, .first = 0, .last = 31, .sequence = 1 },
                                   { 0 } });
    relay_voids(&relay, 2);
    cr_assert_eq(relay_next(&relay, 2).kind, RELAY_DELETE_STREAM);
    cr_expect_str_eq(relay.reason, "messages ahead of our log are not events of ours");
    relay_made(&relay, 3);
    relay_made(&relay, 4);
    relay_looked(&relay, &unused, 5);
    cr_expect_eq(relay.state, RELAY_PUBLISHING); /* and not a log that has lost 1,000 events */
    relay_voids(&relay, 6);
    cr_expect_eq(relay.state, RELAY_PUBLISHING); /* an answer that came too late */
}

/* A writer that intrudes again as soon as the stream is healed. */
Test(relay_heal, F45_a_steady_intruder_has_the_stream_deleted_less_and_less_often)
{
    static const struct relay_tail intruder = {
        OURS, .first_sequence = 1, .last_sequence = 31, .messages = 31, .position = 30, .foreign = 1
    };
    struct relay relay;
    relay_init(&relay, &config, 30);
    relay_connected(&relay, 0);
    int64_t now_ms = 1, last_ms = 0, gap_ms = 0;
    for (int heals = 0; heals < 8;) {
        struct relay_action action = relay_next(&relay, now_ms);
        if (action.kind == RELAY_ASK) {
            relay_looked(&relay, &intruder, now_ms);
        } else if (action.kind == RELAY_DELETE_STREAM) {
            cr_expect(heals < 2 || now_ms - last_ms >= gap_ms || gap_ms >= config.heal_max_ms / 2);
            gap_ms = now_ms - last_ms;
            last_ms = now_ms;
            heals++;
            relay_made(&relay, now_ms);
        } else if (action.kind == RELAY_MAKE_STREAM) {
            relay_made(&relay, now_ms);
        } else {
            cr_assert_eq(relay.state, RELAY_WAITING);
            cr_expect_str_eq(relay.reason, "a message in the stream is not an event of ours");
            now_ms = relay_due_ms(&relay);
        }
    }
    cr_expect(relay.remade == 8 && gap_ms >= config.heal_max_ms / 2, "%lld ms", (long long)gap_ms);
}
