/* Project orders: of order-svc's log we keep which orders are paid, and whose they are. Nothing
 * else. */
#include "journeys.h"
#include "schemas/evt.order.OrderPaid.h"
#include "store/row.h"
#include "tables.h"

int paid_order_find(struct journey *j, const char *order_id, const char **ret_account_id)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j), "SELECT account_id FROM paid_orders WHERE order_id = ?1",
                       "s", order_id);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    const char *account_id = row_text(&row, "account_id");
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_account_id = account_id;
    return 0;
}

static int order_paid_apply(struct db *db, const struct event *event)
{
    const struct order_paid *paid = event->value;
    return trace(db_exec(db, "INSERT INTO paid_orders (order_id, account_id) VALUES (?1, ?2)", "ss",
                         paid->order_id, paid->account_id));
}

const struct event_type project_orders[] = {
    { &order_paid_schema, "OrderPaid", order_paid_apply, NULL },
    { 0 },
};
