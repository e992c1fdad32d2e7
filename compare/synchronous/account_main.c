/* account-svc that answers order-svc's request for the customer of each order. Everything else is
 * the shipped account-svc, except that no service reads the other's log: a customer's purchases
 * would need a request, too. */
#include "base/clock.h"
#include "base/log.h"
#include "journeys.h"
#include "schemas/bench.ask-customer.h"
#include "schemas/bench.ask-customer.reply.h"
#include "schemas/evt.account.CardAdded.h"
#include "service.h"
#include "store/row.h"
#include "tables.h"
#include <stdio.h>
#include <string.h>

#define TABLES_SIZE 8192

/* The shipped account-svc stores no tokens, because none of its journeys needs them. */
static const char token_table[] = "CREATE TABLE IF NOT EXISTS card_tokens ("
                                  "  card_id TEXT PRIMARY KEY,"
                                  "  token TEXT NOT NULL"
                                  ") STRICT, WITHOUT ROWID;";

static int card_added_apply_too(struct db *db, const struct event *event)
{
    const struct card_added *added = event->value;
    int r = card_added_apply(db, event);
    if (r == 0)
        r = db_exec(db, "INSERT INTO card_tokens (card_id, token) VALUES (?1, ?2)", "ss",
                    added->card_id, added->card_token);
    return trace(r);
}

/* Account and card in one statement, as in order-svc's projection. */
static int ask_customer(struct journey *j, const void *request, void *ret_reply)
{
    const struct bench_ask_customer *asked = request;
    char now[RFC3339_SIZE];
    rfc3339_format(journey_now_ms(j), now);
    now[strlen("YYYY-MM")] = '\0';
    _deinit_(query) struct query q = { 0 };
    int r = query_find(
        &q, journey_db(j),
        "SELECT a.is_open, a.name, a.street, a.city, a.postal_code, a.country,"
        " c.card_id, c.expires, t.token FROM accounts a"
        " LEFT JOIN cards c ON c.account_id = a.account_id AND c.card_id ="
        "  (SELECT max(card_id) FROM cards WHERE account_id = ?1 AND status = 1 AND expires >= ?2)"
        " LEFT JOIN card_tokens t ON t.card_id = c.card_id WHERE a.account_id = ?1",
        "ss", asked->account_id, now);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_UNKNOWN_ACCOUNT, "account_id: no such account");
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    *(struct bench_ask_customer_reply *)ret_reply = (struct bench_ask_customer_reply){
        .account_id = asked->account_id,
        .is_open = row_bool(&row, "is_open"),
        .name = row_text(&row, "name"),
        .street = row_text(&row, "street"),
        .city = row_text(&row, "city"),
        .postal_code = row_text(&row, "postal_code"),
        .country = row_text(&row, "country"),
        .card_id = row_text(&row, "card_id"),
        .expires = row_text(&row, "expires"),
        .card_token = row_text(&row, "token"),
    };
    return trace(row_status(&row));
}

int main(int argc, char **argv)
{
    static char tables[TABLES_SIZE];
    struct service service = account_service;
    struct event_type events[16] = { 0 };
    struct query_type queries[8] = {
        { "account.ask-customer", &bench_ask_customer_schema, &bench_ask_customer_reply_schema,
          ask_customer },
    };
    for (int i = 0; account_service.events[i].name; i++) {
        events[i] = account_service.events[i];
        if (strcmp(events[i].name, "CardAdded") == 0)
            events[i].apply = card_added_apply_too;
    }
    for (int i = 0; account_service.queries[i].subject; i++)
        queries[i + 1] = account_service.queries[i];
    if (snprintf(tables, sizeof(tables), "%s%s", account_service.tables, token_table) >=
        (int)sizeof(tables))
        return 1;
    service.tables = tables;
    service.events = events;
    service.queries = queries;
    service.sources = NULL;
    return service_main(&service, argc, argv);
}
