/* Tables of account-svc: their definition. See tables.h for the functions that use them. */
#include "tables.h"

/* Ids grow with time, so rows keyed by an id are appended, and the newest rows of an account are
 * the last ones. The table cards has no column for the provider's token, because no journey here
 * needs it; order-svc, which charges the card, takes the token from the log. */
const char account_tables[] =
    "CREATE TABLE IF NOT EXISTS accounts ("
    "  account_id TEXT PRIMARY KEY,"
    "  is_open INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  email TEXT NOT NULL COLLATE NOCASE,"
    "  birthday TEXT,"
    "  street TEXT NOT NULL,"
    "  city TEXT NOT NULL,"
    "  postal_code TEXT NOT NULL,"
    "  country TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX IF NOT EXISTS accounts_by_email ON accounts (email) WHERE is_open = 1;"

    "CREATE TABLE IF NOT EXISTS cards ("
    "  account_id TEXT NOT NULL,"
    "  card_id TEXT NOT NULL,"
    "  status INTEGER NOT NULL," /* enum card_status */
    "  brand TEXT NOT NULL,"
    "  last4 TEXT NOT NULL,"
    "  expires TEXT NOT NULL,"
    "  PRIMARY KEY (account_id, card_id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS cards_kept ON cards (account_id, card_id)"
    "  WHERE " CARD_IS_KEPT ";"

    /* The projection: what a customer sees of the orders, and nothing else. */
    "CREATE TABLE IF NOT EXISTS purchases ("
    "  account_id TEXT NOT NULL,"
    "  order_id TEXT NOT NULL,"
    "  status TEXT NOT NULL," /* as in the contract */
    "  amount INTEGER NOT NULL,"
    "  refunded INTEGER NOT NULL DEFAULT 0," /* of it, given back */
    "  currency TEXT NOT NULL,"
    "  placed_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (account_id, order_id)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE IF NOT EXISTS purchase_totals ("
    "  account_id TEXT NOT NULL,"
    "  currency TEXT NOT NULL,"
    "  orders INTEGER NOT NULL,"         /* placed, with any status */
    "  paid INTEGER NOT NULL DEFAULT 0," /* the sum of the paid orders, less what was given back */
    "  PRIMARY KEY (account_id, currency)"
    ") STRICT, WITHOUT ROWID;";
