/* Accounts: one row for each customer. A closed account keeps its row, because its purchases can
 * still be queried. */
#include "journeys.h"
#include "schemas/evt.account.AccountClosed.h"
#include "schemas/evt.account.AccountRegistered.h"
#include "schemas/evt.account.AddressChanged.h"
#include "schemas/evt.account.ProfileChanged.h"
#include "store/row.h"
#include "tables.h"

int account_find(struct journey *j, const char *account_id, struct account *ret_account)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j),
                       "SELECT name, email, birthday, street, city, postal_code, country, is_open"
                       " FROM accounts WHERE account_id = ?1",
                       "s", account_id);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct account account = {
        .name = row_text(&row, "name"),
        .email = row_text(&row, "email"),
        .birthday = row_text(&row, "birthday"),
        .address = { .street = row_text(&row, "street"),
                     .city = row_text(&row, "city"),
                     .postal_code = row_text(&row, "postal_code"),
                     .country = row_text(&row, "country") },
        .is_open = row_bool(&row, "is_open"),
    };
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_account = account;
    return 0;
}

int account_find_open(struct journey *j, const char *account_id, struct account *ret_account)
{
    struct account account;
    int r = account_find(j, account_id, &account);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_UNKNOWN_ACCOUNT, "account_id: no such account");
    if (r != 0)
        return trace(r);
    if (!account.is_open)
        return journey_refuse(j, REFUSED_ACCOUNT_CLOSED, "account_id: the account is closed");
    *ret_account = account;
    return 0;
}

int account_email_is_taken(struct journey *j, const char *email, const char *except_account_id)
{
    return trace(db_has_row(journey_db(j),
                            "SELECT 1 FROM accounts WHERE email IN (?1, ?1 || '.') AND is_open = 1 "
                            "AND account_id <> ?2",
                            "ss", email, except_account_id ? except_account_id : ""));
}

int account_find_by_email(struct journey *j, const char *email, const char **ret_account_id)
{
    _deinit_(query) struct query q = { 0 };
    int r =
        query_find(&q, journey_db(j),
                   "SELECT account_id FROM accounts WHERE email IN (?1, ?1 || '.') AND is_open = 1",
                   "s", email);
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

int account_registered_apply(struct db *db, const struct event *event)
{
    const struct account_registered *registered = event->value;
    const struct address *address = &registered->address;
    return trace(db_exec(db,
                         "INSERT INTO accounts (account_id, is_open, name, email, birthday, "
                         "street, city, postal_code, country)"
                         " VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                         "ssssssss", registered->account_id, registered->name, registered->email,
                         registered->birthday, address->street, address->city, address->postal_code,
                         address->country));
}

int profile_changed_apply(struct db *db, const struct event *event)
{
    const struct profile_changed *changed = event->value;
    return trace(db_changed_one(
        db,
        db_exec(db,
                "UPDATE accounts SET name = ?2, email = ?3, birthday = ?4 WHERE account_id = ?1",
                "ssss", changed->account_id, changed->name, changed->email, changed->birthday)));
}

int address_changed_apply(struct db *db, const struct event *event)
{
    const struct address_changed *changed = event->value;
    const struct address *address = &changed->address;
    return trace(
        db_changed_one(db, db_exec(db,
                                   "UPDATE accounts SET street = ?2, city = ?3, postal_code = ?4, "
                                   "country = ?5 WHERE account_id = ?1",
                                   "sssss", changed->account_id, address->street, address->city,
                                   address->postal_code, address->country)));
}

int account_closed_apply(struct db *db, const struct event *event)
{
    const struct account_closed *closed = event->value;
    int r = db_changed_one(db, db_exec(db, "UPDATE accounts SET is_open = 0 WHERE account_id = ?1",
                                       "s", closed->account_id));
    if (r == 0)
        r = cards_remove_all(db, closed->account_id);
    return trace(r);
}
