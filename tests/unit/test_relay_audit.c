/* The relay's audit, which reads the stream part by part, and a server that contradicts itself
 * (docs/FAULTS-COVERED.md, row 15: damage in the files of the server that its counts do not
 * show). */
#include <criterion/criterion.h>
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
    .audit_read_max = 12,
    .advised_min_ms = 200,
    .seed = 7,
};

#define OURS .exists = 1, .has_last = 1
#define HEALTHY(n) OURS, .first_sequence = 1, .last_sequence = (n), .messages = (n), .position = (n)
static const struct relay_tail unused = { .exists = 1 };
static const struct relay_tail equal_30 = { HEALTHY(30) };

Test(relay_audit, F15_the_audit_reads_the_newest_part_first_and_meets_a_hole)
{
    static const int64_t parts[][2] = { { 19, 30 }, { 7, 18 }, { 1, 6 }, { 19, 30 } };
    struct relay relay;
    relay_init(&relay, &config, 30);
    relay_connected(&relay, 0);
    relay_looked(&relay, &equal_30, 0);
    for (int i = 0; i < 4; i++) {
        struct relay_action action = relay_next(&relay, 1000 * (i + 1));
        cr_assert_eq(action.kind, RELAY_AUDIT);
        cr_expect(action.first == parts[i][0] && action.last == parts[i][1],
                  "part %d: %lld to %lld", i, (long long)action.first, (long long)action.last);
        cr_expect_eq(relay.audited_from, parts[i][0]);
    }
    relay_damaged(&relay, "it cannot be read", 4001);
    cr_assert_eq(relay.state, RELAY_WAITING);
    cr_assert_str_eq(relay.reason, "it cannot be read");
    cr_assert_eq(relay_next(&relay, 4100).kind, RELAY_ASK);
    relay_looked(&relay, &equal_30, 4101); /* its counts look right all the same */
    cr_assert_eq(relay_next(&relay, 4101).kind, RELAY_DELETE_STREAM);
    cr_assert_str_eq(relay.reason, "it cannot be read");
    relay_made(&relay, 4102);
    relay_made(&relay, 4103);
    relay_looked(&relay, &unused, 4104);
    cr_assert_eq(relay.state, RELAY_PUBLISHING);
    cr_assert_eq(relay_next(&relay, 4104).first, 1);
    struct relay_tail expiring = { OURS,           .first_sequence = 11, .last_sequence = 30,
                                   .messages = 20, .position = 30,       .expires = 1 };
    relay_init(&relay, &config, 30);
    relay_connected(&relay, 0);
    relay_looked(&relay, &expiring, 0);
    static const int64_t left[][2] = { { 19, 30 }, { 11, 18 }, { 19, 30 } };
    for (int i = 0; i < 3; i++) { /* what has expired is not asked for */
        struct relay_action action = relay_next(&relay, 1000 * (i + 1));
        cr_assert(action.kind == RELAY_AUDIT && action.first == left[i][0] &&
                      action.last == left[i][1],
                  "part %d: %lld to %lld", i, (long long)action.first, (long long)action.last);
    }
}

/* Many advisories are one look, and none comes sooner than advised_min_ms after the last. No part
 * of the stream is read, and the audit comes when it would have. */
Test(relay_audit, F5_what_was_just_set_is_looked_at_at_once)
{
    struct relay relay;
    relay_init(&relay, &config, 30);
    relay_advised(&relay, 0); /* before it publishes: what the look has seen may be older */
    relay_connected(&relay, 0);
    relay_looked(&relay, &equal_30, 10);
    cr_assert_eq(relay_due_ms(&relay), 200);
    struct relay_action action = relay_next(&relay, 200);
    cr_assert(action.kind == RELAY_AUDIT && action.first == 0 && action.last == 0);
    cr_assert_eq(relay_next(&relay, 201).kind, RELAY_NOTHING);
    relay_advised(&relay, 220);
    relay_advised(&relay, 230);
    cr_assert_eq(relay_due_ms(&relay), 400);
    cr_assert_eq(relay_next(&relay, 399).kind, RELAY_NOTHING);
    cr_assert_eq(relay_next(&relay, 400).kind, RELAY_AUDIT);
    /* more is acknowledged before the answer, which does not know it */
    relay_grew(&relay, 40, 401);
    cr_assert_eq(relay_next(&relay, 401).kind, RELAY_PUBLISH);
    relay_acked(&relay, relay.epoch, 40, 402);
    relay_advised(&relay, 610);
    cr_assert_eq(relay_next(&relay, 610).kind, RELAY_AUDIT);
    relay_audited(&relay, &equal_30, 611);
    cr_assert_eq(relay.state, RELAY_PUBLISHING, "%s", relay.reason);
    action = relay_next(&relay, 1010);
    cr_assert(action.kind == RELAY_AUDIT && action.first == 29 && action.last == 40);
    relay_audited(&relay, &equal_30, 1011); /* now it is asked after 40 */
    cr_assert_eq(relay.state, RELAY_WAITING);
}

/* What has come meanwhile was acknowledged: the audit goes on where it was. */
Test(relay_audit, goes_on_backwards_while_the_stream_grows)
{
    struct relay relay;
    relay_init(&relay, &config, 30);
    relay_connected(&relay, 0);
    relay_looked(&relay, &equal_30, 0);
    relay_next(&relay, 1000);
    relay_grew(&relay, 40, 1001);
    cr_assert_eq(relay_next(&relay, 1001).kind, RELAY_PUBLISH);
    relay_acked(&relay, relay.epoch, 40, 1002);
    struct relay_action action = relay_next(&relay, 2000);
    cr_expect(action.first == 7 && action.last == 18);
    action = relay_next(&relay, 3000);
    cr_expect(action.first == 1 && action.last == 6);
    action = relay_next(&relay, 4000);
    cr_expect(action.first == 29 && action.last == 40);
}

Test(relay_audit, knows_where_an_event_belongs)
{
    static const struct relay_tail repeated = { OURS, .first_sequence = 1, .last_sequence = 33,
                                                .messages = 33, .position = 30 };
    struct relay relay;
    int64_t low, high;
    relay_init(&relay, &config, 30);
    relay_connected(&relay, 0);
    relay_looked(&relay, &repeated, 0);
    relay_place(&relay, 20, &low, &high);
    cr_expect(low == 17 && high == 20);
}

/* Publishes the next event `times` times, each time refused because another sequence was
 * expected. */
static int64_t denied(struct relay *relay, const struct relay_tail *tail, int times, int64_t now_ms)
{
    for (int i = 0; i < times; i++) {
        now_ms += 1000;
        cr_assert_eq(relay_next(relay, now_ms).kind, RELAY_ASK);
        relay_looked(relay, tail, now_ms);
        cr_assert_eq(relay_next(relay, now_ms).kind, RELAY_PUBLISH);
        relay_denied(relay, relay->epoch, "another sequence", now_ms);
    }
    return now_ms + 1000;
}

Test(relay_audit, F15_a_server_that_contradicts_itself_gets_a_new_stream)
{
    static const struct relay_tail equal_31 = { HEALTHY(31) };
    struct relay relay;
    relay_init(&relay, &config, 40);
    relay_connected(&relay, 0);
    /* the first refusal was of a whole window, and does not count */
    int64_t now_ms = denied(&relay, &equal_30, 4, 0);
    cr_assert_eq(relay_next(&relay, now_ms).kind, RELAY_ASK);
    relay_looked(&relay, &equal_31, now_ms); /* one was on its way: the stream moves */
    cr_assert_eq(relay.state, RELAY_PUBLISHING);
    relay_next(&relay, now_ms);
    relay_denied(&relay, relay.epoch, "another sequence", now_ms);
    now_ms = denied(&relay, &equal_31, 3, now_ms);
    cr_assert_eq(relay_next(&relay, now_ms).kind, RELAY_ASK);
    relay_looked(&relay, &equal_31, now_ms);
    cr_assert_eq(relay_next(&relay, now_ms).kind, RELAY_DELETE_STREAM);
    cr_assert_eq(relay.remade, 1);
}
