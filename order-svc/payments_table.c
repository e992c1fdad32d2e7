/* Payments: the orders as the payment process sees them, and its two scratch tables. All questions
 * walk a partial index or a scratch table, so they cost what they find, however many orders there
 * are. INDEXED BY and CROSS JOIN (which keeps the order of the tables) hold SQLite to that. */
#include "tables.h"
#include "store/row.h"

/* One shape of row for all questions; after these columns: the card, its token, whether it was
 * chosen. c: the projection's card; x: a card chosen meanwhile. */
#define PAYMENT_COLUMNS                                                                     \
    "o.order_id, o.account_id, o.status, o.attempt, o.amount, o.currency, o.pay_until_ms, " \
    "o.last_position"

static struct payment payment_of(struct row *row)
{
    return (struct payment){
        .order_id = row_text(row, "order_id"),
        .account_id = row_text(row, "account_id"),
        .status = (enum order_status)row_int(row, "status"),
        .attempt = row_int(row, "attempt"),
        .amount = { .amount = row_int(row, "amount"), .currency = row_text(row, "currency") },
        .pay_until_ms = row_int(row, "pay_until_ms"),
        .position = row_int(row, "last_position"),
        .card_id = row_text(row, "charged_card_id"),
        .card_token = row_text(row, "token"),
        .card_is_chosen = row_bool(row, "is_chosen"),
    };
}

/* Takes over what query_open said, and reads all rows. */
static int payments_read(struct journey *j, struct query *q, int r, struct payment *ret_payments)
{
    struct row row = { .query = q, .arena = journey_arena(j) };
    int count = 0;
    while (r == 0 && query_has_row(q))
        ret_payments[count++] = payment_of(&row);
    if (r == 0)
        r = row_status(&row);
    return r < 0 ? trace(r) : count;
}

int payment_find(struct journey *j, const char *order_id, struct payment *ret_payment)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(
        &q, journey_db(j),
        "SELECT " PAYMENT_COLUMNS ", coalesce(o.card_id, x.card_id) AS charged_card_id, c.token,"
        " o.card_id IS NULL AND x.card_id IS NOT NULL AS is_chosen"
        " FROM orders o LEFT JOIN card_choices x"
        "   ON o.card_id IS NULL AND x.order_id = o.order_id AND x.attempt = o.attempt"
        " LEFT JOIN customer_cards c ON c.account_id = o.account_id AND c.card_id = "
        "coalesce(o.card_id, x.card_id)"
        " WHERE o.order_id = ?1",
        "s", order_id);
    return trace(payments_read(j, &q, r, ret_payment));
}

int payments_to_charge(struct journey *j, int64_t after_position, int max,
                       struct payment *ret_payments)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(
        &q, journey_db(j),
        "SELECT " PAYMENT_COLUMNS ", o.card_id AS charged_card_id, c.token, 0 AS is_chosen"
        " FROM orders o INDEXED BY orders_to_charge"
        " LEFT JOIN customer_cards c ON c.account_id = o.account_id AND c.card_id = o.card_id"
        " WHERE o.status <= 2 AND o.card_id IS NOT NULL AND o.last_position > ?1"
        " ORDER BY o.last_position LIMIT ?2",
        "ii", after_position, (int64_t)max);
    return trace(payments_read(j, &q, r, ret_payments));
}

int payments_chosen(struct journey *j, const char *after_order_id, int max,
                    struct payment *ret_payments)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(
        &q, journey_db(j),
        "SELECT " PAYMENT_COLUMNS ", x.card_id AS charged_card_id, c.token, 1 AS is_chosen"
        " FROM card_choices x CROSS JOIN orders o ON o.order_id = x.order_id AND o.attempt = "
        "x.attempt"
        " LEFT JOIN customer_cards c ON c.account_id = o.account_id AND c.card_id = x.card_id"
        " WHERE x.order_id > ?1 AND o.status = 2 AND o.card_id IS NULL"
        " ORDER BY x.order_id LIMIT ?2",
        "si", after_order_id, (int64_t)max);
    return trace(payments_read(j, &q, r, ret_payments));
}

int payments_overdue(struct journey *j, int max, struct payment *ret_payments)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(
        &q, journey_db(j),
        "SELECT " PAYMENT_COLUMNS ", NULL AS charged_card_id, NULL AS token, 0 AS is_chosen FROM "
        "orders o INDEXED BY orders_waiting_until"
        " WHERE o.status = 2 AND o.card_id IS NULL AND o.pay_until_ms <= ?1 LIMIT ?2",
        "ii", journey_now_ms(j), (int64_t)max);
    return trace(payments_read(j, &q, r, ret_payments));
}

int payments_next_deadline(struct journey *j, int64_t *ret_deadline_ms)
{
    int64_t deadline_ms = INT64_MAX;
    int r = db_find_number(journey_db(j), &deadline_ms,
                           "SELECT pay_until_ms FROM orders INDEXED BY orders_waiting_until"
                           " WHERE status = 2 AND card_id IS NULL ORDER BY pay_until_ms LIMIT 1",
                           "");
    if (r < 0)
        return trace(r);
    *ret_deadline_ms = deadline_ms;
    return 0;
}

int payments_cancelled(struct journey *j, int64_t after_position, int max,
                       struct payment *ret_payments)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(
        &q, journey_db(j),
        "SELECT " PAYMENT_COLUMNS ", NULL AS charged_card_id, NULL AS token, 0 AS is_chosen FROM "
        "orders o INDEXED BY orders_cancelled"
        " WHERE o.status = 5 AND o.ended_position > ?1 ORDER BY o.ended_position LIMIT ?2",
        "ii", after_position, (int64_t)max);
    return trace(payments_read(j, &q, r, ret_payments));
}

/* ---- Cards for orders that wait -------------------------------------------------------------- */

/* The newest usable card that the order has not been charged to. An earlier choice for the same
 * attempt stays, because the provider may have heard of it. */
#define CHOICE_OF_CARD                                                                        \
    "INSERT INTO card_choices (order_id, attempt, card_id)"                                   \
    " SELECT o.order_id, o.attempt, max(c.card_id)"                                           \
    " FROM orders o INDEXED BY orders_waiting CROSS JOIN customer_cards c ON c.account_id = " \
    "o.account_id"                                                                            \
    " WHERE o.status = 2 AND o.card_id IS NULL AND c.is_usable AND c.expires >= ?1"           \
    " AND c.card_id NOT IN (SELECT f.card_id FROM payment_failures f WHERE f.order_id = "     \
    "o.order_id)"
#define CHOICE_STAYS                                                                               \
    " GROUP BY o.order_id, o.attempt"                                                              \
    " ON CONFLICT (order_id) DO UPDATE SET attempt = excluded.attempt, card_id = excluded.card_id" \
    " WHERE attempt <> excluded.attempt"

int payments_choose_cards(struct journey *j, const char *account_id)
{
    char month[MONTH_SIZE];
    month_format(journey_now_ms(j), month);
    if (account_id)
        return trace(db_exec(journey_db(j), CHOICE_OF_CARD " AND o.account_id = ?2" CHOICE_STAYS,
                             "ss", month, account_id));
    int r = db_exec(journey_db(j),
                    "DELETE FROM card_choices WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE "
                    "o.order_id = card_choices.order_id"
                    " AND o.attempt = card_choices.attempt AND o.status = 2 AND o.card_id IS NULL)",
                    "");
    if (r == 0)
        r = db_exec(journey_db(j), CHOICE_OF_CARD CHOICE_STAYS, "s", month);
    return trace(r);
}

int payment_forget_choice(struct journey *j, const char *order_id)
{
    return trace(
        db_exec(journey_db(j), "DELETE FROM card_choices WHERE order_id = ?1", "s", order_id));
}

/* ---- Voids ----------------------------------------------------------------------------------- */

int void_mark_read(struct journey *j, int64_t *ret_position)
{
    int64_t position = 0;
    int r = db_find_number(journey_db(j), &position, "SELECT position FROM void_mark", "");
    if (r < 0)
        return trace(r);
    *ret_position = position;
    return 0;
}

int void_mark_write(struct journey *j, int64_t position)
{
    return trace(db_exec(journey_db(j),
                         "INSERT INTO void_mark (one, position) VALUES (1, ?1) ON CONFLICT (one) "
                         "DO UPDATE SET position = excluded.position",
                         "i", position));
}
