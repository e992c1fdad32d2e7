/* Payments: the orders as the payment process sees them, and its two scratch tables. All questions
 * walk a partial index or a scratch table, so they cost what they find, however many orders there
 * are. INDEXED BY and CROSS JOIN (which keeps the order of the tables) hold SQLite to that. */
#include "tables.h"
#include "store/row.h"

/* ---- Statements ------------------------------------------------------------------------------ */

// clang-format off: SQL
/* o: an order; c: the projection's card; f: a card that a charge failed on; x: a card chosen
 * meanwhile. */
#define PAYMENT_COLUMNS \
    "o.order_id, o.account_id, o.status, o.attempt, o.amount, o.currency, o.pay_until_ms," \
    " o.last_position"

/* The order alone, because each answer of the provider needs it. */
static const char payment_sql[] =
    "SELECT " PAYMENT_COLUMNS ", o.card_id AS charged_card_id FROM orders o WHERE o.order_id = ?1";

static const char choice_sql[] =
    "SELECT card_id FROM card_choices WHERE order_id = ?1 AND attempt = ?2";

static const char card_sql[] =
    "SELECT (SELECT c.token FROM customer_cards c"
    "        WHERE c.account_id = ?1 AND c.card_id = ?2) AS token,"
    " (SELECT f.reason FROM failed_cards f"
    "  WHERE f.account_id = ?1 AND f.card_id = ?2) AS card_declined";

/* Pages of work: one shape of row. After the columns of the order: the card, its token, why it was
 * declined for good, whether it was chosen. */
static const char charges_sql[] =
    "SELECT " PAYMENT_COLUMNS ", o.card_id AS charged_card_id, c.token,"
    " f.reason AS card_declined, 0 AS is_chosen"
    " FROM orders o INDEXED BY orders_to_charge"
    " LEFT JOIN customer_cards c ON c.account_id = o.account_id AND c.card_id = o.card_id"
    " LEFT JOIN failed_cards f ON f.account_id = o.account_id AND f.card_id = o.card_id"
    " WHERE " ORDER_IS_TO_CHARGE("o.") " AND o.last_position > ?1"
    " ORDER BY o.last_position LIMIT ?2";

static const char chosen_charges_sql[] =
    "SELECT " PAYMENT_COLUMNS ", x.card_id AS charged_card_id, c.token,"
    " NULL AS card_declined, 1 AS is_chosen"
    " FROM card_choices x"
    " CROSS JOIN orders o ON o.order_id = x.order_id AND o.attempt = x.attempt"
    " LEFT JOIN customer_cards c ON c.account_id = o.account_id AND c.card_id = x.card_id"
    " WHERE x.order_id > ?1 AND " ORDER_WAITS_FOR_CARD("o.")
    " ORDER BY x.order_id LIMIT ?2";

/* Those that have a choice are charged, and end with their charge. */
static const char waiting_overdue_sql[] =
    "SELECT " PAYMENT_COLUMNS ", NULL AS charged_card_id, NULL AS token,"
    " NULL AS card_declined, 0 AS is_chosen"
    " FROM orders o INDEXED BY orders_waiting_until"
    " WHERE " ORDER_WAITS_FOR_CARD("o.") " AND o.pay_until_ms <= ?1"
    "   AND NOT EXISTS (SELECT 1 FROM card_choices x"
    "                   WHERE x.order_id = o.order_id AND x.attempt = o.attempt)"
    " LIMIT ?2";

static const char next_deadline_sql[] =
    "SELECT pay_until_ms FROM orders INDEXED BY orders_waiting_until"
    " WHERE " ORDER_WAITS_FOR_CARD("") " AND pay_until_ms > ?1"
    " ORDER BY pay_until_ms LIMIT 1";

/* Every cancelled order, because nobody can say after a restart whether its charge had left; and
 * every payment that came too late. A void has no deadline. */
static const char voids_sql[] =
    "SELECT order_id, attempt, ended_position AS place"
    " FROM orders INDEXED BY orders_cancelled"
    " WHERE " ORDER_IS_CANCELLED("") " AND ended_position > ?1"
    " UNION ALL"
    " SELECT order_id, attempt, position"
    " FROM late_payments INDEXED BY late_payments_in_order WHERE position > ?1"
    " ORDER BY place LIMIT ?2";

/* The newest usable card that the order has not been charged to, for the oldest order of the
 * account that has one and may still be paid. While an order of the account has a choice that is
 * open, no other gets one: what comes of that charge tells whether the card is worth a second. An
 * earlier choice for the same attempt stays, because the provider may have heard of it. */
static const char choose_card_sql[] =
    "INSERT INTO card_choices (order_id, attempt, card_id)"
    " SELECT o.order_id, o.attempt, c.card_id"
    " FROM orders o INDEXED BY orders_waiting"
    " CROSS JOIN customer_cards c INDEXED BY customer_cards_usable"
    "   ON c.account_id = o.account_id"
    " WHERE " ORDER_WAITS_FOR_CARD("o.") " AND o.account_id = ?1 AND o.pay_until_ms > ?2"
    "   AND " CARD_IS_USABLE("c.") " AND c.expires >= ?3"
    "   AND NOT EXISTS (SELECT 1 FROM failed_cards f"
    "                   WHERE f.account_id = ?1 AND f.card_id = c.card_id"
    "                   AND " CARD_WAS_DECLINED("f.") ")"
    "   AND c.card_id NOT IN (SELECT p.card_id FROM payment_failures p"
    "                         WHERE p.order_id = o.order_id)"
    "   AND NOT EXISTS (SELECT 1 FROM orders w INDEXED BY orders_waiting"
    "                   CROSS JOIN card_choices x"
    "                     ON x.order_id = w.order_id AND x.attempt = w.attempt"
    "                   WHERE " ORDER_WAITS_FOR_CARD("w.") " AND w.account_id = ?1)"
    " ORDER BY o.order_id, c.card_id DESC LIMIT 1"
    " ON CONFLICT (order_id)"
    "   DO UPDATE SET attempt = excluded.attempt, card_id = excluded.card_id";

static const char forget_choices_sql[] =
    "DELETE FROM card_choices WHERE NOT EXISTS"
    " (SELECT 1 FROM orders o"
    "  WHERE o.order_id = card_choices.order_id AND o.attempt = card_choices.attempt"
    "  AND " ORDER_WAITS_FOR_CARD("o.") ")";

static const char accounts_waiting_sql[] =
    "SELECT DISTINCT account_id FROM orders INDEXED BY orders_waiting"
    " WHERE " ORDER_WAITS_FOR_CARD("");

static const char void_mark_sql[] =
    "INSERT INTO void_mark (one, position) VALUES (1, ?1)"
    " ON CONFLICT (one) DO UPDATE SET position = excluded.position";
// clang-format on

/* ---- One payment ----------------------------------------------------------------------------- */

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
    };
}

static int find_choice(struct journey *j, struct payment *payment)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j), choice_sql, "si", payment->order_id, payment->attempt);
    if (r != 0)
        return r < 0 ? trace(r) : 0;
    struct row row = { .query = &q, .arena = journey_arena(j) };
    payment->card_id = row_text(&row, "card_id");
    payment->card_is_chosen = 1;
    return trace(row_status(&row));
}

int payment_find(struct journey *j, const char *order_id, struct payment *ret_payment)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j), payment_sql, "s", order_id);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct payment payment = payment_of(&row);
    r = row_status(&row);
    if (r == 0 && !payment.card_id)
        r = find_choice(j, &payment);
    if (r < 0)
        return trace(r);
    *ret_payment = payment;
    return 0;
}

int payment_find_card(struct journey *j, struct payment *payment)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j), card_sql, "ss", payment->account_id, payment->card_id);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    payment->card_token = row_text(&row, "token");
    payment->card_declined = row_text(&row, "card_declined");
    return trace(row_status(&row));
}

/* ---- Pages of work --------------------------------------------------------------------------- */

/* Takes over what query_open said, and reads all rows. */
static int page_read(struct journey *j, struct query *q, int r, struct work_page *page)
{
    struct row row = { .query = q, .arena = journey_arena(j) };
    while (r == 0 && query_has_row(q)) {
        struct payment *payment = arena_alloc(row.arena, sizeof(*payment));
        if (!payment) {
            query_end(q, fail(ERR_MEMORY, "no memory for a payment"));
            break;
        }
        *payment = payment_of(&row);
        payment->card_token = row_text(&row, "token");
        payment->card_declined = row_text(&row, "card_declined");
        payment->card_is_chosen = row_bool(&row, "is_chosen");
        page->found[page->count++] = (struct work_found){
            .key = payment->order_id,
            .number = payment->attempt,
            .place = payment->position,
            .owner = payment->account_id,
            .until_ms = payment->pay_until_ms,
            .row = payment,
        };
    }
    return r < 0 ? trace(r) : trace(row_status(&row));
}

int charges_find(struct journey *j, struct work_page *page)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j), charges_sql, "ii", page->after, (int64_t)page->max);
    return trace(page_read(j, &q, r, page));
}

int chosen_charges_find(struct journey *j, struct work_page *page)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j), chosen_charges_sql, "si", page->after_key,
                       (int64_t)page->max);
    return trace(page_read(j, &q, r, page));
}

/* The page begins anew when the next deadline passes. */
int waiting_overdue_find(struct journey *j, struct work_page *page)
{
    _deinit_(query) struct query q = { 0 };
    int64_t now_ms = journey_now_ms(j);
    int r = query_open(&q, journey_db(j), waiting_overdue_sql, "ii", now_ms, (int64_t)page->max);
    r = page_read(j, &q, r, page);
    if (r == 0)
        r = db_find_number(journey_db(j), &page->look_ms, next_deadline_sql, "i", now_ms);
    return r < 0 ? trace(r) : 0;
}

int voids_find(struct journey *j, struct work_page *page)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j), voids_sql, "ii", page->after, (int64_t)page->max);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    while (r == 0 && query_has_row(&q))
        page->found[page->count++] = (struct work_found){
            .key = row_text(&row, "order_id"),
            .number = row_int(&row, "attempt"),
            .place = row_int(&row, "place"),
        };
    return r < 0 ? trace(r) : trace(row_status(&row));
}

/* ---- Cards for orders that wait -------------------------------------------------------------- */

static int choose_card(struct journey *j, const char *account_id, const char *month)
{
    return trace(
        db_exec(journey_db(j), choose_card_sql, "sis", account_id, journey_now_ms(j), month));
}

static int choose_cards_of_all(struct journey *j, const char *month)
{
    _deinit_(query) struct query q = { 0 };
    int r = db_exec(journey_db(j), forget_choices_sql, "");
    if (r == 0)
        r = query_open(&q, journey_db(j), accounts_waiting_sql, "");
    struct row row = { .query = &q, .arena = journey_arena(j) };
    while (r == 0 && query_has_row(&q)) {
        const char *account_id = row_text(&row, "account_id");
        r = account_id ? choose_card(j, account_id, month) : row_status(&row);
    }
    return r < 0 ? trace(r) : trace(row_status(&row));
}

int charges_choose_cards(struct journey *j, const char *account_id)
{
    char month[MONTH_SIZE];
    month_format(journey_now_ms(j), month);
    return trace(account_id ? choose_card(j, account_id, month) : choose_cards_of_all(j, month));
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
    return trace(db_exec(journey_db(j), void_mark_sql, "i", position));
}
