/* Project customers: the projection of account-svc's log. It keeps what an order needs: name,
 * address, whether the account is open, and the cards with the provider's token; never the e-mail
 * address or the birthday.
 *
 * A removed card keeps its row and its token, because an order that was placed with the card is
 * still charged to it: the customer chose that card, and an attempt whose outcome is unknown must
 * be repeated with the same key and the same card until its outcome is known. Only new attempts
 * look at is_usable. */
#include "journeys.h"
#include "schemas/evt.account.AccountClosed.h"
#include "schemas/evt.account.AccountRegistered.h"
#include "schemas/evt.account.AddressChanged.h"
#include "schemas/evt.account.CardAdded.h"
#include "schemas/evt.account.CardDeclined.h"
#include "schemas/evt.account.CardRemoved.h"
#include "schemas/evt.account.ProfileChanged.h"
#include "store/row.h"
#include "tables.h"

/* ---- Queries --------------------------------------------------------------------------------- */

// clang-format off: SQL
/* Card ids grow with time, so the newest card has the greatest id. Every order needs this, so the
 * two questions that only an account with a failed charge needs have a statement of their own. */
static const char customer_sql[] =
    "SELECT is_open, name, street, city, postal_code, country,"
    " (SELECT c.card_id FROM customer_cards c INDEXED BY customer_cards_usable"
    "  WHERE c.account_id = ?1 AND " CARD_IS_USABLE("c.") " AND c.expires >= ?2"
    "  ORDER BY c.card_id DESC LIMIT 1) AS card_id,"
    " EXISTS (SELECT 1 FROM failed_cards f WHERE f.account_id = ?1) AS has_failed"
    " FROM customers WHERE account_id = ?1";

static const char after_failures_sql[] =
    "SELECT"
    " (SELECT c.card_id FROM customer_cards c INDEXED BY customer_cards_usable"
    "  WHERE c.account_id = ?1 AND " CARD_IS_USABLE("c.") " AND c.expires >= ?2"
    "  AND NOT EXISTS (SELECT 1 FROM failed_cards f"
    "                  WHERE f.account_id = ?1 AND f.card_id = c.card_id"
    "                  AND " CARD_WAS_DECLINED("f.") ")"
    "  ORDER BY c.card_id DESC LIMIT 1) AS card_id,"
    " (SELECT 1 FROM orders o INDEXED BY orders_waiting"
    "  WHERE " ORDER_WAITS_FOR_CARD("o.") " AND o.account_id = ?1"
    "  LIMIT 1 OFFSET ?3) AS waiting";

static const char next_card_sql[] =
    "SELECT card_id FROM customer_cards INDEXED BY customer_cards_usable"
    " WHERE account_id = ?1 AND " CARD_IS_USABLE("") " AND expires >= ?2 AND card_id <> ?3"
    " AND NOT EXISTS (SELECT 1 FROM failed_cards f"
    "                 WHERE f.account_id = ?1 AND f.card_id = customer_cards.card_id"
    "                 AND " CARD_WAS_DECLINED("f.") ")"
    " AND card_id NOT IN (SELECT p.card_id FROM payment_failures p WHERE p.order_id = ?4)"
    " ORDER BY card_id DESC LIMIT 1";
// clang-format on

/* An account of which a charge has failed: its newest card may have been declined for good, and
 * its orders may wait for one. */
static int look_at_failures(struct journey *j, const char *account_id, const char *month,
                            struct customer *customer)
{
    _deinit_(query) struct query q = { 0 };
    const int64_t waiting_max = journey_option_int(j, "orders-waiting-max"); /* 0: no limit */
    int r = query_find(&q, journey_db(j), after_failures_sql, "ssi", account_id, month,
                       waiting_max > 0 ? waiting_max - 1 : INT64_MAX);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    customer->card_id = row_text(&row, "card_id");
    customer->has_too_many_waiting = waiting_max > 0 && !row_is_null(&row, "waiting");
    return trace(row_status(&row));
}

int customer_find(struct journey *j, const char *account_id, struct customer *ret_customer)
{
    char month[MONTH_SIZE];
    month_format(journey_now_ms(j), month);
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j), customer_sql, "ss", account_id, month);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct customer customer = {
        .is_open = row_bool(&row, "is_open"),
        .ship_to = { .name = row_text(&row, "name"),
                     .address = { .street = row_text(&row, "street"),
                                  .city = row_text(&row, "city"),
                                  .postal_code = row_text(&row, "postal_code"),
                                  .country = row_text(&row, "country") } },
        .card_id = row_text(&row, "card_id"),
    };
    _Bool has_failed = row_bool(&row, "has_failed");
    r = row_status(&row);
    if (r == 0 && has_failed)
        r = look_at_failures(j, account_id, month, &customer);
    if (r < 0)
        return trace(r);
    *ret_customer = customer;
    return 0;
}

int customer_is_known(struct journey *j, const char *account_id)
{
    return trace(db_has_row(journey_db(j), "SELECT 1 FROM customers WHERE account_id = ?1", "s",
                            account_id));
}

int customer_next_card(struct journey *j, const struct payment *payment, const char **ret_card_id)
{
    char month[MONTH_SIZE];
    month_format(journey_now_ms(j), month);
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j), next_card_sql, "ssss", payment->account_id, month,
                       payment->card_id, payment->order_id);
    if (r < 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    const char *card_id = r == NOT_FOUND ? NULL : row_text(&row, "card_id");
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_card_id = card_id;
    return 0;
}

/* ---- The projection -------------------------------------------------------------------------- */

static int account_registered_apply(struct db *db, const struct event *event)
{
    const struct account_registered *registered = event->value;
    const struct address *address = &registered->address;
    return trace(db_exec(
        db,
        "INSERT INTO customers (account_id, is_open, name, street, city, postal_code, country)"
        " VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6)",
        "ssssss", registered->account_id, registered->name, address->street, address->city,
        address->postal_code, address->country));
}

static int profile_changed_apply(struct db *db, const struct event *event)
{
    const struct profile_changed *changed = event->value;
    return trace(
        db_changed_one(db, db_exec(db, "UPDATE customers SET name = ?2 WHERE account_id = ?1", "ss",
                                   changed->account_id, changed->name)));
}

static int address_changed_apply(struct db *db, const struct event *event)
{
    const struct address_changed *changed = event->value;
    const struct address *address = &changed->address;
    return trace(
        db_changed_one(db, db_exec(db,
                                   "UPDATE customers SET street = ?2, city = ?3, postal_code = ?4, "
                                   "country = ?5 WHERE account_id = ?1",
                                   "sssss", changed->account_id, address->street, address->city,
                                   address->postal_code, address->country)));
}

static int card_added_apply(struct db *db, const struct event *event)
{
    const struct card_added *added = event->value;
    return trace(db_exec(db,
                         "INSERT INTO customer_cards (account_id, card_id, is_usable, expires, "
                         "token) VALUES (?1, ?2, 1, ?3, ?4)",
                         "ssss", added->account_id, added->card_id, added->expires,
                         added->card_token));
}

static int card_retire(struct db *db, const char *account_id, const char *card_id)
{
    return trace(db_changed_one(
        db,
        db_exec(db,
                "UPDATE customer_cards SET is_usable = 0 WHERE account_id = ?1 AND card_id = ?2",
                "ss", account_id, card_id)));
}

static int card_removed_apply(struct db *db, const struct event *event)
{
    const struct card_removed *removed = event->value;
    return trace(card_retire(db, removed->account_id, removed->card_id));
}

static int card_declined_apply(struct db *db, const struct event *event)
{
    const struct card_declined *declined = event->value;
    return trace(card_retire(db, declined->account_id, declined->card_id));
}

static int account_closed_apply(struct db *db, const struct event *event)
{
    const struct account_closed *closed = event->value;
    int r = db_changed_one(db, db_exec(db, "UPDATE customers SET is_open = 0 WHERE account_id = ?1",
                                       "s", closed->account_id));
    if (r == 0)
        r = db_exec(db,
                    "UPDATE customer_cards SET is_usable = 0"
                    " WHERE account_id = ?1 AND " CARD_IS_USABLE(""),
                    "s", closed->account_id);
    return trace(r);
}

// clang-format off: a table
const struct event_type project_customers[] = {
    { &account_registered_schema, "AccountRegistered", account_registered_apply, NULL },
    { &profile_changed_schema, "ProfileChanged", profile_changed_apply, NULL },
    { &address_changed_schema, "AddressChanged", address_changed_apply, NULL },
    { &card_added_schema, "CardAdded", card_added_apply, NULL },
    { &card_removed_schema, "CardRemoved", card_removed_apply, NULL },
    { &card_declined_schema, "CardDeclined", card_declined_apply, NULL },
    { &account_closed_schema, "AccountClosed", account_closed_apply, NULL },
    { 0 },
};
// clang-format on
