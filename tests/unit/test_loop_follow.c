/* Loop of a follower: what another leader has decided and what it has parked; what becomes of
 * refusals and parked events when the lead changes. With a service that has two tables. */
#include "base/clock.h"
#include "runtime/writer/loop.h"
#include "schemas/evt.account.AccountClosed.h"
#include "add_product_item.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { REFUSED_NEVER = REFUSED_OWN };
static const struct refusal_type refusals[] = { { REFUSED_NEVER, "out_of_stock", 422, 0 }, { 0 } };
static _Bool is_out_of_stock, is_broken;

static int add(struct journey *j, const void *request)
{
    return is_out_of_stock ? journey_refuse(j, REFUSED_NEVER, "none is left")
                           : trace(decide_add_product(j, request));
}

static int apply_closed(struct db *db, const struct event *event)
{
    return trace(db_exec(db, "INSERT INTO closed VALUES (?1)", "s", event->entity));
}

/* Adds a product of the name of the account. */
static int react_closed(struct journey *j, const struct event *event)
{
    const struct product_added added = { .sku = event->entity,
                                         .name = "n",
                                         .price = { .amount = 1, .currency = "EUR" } };
    return is_broken ? fail(ERR_INTERNAL, "this program cannot react")
                     : trace(journey_emit(j, &product_added_schema, event->entity, &added));
}

static const struct event_type own_events[] = {
    { &product_added_schema, "ProductAdded", apply_product_added, NULL }, { 0 }
};
static const struct event_type other_events[] = {
    { &account_closed_schema, "AccountClosed", apply_closed, react_closed }, { 0 }
};
static const struct source sources[] = { { "OTHER", "other-svc", "other", other_events, NULL },
                                         { 0 } };
static const struct command commands[] = {
    { "test.add", &order_add_product_schema, &order_add_product_reply_schema, add,
      answer_add_product },
    { 0 },
};
static const struct service service = {
    .name = "test-svc",
    .log = "TEST",
    .prefix = "test",
    .tables_version = 1,
    .events = own_events,
    .sources = sources,
    .commands = commands,
    .refusals = refusals,
    .tables = "CREATE TABLE IF NOT EXISTS products (sku TEXT PRIMARY KEY, stock INTEGER) STRICT;"
              "CREATE TABLE IF NOT EXISTS closed (entity TEXT) STRICT;",
};

static struct loop loop;
static struct db *db;

static void open_loop(void)
{
    struct db_options options = { .path = ":memory:" };
    cr_assert(db_open(&options, &db) == 0 && loop_open(&loop, &service, NULL, db, 1) == 0, "%s",
              failure_text());
}

static void close_loop(void)
{
    loop_close(&loop);
    db_free(db);
}

TestSuite(loop_follow, .init = open_loop, .fini = close_loop);

static enum item_outcome run(struct item *item, char ret_answer[100])
{
    struct batch *batch = batch_new();
    cr_assert_eq(loop_run(&loop, &item, 1, clock_wall_ms(), batch), 0, "%s", failure_text());
    const enum item_outcome outcome = item->outcome;
    if (ret_answer)
        snprintf(ret_answer, 100, "%s",
                 outcome == OUTCOME_DONE ? item->body.data : item->refusal->code);
    batch_free(batch);
    return outcome;
}

#define ROWS(table) rows_of("SELECT count(*) FROM " table)
static int64_t rows_of(const char *sql)
{
    int64_t count = -1;
    db_find_number(db, &count, sql, "");
    return count;
}

/* ---- Keys ----------------------------------------------------------------------------------- */

static const char *answer_to(const char *sku, const char *key)
{
    static char answer[100];
    run(add_product_item(&commands[0], sku, key), answer);
    return answer;
}

/* The first event of our log, as it comes to a follower. */
static struct item *first_as_item(void)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    struct invalid invalid;
    void *value;
    struct item *item = item_new(ITEM_EVENT);
    cr_assert(event_reader_open(&reader, db, "TEST", 0, 1) == 0 &&
              event_reader_has_next(&reader, &event));
    cr_assert(event_copy(&event, &item->arena, &item->event) == 0 &&
              event_digest(&item->event, &item->event_digest) == 0);
    item->type = &own_events[0];
    cr_assert(schema_decode(item->type->schema, event.data, event.data_length, &item->arena, &value,
                            &invalid) == 0);
    item->event.value = value;
    return item;
}

/* Refusals are in the file of who gave them. A refusal has left no effect, so the next leader
 * decides its key anew; and what is in the log goes before a refusal in any file. */
Test(loop_follow, a_key_that_one_leader_refused_is_decided_anew_by_the_next_and_then_for_good)
{
    static const char accepted[] = "{\"sku\":\"tea\",\"position\":1}";
    cr_assert_str_eq(answer_to("tea", "k1"), accepted, "by one that knows of no refusal");
    cr_assert_str_eq(answer_to("tea", "k1"), accepted);
    struct item *decided = first_as_item();
    close_loop();
    open_loop(); /* the leader before, when it has stepped back */
    is_out_of_stock = 1;
    cr_assert_str_eq(answer_to("tea", "k1"), "out_of_stock");
    loop.follows = 1;
    cr_assert_eq(run(decided, NULL), OUTCOME_DONE);
    loop.follows = 0; /* and leads once more */
    cr_assert_str_eq(answer_to("tea", "k1"), accepted);
    cr_assert_str_eq(answer_to("mug", "k1"), "conflict");
    cr_assert(ROWS("event_log") == 1 && ROWS("products") == 1);
}

/* ---- Parked events -------------------------------------------------------------------------- */

static enum item_outcome run_other(int64_t position, const char *entity, _Bool is_bad,
                                   _Bool redriven)
{
    static struct digest chain[16];
    struct item *item = item_new(ITEM_EVENT);
    char id[32];
    snprintf(id, sizeof(id), "id-%d", (int)position);
    const struct event event = {
        .log = "OTHER",
        .position = position,
        .id = id,
        .type = "AccountClosed",
        .entity = entity,
        .time_ms = position,
        .data = "{}",
        .data_length = 2,
    };
    cr_assert(event_copy(&event, &item->arena, &item->event) == 0 &&
              event_digest(&item->event, &item->event_digest) == 0 &&
              event_chain(&chain[position - 1], &item->event_digest, &chain[position]) == 0);
    item->event.chain = chain[position];
    item->source = &sources[0];
    item->type = &other_events[0];
    item->event.value = is_bad ? NULL : item->event.data;
    item->invalid = is_bad ? "account_id is required" : NULL;
    item->redriven = redriven;
    return run(item, NULL);
}

/* Parked events are in the file of who parked them: a standby cannot apply the same events. */
Test(loop_follow, a_standby_parks_for_itself_and_goes_on_so_when_it_leads)
{
    loop.follows = 1;
    cr_assert_eq(run_other(1, "e1", 1, 0), OUTCOME_PARKED);
    cr_assert_eq(run_other(2, "e2", 0, 0), OUTCOME_DONE);
    cr_assert_eq(ROWS("event_log"), 0, "its leader has reacted");
    loop.follows = 0;
    cr_assert_eq(run_other(3, "e1", 0, 0), OUTCOME_PARKED, "behind the first of its entity");
    cr_assert_eq(run_other(4, "e4", 0, 0), OUTCOME_DONE);
    cr_assert(loop.at.parked_count == 2 && ROWS("event_log") == 1);
    cr_assert_eq(run_other(1, "e1", 0, 1), OUTCOME_DONE, "with a program that can");
    cr_assert(loop.at.parked_count == 1 && ROWS("event_log") == 2 && ROWS("closed") == 3);
}

/* Else nobody would know, after a take-over, that a reaction is missing. */
Test(loop_follow, what_its_leader_could_not_react_to_is_parked_by_a_standby_too)
{
    loop.follows = is_broken = 1;
    cr_assert_eq(run_other(1, "e1", 0, 0), OUTCOME_PARKED);
    cr_assert(loop.at.parked_count == 1 && ROWS("closed") == 0 && ROWS("event_log") == 0);
    loop.follows = is_broken = 0;
    cr_assert_eq(run_other(1, "e1", 0, 1), OUTCOME_DONE);
    cr_assert(loop.at.parked_count == 0 && ROWS("closed") == 1 && ROWS("event_log") == 1);
}
