/* Check, the tables: stock, money and effects, by SQL of its own and by what the provider
 * remembers. */
#include "world.h"
#include <stdlib.h>
#include <string.h>

/* Of several instances of a service it is the one that serves, or else the first. */
const struct node *node_of_log(const struct world *world, int log)
{
    int i = 0;
    const struct node *leader = leader_of(world, log);
    if (leader)
        return leader;
    while (world->nodes[i].log != log)
        i++;
    return &world->nodes[i];
}

/* Money that was taken and has no order: taken back in the end. */
static _Bool charge_is_explained(const struct history *orders, sqlite3_stmt *order,
                                 const struct charge_entry *entry)
{
    sqlite3_reset(order);
    sqlite3_bind_text(order, 1, entry->order, -1, SQLITE_STATIC);
    sqlite3_bind_int64(order, 2, entry->attempt);
    if (sqlite3_step(order) != SQLITE_ROW)
        return is_set_apart(orders, entry->order);
    int64_t status = sqlite3_column_int64(order, 0);
    if ((status == 3 || status == 4 || status == 6) &&
        sqlite3_column_int64(order, 1) == entry->attempt)
        return 1;
    /* a person has it in hand */
    return sqlite3_column_int64(order, 2) > 0 || is_set_apart(orders, entry->order);
}

const struct charge_entry *unexplained_charge(struct world *world)
{
    const struct charge_entry *found = NULL;
    sqlite3_stmt *order = prepare(world, node_of_log(world, ORDER),
                                  "SELECT status, attempt, (SELECT count(*) FROM unsettled u"
                                  " WHERE u.order_id = ?1 AND u.attempt = ?2)"
                                  " FROM orders WHERE order_id = ?1");
    for (int i = 0; i < world->provider.room && !found; i++)
        if (world->provider.entries[i].status == CHARGE_PAID &&
            !charge_is_explained(&world->logs[ORDER], order, &world->provider.entries[i]))
            found = &world->provider.entries[i];
    sqlite3_finalize(order);
    return found;
}

/* ---- I9: stock and money --------------------------------------------------------------------- */

static void check_stock(struct world *world, const struct node *node)
{
    int64_t wrong = number_of(
        world, node,
        "WITH came AS (SELECT entity AS sku, sum(CASE type WHEN 'ProductAdded' THEN data ->> "
        "'stock' WHEN 'StockReceived' THEN data ->> 'quantity' ELSE data ->> 'by' END) AS all_of_it"
        "  FROM event_log WHERE type IN ('ProductAdded', 'StockReceived', 'StockCorrected')"
        "  GROUP BY entity),"
        " held AS (SELECT sku, sum(CASE WHEN status <= 3 THEN quantity ELSE 0 END) AS reserved,"
        "  sum(CASE WHEN status = 4 THEN quantity ELSE 0 END) AS shipped FROM order_lines JOIN "
        "orders USING (order_id) GROUP BY sku)"
        " SELECT count(*) FROM products LEFT JOIN came USING (sku) LEFT JOIN held USING (sku)"
        " WHERE stock + products.reserved + products.shipped <> all_of_it OR products.reserved <> "
        "coalesce(held.reserved, 0)"
        "  OR products.shipped <> coalesce(held.shipped, 0) OR stock < 0");
    if (wrong > 0)
        violated(world, "I9: the stock of %lld products does not add up", (long long)wrong);
}

/* Each line of an order has the price that the product had when the order was placed, and no order
 * has a product that was retired before. */
static void check_prices(struct world *world, const struct node *node)
{
    int64_t wrong = number_of(
        world, node,
        "SELECT count(*) FROM order_lines l JOIN orders o USING (order_id) WHERE l.amount <>"
        " (SELECT data ->> '$.price.amount' FROM event_log e WHERE e.entity = l.sku"
        "  AND e.type IN ('ProductAdded', 'PriceChanged') AND e.position < o.placed_position"
        "  ORDER BY e.position DESC LIMIT 1)"
        " OR EXISTS (SELECT 1 FROM event_log e WHERE e.entity = l.sku"
        "  AND e.type = 'ProductRetired' AND e.position < o.placed_position)");
    if (wrong > 0)
        violated(world, "I9: %lld lines of orders have another price than that of their moment",
                 (long long)wrong);
}

static void check_money(struct world *world, const struct node *node)
{
    const struct charge_entry *charge = unexplained_charge(world);
    if (charge)
        violated(world, "I9: %s/%lld is charged, and its order is not paid by it", charge->order,
                 (long long)charge->attempt);
    sqlite3_stmt *paid = prepare(world, node,
                                 "SELECT order_id, attempt FROM orders"
                                 " WHERE status IN (3, 4, 6) AND amount > 0");
    while (sqlite3_step(paid) == SQLITE_ROW) {
        const char *order = (const char *)sqlite3_column_text(paid, 0);
        int64_t attempt = sqlite3_column_int64(paid, 1);
        if (provider_status(&world->provider, order, attempt) != CHARGE_PAID &&
            !is_set_apart(&world->logs[ORDER], order))
            violated(world, "I9: %s is paid by attempt %lld, which was not charged", order,
                     (long long)attempt);
    }
    sqlite3_finalize(paid);
    int64_t ended_twice = number_of(
        world, node,
        "SELECT count(*) FROM (SELECT entity FROM event_log"
        " WHERE type IN ('OrderPaid', 'OrderCancelled') GROUP BY entity HAVING count(*) > 1)");
    if (ended_twice > 0)
        violated(world, "I9: %lld orders were paid or cancelled more than once",
                 (long long)ended_twice);
}

/* Each refund that was asked for ended once, and no charge gave back more than it took. */
static void check_refunds(struct world *world, const struct node *node)
{
    int64_t wrong = number_of(
        world, node,
        "SELECT count(*) FROM (SELECT entity, data ->> 'refund' AS refund,"
        "  sum(type = 'RefundRequested') AS asked, sum(type <> 'RefundRequested') AS ended"
        "  FROM event_log WHERE type IN ('RefundRequested', 'OrderRefunded', 'RefundFailed')"
        "  GROUP BY 1, 2) WHERE asked <> 1 OR ended <> 1");
    int64_t beyond = number_of(
        world, node,
        "SELECT count(*) FROM (SELECT entity, sum(data ->> '$.amount.amount') AS given"
        "  FROM event_log WHERE type = 'OrderRefunded' GROUP BY entity, data ->> 'attempt')"
        " JOIN orders ON order_id = entity WHERE given > amount");
    if (wrong > 0 || beyond > 0)
        violated(world, "I9: %lld refunds did not end once, %lld charges gave back too much",
                 (long long)wrong, (long long)beyond);
}

/* ---- I11: effects ---------------------------------------------------------------------------- */

/* Each hard PaymentFailed has one CardDeclined, and nothing was caused twice. */
static void check_effects(struct world *world)
{
    const struct node *account = node_of_log(world, ACCOUNT), *order = node_of_log(world, ORDER);
    int64_t failed = number_of(world, order,
                               "SELECT count(*) FROM event_log WHERE type = 'PaymentFailed'"
                               " AND data ->> 'decline' IS NULL");
    int64_t declined = number_of(world, account,
                                 "SELECT count(*) FROM event_log WHERE type = 'CardDeclined'");
    int64_t causes = number_of(world, account,
                               "SELECT count(DISTINCT cause) FROM event_log WHERE type = "
                               "'CardDeclined' AND cause LIKE 'ORDER/%'");
    if (failed != declined || causes != declined)
        violated(world, "I11: %lld PaymentFailed, %lld CardDeclined of %lld causes",
                 (long long)failed, (long long)declined, (long long)causes);
    sqlite3_stmt *type_at = prepare(world, order, "SELECT type FROM event_log WHERE position = ?1");
    sqlite3_stmt *statement = prepare(world, account,
                                      "SELECT cause FROM event_log WHERE type = 'CardDeclined'");
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const char *cause = (const char *)sqlite3_column_text(statement, 0), *type = NULL;
        sqlite3_reset(type_at);
        sqlite3_bind_int64(type_at, 1, cause ? strtoll(cause + strlen("ORDER/"), NULL, 10) : 0);
        if (sqlite3_step(type_at) == SQLITE_ROW)
            type = (const char *)sqlite3_column_text(type_at, 0);
        if (!type || strcmp(type, "PaymentFailed") != 0)
            violated(world, "I11: a CardDeclined was caused by %s, which is no PaymentFailed",
                     cause ? cause : "nothing");
    }
    sqlite3_finalize(statement);
    sqlite3_finalize(type_at);
}

void check_tables(struct world *world)
{
    check_stock(world, node_of_log(world, ORDER));
    check_prices(world, node_of_log(world, ORDER));
    check_money(world, node_of_log(world, ORDER));
    check_refunds(world, node_of_log(world, ORDER));
    check_effects(world);
}
