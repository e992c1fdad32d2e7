/* Gate: see gate.h. */
#include "runtime/sync/gate.h"
#include "base/guard.h"
#include "base/smaller.h"
#include <assert.h>

#define MIB (INT64_C(1024) * 1024)

const struct gate_config gate_defaults = {
    .wait_ms = 2000,
    .items_max = 65536,
    .bytes_max = 256 * MIB,
};

static const char *const unconfirmed[] = {
    [ITEM_COMMAND] = "taken here, and not confirmed by the stream in time: it may have happened; "
                     "ask again under the same Idempotency-Key",
    [ITEM_QUERY] = "what the answer rests on was not confirmed by the stream in time; ask again",
};

void gate_check(const struct gate *gate)
{
    assert(!*gate->last_item && (gate->items || gate->last_item == &gate->items)); /* G1 */
    assert(!*gate->last_call && (gate->calls || gate->last_call == &gate->calls)); /* G1 */
    assert(!gate->items || (gate->items->depends_on <= gate->item_position &&      /* G1 */
                            gate->items->give_up_ms <= gate->item_ms));
    assert(!gate->calls || (gate->calls->depends_on <= gate->call_position && /* G1 */
                            gate->calls->give_up_ms <= gate->call_ms));
    assert((gate->count == 0) == !gate->items && (gate->bytes == 0) == !gate->items); /* G2 */
}

void gate_init(struct gate *gate, const struct gate_config *config)
{
    *gate = (struct gate){ .config = *config };
    gate->last_item = &gate->items;
    gate->last_call = &gate->calls;
    assert(config->wait_ms > 0 && config->items_max > 0 && config->bytes_max > 0);
    gate_check(gate);
}

void gate_deinit(struct gate *gate)
{
    item_list_free(gate->items);
    while (gate->calls) {
        struct outbound_call *next = gate->calls->next;
        outbound_call_free(gate->calls);
        gate->calls = next;
    }
    *gate = (struct gate){ .config = gate->config };
}

static int64_t bytes_of(const struct item *item)
{
    return (int64_t)(sizeof(*item) + item->body.capacity + arena_bytes(&item->arena));
}

void gate_hold_item(struct gate *gate, struct item *item, int64_t position, int64_t now_ms)
{
    assert(item->outcome == OUTCOME_DONE || item->outcome == OUTCOME_REFUSED);
    item->next = NULL;
    item->depends_on = gate->item_position = larger(position, gate->item_position);
    item->give_up_ms = gate->item_ms = larger(now_ms + gate->config.wait_ms, gate->item_ms);
    *gate->last_item = item;
    gate->last_item = &item->next;
    gate->count++;
    gate->bytes += bytes_of(item);
    gate_check(gate);
}

void gate_hold_call(struct gate *gate, struct outbound_call *call, int64_t position, int64_t now_ms)
{
    call->next = NULL;
    call->depends_on = gate->call_position = larger(position, gate->call_position);
    call->give_up_ms = gate->call_ms = larger(now_ms + gate->config.wait_ms, gate->call_ms);
    *gate->last_call = call;
    gate->last_call = &call->next;
    gate_check(gate);
}

void gate_close(struct gate *gate)
{
    gate->closed = 1;
}

static void make_unconfirmed(struct item *item)
{
    item->outcome = OUTCOME_REFUSED;
    item->refusal = refusal_of(REFUSED_UNCONFIRMED);
    item->message = unconfirmed[item->kind == ITEM_QUERY ? ITEM_QUERY : ITEM_COMMAND];
}

static enum gate_verdict judge(const struct gate *gate, int64_t depends_on, int64_t give_up_ms,
                               int64_t confirmed, int64_t now_ms)
{
    if (depends_on <= confirmed || !GUARD(gate))
        return GATE_CONFIRMED;
    return gate->closed || give_up_ms <= now_ms ? GATE_GIVEN_UP : GATE_HELD;
}

enum gate_verdict gate_take_item(struct gate *gate, int64_t confirmed, int64_t now_ms,
                                 struct item **ret_item)
{
    struct item *item = gate->items;
    if (!item)
        return GATE_HELD;
    enum gate_verdict verdict = judge(gate, item->depends_on, item->give_up_ms, confirmed, now_ms);
    if (verdict == GATE_HELD &&
        (gate->count > gate->config.items_max || gate->bytes > gate->config.bytes_max))
        verdict = GATE_GIVEN_UP; /* G3 */
    if (verdict == GATE_HELD)
        return GATE_HELD;
    gate->items = item->next;
    if (!gate->items)
        gate->last_item = &gate->items;
    item->next = NULL;
    gate->count--;
    gate->bytes -= bytes_of(item);
    gate->confirmed += verdict == GATE_CONFIRMED;
    gate->given_up += verdict == GATE_GIVEN_UP;
    if (verdict == GATE_GIVEN_UP)
        make_unconfirmed(item);
    gate_check(gate);
    *ret_item = item;
    return verdict;
}

enum gate_verdict gate_take_call(struct gate *gate, int64_t confirmed, int64_t now_ms,
                                 struct outbound_call **ret_call)
{
    struct outbound_call *call = gate->calls;
    enum gate_verdict verdict =
        call ? judge(gate, call->depends_on, call->give_up_ms, confirmed, now_ms) : GATE_HELD;
    if (verdict == GATE_HELD)
        return GATE_HELD;
    gate->calls = call->next;
    if (!gate->calls)
        gate->last_call = &gate->calls;
    call->next = NULL;
    gate_check(gate);
    *ret_call = call;
    return verdict;
}

int64_t gate_due_ms(const struct gate *gate)
{
    return smaller(gate->items ? gate->items->give_up_ms : INT64_MAX,
                   gate->calls ? gate->calls->give_up_ms : INT64_MAX);
}

int64_t gate_first_position(const struct gate *gate)
{
    return smaller(gate->items ? gate->items->depends_on : INT64_MAX,
                   gate->calls ? gate->calls->depends_on : INT64_MAX);
}
