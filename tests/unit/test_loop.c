/* Loop: one transaction for many items, idempotency keys, events of others in order, and what
 * happens when an event cannot be applied or the disk fails. With a service that has two tables. */
#include "base/clock.h"
#include "runtime/writer/loop.h"
#include "runtime/writer/run_item.h"
#include "schemas/evt.account.AccountClosed.h"
#include "schemas/evt.order.ProductAdded.h"
#include "schemas/evt.order.StockReceived.h"
#include "schemas/order.add-product.h"
#include "schemas/order.add-product.reply.h"
#include "store/parked.h"
#include "add_product_item.h"
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- The service ----------------------------------------------------------------------------- */

enum { REFUSED_NEVER = REFUSED_OWN, REFUSED_TIRED, REFUSED_UNLISTED };
static const struct refusal_type refusals[] = {
    { REFUSED_NEVER, "out_of_stock", 422, 0 },
    { REFUSED_TIRED, "tired", 503, 1 },
    { 0 },
};
static _Bool is_rested;

static int add(struct journey *j, const void *request)
{
    const struct order_add_product *wanted = request;
    if (strcmp(wanted->sku, "never") == 0)
        return journey_refuse(j, REFUSED_NEVER, "never");
    if (strcmp(wanted->sku, "tired") == 0 && !is_rested)
        return journey_refuse(j, REFUSED_TIRED, "tired");
    if (strcmp(wanted->sku, "unlisted") == 0)
        return journey_refuse(j, REFUSED_UNLISTED, "unlisted");
    if (strcmp(wanted->sku, "unsaid") == 0)
        return REFUSED_UNLISTED;
    if (strcmp(wanted->sku, "passed-on") == 0) /* the result of a finder, passed on */
        return NOT_FOUND;
    /* an event that only another service may emit */
    if (strcmp(wanted->sku, "foreign") == 0)
        return trace(journey_emit(j, &account_closed_schema, "x",
                                  &(struct account_closed){ .account_id = "x" }));
    if (strcmp(wanted->sku, "follower") == 0) /* of an event that does not exist */
        return trace(journey_follow(j, 99));
    struct product_added added = {
        .sku = wanted->sku, .name = wanted->name, .price = wanted->price, .stock = wanted->stock
    };
    int r = journey_emit(j, &product_added_schema, wanted->sku, &added);
    /* refuses after an emission, of which nothing may stay */
    if (r == 0 && strcmp(wanted->sku, "late") == 0)
        return journey_refuse(j, REFUSED_CONFLICT, "late");
    return trace(r);
}

/* How another version of the program applies the same event. */
static int apply_added_with_note(struct db *db, const struct event *event)
{
    const struct product_added *added = event->value;
    return trace(db_exec(db, "INSERT INTO products (sku, stock) VALUES (?1, ?2)", "si", added->sku,
                         added->stock));
}

static int apply_received(struct db *db, const struct event *event)
{
    (void)event;
    return trace(db_exec(db, "INSERT INTO reactions VALUES (?1)", "i", event->position));
}

static int apply_closed(struct db *db, const struct event *event)
{
    return trace(
        db_exec(db, "INSERT INTO closed VALUES (?1, ?2)", "si", event->entity, event->position));
}

static int react_closed(struct journey *j, const struct event *event)
{
    (void)event;
    struct stock_received received = { .sku = "x", .quantity = 1, .stock = 1 };
    return trace(journey_emit(j, &stock_received_schema, "x", &received));
}

static const struct event_type own_events[] = {
    { &product_added_schema, "ProductAdded", apply_product_added, NULL },
    { &stock_received_schema, "StockReceived", apply_received, NULL },
    { 0 },
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
    .tables =
        "CREATE TABLE IF NOT EXISTS products (sku TEXT PRIMARY KEY, stock INTEGER) STRICT;"
        "CREATE TABLE IF NOT EXISTS reactions (position INTEGER) STRICT;"
        "CREATE TABLE IF NOT EXISTS closed (entity TEXT, position INTEGER PRIMARY KEY) STRICT;",
};

/* ---- Driving it ------------------------------------------------------------------------------ */

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

TestSuite(loop, .init = open_loop, .fini = close_loop);

static struct batch *run(int count, struct item **items)
{
    struct batch *batch = batch_new();
    loop_run(&loop, items, count, clock_wall_ms(), batch);
    return batch;
}

static int64_t rows(const char *sql)
{
    int64_t count = -1;
    db_find_number(db, &count, sql, "");
    return count;
}

static void answers(const char *sku, const char *key, enum item_outcome outcome, const char *body)
{
    struct item *item = add_product_item(&commands[0], sku, key);
    struct batch *batch = run(1, &item);
    cr_assert_eq(item->outcome, outcome, "%s %s: outcome %d", sku, key ? key : "", item->outcome);
    cr_assert_str_eq(outcome == OUTCOME_DONE ? item->body.data : item->refusal->code, body);
    batch_free(batch);
}

Test(loop, a_refusal_is_looked_up_in_the_service_table)
{
    answers("tired", "k1", OUTCOME_REFUSED, "tired");
    is_rested = 1;
    /* a transient refusal is not kept */
    answers("tired", "k1", OUTCOME_DONE, "{\"sku\":\"tired\",\"position\":1}");
    /* refusals that the table does not have */
    answers("unlisted", "k2", OUTCOME_REFUSED, "internal");
    answers("unsaid", "k3", OUTCOME_REFUSED, "internal");
    answers("passed-on", NULL, OUTCOME_REFUSED, "not_found");
    answers("never", "k4", OUTCOME_REFUSED, "out_of_stock");
    db_script(db, "UPDATE refusals SET refusal = 77"); /* as another version wrote it */
    answers("never", "k4", OUTCOME_REFUSED, "internal");
    answers("a", "k4", OUTCOME_REFUSED, "conflict");
}

Test(loop, a_key_is_answered_once)
{
    answers("a", "k1", OUTCOME_DONE, "{\"sku\":\"a\",\"position\":1}");
    answers("a", "k1", OUTCOME_DONE, "{\"sku\":\"a\",\"position\":1}");
    answers("b", "k1", OUTCOME_REFUSED, "conflict");
    answers("never", "k2", OUTCOME_REFUSED, "out_of_stock");
    answers("never", "k2", OUTCOME_REFUSED, "out_of_stock");
    answers("a", "k2", OUTCOME_REFUSED, "conflict");
    answers("late", "k3", OUTCOME_REFUSED, "conflict");
    /* the table refuses it; nothing of it stays */
    answers("a", NULL, OUTCOME_REFUSED, "internal");
    answers("c", NULL, OUTCOME_DONE, "{\"sku\":\"c\",\"position\":2}");
    cr_assert(rows("SELECT count(*) FROM event_log") == 2 &&
              rows("SELECT count(*) FROM products") == 2);
}

Test(loop, a_journey_that_breaks_the_rules_fails_alone_and_leaves_nothing)
{
    answers("foreign", "k1", OUTCOME_REFUSED, "internal");
    answers("follower", "k2", OUTCOME_REFUSED, "internal");
    answers("a", NULL, OUTCOME_DONE, "{\"sku\":\"a\",\"position\":1}");
    cr_assert(rows("SELECT count(*) FROM event_log") == 1 &&
              rows("SELECT count(*) FROM refusals") == 0);
    /* a failure is not kept under its key, as a refusal would be */
    answers("foreign", "k1", OUTCOME_REFUSED, "internal");
}

Test(loop, many_items_share_a_commit_and_one_that_fails_does_not_disturb_the_others)
{
    struct item *items[100];
    for (int i = 0; i < 100; i++) {
        char sku[16];
        snprintf(sku, sizeof(sku), i % 10 == 3 ? "same" : "s%d", i);
        items[i] = add_product_item(&commands[0], sku, NULL);
    }
    struct batch *batch = run(100, items);
    int done = 0;
    for (struct item *item = batch->items; item; item = item->next)
        done += item->outcome == OUTCOME_DONE;
    cr_assert(done == 91 && batch->own_event_count == 91 && batch->at.head.position == 91,
              "%d done", done);
    int64_t expected = 1;
    for (struct committed_event *e = batch->events; e; e = e->next)
        cr_assert_eq(e->event.position, expected++);
    cr_assert(expected == 92 && rows("SELECT max(position) FROM event_log") == 91);
    batch_free(batch);
}

/* ---- Another's log --------------------------------------------------------------------------- */

static struct digest other_chain[64];

static struct item *other_event(int64_t position, const char *entity, const char *data)
{
    struct item *item = item_new(ITEM_EVENT);
    char id[32], acc[48];
    snprintf(id, sizeof(id), "id-%" PRId64, position);
    snprintf(acc, sizeof(acc), "%s", entity);
    struct event event = {
        .log = "OTHER",
        .position = position,
        .id = id,
        .type = "AccountClosed",
        .entity = acc,
        .time_ms = position,
        .data = data,
        .data_length = strlen(data),
    };
    cr_assert(event_copy(&event, &item->arena, &item->event) == 0 &&
              event_digest(&item->event, &item->event_digest) == 0);
    cr_assert(
        event_chain(&other_chain[position - 1], &item->event_digest, &other_chain[position]) == 0);
    item->event.chain = other_chain[position];
    item->source = &sources[0];
    item->type = &other_events[0];
    item->event.value = item->event.data;
    if (strcmp(data, "bad") == 0) {
        item->event.value = NULL;
        item->invalid = "account_id is required";
    }
    return item;
}

static enum item_outcome run_other(int64_t position, const char *entity, const char *data)
{
    struct item *item = other_event(position, entity, data);
    struct batch *batch = run(1, &item);
    enum item_outcome outcome = item->outcome;
    batch_free(batch);
    return outcome;
}

Test(loop, events_of_others_are_applied_once_in_order)
{
    cr_assert_eq(run_other(1, "e1", "{}"), OUTCOME_DONE);
    cr_assert_eq(run_other(1, "e1", "{}"), OUTCOME_REPEAT);
    cr_assert_eq(run_other(3, "e1", "{}"), OUTCOME_GAP);
    cr_assert_eq(run_other(2, "e2", "{}"), OUTCOME_DONE);
    struct item *fork = other_event(3, "e3", "{}");
    fork->event.chain.bytes[0] ^= 1;
    struct batch *batch = run(1, &fork);
    cr_assert_eq(fork->outcome, OUTCOME_FORK);
    batch_free(batch);
    cr_assert(loop.at.cursors[0].position == 2 && rows("SELECT position FROM cursors") == 2);
    cr_assert(rows("SELECT count(*) FROM closed") == 2 &&
              rows("SELECT count(*) FROM reactions") == 2);
}

/* A position that is used again after a restore is another event, also for causes as of 0.1.0. */
Test(loop, a_position_that_is_used_again_is_reacted_to_again)
{
    const char *const ids[] = { "id-1", "another", "another", "id-1", "third" };
    for (int i = 0; i < 5; i++) {
        struct item *item = other_event(1, "e1", "{}");
        db_script(db, i == 3 ? "UPDATE event_log SET cause = 'OTHER/1'" : "");
        db_script(db, "DELETE FROM cursors; DELETE FROM closed");
        loop.at.cursors[0] = (struct cursor){ 0 };
        item->event.id = ids[i];
        batch_free(run(1, &item));
        cr_assert_eq(rows("SELECT count(*) FROM event_log"), i == 0 ? 1 : i < 4 ? 2 : 3);
    }
}

Test(loop, a_reaction_happens_once_even_with_an_older_cursor)
{
    run_other(1, "e1", "{}");
    /* a projection that is folded anew */
    db_script(db, "DELETE FROM cursors; DELETE FROM closed");
    loop.at.cursors[0] = (struct cursor){ 0 };
    cr_assert_eq(run_other(1, "e1", "{}"), OUTCOME_DONE);
    cr_assert(rows("SELECT count(*) FROM closed") == 1 &&
              rows("SELECT count(*) FROM event_log") == 1);
}

Test(loop, an_event_that_cannot_be_applied_is_parked_with_later_events_of_its_entity)
{
    cr_assert_eq(run_other(1, "e1", "bad"), OUTCOME_PARKED); /* does not fit its schema */
    cr_assert_eq(run_other(2, "e2", "{}"), OUTCOME_DONE);    /* another entity flows on */
    cr_assert_eq(run_other(3, "e1", "{}"), OUTCOME_PARKED);  /* behind the first of its entity */
    db_script(db, "INSERT INTO closed VALUES ('x', 4)");
    /* breaks a constraint; its reaction does not happen either */
    cr_assert_eq(run_other(4, "e3", "{}"), OUTCOME_PARKED);
    cr_assert(loop.at.parked_count == 3 && rows("SELECT count(*) FROM parked") == 3 &&
              loop.at.cursors[0].position == 4);
    cr_assert(rows("SELECT count(*) FROM event_log") == 1 &&
              rows("SELECT count(*) FROM closed WHERE entity = 'e1'") == 0);
}

static enum item_outcome redrive(int64_t position, const char *entity, const char *data)
{
    struct item *item = other_event(position, entity, data);
    item->redriven = 1;
    struct batch *batch = run(1, &item);
    enum item_outcome outcome = item->outcome;
    batch_free(batch);
    return outcome;
}

Test(loop, a_redriven_event_is_applied_once_in_the_order_of_its_entity)
{
    run_other(1, "e1", "bad");
    run_other(2, "e1", "{}");
    run_other(3, "e2", "{}");
    cr_assert_eq(redrive(2, "e1", "{}"), OUTCOME_PARKED); /* the first event is still parked */
    /* it still does not fit its schema */
    cr_assert_eq(redrive(1, "e1", "bad"), OUTCOME_PARKED);
    cr_assert(loop.at.parked_count == 2 && rows("SELECT count(*) FROM event_log") == 1);
    static const struct {
        int64_t position;
        enum item_outcome outcome;
        int64_t parked, events;
    } steps[] = {
        { 1, OUTCOME_DONE, 1, 2 },
        { 1, OUTCOME_REPEAT, 1, 2 },
        { 2, OUTCOME_DONE, 0, 3 },
        { 2, OUTCOME_REPEAT, 0, 3 },
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        cr_assert_eq(redrive(steps[i].position, "e1", "{}"), steps[i].outcome, "step %zu", i);
        cr_assert(loop.at.parked_count == steps[i].parked &&
                      rows("SELECT count(*) FROM parked") == steps[i].parked,
                  "step %zu", i);
        cr_assert_eq(rows("SELECT count(*) FROM event_log"), steps[i].events, "step %zu", i);
    }
    cr_assert(rows("SELECT count(*) FROM closed") == 3 && loop.at.cursors[0].position == 3);
}

/* ---- Catching up on ourselves --------------------------------------------------------------- */

Test(loop, a_lost_database_is_folded_from_its_own_stream_without_reactions)
{
    answers("a", "k1", OUTCOME_DONE, "{\"sku\":\"a\",\"position\":1}");
    run_other(1, "e1", "{}");
    struct event_reader reader = { 0 };
    struct event event;
    struct item *items[2];
    int count = 0;
    cr_assert(event_reader_open(&reader, db, "TEST", 0, 10) == 0);
    while (event_reader_has_next(&reader, &event)) {
        struct item *item = items[count++] = item_new(ITEM_EVENT);
        struct invalid invalid;
        void *value;
        cr_assert(event_copy(&event, &item->arena, &item->event) == 0 &&
                  event_digest(&item->event, &item->event_digest) == 0);
        item->type = event_type_of_name(own_events, event.type);
        cr_assert(schema_decode(item->type->schema, event.data, event.data_length, &item->arena,
                                &value, &invalid) == 0);
        item->event.value = value;
        item->stream_position = 2;
    }
    event_reader_deinit(&reader);
    cr_assert_eq(count, 2);
    close_loop();
    open_loop();
    struct batch *batch = run(2, items);
    cr_assert(items[0]->outcome == OUTCOME_DONE && items[1]->outcome == OUTCOME_DONE &&
              batch->events == NULL);
    batch_free(batch);
    /* for the next start, if this process ends now */
    cr_assert(rows("SELECT value FROM meta WHERE name = 'stream_position'") == 2);
    cr_assert(rows("SELECT count(*) FROM event_log") == 2 &&
              rows("SELECT count(*) FROM products") == 1);
    /* the projection is folded again; the reaction happened before */
    cr_assert_eq(run_other(1, "e1", "{}"), OUTCOME_DONE);
    cr_assert(rows("SELECT count(*) FROM event_log") == 2 &&
              rows("SELECT count(*) FROM closed") == 1);
    answers("a", "k1", OUTCOME_DONE, "{\"sku\":\"a\",\"position\":1}");
}

/* ---- Another version of the tables ---------------------------------------------------------- */

Test(loop, another_tables_version_folds_the_tables_anew_without_reactions)
{
    answers("a", "k1", OUTCOME_DONE, "{\"sku\":\"a\",\"position\":1}");
    run_other(1, "e1", "{}");
    run_other(2, "e2", "bad");
    db_script(db, "UPDATE products SET stock = 7; INSERT INTO products VALUES ('ghost', 1)");
    struct service next = service;
    next.tables_version = 2;
    next.tables =
        "CREATE TABLE IF NOT EXISTS products (sku TEXT PRIMARY KEY, stock INTEGER, note TEXT "
        "DEFAULT 'new') STRICT;"
        "CREATE TABLE IF NOT EXISTS reactions (position INTEGER) STRICT;"
        "CREATE TABLE IF NOT EXISTS closed (entity TEXT, position INTEGER PRIMARY KEY) STRICT;";
    struct event_type next_events[] = { own_events[0], own_events[1], { 0 } };
    next_events[0].apply = apply_added_with_note;
    next.events = next_events;
    loop_close(&loop);
    cr_assert(loop_open(&loop, &next, NULL, db, 1) == 0, "%s", failure_text());
    cr_assert(rows("SELECT count(*) FROM products WHERE stock = 1 AND note = 'new'") == 1 &&
              rows("SELECT count(*) FROM products") == 1);
    cr_assert(loop.at.head.position == 2 && rows("SELECT count(*) FROM reactions") == 1);
    cr_assert(loop.at.cursors[0].position == 0 && loop.at.parked_count == 0 &&
              rows("SELECT count(*) FROM closed") == 0);
    /* the projection is folded again, without a second reaction */
    cr_assert_eq(run_other(1, "e1", "{}"), OUTCOME_DONE);
    cr_assert(rows("SELECT count(*) FROM closed") == 1 &&
              rows("SELECT count(*) FROM event_log") == 2);
    cr_assert_eq(rows("SELECT value FROM meta WHERE name = 'tables_version'"), 2);
    loop_close(&loop);
    /* once only */
    cr_assert(loop_open(&loop, &next, NULL, db, 1) == 0 && loop.at.cursors[0].position == 1);
}

/* ---- When the disk says no ------------------------------------------------------------------ */

Test(loop, a_batch_that_cannot_be_written_leaves_nothing)
{
    answers("a", NULL, OUTCOME_DONE, "{\"sku\":\"a\",\"position\":1}");
    int64_t pages = rows("PRAGMA page_count");
    char limit[64];
    snprintf(limit, sizeof(limit), "PRAGMA max_page_count=%" PRId64, pages);
    db_script(db, limit);
    struct item *items[400];
    for (int i = 0; i < 400; i++) {
        char sku[16];
        snprintf(sku, sizeof(sku), "s%d", i);
        items[i] = add_product_item(&commands[0], sku, NULL);
    }
    struct batch *batch = run(400, items);
    cr_assert(batch->aborted && !batch->outcome_unknown && batch->events == NULL);
    for (struct item *item = batch->items; item; item = item->next)
        cr_assert(item->outcome == OUTCOME_REFUSED && item->refusal == refusal_of(REFUSED_BUSY));
    batch_free(batch);
    cr_assert(rows("SELECT count(*) FROM event_log") == 1 && loop.at.head.position == 1);
    db_script(db, "PRAGMA max_page_count=1000000");
    /* and goes on when it can */
    answers("b", NULL, OUTCOME_DONE, "{\"sku\":\"b\",\"position\":2}");
}
