/* Gate: what waits for a position leaves in its order, when that is confirmed, or is given up. */
#include "runtime/sync/gate.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct gate_config config = { .wait_ms = 100, .items_max = 3, .bytes_max = 1 << 20 };
static struct gate gate;

static void open_gate(void)
{
    gate_init(&gate, &config);
}

static void close_gate(void)
{
    gate_deinit(&gate);
}
TestSuite(gate, .init = open_gate, .fini = close_gate);

/* A request with its answer; the text tells which. */
static void hold_kind(enum item_kind kind, const char *answer, int64_t position, int64_t now_ms)
{
    struct item *item = item_new(kind);
    cr_assert(item);
    item->outcome = OUTCOME_DONE;
    buf_put_text(&item->body, answer);
    gate_hold_item(&gate, item, position, now_ms);
}

static void hold(const char *answer, int64_t position, int64_t now_ms)
{
    hold_kind(ITEM_COMMAND, answer, position, now_ms);
}

static void hold_call(const char *tag, int64_t position, int64_t now_ms)
{
    struct outbound_call *call = calloc(1, sizeof(*call));
    cr_assert(call);
    snprintf(call->tag, sizeof(call->tag), "%s", tag);
    gate_hold_call(&gate, call, position, now_ms);
}

/* All that leaves, oldest first: "a", or "-a" for one that was given up. */
static const char *leaves(int64_t confirmed, int64_t now_ms)
{
    static char text[256];
    struct item *item;
    enum gate_verdict verdict;
    *text = '\0';
    while ((verdict = gate_take_item(&gate, confirmed, now_ms, &item)) != GATE_HELD) {
        cr_assert_null(item->next);
        if (verdict == GATE_GIVEN_UP) {
            cr_assert_eq(item->outcome, OUTCOME_REFUSED);
            cr_assert_str_eq(item->refusal->code, "unconfirmed");
            cr_assert(item->refusal->is_transient && item->refusal->status == 503);
            strcat(text, "-");
        } else {
            cr_assert_eq(item->outcome, OUTCOME_DONE);
        }
        strcat(text, item->body.data);
        item_free(item);
    }
    return text;
}

static const char *calls_leave(int64_t confirmed, int64_t now_ms)
{
    static char text[256];
    struct outbound_call *call;
    enum gate_verdict verdict;
    *text = '\0';
    while ((verdict = gate_take_call(&gate, confirmed, now_ms, &call)) != GATE_HELD) {
        strcat(text, verdict == GATE_GIVEN_UP ? "-" : "");
        strcat(text, call->tag);
        outbound_call_free(call);
    }
    return text;
}

Test(gate, an_answer_leaves_when_its_position_is_confirmed)
{
    cr_assert_eq(gate_first_position(&gate), INT64_MAX);
    cr_assert_eq(gate_due_ms(&gate), INT64_MAX);
    hold("a", 5, 0);
    hold("b", 7, 1);
    cr_assert_eq(gate_first_position(&gate), 5);
    cr_assert_str_eq(leaves(4, 2), "");
    cr_assert_str_eq(leaves(6, 2), "a");
    cr_assert_eq(gate_first_position(&gate), 7);
    cr_assert_str_eq(leaves(7, 2), "b");
    cr_assert(gate.count == 0 && gate.bytes == 0 && gate.confirmed == 2 && gate.given_up == 0);
}

Test(gate, what_needs_nothing_new_leaves_at_once)
{
    hold("a", 5, 0);
    cr_assert_str_eq(leaves(5, 0), "a");
}

Test(gate, who_comes_later_never_overtakes)
{
    hold("a", 9, 0);
    hold_kind(ITEM_QUERY, "b", 3, 0); /* of an older snapshot */
    hold("c", 9, 0);
    cr_assert_str_eq(leaves(8, 1), "");
    cr_assert_str_eq(leaves(9, 1), "abc");
}

Test(gate, what_is_confirmed_may_go_back)
{
    hold("a", 5, 0);
    cr_assert_str_eq(leaves(5, 1), "a");
    hold("b", 5, 1); /* the stream has lost its tail meanwhile */
    cr_assert_str_eq(leaves(2, 2), "");
    cr_assert_str_eq(leaves(5, 3), "b");
}

Test(gate, what_waits_too_long_is_given_up)
{
    hold("a", 5, 0);
    hold("b", 6, 50);
    cr_assert_eq(gate_due_ms(&gate), 100);
    cr_assert_str_eq(leaves(4, 99), "");
    cr_assert_str_eq(leaves(4, 100), "-a");
    cr_assert_eq(gate_due_ms(&gate), 150);
    cr_assert_str_eq(leaves(6, 150), "b", "it is confirmed just in time");
    cr_assert(gate.confirmed == 1 && gate.given_up == 1);
}

Test(gate, it_says_to_whom_what_to_do)
{
    static const struct {
        enum item_kind kind;
        const char *says;
    } rows[] = { { ITEM_COMMAND, "ask again under the same Idempotency-Key" },
                 { ITEM_REDRIVE, "ask again under the same Idempotency-Key" },
                 { ITEM_QUERY, "in time; ask again" } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct item *item;
        hold_kind(rows[i].kind, "x", 5, 0);
        cr_assert_eq(gate_take_item(&gate, 4, 100, &item), GATE_GIVEN_UP);
        cr_expect(strstr(item->message, rows[i].says), "%s", item->message);
        item_free(item);
    }
}

Test(gate, beyond_the_bound_the_oldest_are_given_up)
{
    for (int i = 0; i < 5; i++)
        hold((const char *[]){ "a", "b", "c", "d", "e" }[i], 5, 0);
    cr_assert_str_eq(leaves(4, 1), "-a-b", "three may wait");
    cr_assert_eq(gate.count, 3);
    cr_assert_str_eq(leaves(5, 1), "cde");
}

Test(gate, bytes_are_bounded_too)
{
    static char large[1 << 20];
    memset(large, 'x', sizeof(large) - 1);
    hold("a", 5, 0);
    hold(large, 5, 0);
    struct item *item;
    cr_assert_eq(gate_take_item(&gate, 4, 1, &item), GATE_GIVEN_UP);
    item_free(item);
    cr_assert_eq(gate_take_item(&gate, 4, 1, &item), GATE_GIVEN_UP, "it alone is too large");
    item_free(item);
    cr_assert_eq(gate.bytes, 0);
}

Test(gate, a_gate_that_is_closed_gives_up_what_is_not_confirmed)
{
    hold("a", 5, 0);
    hold("b", 6, 0);
    hold_call("x", 6, 0);
    gate_close(&gate);
    cr_assert_str_eq(leaves(5, 1), "a-b");
    cr_assert_str_eq(calls_leave(5, 1), "-x");
    hold("c", 6, 2);
    cr_assert_str_eq(leaves(5, 2), "-c");
}

Test(gate, calls_wait_and_are_given_up_likewise)
{
    hold_call("x", 5, 0);
    hold_call("y", 4, 10);
    hold("a", 6, 20);
    cr_assert_eq(gate_first_position(&gate), 5);
    cr_assert_eq(gate_due_ms(&gate), 100);
    cr_assert_str_eq(calls_leave(4, 50), "");
    cr_assert_str_eq(calls_leave(5, 50), "xy");
    hold_call("z", 7, 60);
    cr_assert_str_eq(calls_leave(6, 160), "-z");
}

Test(gate, what_it_holds_goes_with_it)
{
    hold("a", 5, 0);
    hold_call("x", 5, 0);
}

/* Against a list of its own: whatever comes and is confirmed, nothing is lost, doubled or told too
 * early. */
Test(gate, a_long_walk_loses_nothing)
{
    int64_t head = 0, confirmed = 0, now_ms = 0, in = 0, out = 0, last = 0;
    uint64_t random = 7;
    const struct gate_config wide = { .wait_ms = 100, .items_max = 1000, .bytes_max = 1 << 30 };
    gate_init(&gate, &wide);
    for (int step = 0; step < 200000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const int dice = (int)(random >> 60);
        now_ms += dice == 0;
        head += dice < 4;
        const _Bool takes = step % 8000 < 6000; /* else the stream stands still */
        confirmed += takes && confirmed < head && dice >= 8;
        if (dice == 15 && step % 64 == 0)
            confirmed -= confirmed < 20 ? confirmed : 20; /* it has lost some */
        if (dice == 4 || dice == 5) {
            struct item *item = item_new(ITEM_COMMAND);
            item->outcome = OUTCOME_DONE;
            item->received_ns = ++in;
            gate_hold_item(&gate, item, head, now_ms);
        }
        struct item *item;
        enum gate_verdict verdict;
        while ((verdict = gate_take_item(&gate, confirmed, now_ms, &item)) != GATE_HELD) {
            cr_assert_eq(item->received_ns, ++last, "in the order in which they came");
            cr_assert(verdict == GATE_GIVEN_UP || item->depends_on <= confirmed);
            cr_assert(verdict == GATE_CONFIRMED || item->give_up_ms <= now_ms);
            out++;
            item_free(item);
        }
        cr_assert_eq(gate.count, in - out);
    }
    cr_assert(gate.confirmed > 1000 && gate.given_up > 1000);
}
