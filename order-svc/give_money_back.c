/* Give money back: two kinds of work (work.h). A charge that nobody wants any more is voided; money
 * of a charge that somebody asked back (order.refund) is refunded.
 *
 *     OrderCancelled, PaymentArrivedLate ──► void ──voided──────────────► done
 *                                            ▲  │ refused
 *                                            └──┴── TRIES_MAX times ────► VoidRefused
 *
 *     RefundRequested ──► refund ──refunded─────────────────────────────► OrderRefunded
 *                         ▲  │ refused
 *                         └──┴── TRIES_MAX times ───────────────────────► RefundFailed
 *
 * Without an answer both are asked for again and again, under the same key. What was refused is a
 * person's to settle: order.unsettled lists it, and the statistics count it (`stuck`). */
#include "base/log.h"
#include "journeys.h"
#include "payment_provider.h"
#include "schemas/evt.order.OrderRefunded.h"
#include "schemas/evt.order.RefundFailed.h"
#include "schemas/evt.order.VoidRefused.h"
#include "schemas/psp.refund.reply.h"
#include "schemas/psp.void.reply.h"
#include "tables.h"
#include <string.h>

#define TRIES_MAX 5 /* refusals of one void or refund, in one life of the process */

static int limits(struct journey *j, struct work_limits *limits)
{
    limits->timeout_ms = (int)journey_option_int(j, "payment-timeout-ms");
    limits->in_flight_max = (int)journey_option_int(j, "payment-inflight-max");
    limits->open_max = limits->in_flight_max;
    return 0;
}

static _Bool says(const char *status, const char *word)
{
    return status && strcmp(status, word) == 0;
}

/* ---- Void: every charge that nobody wants any more ------------------------------------------- */

static int void_ask(struct journey *j, const struct work *work)
{
    struct payment payment = { 0 };
    int r = payment_find(j, work->key, &payment);
    if (r == 0)
        r = payment_find_card(j, &payment);
    return r < 0 ? trace(r) : trace(payment_provider_of(j)->take_back(j, work, payment.card_token));
}

static int void_refused(struct journey *j, const struct work *work, const char *reason)
{
    struct payment payment;
    if (work->refusals + 1 < TRIES_MAX)
        return WORK_AGAIN;
    int r = payment_find(j, work->key, &payment);
    if (r == 0)
        r = void_is_refused(j, work->key, work->number);
    if (r != 0)
        return r < 0 ? trace(r) : 0; /* said before, or about nothing that we know */
    log_error("payment_not_taken_back", LOG_TEXT("order", payment.order_id),
              LOG_INT("attempt", work->number));
    struct void_refused refused = {
        .order_id = payment.order_id,
        .account_id = payment.account_id,
        .attempt = work->number,
        .amount = payment.amount,
        .reason = reason,
    };
    r = journey_follow(j, payment.position);
    if (r == 0)
        r = journey_emit(j, &void_refused_schema, payment.order_id, &refused);
    return trace(r);
}

static int void_answered(struct journey *j, const struct work *work, const void *body)
{
    const struct psp_void_reply *reply = body;
    if (says(reply->status, "voided"))
        return 0;
    return trace(void_refused(j, work, reply->reason ? reply->reason : "refused"));
}

static int void_unreadable(struct journey *j, const struct work *work)
{
    return trace(void_refused(j, work, "unreadable"));
}

static const char *void_opened_by(const struct event *event)
{
    _Bool opens = strcmp(event->type, "OrderCancelled") == 0 ||
                  strcmp(event->type, "PaymentArrivedLate") == 0;
    return opens ? "" : NULL;
}

static _Bool changes_unsettled(const struct event *event)
{
    return strcmp(event->type, "VoidRefused") == 0 || strcmp(event->type, "RefundFailed") == 0 ||
           strcmp(event->type, "OrderRefunded") == 0;
}

static int voids_stuck(struct journey *j, int64_t *ret_count)
{
    return trace(unsettled_count(j, UNSETTLED_VOID, ret_count));
}

static const struct work_source void_sources[] = {
    { .find = voids_find,
      .opened_by = void_opened_by,
      .mark_read = void_mark_read,
      .mark_write = void_mark_write },
    { 0 },
};

const struct work_type void_charge = {
    .name = "void",
    .log_names = &payment_log_names,
    .sources = void_sources,
    .limits = limits,
    .ask = void_ask,
    .answered = void_answered,
    .unreadable = void_unreadable,
    .count_stuck = voids_stuck,
    .changes_stuck = changes_unsettled,
};

/* ---- Refund: what was asked back ------------------------------------------------------------- */

/* The refund, while it is open: 0; WORK_GONE; < 0. */
static int open_refund(struct journey *j, const struct work *work, struct refund *ret_refund)
{
    if (work->row) {
        *ret_refund = *(const struct refund *)work->row;
        return 0;
    }
    int r = refund_find(j, work->key, work->number, ret_refund);
    if (r < 0)
        return trace(r);
    return r == NOT_FOUND || ret_refund->status != REFUND_REQUESTED ? WORK_GONE : 0;
}

static struct money money_of(const struct refund *refund, int64_t amount)
{
    return (struct money){ .amount = amount, .currency = refund->currency };
}

static int refund_ask(struct journey *j, const struct work *work)
{
    struct refund refund;
    int r = open_refund(j, work, &refund);
    if (r != 0)
        return trace(r);
    struct give_back give_back = {
        .card_token = refund.card_token,
        .attempt = refund.attempt,
        .amount = money_of(&refund, refund.amount),
    };
    return trace(payment_provider_of(j)->give_back(j, work, &give_back));
}

static int refund_done(struct journey *j, const struct refund *refund)
{
    int64_t refunded = refund->order_refunded + (refund->is_of_payment ? refund->amount : 0);
    struct order_refunded event = {
        .order_id = refund->order_id,
        .account_id = refund->account_id,
        .refund = refund->refund,
        .attempt = refund->attempt,
        .amount = money_of(refund, refund->amount),
        .refunded = money_of(refund, refunded),
    };
    int r = journey_follow(j, refund->position);
    if (r == 0)
        r = journey_emit(j, &order_refunded_schema, refund->order_id, &event);
    return trace(r);
}

static int refund_refused(struct journey *j, const struct work *work, const char *reason)
{
    struct refund refund;
    if (work->refusals + 1 < TRIES_MAX)
        return WORK_AGAIN;
    int r = open_refund(j, work, &refund);
    if (r != 0)
        return r < 0 ? trace(r) : 0;
    log_error("refund_failed", LOG_TEXT("order", refund.order_id),
              LOG_INT("refund", refund.refund));
    struct refund_failed failed = {
        .order_id = refund.order_id,
        .account_id = refund.account_id,
        .refund = refund.refund,
        .attempt = refund.attempt,
        .amount = money_of(&refund, refund.amount),
        .reason = reason,
    };
    r = journey_follow(j, refund.position);
    if (r == 0)
        r = journey_emit(j, &refund_failed_schema, refund.order_id, &failed);
    return trace(r);
}

static int refund_answered(struct journey *j, const struct work *work, const void *body)
{
    const struct psp_refund_reply *reply = body;
    struct refund refund;
    if (!says(reply->status, "refunded"))
        return trace(refund_refused(j, work, reply->reason ? reply->reason : "refused"));
    int r = refund_find(j, work->key, work->number, &refund);
    if (r < 0)
        return trace(r);
    if (r == 0 && refund.status == REFUND_FAILED) /* a person has it in hand */
        log_error("refund_done_after_all", LOG_TEXT("order", refund.order_id),
                  LOG_INT("refund", refund.refund));
    return r == 0 && refund.status == REFUND_REQUESTED ? trace(refund_done(j, &refund)) : 0;
}

static int refund_unreadable(struct journey *j, const struct work *work)
{
    return trace(refund_refused(j, work, "unreadable"));
}

static const char *refund_opened_by(const struct event *event)
{
    return strcmp(event->type, "RefundRequested") == 0 ? "" : NULL;
}

static int refunds_stuck(struct journey *j, int64_t *ret_count)
{
    return trace(unsettled_count(j, UNSETTLED_REFUND, ret_count));
}

static const struct work_source refund_sources[] = {
    { .find = refunds_find, .opened_by = refund_opened_by },
    { 0 },
};

const struct work_type refund_payment = {
    .name = "refund",
    .log_names = &payment_log_names,
    .sources = refund_sources,
    .limits = limits,
    .ask = refund_ask,
    .answered = refund_answered,
    .unreadable = refund_unreadable,
    .count_stuck = refunds_stuck,
    .changes_stuck = changes_unsettled,
};
