/* Tables of order-svc: their definition. See tables.h for the functions that use them. */
#include "tables.h"
#include "base/clock.h"
#include <assert.h>
#include <string.h>

/* Orders have their id as key, without a rowid beside it. Ids grow with time, so rows are appended,
 * and a customer's orders sort by their id. last_position is the position of the order's newest
 * event. All indexes but the first are partial and hold only orders that still need work; a paid
 * order is in none of them. The decisions check money and counts, and the tables check them again:
 * an event that would bring a number below zero cannot be applied. */
// clang-format off: SQL
const char order_tables[] =
    "CREATE TABLE IF NOT EXISTS products ("
    "  sku TEXT PRIMARY KEY,"
    "  name TEXT NOT NULL,"
    "  amount INTEGER NOT NULL CHECK (amount >= 0),"
    "  currency TEXT NOT NULL,"
    "  stock INTEGER NOT NULL CHECK (stock >= 0),"
    "  reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),"
    "  shipped INTEGER NOT NULL DEFAULT 0 CHECK (shipped >= 0),"
    "  is_retired INTEGER NOT NULL DEFAULT 0"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE IF NOT EXISTS orders ("
    "  order_id TEXT PRIMARY KEY,"
    "  account_id TEXT NOT NULL,"
    "  status INTEGER NOT NULL," /* enum order_status */
    "  amount INTEGER NOT NULL CHECK (amount >= 0),"
    "  currency TEXT NOT NULL,"
    "  refunded INTEGER NOT NULL DEFAULT 0 CHECK (refunded >= 0 AND refunded <= amount),"
    "  attempt INTEGER NOT NULL," /* number of the charge that is wanted, or was the last */
    "  card_id TEXT,"             /* that this attempt charges; NULL: no card is left */
    "  last_position INTEGER NOT NULL,"
    "  pay_until_ms INTEGER NOT NULL,"
    "  placed_ms INTEGER NOT NULL,"
    "  placed_position INTEGER NOT NULL,"
    "  paid_ms INTEGER,"
    "  paid_position INTEGER,"
    "  ended_ms INTEGER," /* shipped or cancelled */
    "  ended_position INTEGER,"
    "  ended_reason TEXT,"
    "  ship_name TEXT NOT NULL,"
    "  street TEXT NOT NULL,"
    "  city TEXT NOT NULL,"
    "  postal_code TEXT NOT NULL,"
    "  country TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS orders_by_account ON orders (account_id, order_id);"
    "CREATE INDEX IF NOT EXISTS orders_to_charge ON orders (last_position)"
    "  WHERE " ORDER_IS_TO_CHARGE("") ";"
    "CREATE INDEX IF NOT EXISTS orders_waiting ON orders (account_id)"
    "  WHERE " ORDER_WAITS_FOR_CARD("") ";"
    "CREATE INDEX IF NOT EXISTS orders_waiting_until ON orders (pay_until_ms)"
    "  WHERE " ORDER_WAITS_FOR_CARD("") ";"
    "CREATE INDEX IF NOT EXISTS orders_cancelled ON orders (ended_position)"
    "  WHERE " ORDER_IS_CANCELLED("") ";"

    "CREATE TABLE IF NOT EXISTS order_lines ("
    "  order_id TEXT NOT NULL,"
    "  line INTEGER NOT NULL,"
    "  sku TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  quantity INTEGER NOT NULL CHECK (quantity > 0),"
    "  amount INTEGER NOT NULL," /* of one piece, in the order's currency */
    "  PRIMARY KEY (order_id, line)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE IF NOT EXISTS payment_failures ("
    "  order_id TEXT NOT NULL,"
    "  attempt INTEGER NOT NULL,"
    "  card_id TEXT NOT NULL,"
    "  reason TEXT NOT NULL,"
    "  failed_ms INTEGER NOT NULL,"
    "  position INTEGER NOT NULL,"
    "  PRIMARY KEY (order_id, attempt)"
    ") STRICT, WITHOUT ROWID;"

    /* Cards that a charge failed on; with the reason of the decline when it was for good. We know
     * it before the projection, which hears of it when account-svc has. An account without a row
     * has no order that waits for a card. */
    "CREATE TABLE IF NOT EXISTS failed_cards ("
    "  account_id TEXT NOT NULL,"
    "  card_id TEXT NOT NULL,"
    "  reason TEXT,"
    "  PRIMARY KEY (account_id, card_id)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE IF NOT EXISTS late_payments (" /* to be voided */
    "  order_id TEXT NOT NULL,"
    "  attempt INTEGER NOT NULL,"
    "  arrived_ms INTEGER NOT NULL,"
    "  position INTEGER NOT NULL,"
    "  PRIMARY KEY (order_id, attempt)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS late_payments_in_order ON late_payments (position);"

    "CREATE TABLE IF NOT EXISTS refunds ("
    "  order_id TEXT NOT NULL,"
    "  refund INTEGER NOT NULL,"
    "  attempt INTEGER NOT NULL,"
    "  amount INTEGER NOT NULL CHECK (amount > 0),"
    "  status INTEGER NOT NULL," /* enum refund_status */
    "  asked_for TEXT,"          /* the reason in the request */
    "  requested_ms INTEGER NOT NULL,"
    "  position INTEGER NOT NULL," /* of RefundRequested */
    "  ended_ms INTEGER,"
    "  ended_position INTEGER,"
    "  ended_reason TEXT,"
    "  PRIMARY KEY (order_id, refund)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS refunds_open ON refunds (position)"
    "  WHERE " REFUND_IS_OPEN ";"

    /* What a person must settle: a charge that could not be taken back, a refund that was refused.
     * Money given back of the same charge pays it off; then its amount is 0. */
    "CREATE TABLE IF NOT EXISTS unsettled ("
    "  order_id TEXT NOT NULL,"
    "  attempt INTEGER NOT NULL,"
    "  cause INTEGER NOT NULL," /* enum unsettled_cause */
    "  amount INTEGER NOT NULL CHECK (amount >= 0),"
    "  reason TEXT NOT NULL,"
    "  since_ms INTEGER NOT NULL,"
    "  position INTEGER NOT NULL,"
    "  PRIMARY KEY (order_id, attempt, cause)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS unsettled_in_order ON unsettled (position)"
    "  WHERE " IS_UNSETTLED ";"

    /* The projection: what an order needs of a customer, and nothing else. */
    "CREATE TABLE IF NOT EXISTS customers ("
    "  account_id TEXT PRIMARY KEY,"
    "  is_open INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  street TEXT NOT NULL,"
    "  city TEXT NOT NULL,"
    "  postal_code TEXT NOT NULL,"
    "  country TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE IF NOT EXISTS customer_cards ("
    "  account_id TEXT NOT NULL,"
    "  card_id TEXT NOT NULL,"
    "  is_usable INTEGER NOT NULL,"
    "  expires TEXT NOT NULL,"
    "  token TEXT NOT NULL,"
    "  PRIMARY KEY (account_id, card_id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS customer_cards_usable"
    "  ON customer_cards (account_id, card_id, expires) WHERE " CARD_IS_USABLE("") ";";

/* card_choices: the card of an attempt that no event names, because the card was added after the
 * order had begun to wait. The choice is kept, so that after a restart the same key is not charged
 * to another card.
 * void_mark: where take_payment.c goes on after a restart. Without the mark it repeats voids, which
 * is harmless. */
const char order_scratch_tables[] =
    "CREATE TABLE IF NOT EXISTS card_choices ("
    "  order_id TEXT PRIMARY KEY,"
    "  attempt INTEGER NOT NULL,"
    "  card_id TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS void_mark ("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  position INTEGER NOT NULL"
    ") STRICT;";
// clang-format on

const char *order_status_name(enum order_status status)
{
    static const char *const names[ORDER_STATUS_MAX] = {
        [ORDER_PLACED] = "placed",
        [ORDER_PAYMENT_FAILED] = "payment_failed",
        [ORDER_PAID] = "paid",
        [ORDER_SHIPPED] = "shipped",
        [ORDER_CANCELLED] = "cancelled",
        [ORDER_REFUNDED] = "cancelled", /* the contract has no other word */
    };
    return status > 0 && status < ORDER_STATUS_MAX ? names[status] : "?";
}

_Bool order_may_become(enum order_status status, enum order_status next)
{
    static const _Bool moves[ORDER_STATUS_MAX][ORDER_STATUS_MAX] = {
        [ORDER_PLACED] = { [ORDER_PAID] = 1, [ORDER_PAYMENT_FAILED] = 1, [ORDER_CANCELLED] = 1 },
        [ORDER_PAYMENT_FAILED] = { [ORDER_PAID] = 1,
                                   [ORDER_PAYMENT_FAILED] = 1,
                                   [ORDER_CANCELLED] = 1 },
        [ORDER_PAID] = { [ORDER_SHIPPED] = 1, [ORDER_REFUNDED] = 1 },
    };
    assert(next > 0 && next < ORDER_STATUS_MAX);
    return status > 0 && status < ORDER_STATUS_MAX && moves[status][next];
}
