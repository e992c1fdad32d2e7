/* Orders: one row for each order, for each line, and for each charge that was declined. Each apply
 * is a move in an order's life (tables.h), and fails when the order's status is not the one from
 * which the move begins. */
#include "schemas/evt.order.OrderCancelled.h"
#include "schemas/evt.order.OrderPaid.h"
#include "schemas/evt.order.OrderPlaced.h"
#include "schemas/evt.order.OrderShipped.h"
#include "schemas/evt.order.PaymentFailed.h"
#include "schemas/order.get.reply.h"
#include "schemas/order.list.reply.h"
#include "tables.h"
#include "base/clock.h"
#include "store/row.h"
#include <string.h>

static int money_of(struct journey *j, int64_t amount, const char *currency,
                    struct money **ret_money)
{
    struct money *money = arena_alloc(journey_arena(j), sizeof(*money));
    if (!money)
        return fail(ERR_MEMORY, "no memory for an order");
    *money = (struct money){ .amount = amount, .currency = currency };
    *ret_money = money;
    return 0;
}

int order_find(struct journey *j, const char *order_id, struct order_head *ret_head)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j),
                       "SELECT account_id, status FROM orders WHERE order_id = ?1", "s", order_id);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct order_head head = { .account_id = row_text(&row, "account_id"),
                               .status = (enum order_status)row_int(&row, "status") };
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_head = head;
    return 0;
}

int orders_list(struct journey *j, const char *account_id, const char *after, int max,
                struct order_list_reply_orders_item *ret_orders, int *ret_count)
{
    static const char newest[] = "ord_~"; /* sorts after every id */
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j),
                       "SELECT order_id, status, amount, currency, refunded, placed_ms FROM orders"
                       " WHERE account_id = ?1 AND order_id < ?2 ORDER BY order_id DESC LIMIT ?3",
                       "ssi", account_id, after ? after : newest, (int64_t)max);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    int count = 0;
    while (r == 0 && query_has_row(&q)) {
        const char *currency = row_text(&row, "currency");
        struct money *refunded = NULL;
        if (row_int(&row, "refunded") > 0)
            r = money_of(j, row_int(&row, "refunded"), currency, &refunded);
        ret_orders[count++] = (struct order_list_reply_orders_item){
            .order_id = row_text(&row, "order_id"),
            .status = order_status_name((enum order_status)row_int(&row, "status")),
            .total = { .amount = row_int(&row, "amount"), .currency = currency },
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

/* ---- One order, whole ------------------------------------------------------------------------ */

static int read_lines(struct journey *j, struct order_get_reply *order, int64_t count)
{
    _deinit_(query) struct query q = { 0 };
    struct order_line *lines = arena_alloc(journey_arena(j), (size_t)count * sizeof(*lines));
    if (!lines)
        return fail(ERR_MEMORY, "no memory for an order");
    int r = query_open(
        &q, journey_db(j),
        "SELECT sku, name, quantity, amount FROM order_lines WHERE order_id = ?1 ORDER BY line",
        "s", order->order_id);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    while (r == 0 && query_has_row(&q))
        lines[order->lines_count++] = (struct order_line){
            .sku = row_text(&row, "sku"),
            .name = row_text(&row, "name"),
            .quantity = row_int(&row, "quantity"),
            .unit_price = { .amount = row_int(&row, "amount"), .currency = order->total.currency },
        };
    order->lines = lines;
    return r < 0 ? trace(r) : trace(row_status(&row));
}

/* The history is put together from what the order's rows remember of its events, so that no table
 * repeats the log. The order of the events is that of their positions. */
static int read_history(struct journey *j, struct order_get_reply *order, int64_t count)
{
    _deinit_(query) struct query q = { 0 };
    struct order_get_reply_history_item *history = arena_alloc(journey_arena(j),
                                                               (size_t)count * sizeof(*history));
    if (!history)
        return fail(ERR_MEMORY, "no memory for an order");
    int r = query_open(
        &q, journey_db(j),
        "SELECT 'OrderPlaced' AS what, placed_ms AS at_ms, placed_position AS position,"
        "   NULL AS attempt, NULL AS card_id, NULL AS reason, NULL AS amount"
        " FROM orders WHERE order_id = ?1"
        " UNION ALL"
        " SELECT 'PaymentFailed', failed_ms, position, attempt, card_id, reason, NULL"
        " FROM payment_failures WHERE order_id = ?1"
        " UNION ALL"
        " SELECT 'OrderPaid', paid_ms, paid_position, attempt, card_id, NULL, NULL"
        " FROM orders WHERE order_id = ?1 AND paid_position IS NOT NULL"
        " UNION ALL"
        " SELECT iif(" ORDER_IS_CANCELLED(
            "") ", 'OrderCancelled', 'OrderShipped'),"
                "   ended_ms, ended_position, NULL, NULL, ended_reason, NULL"
                " FROM orders WHERE order_id = ?1 AND ended_position IS NOT NULL"
                " UNION ALL"
                " SELECT 'PaymentArrivedLate', arrived_ms, position, attempt, NULL, NULL, NULL"
                " FROM late_payments WHERE order_id = ?1"
                " UNION ALL"
                " SELECT 'VoidRefused', since_ms, position, attempt, NULL, reason, NULL"
                " FROM unsettled WHERE order_id = ?1 AND cause = ?2"
                " UNION ALL"
                " SELECT 'RefundRequested', requested_ms, position, attempt, NULL, asked_for, "
                "amount"
                " FROM refunds WHERE order_id = ?1"
                " UNION ALL"
                " SELECT iif(status = ?3, 'OrderRefunded', 'RefundFailed'),"
                "   ended_ms, ended_position, attempt, NULL, ended_reason, amount"
                " FROM refunds WHERE order_id = ?1 AND ended_position IS NOT NULL"
                " ORDER BY position",
        "sii", order->order_id, (int64_t)UNSETTLED_VOID, (int64_t)REFUND_DONE);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    while (r == 0 && query_has_row(&q)) {
        struct money *amount = NULL;
        if (!row_is_null(&row, "amount")) {
            r = money_of(j, row_int(&row, "amount"), order->total.currency, &amount);
            if (r < 0)
                return trace(r);
        }
        history[order->history_count++] = (struct order_get_reply_history_item){
            .what = row_text(&row, "what"),
            .at = row_time(&row, "at_ms"),
            .position = row_int(&row, "position"),
            .attempt = row_int(&row, "attempt"),
            .has_attempt = !row_is_null(&row, "attempt"),
            .card_id = row_text(&row, "card_id"),
            .reason = row_text(&row, "reason"),
            .amount = amount,
        };
    }
    const int64_t shown = journey_page_limit(j, count);
    order->history = history;
    if ((int64_t)order->history_count > shown) { /* the newest of them */
        order->history_left_out = (int64_t)order->history_count - shown;
        order->has_history_left_out = 1;
        order->history += order->history_left_out;
        order->history_count = (size_t)shown;
    }
    return r < 0 ? trace(r) : trace(row_status(&row));
}

static struct ship_to ship_to_of(struct row *row)
{
    return (struct ship_to){
        .name = row_text(row, "ship_name"),
        .address = { .street = row_text(row, "street"),
                     .city = row_text(row, "city"),
                     .postal_code = row_text(row, "postal_code"),
                     .country = row_text(row, "country") },
    };
}

int order_find_whole(struct journey *j, const char *order_id, const char *account_id,
                     struct order_get_reply *ret_order)
{
    _deinit_(query) struct query q = { 0 };
    int r =
        query_find(&q, journey_db(j),
                   "SELECT account_id, status, amount, currency, refunded, placed_ms, pay_until_ms,"
                   " ship_name, street, city, postal_code, country,"
                   " (SELECT count(*) FROM order_lines WHERE order_id = ?1) AS line_count,"
                   " (SELECT count(*) FROM payment_failures WHERE order_id = ?1) AS failure_count,"
                   " (SELECT count(*) FROM late_payments WHERE order_id = ?1)"
                   "  + (SELECT count(*) FROM unsettled WHERE order_id = ?1)"
                   "  + 2 * (SELECT count(*) FROM refunds WHERE order_id = ?1) AS money_count"
                   " FROM orders WHERE order_id = ?1 AND (?2 IS NULL OR account_id = ?2)",
                   "ss", order_id, account_id);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct order_get_reply order = {
        .order_id = order_id,
        .account_id = row_text(&row, "account_id"),
        .status = order_status_name((enum order_status)row_int(&row, "status")),
        .total = { .amount = row_int(&row, "amount"), .currency = row_text(&row, "currency") },
        .placed_at = row_time(&row, "placed_ms"),
        .pay_until = row_time(&row, "pay_until_ms"),
        .ship_to = ship_to_of(&row),
    };
    int64_t line_count = row_int(&row, "line_count");
    int64_t history_count = row_int(&row, "failure_count") + row_int(&row, "money_count") +
                            3; /* placed, paid and ended */
    int64_t refunded = row_int(&row, "refunded");
    r = row_status(&row);
    if (r == 0 && refunded > 0) {
        struct money *money = NULL;
        r = money_of(j, refunded, order.total.currency, &money);
        order.refunded = money;
    }
    if (r == 0)
        r = read_lines(j, &order, line_count);
    if (r == 0)
        r = read_history(j, &order, history_count);
    if (r < 0)
        return trace(r);
    *ret_order = order;
    return 0;
}

/* ---- Moves ----------------------------------------------------------------------------------- */

static int insert_lines(struct db *db, const struct order_placed *placed)
{
    int r = 0;
    for (size_t i = 0; i < placed->lines_count && r == 0; i++) {
        const struct order_line *line = &placed->lines[i];
        r = db_exec(db,
                    "INSERT INTO order_lines (order_id, line, sku, name, quantity, amount)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    "sissii", placed->order_id, (int64_t)i + 1, line->sku, line->name,
                    line->quantity, line->unit_price.amount);
        if (r == 0)
            r = products_reserve(db, line->sku, line->quantity);
    }
    return trace(r);
}

int order_placed_apply(struct db *db, const struct event *event)
{
    const struct order_placed *placed = event->value;
    const struct address *address = &placed->ship_to.address;
    int64_t pay_until_ms;
    int r = rfc3339_parse(placed->pay_until, &pay_until_ms);
    if (r == 0)
        r = db_exec(db,
                    "INSERT INTO orders (order_id, account_id, status, amount, currency, attempt,"
                    " card_id, last_position, pay_until_ms, placed_ms, placed_position,"
                    " ship_name, street, city, postal_code, country)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8, ?9, ?7, ?10, ?11, ?12, ?13, ?14)",
                    "ssiissiiisssss", placed->order_id, placed->account_id, (int64_t)ORDER_PLACED,
                    placed->total.amount, placed->total.currency, placed->card_id, event->position,
                    pay_until_ms, event->time_ms, placed->ship_to.name, address->street,
                    address->city, address->postal_code, address->country);
    if (r == 0)
        r = insert_lines(db, placed);
    return trace(r);
}

int order_paid_apply(struct db *db, const struct event *event)
{
    const struct order_paid *paid = event->value;
    return trace(db_changed_one(
        db, db_exec(db,
                    "UPDATE orders SET status = ?6, card_id = ?3,"
                    " paid_ms = ?4, paid_position = ?5, last_position = ?5"
                    " WHERE order_id = ?1 AND " ORDER_IS_UNPAID("") " AND attempt = ?2",
                    "sisiii", paid->order_id, paid->attempt, paid->card_id, event->time_ms,
                    event->position, (int64_t)ORDER_PAID)));
}

_Bool decline_is_hard(const char *decline)
{
    return !decline || strcmp(decline, "hard") == 0;
}

int payment_failed_apply(struct db *db, const struct event *event)
{
    const struct payment_failed *failed = event->value;
    int r = db_exec(
        db,
        "INSERT INTO payment_failures (order_id, attempt, card_id, reason, failed_ms, position)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        "sissii", failed->order_id, failed->attempt, failed->card_id, failed->reason,
        event->time_ms, event->position);
    if (r == 0)
        r = db_exec(db,
                    "INSERT INTO failed_cards (account_id, card_id, reason) VALUES (?1, ?2, ?3)"
                    " ON CONFLICT DO UPDATE SET reason = coalesce(reason, excluded.reason)",
                    "sss", failed->account_id, failed->card_id,
                    decline_is_hard(failed->decline) ? failed->reason : NULL);
    if (r < 0)
        return trace(r);
    return trace(db_changed_one(
        db,
        db_exec(db,
                "UPDATE orders SET status = ?5, attempt = ?2 + 1, card_id = ?3, last_position = ?4"
                " WHERE order_id = ?1 AND " ORDER_IS_UNPAID("") " AND attempt = ?2",
                "sisii", failed->order_id, failed->attempt, failed->next_card_id, event->position,
                (int64_t)ORDER_PAYMENT_FAILED)));
}

int order_shipped_apply(struct db *db, const struct event *event)
{
    const struct order_shipped *shipped = event->value;
    int r = db_changed_one(
        db,
        db_exec(
            db,
            "UPDATE orders SET status = ?4, ended_ms = ?2, ended_position = ?3, last_position = ?3"
            " WHERE order_id = ?1 AND status = ?5",
            "siiii", shipped->order_id, event->time_ms, event->position, (int64_t)ORDER_SHIPPED,
            (int64_t)ORDER_PAID));
    if (r == 0)
        r = products_ship(db, shipped->order_id);
    return trace(r);
}

int order_cancelled_apply(struct db *db, const struct event *event)
{
    const struct order_cancelled *cancelled = event->value;
    int r = db_changed_one(db,
                           db_exec(db,
                                   "UPDATE orders SET status = ?5, ended_ms = ?2,"
                                   " ended_position = ?3, ended_reason = ?4, last_position = ?3"
                                   " WHERE order_id = ?1 AND " ORDER_IS_UNPAID(""),
                                   "siisi", cancelled->order_id, event->time_ms, event->position,
                                   cancelled->reason, (int64_t)ORDER_CANCELLED));
    if (r == 0)
        r = products_return(db, cancelled->order_id);
    return trace(r);
}
