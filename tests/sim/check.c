/* Check: is the world at rest, and is then everything as it was promised? By SQL of its own and by
 * what the customers and the provider remember, not by what the services say of themselves. The
 * invariants: I1 to I3 by key, I4 and I6 by position, I9 by counting, I11 by causes, I12 by
 * looking. I5 and I8 are in fold.c; I7 is looked at with each message (server.c). */
#include "world.h"
#include <stdlib.h>
#include <string.h>

/* ---- Asking the tables ----------------------------------------------------------------------- */

static sqlite3_stmt *prepare(struct world *world, const struct node *node, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(node->handle, sql, -1, &statement, NULL) != SQLITE_OK)
        violated(world, "%s: %s: %s", node->service->name, sql, sqlite3_errmsg(node->handle));
    return statement;
}

static int64_t number_of(struct world *world, const struct node *node, const char *sql)
{
    sqlite3_stmt *statement = prepare(world, node, sql);
    int64_t value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return value;
}

/* ---- Rest ------------------------------------------------------------------------------------ */

/* Has the audit read the whole stream since it ended where it ends now? It goes on where it was:
 * twice round. */
static _Bool is_audited(const struct world *world, struct node *node)
{
    const struct relay_config *config = &node->relay.config;
    if (node->audited_count != node->history_count ||
        node->relay.published != node->history_count) {
        node->audited_count = node->history_count;
        node->audited_from_ms = world->now_ms;
    }
    int64_t audits = 2 * (node->history_count / config->audit_read_max + 2);
    return world->now_ms >= node->audited_from_ms +
                                audits * (config->audit_interval_ms + 2 * world->latency_ms + 100);
}

static const char *what_moves(struct world *world, int index)
{
    const struct node *node = &world->nodes[index];
    const struct node *leader = &world->nodes[1 - index];
    if (node->relay.state == RELAY_FORKED || node->feed.state == FEED_FORKED)
        return "a service says `forked`, and nothing was lost";
    if (!node->runs || !node->connected || !node->announced)
        return "a service does not serve";
    if (node->relay.state != RELAY_PUBLISHING || node->relay.published != node->relay.head)
        return "a relay has not published its log";
    if (node->relay.head != node->loop.at.head.position ||
        node->loop.at.head.position != node->history_count)
        return "a log has not all that was committed";
    if (node->feed.state != FEED_PULLING || node->feed.cursor != leader->loop.at.head.position ||
        node->feed.unsettled != 0)
        return "a feed is not at the end of its leader's log";
    if (node->inbox || node->mail || node->call_count > 0)
        return "something waits in a service";
    return NULL;
}

/* Money that was taken and has no order: taken back in the end. */
static _Bool charge_is_explained(sqlite3_stmt *order, const struct charge_entry *entry)
{
    sqlite3_reset(order);
    sqlite3_bind_text(order, 1, entry->order, -1, SQLITE_STATIC);
    if (sqlite3_step(order) != SQLITE_ROW)
        return 0;
    int64_t status = sqlite3_column_int64(order, 0);
    return (status == 3 || status == 4) && sqlite3_column_int64(order, 1) == entry->attempt;
}

static const struct charge_entry *unexplained_charge(struct world *world)
{
    const struct charge_entry *found = NULL;
    sqlite3_stmt *order = prepare(world, &world->nodes[ORDER],
                                  "SELECT status, attempt FROM orders WHERE order_id = ?1");
    for (int i = 0; i < world->provider.room && !found; i++)
        if (world->provider.entries[i].status == CHARGE_PAID &&
            !charge_is_explained(order, &world->provider.entries[i]))
            found = &world->provider.entries[i];
    sqlite3_finalize(order);
    return found;
}

const char *what_is_not_quiet(struct world *world)
{
    if (!world->server.is_up)
        return "the server is down";
    if (world->load.waiting_count > 0)
        return "a request has no answer";
    for (int i = 0; i < NODES; i++) {
        const char *moves = what_moves(world, i);
        if (moves)
            return moves;
    }
    for (int i = 0; i < NODES; i++)
        if (!is_audited(world, &world->nodes[i]))
            return "an audit has not read its whole stream";
    if (number_of(world, &world->nodes[ORDER], "SELECT count(*) FROM orders WHERE status <= 2") > 0)
        return "an order is neither paid nor cancelled";
    if (unexplained_charge(world))
        return "a charge has no paid order and was not taken back";
    return NULL;
}

/* ---- I1, I2, I3: what was answered ----------------------------------------------------------- */

static void check_requests(struct world *world, const struct node *node)
{
    const struct load *load = &world->load;
    unsigned char *effects = must(calloc((size_t)load->count + 1, 1));
    sqlite3_stmt *causes = prepare(world, node,
                                   "SELECT cause FROM event_log WHERE cause LIKE 'request/k%'");
    while (sqlite3_step(causes) == SQLITE_ROW) {
        int number = atoi((const char *)sqlite3_column_text(causes, 0) + strlen("request/k"));
        if (number >= 0 && number < load->count)
            effects[number] += effects[number] < 255;
    }
    sqlite3_finalize(causes);
    for (int i = 0; i < load->count; i++) {
        const struct request *request = load->requests[i];
        if (request->node != node->index || request->other)
            continue;
        if (request->refusal == 0 && effects[i] != 1)
            violated(world, "I1: %s %s was accepted and is %d times in the log",
                     request->command->subject, request->key, effects[i]);
        else if (request->refusal > 0 && effects[i] != 0 && request->restores == node->restores)
            violated(world, "I2: %s %s was refused and is in the log", request->command->subject,
                     request->key);
        else if (effects[i] > 1)
            violated(world, "I3: %s %s is %d times in the log", request->command->subject,
                     request->key, effects[i]);
    }
    free(effects);
}

/* ---- I4, I6: log and stream ------------------------------------------------------------------ */

static void check_log(struct world *world, const struct node *node)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    struct digest chain = { 0 }, digest;
    int64_t position = 0;
    int r = event_reader_open(&reader, node->db, node->self.log, 0, INT64_MAX);
    while (r == 0 && event_reader_has_next(&reader, &event)) {
        const struct record *record = history_at(node, ++position);
        if (event_digest(&event, &digest) < 0 || event_chain(&chain, &digest, &chain) < 0)
            must(NULL);
        if (event.position != position || !record || !digest_equal(&chain, &event.chain) ||
            !digest_equal(&chain, &record->event.chain)) {
            violated(world, "I4: the log of %s differs from what was committed at position %lld",
                     node->service->name, (long long)position);
            return;
        }
    }
    if (position != node->history_count)
        violated(world, "I4: the log of %s ends at %lld of %lld", node->service->name,
                 (long long)position, (long long)node->history_count);
}

static void check_stream(struct world *world, const struct node *node)
{
    const struct stream *stream = &world->server.streams[node->index];
    int64_t position = 0;
    for (int64_t s = stream->first; stream->exists && s <= stream->last; s++) {
        const struct stored *stored = &stream->at[s];
        if (!stored->record || stored->unreadable) {
            violated(world, "I6: the stream of %s has a hole at %lld", node->service->name,
                     (long long)s);
            return;
        }
        if (stored->record->event.position > position + 1) {
            violated(world, "I6: the stream of %s goes from %lld to %lld", node->service->name,
                     (long long)position, (long long)stored->record->event.position);
            return;
        }
        position += stored->record->event.position == position + 1;
    }
    if (position != node->history_count)
        violated(world, "I6: the stream of %s ends at %lld of %lld", node->service->name,
                 (long long)position, (long long)node->history_count);
}

/* ---- I9: stock and money
 * ---------------------------------------------------------------------- */

static void check_stock(struct world *world, const struct node *node)
{
    int64_t wrong = number_of(
        world, node,
        "WITH came AS (SELECT entity AS sku, sum(CASE type WHEN 'ProductAdded' THEN data ->> "
        "'stock' ELSE data ->> 'quantity' END) AS all_of_it"
        "  FROM event_log WHERE type IN ('ProductAdded', 'StockReceived') GROUP BY entity),"
        " held AS (SELECT sku, sum(CASE WHEN status <= 3 THEN quantity ELSE 0 END) AS reserved,"
        "  sum(CASE WHEN status = 4 THEN quantity ELSE 0 END) AS shipped FROM order_lines JOIN "
        "orders USING (order_id) GROUP BY sku)"
        " SELECT count(*) FROM products LEFT JOIN came USING (sku) LEFT JOIN held USING (sku)"
        " WHERE stock + products.reserved + products.shipped <> all_of_it OR products.reserved <> "
        "coalesce(held.reserved, 0)"
        "  OR products.shipped <> coalesce(held.shipped, 0) OR stock < 0");
    if (wrong > 0)
        violated(world, "I9: the stock of %lld products does not add up", (long long)wrong);
}

static void check_money(struct world *world, const struct node *node)
{
    const struct charge_entry *charge = unexplained_charge(world);
    if (charge)
        violated(world, "I9: %s/%lld is charged, and its order is not paid by it", charge->order,
                 (long long)charge->attempt);
    sqlite3_stmt *paid = prepare(world, node,
                                 "SELECT order_id, attempt FROM orders WHERE status IN (3, 4)");
    while (sqlite3_step(paid) == SQLITE_ROW) {
        const char *order = (const char *)sqlite3_column_text(paid, 0);
        int64_t attempt = sqlite3_column_int64(paid, 1);
        if (provider_status(&world->provider, order, attempt) != CHARGE_PAID)
            violated(world, "I9: %s is paid by attempt %lld, which was not charged", order,
                     (long long)attempt);
    }
    sqlite3_finalize(paid);
    int64_t ended_twice = number_of(
        world, node,
        "SELECT count(*) FROM (SELECT entity FROM event_log"
        " WHERE type IN ('OrderPaid', 'OrderCancelled') GROUP BY entity HAVING count(*) > 1)");
    if (ended_twice > 0)
        violated(world, "I9: %lld orders were paid or cancelled more than once",
                 (long long)ended_twice);
}

/* ---- I11: effects
 * ------------------------------------------------------------------------------ */

/* Each PaymentFailed has one CardDeclined, and nothing was caused twice. */
static void check_effects(struct world *world)
{
    const struct node *account = &world->nodes[ACCOUNT], *order = &world->nodes[ORDER];
    int64_t failed = number_of(world, order,
                               "SELECT count(*) FROM event_log WHERE type = 'PaymentFailed'");
    int64_t declined = number_of(world, account,
                                 "SELECT count(*) FROM event_log WHERE type = 'CardDeclined'");
    int64_t causes = number_of(world, account,
                               "SELECT count(DISTINCT cause) FROM event_log WHERE type = "
                               "'CardDeclined' AND cause LIKE 'ORDER/%'");
    if (failed != declined || causes != declined)
        violated(world, "I11: %lld PaymentFailed, %lld CardDeclined of %lld causes",
                 (long long)failed, (long long)declined, (long long)causes);
    sqlite3_stmt *statement = prepare(world, account,
                                      "SELECT cause FROM event_log WHERE type = 'CardDeclined'");
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const char *cause = (const char *)sqlite3_column_text(statement, 0);
        const struct record *record =
            cause ? history_at(order, strtoll(cause + strlen("ORDER/"), NULL, 10)) : NULL;
        if (!record || strcmp(record->event.type, "PaymentFailed") != 0)
            violated(world, "I11: a CardDeclined was caused by %s, which is no PaymentFailed",
                     cause ? cause : "nothing");
    }
    sqlite3_finalize(statement);
}

void check_all(struct world *world)
{
    for (int i = 0; i < NODES; i++) {
        const struct node *node = &world->nodes[i];
        check_log(world, node);
        check_stream(world, node);
        check_requests(world, node);
        if (number_of(world, node, "SELECT count(*) FROM parked") > 0)
            violated(world, "I8: %s has parked an event of a healthy leader", node->service->name);
    }
    check_stock(world, &world->nodes[ORDER]);
    check_money(world, &world->nodes[ORDER]);
    check_effects(world);
    check_folds(world);
}
