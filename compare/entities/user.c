/* User: customers with their addresses and payment cards. */
#include "entities.h"
#include "schemas/bench.done.h"
#include "schemas/bench.order.h"
#include "schemas/bench.user.h"
#include "schemas/evt.bench.UserPut.h"
#include "store/row.h"

static const char tables[] = "CREATE TABLE IF NOT EXISTS users ("
                             "  account_id TEXT PRIMARY KEY,"
                             "  name TEXT NOT NULL,"
                             "  street TEXT NOT NULL,"
                             "  city TEXT NOT NULL,"
                             "  postal_code TEXT NOT NULL,"
                             "  country TEXT NOT NULL,"
                             "  card_id TEXT NOT NULL,"
                             "  card_token TEXT NOT NULL"
                             ") STRICT, WITHOUT ROWID;";

static int put_user(struct journey *j, const void *request)
{
    const struct bench_user *user = request;
    return trace(journey_emit(j, &user_put_schema, user->account_id, user));
}
_Static_assert(sizeof(struct bench_user) == sizeof(struct user_put),
               "put_user emits what it was given");

static int user_put_apply(struct db *db, const struct event *event)
{
    const struct user_put *user = event->value;
    return trace(db_exec(db,
                         "INSERT OR REPLACE INTO users (account_id, name, street, city, "
                         "postal_code, country, card_id, card_token)"
                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                         "ssssssss", user->account_id, user->name, user->street, user->city,
                         user->postal_code, user->country, user->card_id, user->card_token));
}

static int get_user(struct journey *j, const void *request, void *ret_reply)
{
    struct bench_order order = *(const struct bench_order *)request;
    if (!order.account_id)
        return journey_refuse(j, REFUSED_INVALID_REQUEST, "account_id: is required");
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j),
                       "SELECT name, street, city, postal_code, country, card_id, card_token"
                       " FROM users WHERE account_id = ?1",
                       "s", order.account_id);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_UNKNOWN_ACCOUNT, "account_id: no such user");
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    order.name = row_text(&row, "name");
    order.street = row_text(&row, "street");
    order.city = row_text(&row, "city");
    order.postal_code = row_text(&row, "postal_code");
    order.country = row_text(&row, "country");
    order.card_id = row_text(&row, "card_id");
    order.card_token = row_text(&row, "card_token");
    r = row_status(&row);
    if (r == 0)
        *(struct bench_order *)ret_reply = order;
    return trace(r);
}

static const struct command commands[] = {
    { "user.put", &bench_user_schema, &bench_done_schema, put_user, put_answer },
    { 0 },
};
static const struct query_type queries[] = {
    { "user.get", &bench_order_schema, &bench_order_schema, get_user },
    { 0 },
};
static const struct event_type events[] = {
    { &user_put_schema, "UserPut", user_put_apply, NULL },
    { 0 },
};
const struct service user_service = {
    .name = "user-svc",
    .log = "USER",
    .prefix = "user",
    .description = "Users",
    .tables = tables,
    .tables_version = 1,
    .events = events,
    .schema_base = "https://journey-mesh.example/schemas/",
    .commands = commands,
    .refusals = entity_refusals,
    .queries = queries,
};
