/* Refunds: money that goes back, and what could not go back. All questions walk a partial index or
 * the rows of one order, which are at most REFUNDS_MAX (refund_order.c). */
#include "schemas/evt.order.OrderRefunded.h"
#include "schemas/evt.order.PaymentArrivedLate.h"
#include "schemas/evt.order.RefundFailed.h"
#include "schemas/evt.order.RefundRequested.h"
#include "schemas/evt.order.VoidRefused.h"
#include "schemas/order.unsettled.reply.h"
#include "store/row.h"
#include "tables.h"
#include <string.h>

/* ---- Refunds --------------------------------------------------------------------------------- */

#define REFUND_COLUMNS                                                                  \
    "r.order_id, r.refund, r.attempt, r.amount, r.status AS refund_status, r.position," \
    " o.account_id, o.currency, o.amount AS order_amount, o.refunded,"                  \
    " o.paid_position IS NOT NULL AND o.attempt = r.attempt AS is_of_payment, c.token"
#define REFUND_TABLES                                 \
    " CROSS JOIN orders o ON o.order_id = r.order_id" \
    " LEFT JOIN customer_cards c ON c.account_id = o.account_id AND c.card_id = o.card_id"

static struct refund refund_of(struct row *row)
{
    return (struct refund){
        .order_id = row_text(row, "order_id"),
        .account_id = row_text(row, "account_id"),
        .currency = row_text(row, "currency"),
        .card_token = row_text(row, "token"),
        .refund = row_int(row, "refund"),
        .attempt = row_int(row, "attempt"),
        .amount = row_int(row, "amount"),
        .order_amount = row_int(row, "order_amount"),
        .order_refunded = row_int(row, "refunded"),
        .is_of_payment = row_bool(row, "is_of_payment"),
        .status = (enum refund_status)row_int(row, "refund_status"),
        .position = row_int(row, "position"),
    };
}

int refund_find(struct journey *j, const char *order_id, int64_t refund, struct refund *ret_refund)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j),
                       "SELECT " REFUND_COLUMNS " FROM refunds r" REFUND_TABLES
                       " WHERE r.order_id = ?1 AND r.refund = ?2",
                       "si", order_id, refund);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct refund found = refund_of(&row);
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_refund = found;
    return 0;
}

int refunds_find(struct journey *j, struct work_page *page)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j),
                       "SELECT " REFUND_COLUMNS
                       " FROM refunds r INDEXED BY refunds_open" REFUND_TABLES
                       " WHERE r." REFUND_IS_OPEN " AND r.position > ?1"
                       " ORDER BY r.position LIMIT ?2",
                       "ii", page->after, (int64_t)page->max);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    while (r == 0 && query_has_row(&q)) {
        struct refund *refund = arena_alloc(row.arena, sizeof(*refund));
        if (!refund)
            return fail(ERR_MEMORY, "no memory for a refund");
        *refund = refund_of(&row);
        page->found[page->count++] = (struct work_found){
            .key = refund->order_id,
            .number = refund->refund,
            .place = refund->position,
            .owner = refund->account_id,
            .row = refund,
        };
    }
    return r < 0 ? trace(r) : trace(row_status(&row));
}

/* A charge holds money when the order is paid by it, or when it could not be taken back. */
int refundable_find(struct journey *j, const char *order_id, int64_t attempt,
                    struct refundable *ret_refundable)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(
        &q, journey_db(j),
        "SELECT o.account_id, o.currency, o.status, h.attempt,"
        " o.amount - (SELECT coalesce(sum(r.amount), 0) FROM refunds r WHERE r.order_id = ?1"
        "   AND r.attempt = h.attempt AND r.status <> ?3) AS amount_left,"
        " (SELECT count(*) FROM refunds r WHERE r.order_id = ?1) + 1 AS next_refund"
        " FROM orders o LEFT JOIN"
        "  (SELECT attempt, 1 AS place FROM orders WHERE order_id = ?1"
        "     AND paid_position IS NOT NULL"
        "   UNION ALL SELECT attempt, 2 FROM unsettled WHERE order_id = ?1 AND cause = ?4) h"
        "  ON ?2 = 0 OR h.attempt = ?2"
        " WHERE o.order_id = ?1 ORDER BY h.place, h.attempt LIMIT 1",
        "siii", order_id, attempt, (int64_t)REFUND_FAILED, (int64_t)UNSETTLED_VOID);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct refundable refundable = {
        .account_id = row_text(&row, "account_id"),
        .currency = row_text(&row, "currency"),
        .status = (enum order_status)row_int(&row, "status"),
        .attempt = row_int(&row, "attempt"),
        .left = row_int(&row, "amount_left"),
        .next_refund = row_int(&row, "next_refund"),
    };
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_refundable = refundable;
    return 0;
}

int refund_requested_apply(struct db *db, const struct event *event)
{
    const struct refund_requested *requested = event->value;
    return trace(db_exec(db,
                         "INSERT INTO refunds (order_id, refund, attempt, amount, status,"
                         " asked_for, requested_ms, position)"
                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                         "siiiisii", requested->order_id, requested->refund, requested->attempt,
                         requested->amount.amount, (int64_t)REFUND_REQUESTED, requested->reason,
                         event->time_ms, event->position));
}

static int refund_end(struct db *db, const struct event *event, const char *order_id,
                      int64_t refund, enum refund_status status, const char *reason)
{
    return trace(db_changed_one(
        db, db_exec(db,
                    "UPDATE refunds SET status = ?3, ended_ms = ?4, ended_position = ?5,"
                    " ended_reason = ?6 WHERE order_id = ?1 AND refund = ?2 AND " REFUND_IS_OPEN,
                    "siiiis", order_id, refund, (int64_t)status, event->time_ms, event->position,
                    reason)));
}

/* The last of the payment of an order that has not left the house: it ends, its stock returns. */
static int order_end_refunded(struct db *db, const char *order_id)
{
    int r = db_has_row(
        db, "SELECT 1 FROM orders WHERE order_id = ?1 AND status = ?2 AND refunded = amount", "si",
        order_id, (int64_t)ORDER_PAID);
    if (r <= 0)
        return trace(r);
    r = products_return(db, order_id);
    if (r == 0)
        r = db_exec(db, "UPDATE orders SET status = ?2 WHERE order_id = ?1", "si", order_id,
                    (int64_t)ORDER_REFUNDED);
    return trace(r);
}

int order_refunded_apply(struct db *db, const struct event *event)
{
    const struct order_refunded *refunded = event->value;
    int r = refund_end(db, event, refunded->order_id, refunded->refund, REFUND_DONE, NULL);
    if (r == 0)
        r = db_exec(db,
                    "UPDATE unsettled SET amount = max(0, amount - ?3)"
                    " WHERE order_id = ?1 AND attempt = ?2",
                    "sii", refunded->order_id, refunded->attempt, refunded->amount.amount);
    if (r == 0)
        r = db_changed_one(db, db_exec(db, "UPDATE orders SET refunded = ?2 WHERE order_id = ?1",
                                       "si", refunded->order_id, refunded->refunded.amount));
    if (r == 0)
        r = order_end_refunded(db, refunded->order_id);
    return trace(r);
}

/* ---- What a person must settle --------------------------------------------------------------- */

static int unsettle(struct db *db, const struct event *event, const char *order_id, int64_t attempt,
                    enum unsettled_cause cause, int64_t amount, const char *reason)
{
    return trace(db_exec(db,
                         "INSERT INTO unsettled (order_id, attempt, cause, amount, reason,"
                         " since_ms, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                         " ON CONFLICT (order_id, attempt, cause) DO UPDATE SET"
                         " amount = max(amount, excluded.amount), reason = excluded.reason,"
                         " since_ms = excluded.since_ms, position = excluded.position",
                         "siiisii", order_id, attempt, (int64_t)cause, amount, reason,
                         event->time_ms, event->position));
}

int refund_failed_apply(struct db *db, const struct event *event)
{
    const struct refund_failed *failed = event->value;
    int r = refund_end(db, event, failed->order_id, failed->refund, REFUND_FAILED, failed->reason);
    if (r == 0)
        r = unsettle(db, event, failed->order_id, failed->attempt, UNSETTLED_REFUND,
                     failed->amount.amount, failed->reason);
    return trace(r);
}

int void_refused_apply(struct db *db, const struct event *event)
{
    const struct void_refused *refused = event->value;
    return trace(unsettle(db, event, refused->order_id, refused->attempt, UNSETTLED_VOID,
                          refused->amount.amount, refused->reason));
}

int void_is_refused(struct journey *j, const char *order_id, int64_t attempt)
{
    return trace(
        db_has_row(journey_db(j),
                   "SELECT 1 FROM unsettled WHERE order_id = ?1 AND attempt = ?2 AND cause = ?3",
                   "sii", order_id, attempt, (int64_t)UNSETTLED_VOID));
}

int unsettled_count(struct journey *j, enum unsettled_cause cause, int64_t *ret_count)
{
    return trace(db_find_number(journey_db(j), ret_count,
                                "SELECT count(*) FROM unsettled INDEXED BY unsettled_in_order"
                                " WHERE " IS_UNSETTLED " AND cause = ?1",
                                "i", (int64_t)cause));
}

int unsettled_list(struct journey *j, int64_t after, int max,
                   struct order_unsettled_reply_unsettled_item *ret_rows, int *ret_count)
{
    static const char *const causes[] = {
        [UNSETTLED_VOID] = "void_refused", [UNSETTLED_REFUND] = "refund_failed"
    };
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j),
                       "SELECT u.order_id, u.attempt, u.cause, u.amount, u.reason, u.since_ms,"
                       " u.position, o.account_id, o.currency"
                       " FROM unsettled u INDEXED BY unsettled_in_order"
                       " CROSS JOIN orders o ON o.order_id = u.order_id"
                       " WHERE u." IS_UNSETTLED " AND u.position > ?1"
                       " ORDER BY u.position LIMIT ?2",
                       "ii", after, (int64_t)max);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    int count = 0;
    while (r == 0 && query_has_row(&q))
        ret_rows[count++] = (struct order_unsettled_reply_unsettled_item){
            .order_id = row_text(&row, "order_id"),
            .account_id = row_text(&row, "account_id"),
            .attempt = row_int(&row, "attempt"),
            .amount = { .amount = row_int(&row, "amount"), .currency = row_text(&row, "currency") },
            .cause = causes[row_int(&row, "cause")],
            .reason = row_text(&row, "reason"),
            .since = row_time(&row, "since_ms"),
            .position = row_int(&row, "position"),
        };
    if (r == 0)
        r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_count = count;
    return 0;
}

/* ---- Payments that came too late ------------------------------------------------------------- */

int payment_arrived_late_apply(struct db *db, const struct event *event)
{
    const struct payment_arrived_late *late = event->value;
    return trace(db_exec(db,
                         "INSERT INTO late_payments (order_id, attempt, arrived_ms, position)"
                         " VALUES (?1, ?2, ?3, ?4)",
                         "siii", late->order_id, late->attempt, event->time_ms, event->position));
}

int late_payment_is_known(struct journey *j, const char *order_id, int64_t attempt)
{
    return trace(db_has_row(journey_db(j),
                            "SELECT 1 FROM late_payments WHERE order_id = ?1 AND attempt = ?2",
                            "si", order_id, attempt));
}
