package shop

// OrderTables are those of the order service. Its copy of customers and cards is fed by the account
// service's events, which the comparison does not measure: scripts/compare fills them.
const OrderTables = `
CREATE TABLE IF NOT EXISTS products (
  sku TEXT PRIMARY KEY, name TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL,
  stock INTEGER NOT NULL CHECK (stock >= 0), reserved INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS customers (
  account_id TEXT PRIMARY KEY, is_open INTEGER NOT NULL, name TEXT NOT NULL, street TEXT NOT NULL,
  city TEXT NOT NULL, postal_code TEXT NOT NULL, country TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS customer_cards (
  account_id TEXT NOT NULL, card_id TEXT NOT NULL, is_usable INTEGER NOT NULL,
  expires TEXT NOT NULL, token TEXT NOT NULL, PRIMARY KEY (account_id, card_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
  order_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, status TEXT NOT NULL,
  amount INTEGER NOT NULL, currency TEXT NOT NULL, attempt INTEGER NOT NULL, card_id TEXT NOT NULL,
  placed_ms INTEGER NOT NULL, pay_until_ms INTEGER NOT NULL, paid_ms INTEGER,
  ship_name TEXT NOT NULL, street TEXT NOT NULL, city TEXT NOT NULL, postal_code TEXT NOT NULL,
  country TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS orders_by_account ON orders (account_id, order_id);
CREATE INDEX IF NOT EXISTS orders_to_pay ON orders (order_id) WHERE status = 'placed';
CREATE TABLE IF NOT EXISTS order_lines (
  order_id TEXT NOT NULL, line INTEGER NOT NULL, sku TEXT NOT NULL, name TEXT NOT NULL,
  quantity INTEGER NOT NULL CHECK (quantity > 0), amount INTEGER NOT NULL,
  PRIMARY KEY (order_id, line)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
  key TEXT PRIMARY KEY, body BLOB NOT NULL, reply BLOB NOT NULL
) STRICT, WITHOUT ROWID;`

// AccountTables are those of the account service.
const AccountTables = `
CREATE TABLE IF NOT EXISTS purchases (
  account_id TEXT NOT NULL, order_id TEXT NOT NULL, status TEXT NOT NULL, amount INTEGER NOT NULL,
  currency TEXT NOT NULL, placed_ms INTEGER NOT NULL, PRIMARY KEY (account_id, order_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS purchase_totals (
  account_id TEXT NOT NULL, currency TEXT NOT NULL, orders INTEGER NOT NULL,
  paid INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (account_id, currency)
) STRICT, WITHOUT ROWID;`
