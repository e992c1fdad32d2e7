/* Tables of @name@: what they are, and the SQL of those that it leads. */
#include "tables.h"
#include "schemas/evt.@name@.Taken.h"

/* All of them can be folded anew from the logs: raise tables_version in service.c when one
 * changes. */
const char @name@_tables[] =
    "CREATE TABLE IF NOT EXISTS taken_orders ("
    "  order_id TEXT PRIMARY KEY,"
    "  taken_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS paid_orders ("
    "  order_id TEXT PRIMARY KEY,"
    "  account_id TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;";

int order_is_taken(struct journey *j, const char *order_id)
{
    return trace(db_has_row(journey_db(j), "SELECT 1 FROM taken_orders WHERE order_id = ?1", "s",
                            order_id));
}

int taken_apply(struct db *db, const struct event *event)
{
    const struct taken *taken = event->value;
    return trace(db_exec(db, "INSERT INTO taken_orders (order_id, taken_ms) VALUES (?1, ?2)", "si",
                         taken->order_id, event->time_ms));
}
