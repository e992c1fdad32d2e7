/* Gate's I/O: see gate_io.h. */
#include "runtime/outbound/gate_io.h"
#include "base/crash.h"
#include "base/log.h"
#include "runtime/request/reply.h"
#include <assert.h>

#define URGENT_REPLIES_MAX 8 /* a write call each; more than that go gathered */

void gate_io_init(struct gate_io *gate_io, struct outbound *outbound, struct call_io *calls,
                  int64_t wait_ms)
{
    struct gate_config config = gate_defaults;
    config.wait_ms = wait_ms;
    *gate_io = (struct gate_io){ .outbound = outbound, .calls = calls };
    gate_init(&gate_io->gate, &config);
}

void gate_io_deinit(struct gate_io *gate_io)
{
    gate_deinit(&gate_io->gate);
}

static enum bus_urgency urgency_of(int64_t replies)
{
    return replies > URGENT_REPLIES_MAX ? BUS_BULK : BUS_URGENT;
}

/* ---- Committed: all at once ------------------------------------------------------------------ */

static int count_replies(const struct batch *batch)
{
    int count = 0;
    for (const struct item *item = batch->items; item && count <= URGENT_REPLIES_MAX;
         item = item->next)
        count += item->kind == ITEM_COMMAND;
    return count;
}

static void send_all(struct gate_io *gate_io, struct batch *batch, int64_t now_ms)
{
    /* First those who wait for us: the commit is done (rule 4). */
    const enum bus_urgency urgency = urgency_of(count_replies(batch));
    crash_point("before_reply");
    for (struct item *item = batch->items; item; item = item->next)
        if (item->kind == ITEM_COMMAND)
            reply_send(gate_io->outbound->bus, urgency, item);
    crash_point("after_reply");
    /* Then the world outside, which may take its time. */
    call_io_make(gate_io->calls, &batch->calls, now_ms);
}

/* ---- Published: held ------------------------------------------------------------------------- */

static void hold_all(struct gate_io *gate_io, struct batch *batch, int64_t now_ms)
{
    const int64_t position = batch->at.head.position;
    struct item **place = &batch->items;
    while (*place) {
        struct item *item = *place;
        if (item->kind == ITEM_COMMAND) {
            *place = item->next;
            gate_hold_item(&gate_io->gate, item, position, now_ms);
        } else {
            place = &item->next;
        }
    }
    batch->last_item = place;
    while (batch->calls) {
        struct outbound_call *call = batch->calls;
        batch->calls = call->next;
        gate_hold_call(&gate_io->gate, call, position, now_ms);
    }
    batch->last_call = &batch->calls;
}

void gate_io_settle(struct gate_io *gate_io, struct batch *batch, int64_t now_ms)
{
    owner_assert(&gate_io->outbound->owner);
    assert(!batch->outcome_unknown);
    /* what was rolled back depends on nothing */
    if (gate_io->outbound->status->answers_wait && !batch->aborted)
        hold_all(gate_io, batch, now_ms);
    else
        send_all(gate_io, batch, now_ms);
}

void gate_io_answer(struct gate_io *gate_io, struct item *item, int64_t now_ms)
{
    owner_assert(&gate_io->outbound->owner);
    assert(gate_io->outbound->status->answers_wait);
    gate_hold_item(&gate_io->gate, item, item->depends_on, now_ms);
}

/* Once when it begins, once when it is over: each answer says it to who waits for it. */
static void tell(struct gate_io *gate_io, enum gate_verdict verdict, const struct relay *relay)
{
    const _Bool gives_up = verdict == GATE_GIVEN_UP;
    if (gives_up == gate_io->gives_up)
        return;
    gate_io->gives_up = gives_up;
    log_at(gives_up ? LOG_WARN : LOG_INFO, gives_up ? "unconfirmed" : "confirmed",
           LOG_INT("position", relay->head), LOG_INT("published", relay->published),
           LOG_TEXT("relay", relay_state_name(relay->state)), LOG_INT("held", gate_io->gate.count),
           LOG_TEXT("help", gives_up ? "answers wait for the stream (--answer-when published), and "
                                       "it does not take events in time: see the relay's state"
                                     : NULL));
}

static void send_items(struct gate_io *gate_io, const struct relay *relay, int64_t now_ms)
{
    struct gate *gate = &gate_io->gate;
    const enum bus_urgency urgency = urgency_of(gate->count);
    struct item *item;
    enum gate_verdict verdict;
    while ((verdict = gate_take_item(gate, relay->published, now_ms, &item)) != GATE_HELD) {
        crash_point("before_reply");
        reply_send(gate_io->outbound->bus, urgency, item);
        crash_point("after_reply");
        item_free(item);
        tell(gate_io, verdict, relay);
    }
}

static void send_calls(struct gate_io *gate_io, const struct relay *relay, int64_t now_ms)
{
    struct outbound_call *call;
    enum gate_verdict verdict;
    while ((verdict = gate_take_call(&gate_io->gate, relay->published, now_ms, &call)) !=
           GATE_HELD) {
        if (verdict == GATE_CONFIRMED)
            call_io_make(gate_io->calls, &call, now_ms);
        else
            call_io_give_up(gate_io->calls, call);
    }
}

void gate_io_act(struct gate_io *gate_io, const struct relay *relay, int64_t now_ms)
{
    struct status *status = gate_io->outbound->status;
    owner_assert(&gate_io->outbound->owner);
    if (!status->answers_wait)
        return;
    if (relay->state == RELAY_FORKED) /* it ends with the service */
        gate_close(&gate_io->gate);
    send_items(gate_io, relay, now_ms);
    send_calls(gate_io, relay, now_ms);
    atomic_store(&status->answers_held, gate_io->gate.count);
    atomic_store(&status->unconfirmed, gate_io->gate.given_up);
}

void gate_io_end(struct gate_io *gate_io, const struct relay *relay, int64_t now_ms)
{
    gate_close(&gate_io->gate);
    gate_io_act(gate_io, relay, now_ms);
}

int64_t gate_io_due_ms(const struct gate_io *gate_io)
{
    return gate_due_ms(&gate_io->gate);
}
