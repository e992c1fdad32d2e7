/* Project purchases: the projection of order-svc's log. It keeps what a customer wants to see: the
 * order, its amount and its status, and no products, stock or addresses. The service reacts to a
 * failed payment by declining the card (decline_card.c). */
#include "journeys.h"
#include "schemas/account.get.reply.h"
#include "schemas/evt.order.OrderCancelled.h"
#include "schemas/evt.order.OrderPaid.h"
#include "schemas/evt.order.OrderPlaced.h"
#include "schemas/evt.order.OrderRefunded.h"
#include "schemas/evt.order.OrderShipped.h"
#include "schemas/evt.order.PaymentFailed.h"
#include "store/row.h"
#include "tables.h"

#define SUM_MAX INT64_C(9007199254740991) /* money_sum of schemas/common.json */
#define CURRENCIES_MAX 64                 /* shown in the totals of one account */

/* Where an order stands; kept in the words of the contract (schemas/common.json). */
enum purchase_status {
    PURCHASE_PLACED,
    PURCHASE_PAYMENT_FAILED,
    PURCHASE_PAID,
    PURCHASE_SHIPPED,
    PURCHASE_CANCELLED,
};
static const char *const status_names[] = {
    [PURCHASE_PLACED] = "placed",       [PURCHASE_PAYMENT_FAILED] = "payment_failed",
    [PURCHASE_PAID] = "paid",           [PURCHASE_SHIPPED] = "shipped",
    [PURCHASE_CANCELLED] = "cancelled",
};

/* ---- Queries --------------------------------------------------------------------------------- */

int purchases_list(struct journey *j, const char *account_id, int max,
                   struct account_get_reply_purchases_item *ret_purchases, size_t *ret_count)
{
    _deinit_(query) struct query q = { 0 };
    int r =
        query_open(&q, journey_db(j),
                   "SELECT order_id, status, amount, refunded, currency, placed_ms FROM purchases"
                   " WHERE account_id = ?1"
                   " ORDER BY order_id DESC LIMIT ?2",
                   "si", account_id, (int64_t)max);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    size_t count = 0;
    while (r == 0 && query_has_row(&q)) {
        struct money *refunded = NULL;
        if (row_int(&row, "refunded") > 0) {
            refunded = arena_alloc(journey_arena(j), sizeof(*refunded));
            if (!refunded)
                return fail(ERR_MEMORY, "no memory for purchases");
            *refunded = (struct money){ .amount = row_int(&row, "refunded"),
                                        .currency = row_text(&row, "currency") };
        }
        ret_purchases[count++] = (struct account_get_reply_purchases_item){
            .order_id = row_text(&row, "order_id"),
            .status = row_text(&row, "status"),
            .total = { .amount = row_int(&row, "amount"), .currency = row_text(&row, "currency") },
            .placed_at = row_time(&row, "placed_ms"),
            .refunded = refunded,
        };
    }
    if (r == 0)
        r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_count = count;
    return 0;
}

int purchases_total(struct journey *j, const char *account_id,
                    struct account_get_reply_totals *ret_totals)
{
    _deinit_(query) struct query q = { 0 };
    struct money_sum *paid = arena_alloc(journey_arena(j), CURRENCIES_MAX * sizeof(*paid));
    if (!paid)
        return fail(ERR_MEMORY, "no memory for purchases");
    int r = query_open(&q, journey_db(j),
                       "SELECT currency, orders, paid FROM purchase_totals WHERE account_id = ?1"
                       " ORDER BY currency",
                       "s", account_id);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct account_get_reply_totals totals = { .paid = paid };
    while (r == 0 && query_has_row(&q)) {
        int64_t amount = row_int(&row, "paid");
        totals.orders += row_int(&row, "orders");
        if (amount > 0 && totals.paid_count < CURRENCIES_MAX)
            paid[totals.paid_count++] =
                (struct money_sum){ .amount = amount > SUM_MAX ? SUM_MAX : amount,
                                    .currency = row_text(&row, "currency") };
    }
    if (r == 0)
        r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_totals = totals;
    return 0;
}

/* ---- The projection -------------------------------------------------------------------------- */

static int order_placed_apply(struct db *db, const struct event *event)
{
    const struct order_placed *placed = event->value;
    int r =
        db_exec(db,
                "INSERT INTO purchases (account_id, order_id, status, amount, currency, placed_ms)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                "sssisi", placed->account_id, placed->order_id, status_names[PURCHASE_PLACED],
                placed->total.amount, placed->total.currency, event->time_ms);
    if (r == 0)
        r = db_exec(db,
                    "INSERT INTO purchase_totals (account_id, currency, orders) VALUES (?1, ?2, 1)"
                    " ON CONFLICT (account_id, currency) DO UPDATE SET orders = orders + 1",
                    "ss", placed->account_id, placed->total.currency);
    return trace(r);
}

static int purchase_move(struct db *db, const char *account_id, const char *order_id,
                         enum purchase_status status)
{
    return trace(db_changed_one(
        db, db_exec(db, "UPDATE purchases SET status = ?3 WHERE account_id = ?1 AND order_id = ?2",
                    "sss", account_id, order_id, status_names[status])));
}

static int order_paid_apply(struct db *db, const struct event *event)
{
    const struct order_paid *paid = event->value;
    int r = purchase_move(db, paid->account_id, paid->order_id, PURCHASE_PAID);
    if (r == 0)
        r = db_changed_one(db, db_exec(db,
                                       "UPDATE purchase_totals SET paid = paid + ?3 WHERE "
                                       "account_id = ?1 AND currency = ?2",
                                       "ssi", paid->account_id, paid->amount.currency,
                                       paid->amount.amount));
    return trace(r);
}

static int payment_failed_apply(struct db *db, const struct event *event)
{
    const struct payment_failed *failed = event->value;
    return trace(purchase_move(db, failed->account_id, failed->order_id, PURCHASE_PAYMENT_FAILED));
}

static int order_shipped_apply(struct db *db, const struct event *event)
{
    const struct order_shipped *shipped = event->value;
    return trace(purchase_move(db, shipped->account_id, shipped->order_id, PURCHASE_SHIPPED));
}

static int order_cancelled_apply(struct db *db, const struct event *event)
{
    const struct order_cancelled *cancelled = event->value;
    return trace(purchase_move(db, cancelled->account_id, cancelled->order_id, PURCHASE_CANCELLED));
}

/* A paid order that is given back whole before it is shipped is over, as one that was cancelled.
 * What is given back of a charge that no order was paid by leaves `refunded` as it was. */
static int order_refunded_apply(struct db *db, const struct event *event)
{
    const struct order_refunded *refunded = event->value;
    int64_t before = 0, amount = refunded->refunded.amount;
    int r = db_find_number(db, &before,
                           "SELECT refunded FROM purchases WHERE account_id = ?1 AND order_id = ?2",
                           "ss", refunded->account_id, refunded->order_id);
    if (r < 0 || (r == 0 && before == amount))
        return trace(r);
    r = db_changed_one(db, db_exec(db,
                                   "UPDATE purchases SET refunded = ?3,"
                                   " status = iif(amount = ?3 AND status = ?4, ?5, status)"
                                   " WHERE account_id = ?1 AND order_id = ?2",
                                   "ssiss", refunded->account_id, refunded->order_id, amount,
                                   status_names[PURCHASE_PAID], status_names[PURCHASE_CANCELLED]));
    if (r == 0)
        r = db_changed_one(db, db_exec(db,
                                       "UPDATE purchase_totals SET paid = paid - ?3 WHERE "
                                       "account_id = ?1 AND currency = ?2",
                                       "ssi", refunded->account_id, refunded->amount.currency,
                                       amount - before));
    return trace(r);
}

// clang-format off: a table
const struct event_type project_purchases[] = {
    { &order_placed_schema, "OrderPlaced", order_placed_apply, NULL },
    { &order_paid_schema, "OrderPaid", order_paid_apply, NULL },
    { &payment_failed_schema, "PaymentFailed", payment_failed_apply, decline_card },
    { &order_shipped_schema, "OrderShipped", order_shipped_apply, NULL },
    { &order_cancelled_schema, "OrderCancelled", order_cancelled_apply, NULL },
    { &order_refunded_schema, "OrderRefunded", order_refunded_apply, NULL },
    { 0 },
};
// clang-format on
