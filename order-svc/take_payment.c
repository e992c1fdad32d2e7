/* Take payment: what happens to an order after it was placed, without anybody asking. Two kinds of
 * work (work.h): charge a card, and end the waiting for a card. Two others give money back
 * (give_money_back.c).
 *
 *     OrderPlaced ──► charge card, attempt 1 ──paid, or nothing to pay───► OrderPaid
 *                        ▲     │ declined
 *      PaymentFailed,    │     ▼
 *      the next card  ◄──┴── a usable card that is untried?
 *                        ▲     │ none: PaymentFailed, the order waits
 *             CardAdded  │     ▼
 *                        └── waiting ──deadline──► OrderCancelled
 *
 * An order that was cancelled, by the customer or by the deadline, may have been charged all the
 * same: its last charge is always voided, and so is a payment that comes too late
 * (PaymentArrivedLate).
 *
 * A decline is hard or soft. A card that was declined hard is charged to no other order for which
 * nobody was asked yet: that order's attempt fails with the reason of the first decline. A new card
 * is tried by one waiting order of the account first.
 *
 * Numbered, because they must hold whatever fails:
 *  P1. The key of a charge is order and attempt. An attempt ends only with the provider's word, so
 *      no answer means the same key again, and two attempts are never both open.
 *  P2. The tables decide: each answer is held against the order as it is now, so that an answer
 *      that comes twice, late, or beside a cancellation in the same batch does nothing wrong.
 */
#include "base/log.h"
#include "journeys.h"
#include "payment_provider.h"
#include "schemas/evt.account.CardAdded.h"
#include "schemas/evt.order.OrderCancelled.h"
#include "schemas/evt.order.OrderPaid.h"
#include "schemas/evt.order.PaymentArrivedLate.h"
#include "schemas/evt.order.PaymentFailed.h"
#include "schemas/psp.charge.reply.h"
#include "tables.h"
#include <string.h>
#include <strings.h>

const struct payment_provider *payment_provider_of(const struct journey *j)
{
    const char *name = journey_option(j, "payment");
    return strcmp(name, payment_nats.name) == 0 ? &payment_nats : &payment_sandbox;
}

const struct work_log_names payment_log_names = {
    .away = "payment_provider_away",
    .back = "payment_provider_back",
    .invalid = "payment_answer_invalid",
};

static int limits(struct journey *j, struct work_limits *limits)
{
    limits->timeout_ms = (int)journey_option_int(j, "payment-timeout-ms");
    limits->in_flight_max = (int)journey_option_int(j, "payment-inflight-max");
    /* the sandbox answers with the next batch: nobody waits for one account's charges */
    if (payment_provider_of(j) != &payment_sandbox)
        limits->in_flight_each_max = (int)journey_option_int(j, "payment-inflight-per-account");
    return 0;
}

static int cancel_unpaid(struct journey *j, const struct payment *payment)
{
    struct order_cancelled cancelled = {
        .order_id = payment->order_id,
        .account_id = payment->account_id,
        .reason = "payment_deadline",
    };
    int r = journey_follow(j, payment->position);
    if (r == 0)
        r = journey_emit(j, &order_cancelled_schema, payment->order_id, &cancelled);
    return trace(r);
}

/* ---- Charge: orders that have a card to try -------------------------------------------------- */

/* The order, when this attempt is still to be charged: 0; WORK_GONE; < 0. */
static int payment_of(struct journey *j, const struct work *work, struct payment *ret_payment)
{
    if (work->row) {
        *ret_payment = *(const struct payment *)work->row;
        return 0;
    }
    struct payment payment;
    int r = payment_find(j, work->key, &payment);
    if (r < 0)
        return trace(r);
    if (r == NOT_FOUND || payment.attempt != work->number ||
        !order_may_become(payment.status, ORDER_PAID))
        return WORK_GONE;
    r = payment_find_card(j, &payment);
    if (r < 0)
        return trace(r);
    *ret_payment = payment;
    return 0;
}

/* How an attempt ends, as an event that follows from the order's newest. */
static int charge_paid(struct journey *j, const struct payment *payment)
{
    struct order_paid paid = {
        .order_id = payment->order_id,
        .account_id = payment->account_id,
        .card_id = payment->card_id,
        .attempt = payment->attempt,
        .amount = payment->amount,
    };
    int r = journey_follow(j, payment->position);
    if (r == 0)
        r = journey_emit(j, &order_paid_schema, payment->order_id, &paid);
    return trace(r);
}

static int charge_declined(struct journey *j, const struct payment *payment, const char *reason,
                           const char *decline)
{
    struct payment_failed failed = {
        .order_id = payment->order_id,
        .account_id = payment->account_id,
        .card_id = payment->card_id,
        .reason = reason ? reason : "declined",
        .attempt = payment->attempt,
        .decline = decline,
    };
    int r = customer_next_card(j, payment, &failed.next_card_id);
    if (r == 0)
        r = journey_follow(j, payment->position);
    if (r == 0)
        r = journey_emit(j, &payment_failed_schema, payment->order_id, &failed);
    return trace(r);
}

/* An attempt that ends before anybody was asked for it. */
static int end_unasked(struct journey *j, const struct payment *payment, int r)
{
    if (r == 0 && payment->card_is_chosen)
        r = payment_forget_choice(j, payment->order_id);
    return r < 0 ? trace(r) : WORK_GONE;
}

static int charge_ask(struct journey *j, const struct work *work)
{
    struct payment payment;
    int r = payment_of(j, work, &payment);
    if (r != 0)
        return trace(r);
    if (payment.amount.amount == 0)
        return end_unasked(j, &payment, charge_paid(j, &payment));
    if (payment.card_declined && !work->may_have_left)
        return end_unasked(j, &payment,
                           charge_declined(j, &payment, payment.card_declined, "known"));
    if (!payment.card_token) /* our projection is behind: it was wiped and is being read anew */
        return WORK_AGAIN;
    struct charge charge = { .card_token = payment.card_token, .amount = payment.amount };
    return trace(payment_provider_of(j)->charge(j, work, &charge));
}

/* NULL: hard. A provider need not say which kind of no it is: these reasons tell. */
static const char *kind_of_decline(const struct payment *payment,
                                   const struct psp_charge_reply *reply)
{
    static const char *const soft[] = {
        "insufficient_funds",     "try_again_later",
        "processor_unavailable",  "processing_error",
        "issuer_unavailable",     "temporarily_unavailable",
        "service_unavailable",    "timeout",
        "rate_limited",           "velocity_exceeded",
        "card_velocity_exceeded", "withdrawal_limit_exceeded",
        "amount_limit_exceeded",  "authentication_required",
    };
    const char *hard = payment->card_declined ? "known" : NULL; /* a card is declined once */
    if (reply->decline)
        return decline_is_hard(reply->decline) ? hard : "soft";
    for (size_t i = 0; reply->reason && i < sizeof(soft) / sizeof(soft[0]); i++)
        if (strcasecmp(reply->reason, soft[i]) == 0)
            return "soft";
    return hard;
}

/* Money that nobody expects: the order was cancelled, or another attempt has been paid or is open.
 * A second "paid" for the attempt that the order is paid by is just that, said twice. What was
 * voided before is voided once more. */
static int charge_too_late(struct journey *j, const struct payment *payment, int64_t attempt)
{
    _Bool is_expected = payment->attempt == attempt &&
                        (payment->status == ORDER_PAID || payment->status == ORDER_SHIPPED ||
                         payment->status == ORDER_REFUNDED);
    int r = is_expected ? 1 : late_payment_is_known(j, payment->order_id, attempt);
    if (r != 0)
        return r < 0 ? trace(r) : 0;
    log_warn("payment_too_late", LOG_TEXT("order", payment->order_id), LOG_INT("attempt", attempt));
    struct payment_arrived_late late = {
        .order_id = payment->order_id,
        .account_id = payment->account_id,
        .attempt = attempt,
        .amount = payment->amount,
    };
    r = journey_follow(j, payment->position);
    if (r == 0)
        r = journey_emit(j, &payment_arrived_late_schema, payment->order_id, &late);
    return trace(r);
}

static int charge_answered(struct journey *j, const struct work *work, const void *body)
{
    const struct psp_charge_reply *reply = body;
    _Bool is_paid = strcmp(reply->status, "paid") == 0;
    struct payment payment;
    int r = payment_find(j, work->key, &payment);
    if (r != 0)
        return r < 0 ? trace(r) : 0; /* an answer about nothing that we know */
    if (payment.attempt != work->number || !payment.card_id ||
        !order_may_become(payment.status, ORDER_PAID))
        return is_paid ? trace(charge_too_late(j, &payment, work->number)) : 0;
    if (is_paid) {
        r = charge_paid(j, &payment);
    } else {
        r = payment_find_card(j, &payment);
        if (r == 0)
            r = charge_declined(j, &payment, reply->reason, kind_of_decline(&payment, reply));
    }
    if (r == 0 && payment.card_is_chosen)
        r = payment_forget_choice(j, payment.order_id);
    return trace(r);
}

static int charge_expired(struct journey *j, const struct work *work)
{
    struct payment payment;
    int r = payment_of(j, work, &payment);
    if (r != 0)
        return r < 0 ? trace(r) : 0;
    return trace(cancel_unpaid(j, &payment));
}

static const char *charge_opened_by(const struct event *event)
{
    if (strcmp(event->type, "PaymentFailed") == 0)
        return ((const struct payment_failed *)event->value)->next_card_id ? "" : NULL;
    return strcmp(event->type, "OrderPlaced") == 0 ? "" : NULL;
}

/* A new card, for the orders of the account that wait for one; and the end of a later attempt,
 * which may have been the one that tried it: then it is the next order's turn. */
static const char *chosen_opened_by(const struct event *event)
{
    if (strcmp(event->type, "CardAdded") == 0)
        return ((const struct card_added *)event->value)->account_id;
    if (strcmp(event->type, "OrderCancelled") == 0)
        return ((const struct order_cancelled *)event->value)->account_id;
    if (strcmp(event->type, "OrderPaid") == 0) {
        const struct order_paid *paid = event->value;
        return paid->attempt > 1 ? paid->account_id : NULL;
    }
    if (strcmp(event->type, "PaymentFailed") == 0) {
        const struct payment_failed *failed = event->value;
        return failed->attempt > 1 ? failed->account_id : NULL;
    }
    return NULL;
}

static const struct work_source charge_sources[] = {
    { .find = chosen_charges_find, .opened_by = chosen_opened_by, .prepare = charges_choose_cards },
    { .find = charges_find, .opened_by = charge_opened_by },
    { 0 },
};

static const struct work_type charge_card = {
    .name = "charge",
    .log_names = &payment_log_names,
    .sources = charge_sources,
    .limits = limits,
    .ask = charge_ask,
    .answered = charge_answered,
    .expired = charge_expired,
};

/* ---- Waiting: orders that have no card to try ------------------------------------------------ */

static int waiting_expired(struct journey *j, const struct work *work)
{
    return trace(cancel_unpaid(j, work->row));
}

static const char *waiting_opened_by(const struct event *event)
{
    if (strcmp(event->type, "PaymentFailed") != 0)
        return NULL;
    return ((const struct payment_failed *)event->value)->next_card_id ? NULL : "";
}

static const struct work_source waiting_sources[] = {
    { .find = waiting_overdue_find, .opened_by = waiting_opened_by },
    { 0 },
};

static const struct work_type wait_for_card = {
    .name = "wait",
    .sources = waiting_sources,
    .expired = waiting_expired,
};

const struct work_type *const take_payment[] = {
    &charge_card, &wait_for_card, &void_charge, &refund_payment, NULL,
};
