/* Orders: one row an order, one a line, one a charge that was declined. Each apply is a move of the
 * order's life (tables.h) and fails when the order does not stand where the move begins. */
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

int order_find(struct journey *j, const char *order_id, struct order_head *ret_head)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j),
                       "SELECT account_id, status FROM orders WHERE order_id = ?1", "s", order_id);
    if (r == 0)
        r = query_next(&q);
    if (r <= 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct order_head head = { .account_id = row_text(&row, 0),
                               .status = (enum order_status)query_int(&q, 1) };
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_head = head;
    return 1;
}

static const char *time_text(struct journey *j, int64_t wall_ms)
{
    char *text = arena_alloc(journey_arena(j), RFC3339_SIZE);
    if (text)
        rfc3339_format(wall_ms, text);
    return text;
}

int orders_list(struct journey *j, const char *account_id, const char *after, int max,
                struct order_list_reply_orders_item *ret_orders)
{
    static const char newest[] = "ord_~"; /* sorts after every id */
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j),
                       "SELECT order_id, status, amount, currency, placed_ms FROM orders"
                       " WHERE account_id = ?1 AND order_id < ?2 ORDER BY order_id DESC LIMIT ?3",
                       "ssi", account_id, after ? after : newest, (int64_t)max);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    int count = 0;
    while (r >= 0 && (r = query_next(&q)) > 0) {
        const char *placed_at = time_text(j, query_int(&q, 4));
        row.failed |= !placed_at;
        ret_orders[count++] = (struct order_list_reply_orders_item){
            .order_id = row_text(&row, 0),
            .status = order_status_name((enum order_status)query_int(&q, 1)),
            .total = { .amount = query_int(&q, 2), .currency = row_text(&row, 3) },
            .placed_at = placed_at,
        };
    }
    if (r == 0)
        r = row_status(&row);
    return r < 0 ? trace(r) : count;
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
    while (r >= 0 && (r = query_next(&q)) > 0)
        lines[order->lines_count++] = (struct order_line){
            .sku = row_text(&row, 0),
            .name = row_text(&row, 1),
            .quantity = query_int(&q, 2),
            .unit_price = { .amount = query_int(&q, 3), .currency = order->total.currency },
        };
    order->lines = lines;
    return r < 0 ? trace(r) : trace(row_status(&row));
}

/* The history is put together from what the order's rows remember of its events, so no table
 * repeats the log. Positions order it: an order's events are one after another in one log. */
static int read_history(struct journey *j, struct order_get_reply *order, int64_t count)
{
    _deinit_(query) struct query q = { 0 };
    struct order_get_reply_history_item *history = arena_alloc(journey_arena(j),
                                                               (size_t)count * sizeof(*history));
    if (!history)
        return fail(ERR_MEMORY, "no memory for an order");
    int r = query_open(
        &q, journey_db(j),
        "SELECT 'OrderPlaced', placed_ms, placed_position AS position, NULL, NULL, NULL FROM "
        "orders WHERE order_id = ?1"
        " UNION ALL SELECT 'PaymentFailed', failed_ms, position, attempt, card_id, reason FROM "
        "payment_failures"
        "   WHERE order_id = ?1"
        " UNION ALL SELECT 'OrderPaid', paid_ms, paid_position, attempt, card_id, NULL FROM orders"
        "   WHERE order_id = ?1 AND paid_position IS NOT NULL"
        " UNION ALL SELECT CASE status WHEN 5 THEN 'OrderCancelled' ELSE 'OrderShipped' END, "
        "ended_ms, ended_position,"
        "   NULL, NULL, ended_reason FROM orders WHERE order_id = ?1 AND ended_position IS NOT NULL"
        " ORDER BY position",
        "s", order->order_id);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    while (r >= 0 && (r = query_next(&q)) > 0) {
        const char *at = time_text(j, query_int(&q, 1));
        row.failed |= !at;
        history[order->history_count++] = (struct order_get_reply_history_item){
            .what = row_text(&row, 0),
            .at = at,
            .position = query_int(&q, 2),
            .attempt = query_int(&q, 3),
            .has_attempt = !query_is_null(&q, 3),
            .card_id = row_text(&row, 4),
            .reason = row_text(&row, 5),
        };
    }
    order->history = history;
    return r < 0 ? trace(r) : trace(row_status(&row));
}

int order_read(struct journey *j, const char *order_id, struct order_get_reply *ret_order)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j),
                       "SELECT account_id, status, amount, currency, placed_ms, pay_until_ms,"
                       " ship_name, street, city, postal_code, country,"
                       " (SELECT count(*) FROM order_lines WHERE order_id = ?1),"
                       " (SELECT count(*) FROM payment_failures WHERE order_id = ?1)"
                       " FROM orders WHERE order_id = ?1",
                       "s", order_id);
    if (r == 0)
        r = query_next(&q);
    if (r <= 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct order_get_reply order = {
        .order_id = order_id, .account_id = row_text(&row, 0),
        .status = order_status_name((enum order_status)query_int(&q, 1)),
        .total = { .amount = query_int(&q, 2), .currency = row_text(&row, 3) },
        .placed_at = time_text(j, query_int(&q, 4)), .pay_until = time_text(j, query_int(&q, 5)),
        .ship_to = {
            .name = row_text(&row, 6),
            .address = { .street = row_text(&row, 7), .city = row_text(&row, 8),
                         .postal_code = row_text(&row, 9), .country = row_text(&row, 10) },
        },
    };
    row.failed |= !order.placed_at || !order.pay_until;
    r = row_status(&row);
    if (r == 0)
        r = read_lines(j, &order, query_int(&q, 11));
    if (r == 0)
        r = read_history(j, &order, query_int(&q, 12) + 3); /* placed, paid and ended beside them */
    if (r < 0)
        return trace(r);
    *ret_order = order;
    return 1;
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
                    "INSERT INTO orders (order_id, account_id, status, amount, currency, attempt, "
                    "card_id, last_position,"
                    " pay_until_ms, placed_ms, placed_position, ship_name, street, city, "
                    "postal_code, country)"
                    " VALUES (?1, ?2, 1, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?6, ?9, ?10, ?11, ?12, ?13)",
                    "ssissiiisssss", placed->order_id, placed->account_id, placed->total.amount,
                    placed->total.currency, placed->card_id, event->position, pay_until_ms,
                    event->time_ms, placed->ship_to.name, address->street, address->city,
                    address->postal_code, address->country);
    if (r == 0)
        r = insert_lines(db, placed);
    return trace(r);
}

int order_paid_apply(struct db *db, const struct event *event)
{
    const struct order_paid *paid = event->value;
    return trace(db_changed_one(db, db_exec(db,
                                            "UPDATE orders SET status = 3, card_id = ?3, paid_ms = "
                                            "?4, paid_position = ?5, last_position = ?5"
                                            " WHERE order_id = ?1 AND status <= 2 AND attempt = ?2",
                                            "sisii", paid->order_id, paid->attempt, paid->card_id,
                                            event->time_ms, event->position)));
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
    if (r < 0)
        return trace(r);
    return trace(db_changed_one(
        db,
        db_exec(db,
                "UPDATE orders SET status = 2, attempt = ?2 + 1, card_id = ?3, last_position = ?4"
                " WHERE order_id = ?1 AND status <= 2 AND attempt = ?2",
                "sisi", failed->order_id, failed->attempt, failed->next_card_id, event->position)));
}

int order_shipped_apply(struct db *db, const struct event *event)
{
    const struct order_shipped *shipped = event->value;
    int r = db_changed_one(
        db,
        db_exec(
            db,
            "UPDATE orders SET status = 4, ended_ms = ?2, ended_position = ?3, last_position = ?3"
            " WHERE order_id = ?1 AND status = 3",
            "sii", shipped->order_id, event->time_ms, event->position));
    if (r == 0)
        r = products_ship(db, shipped->order_id);
    return trace(r);
}

int order_cancelled_apply(struct db *db, const struct event *event)
{
    const struct order_cancelled *cancelled = event->value;
    int r = db_changed_one(db, db_exec(db,
                                       "UPDATE orders SET status = 5, ended_ms = ?2, "
                                       "ended_position = ?3, ended_reason = ?4, last_position = ?3"
                                       " WHERE order_id = ?1 AND status <= 2",
                                       "siis", cancelled->order_id, event->time_ms, event->position,
                                       cancelled->reason));
    if (r == 0)
        r = products_return(db, cancelled->order_id);
    return trace(r);
}
