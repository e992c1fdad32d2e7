/* Tables of account-svc: what they are. Who reads and writes them: see tables.h. */
#include "tables.h"

/* Ids grow with time, so that rows keyed by them are appended, and the newest of an account are the
 * last ones. cards has no column for the provider's token: no journey here asks for it, so it stays
 * in the log for those who charge the card. */
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

    /* The projection: what a customer wants to see of the orders, and nothing else. */
    "CREATE TABLE IF NOT EXISTS purchases ("
    "  account_id TEXT NOT NULL,"
    "  order_id TEXT NOT NULL,"
    "  status TEXT NOT NULL," /* as in the contract */
    "  amount INTEGER NOT NULL,"
    "  currency TEXT NOT NULL,"
    "  placed_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (account_id, order_id)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE IF NOT EXISTS purchase_totals ("
    "  account_id TEXT NOT NULL,"
    "  currency TEXT NOT NULL,"
    "  orders INTEGER NOT NULL,"         /* placed, whatever became of them */
    "  paid INTEGER NOT NULL DEFAULT 0," /* the sum of the paid ones */
    "  PRIMARY KEY (account_id, currency)"
    ") STRICT, WITHOUT ROWID;";
