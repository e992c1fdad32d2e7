/* Take payment: what happens to an order after it was placed, without anybody asking. It watches
 * the log, has the provider charge the card, and says how it went:
 *
 *     OrderPlaced ──► charge card, attempt 1 ──paid──────────────────────► OrderPaid
 *                        ▲     │ declined
 *      PaymentFailed,    │     ▼
 *      the next card  ◄──┴── a usable card that is untried?
 *                        ▲     │ none: PaymentFailed, the order waits
 *             CardAdded  │     ▼
 *                        └── waiting ──deadline──► OrderCancelled
 *
 * An order that was cancelled, by the customer or by the deadline, may have been charged all the
 * same: its last charge is always taken back, and a payment that comes too late is, too.
 *
 * Numbered, because they must hold whatever fails:
 *  P1. The key of a charge is order and attempt. An attempt ends only with the provider's word, so
 *  no
 *      answer means the same key again, and two attempts are never both open.
 *  P2. The tables decide, not this memory: each answer is held against the order as it is now, so
 *  that
 *      an answer that comes twice, late, or beside a cancellation in the same batch does nothing
 *      wrong.
 *  P3. This memory is bounded. Orders that find no room wait in the table and are found by a scan
 *      that goes on where it stopped; it is the same scan that finds new orders, and all after a
 *      restart.
 *  P4. A step does a bounded amount. What is left is due at once.
 */
#include "take_payment.h"
#include "base/log.h"
#include "journeys.h"
#include "schemas/evt.account.CardAdded.h"
#include "schemas/evt.order.OrderPaid.h"
#include "schemas/evt.order.PaymentFailed.h"
#include "schemas/psp.charge.reply.h"
#include <stdio.h>
#include <string.h>

#define KNOWN_PER_SENT 16 /* charges that we keep in memory for each that may be in flight */
#define INFLIGHT_MAX 65536
#define TIMEOUT_MAX_MS (3600 * 1000)

/* ---- Answers --------------------------------------------------------------------------------- */

static void note_provider(struct payments *p, const struct answer *answer)
{
    if (answer->outcome == ANSWER_INVALID)
        log_warn("payment_answer_invalid", LOG_TEXT("provider", p->provider->name),
                 LOG_TEXT("order", answer->tag));
    _Bool away = answer->outcome == ANSWER_UNREACHABLE;
    if (away == p->provider_away || (!away && answer->outcome != ANSWER_RECEIVED))
        return;
    p->provider_away = away;
    log_info(away ? "payment_provider_away" : "payment_provider_back",
             LOG_TEXT("provider", p->provider->name));
}

static int charge_paid(struct journey *j, const struct payment *payment)
{
    struct order_paid paid = {
        .order_id = payment->order_id,
        .account_id = payment->account_id,
        .card_id = payment->card_id,
        .attempt = payment->attempt,
        .amount = payment->amount,
    };
    return trace(journey_emit(j, &order_paid_schema, payment->order_id, &paid));
}

static int charge_declined(struct journey *j, const struct payment *payment, const char *reason)
{
    struct payment_failed failed = {
        .order_id = payment->order_id,
        .account_id = payment->account_id,
        .card_id = payment->card_id,
        .reason = reason ? reason : "declined",
        .attempt = payment->attempt,
    };
    int r = customer_next_card(j, payment, &failed.next_card_id);
    if (r == 0)
        r = journey_emit(j, &payment_failed_schema, payment->order_id, &failed);
    return trace(r);
}

/* Money that nobody expects: the order was cancelled, or another attempt has been paid or is open.
 * A second "paid" for the attempt that the order was paid by is just that, said twice. */
static void charge_too_late(struct payments *p, struct journey *j, const struct payment *payment,
                            int64_t attempt)
{
    _Bool expected = (payment->status == ORDER_PAID || payment->status == ORDER_SHIPPED) &&
                     payment->attempt == attempt;
    if (expected || asks_find(&p->voids, payment->order_id, attempt))
        return;
    log_warn("payment_too_late", LOG_TEXT("order", payment->order_id), LOG_INT("attempt", attempt));
    if (!asks_add(&p->voids, payment->order_id, attempt, journey_now_ms(j)))
        log_error("payment_not_taken_back", LOG_TEXT("order", payment->order_id),
                  LOG_INT("attempt", attempt));
}

static int charge_answered(struct payments *p, struct journey *j, const struct answer *answer)
{
    struct ask *ask = asks_find(&p->charges, answer->tag, answer->number);
    if (answer->outcome != ANSWER_RECEIVED) {
        if (ask && ask->state == ASK_SENT)
            payments_rest(p, &p->charges, ask, journey_now_ms(j));
        return 0;
    }
    if (ask)
        asks_remove(&p->charges, ask);
    const struct psp_charge_reply *reply = answer->body;
    _Bool is_paid = strcmp(reply->status, "paid") == 0;
    struct payment payment;
    int r = payment_find(j, answer->tag, &payment);
    if (r <= 0)
        return trace(r);
    if (payment.attempt != answer->number || !payment.card_id ||
        !order_may_become(payment.status, ORDER_PAID)) {
        if (is_paid)
            charge_too_late(p, j, &payment, answer->number);
        return 0;
    }
    r = journey_follow(j, payment.position);
    if (r == 0)
        r = is_paid ? charge_paid(j, &payment) : charge_declined(j, &payment, reply->reason);
    if (r == 0 && payment.card_is_chosen)
        r = payment_forget_choice(j, payment.order_id);
    return trace(r);
}

static void void_answered(struct payments *p, struct journey *j, const struct answer *answer)
{
    struct ask *ask = asks_find(&p->voids, answer->tag, -answer->number);
    if (ask && answer->outcome == ANSWER_RECEIVED)
        asks_remove(&p->voids, ask);
    else if (ask && ask->state == ASK_SENT)
        payments_rest(p, &p->voids, ask, journey_now_ms(j));
}

static int answered(void *state, struct journey *j, const struct answer *answer)
{
    note_provider(state, answer);
    if (answer->number > 0)
        return trace(charge_answered(state, j, answer));
    void_answered(state, j, answer);
    return 0;
}

/* ---- Beginning, watching, ending ------------------------------------------------------------- */

static int observe(void *state, struct journey *j, const struct event *event)
{
    (void)j;
    struct payments *p = state;
    if (strcmp(event->type, "OrderPlaced") == 0) {
        p->charges_more = 1;
    } else if (strcmp(event->type, "PaymentFailed") == 0) {
        const struct payment_failed *failed = event->value;
        if (failed->next_card_id)
            p->charges_more = 1;
        else
            p->waiting_due_ms = 0;
    } else if (strcmp(event->type, "OrderCancelled") == 0) {
        p->voids_more = 1;
    } else if (strcmp(event->type, "CardAdded") == 0 && p->woken_count < WOKEN_MAX) {
        const struct card_added *added = event->value;
        snprintf(p->woken[p->woken_count++], ID_SIZE, "%s", added->account_id);
    } else if (strcmp(event->type, "CardAdded") == 0) {
        p->all_woken = 1;
    }
    return 0;
}

static void payments_free(void *state)
{
    struct payments *p = state;
    if (!p)
        return;
    asks_deinit(&p->charges);
    asks_deinit(&p->voids);
    free(p);
}

static int bounded_option(struct journey *j, const char *name, int min, int max)
{
    int64_t value = journey_option_int(j, name);
    return value < min ? min : value > max ? max : (int)value;
}

static int payments_setup(struct payments *p, struct journey *j)
{
    const char *payment = journey_option(j, "payment");
    if (strcmp(payment, payment_sandbox.name) == 0)
        p->provider = &payment_sandbox;
    else if (strcmp(payment, payment_nats.name) == 0)
        p->provider = &payment_nats;
    else
        return fail(ERR_CONFIG, "payment is sandbox or nats, not %s", payment);
    p->timeout_ms = bounded_option(j, "payment-timeout-ms", 1, TIMEOUT_MAX_MS);
    p->inflight_max = bounded_option(j, "payment-inflight-max", 1, INFLIGHT_MAX);
    p->charges_more = p->voids_more = p->all_woken = 1;
    p->rescan_ms = INT64_MAX;
    int r = asks_init(&p->charges, "charge", p->inflight_max * KNOWN_PER_SENT);
    if (r == 0)
        r = asks_init(&p->voids, "void", p->inflight_max);
    if (r == 0)
        r = void_mark_read(j, &p->void_mark);
    p->void_cursor = p->void_mark;
    return trace(r);
}

static int start(struct journey *j, void **ret_state)
{
    struct payments *p = calloc(1, sizeof(*p));
    if (!p)
        return fail(ERR_MEMORY, "no memory for payments");
    int r = payments_setup(p, j);
    if (r < 0) {
        payments_free(p);
        return trace(r);
    }
    *ret_state = p;
    return 0;
}

const struct process take_payment = {
    .start = start,
    .free = payments_free,
    .observe = observe,
    .step = payments_step,
    .answered = answered,
};
