/* Rebuild while a service serves: rows that are missing, extra or changed are found, reported and
 * repaired, in tables of the own log and of another's, while commands and events of others go on.
 * With a service that has three tables, and an array as the log of the other leader. */
#include "base/clock.h"
#include "runtime/repair/rebuild.h"
#include "runtime/writer/run_item.h"
#include "schemas/runtime.events.reply.h"
#include "schemas/runtime.rebuild.reply.h"
#include "add_product_item.h"
#include "rebuild_service.h"
#include "store_folder.h"
#include "store/parked.h"
#include <inttypes.h>

/* ---- Driving it ------------------------------------------------------------------------------ */

static struct loop loop;
static struct db *db;
static struct rebuild rebuild;
static atomic_bool stopping;

#define OTHERS_MAX 64
#define PAGE 3 /* so that a few events take some pages */
static struct runtime_events_reply_events_item others[OTHERS_MAX];
static struct arena others_arena;
static int others_count;
static _Bool leader_is_away;

static int fetch(void *context, const struct source *source, int64_t after_position,
                 struct arena *arena, const struct runtime_events_reply **ret_page)
{
    (void)context;
    struct runtime_events_reply *page = arena_alloc(arena, sizeof(*page));
    if (leader_is_away)
        return fail(ERR_NETWORK, "%s.events: nobody answers there", source->prefix);
    int64_t left = others_count - after_position;
    page->events = others + after_position;
    page->events_count = (size_t)(left < 0 ? 0 : left < PAGE ? left : PAGE);
    page->last_position = others_count;
    *ret_page = page;
    return 0;
}

/* What happens before each turn of the writer, while a rebuild waits for the writer. */
static void (*meanwhile)(void);
static int holds, releases;

static int turn(void *context, enum rebuild_want wanted)
{
    _Bool unknown = 0;
    (void)context;
    if (wanted != REBUILD_WANTS_SWAP) {
        holds += wanted == REBUILD_WANTS_HOLD;
        releases += wanted == REBUILD_WANTS_RELEASE;
        if (wanted == REBUILD_WANTS_HOLD && meanwhile)
            meanwhile();
        return 0;
    }
    return trace(rebuild_swap(&rebuild, db, &unknown));
}

static void open_all(void)
{
    make_folder();
    db = open_db(0);
    cr_assert(loop_open(&loop, &service, NULL, db, 1) == 0, "%s", failure_text());
    rebuild = (struct rebuild){ .service = &service,
                                .served_path = path,
                                .fetch = fetch,
                                .turn = turn,
                                .stopping = &stopping,
                                .key_limit = 2 };
}

static void close_all(void)
{
    rebuild_deinit(&rebuild);
    loop_close(&loop);
    db_free(db);
    arena_deinit(&others_arena);
    remove_folder();
}

TestSuite(rebuild, .init = open_all, .fini = close_all);

static void run(struct item *item, enum item_outcome outcome)
{
    struct batch *batch = batch_new();
    loop_run(&loop, &item, 1, clock_wall_ms(), batch);
    cr_assert_eq(item->outcome, outcome, "outcome %d: %s", item->outcome,
                 item->message ? item->message : "");
    batch_free(batch);
}

static void add_product(const char *sku)
{
    run(add_product_item(&commands[0], sku, NULL), OUTCOME_DONE);
}

static void add_products(int first, int count)
{
    for (int i = first; i < first + count; i++) {
        char sku[16];
        snprintf(sku, sizeof(sku), "s%04d", i);
        add_product(sku);
    }
}

static const char *kept(const char *text)
{
    return arena_copy(&others_arena, text, strlen(text));
}

/* The leader emits an event: it is in the leader's log. */
static struct event other_says(const char *entity, const char *data)
{
    static struct digest chain;
    struct event event = {
        .log = "OTHER",
        .position = others_count + 1,
        .id = kept("id"),
        .type = "AccountClosed",
        .entity = kept(entity),
        .time_ms = 1,
        .data = kept(data),
        .data_length = strlen(data),
    };
    struct digest digest;
    char *hex = arena_alloc(&others_arena, DIGEST_HEX_SIZE);
    cr_assert(event_digest(&event, &digest) == 0 &&
              event_chain(&chain, &digest, &event.chain) == 0);
    chain = event.chain;
    digest_format(&chain, hex);
    others[others_count++] = (struct runtime_events_reply_events_item){
        .position = event.position,
        .chain = hex,
        .id = event.id,
        .type = event.type,
        .entity = event.entity,
        .time_ms = 1,
        .data = event.data,
    };
    return event;
}

#define ACCOUNT "{\"account_id\":\"acc_019abc12-3456-7def-8123-456789abcdef\"}"

/* The event is applied here, too. */
static void other_closes(const char *entity, const char *data, enum item_outcome outcome)
{
    struct item *item = item_new(ITEM_EVENT);
    struct event event = other_says(entity, data);
    struct invalid invalid;
    void *value = NULL;
    cr_assert(event_copy(&event, &item->arena, &item->event) == 0 &&
              event_digest(&event, &item->event_digest) == 0);
    item->source = &sources[0];
    item->type = &other_events[0];
    if (schema_decode(&account_closed_schema, event.data, event.data_length, &item->arena, &value,
                      &invalid) != 0)
        item->invalid = "account_id is required";
    item->event.value = value;
    run(item, outcome);
}

static void folds(void)
{
    if (!rebuild.db)
        cr_assert(rebuild_open(&rebuild) == 0, "%s", failure_text());
    int r = rebuild_catch_up(&rebuild);
    cr_assert(r == 0, "%d %s %s", r, rebuild.why, failure_text());
}

static void finds(int64_t differences)
{
    folds();
    int r = rebuild_compare(&rebuild);
    cr_assert(r == 0, "%d %s %s", r, rebuild.why, failure_text());
    cr_assert_eq(rebuild.differences, differences, "%" PRId64 " differ", rebuild.differences);
}

static void swaps(void)
{
    _Bool unknown = 0;
    folds();
    int r = rebuild_swap(&rebuild, db, &unknown);
    cr_assert(r == 0 && !unknown, "%s", failure_text());
}

static void reports(const char *table, int64_t missing, int64_t extra, int64_t changed,
                    const char *first_key)
{
    for (int i = 0; i < rebuild.table_count; i++) {
        const struct runtime_rebuild_reply_tables_item *told = &rebuild.tables[i];
        if (strcmp(told->table, table) != 0)
            continue;
        cr_assert(told->missing == missing && told->extra == extra && told->changed == changed,
                  "%s: %" PRId64 " %" PRId64 " %" PRId64, table, told->missing, told->extra,
                  told->changed);
        cr_assert_str_eq(told->keys[0], first_key);
        return;
    }
    cr_assert(0, "%s is not told", table);
}

static void plant(const char *sql)
{
    cr_assert(db_script(db, sql) == 0, "%s", failure_text());
}

/* ---- The tests ------------------------------------------------------------------------------- */

Test(rebuild, correct_tables_are_reported_and_not_written)
{
    add_products(0, 1100); /* more than a slice */
    for (int i = 0; i < 8; i++)
        other_closes("e", ACCOUNT, OUTCOME_DONE);
    int64_t changes = number(db, "SELECT total_changes()");
    finds(0);
    cr_assert(rebuild.events == 1108 && rebuild.table_count == 0);
    cr_assert_eq(number(db, "SELECT total_changes()"), changes);
}

Test(rebuild, missing_extra_and_changed_rows_are_reported_and_repaired)
{
    add_products(0, 10);
    for (int i = 0; i < 5; i++)
        other_closes("e", ACCOUNT, OUTCOME_DONE);
    /* The two notes are unique, and each has the value that the other should have. */
    plant("DELETE FROM products WHERE sku IN ('s0003', 's0004', 's0005'); INSERT INTO products "
          "VALUES ('ghost', 9, 'a');"
          "UPDATE products SET stock = 7 WHERE sku = 's0001'; UPDATE products SET note = 'b' WHERE "
          "sku = 's0002'");
    plant("DELETE FROM closed WHERE position = 2; UPDATE closed SET entity = 'nobody' WHERE "
          "position = 4");
    finds(9);
    reports("products", 3, 1, 2, "ghost");
    cr_assert(rebuild.tables[1].keys_count == 2, "no more keys than wanted");
    reports("closed", 2, 1, 0, "e/2");
    cr_assert_eq(number(db, "SELECT count(*) FROM products"), 8, "nothing is changed by comparing");
    swaps();
    cr_assert_eq(rebuild.put_right, 9);
    cr_assert(number(db, "SELECT count(*) FROM products WHERE stock = 1 AND note IS NULL") == 10 &&
              number(db, "SELECT count(*) FROM products") == 10);
    cr_assert(number(db, "SELECT count(*) FROM closed WHERE entity = 'e'") == 5 &&
              number(db, "SELECT count(*) FROM closed") == 5);
    finds(0);
}

Test(rebuild, rows_that_only_the_collation_takes_for_equal_differ)
{
    add_products(0, 3);
    folds();
    cr_assert(db_begin(rebuild.db) == 0 &&
              db_script(rebuild.db, "UPDATE products SET note = 'ABC' WHERE sku = 's0001'") == 0);
    cr_assert(db_commit(rebuild.db) == 0);
    plant("UPDATE products SET note = 'abc' WHERE sku = 's0001'");
    finds(1);
    reports("products", 0, 0, 1, "s0001");
    swaps();
    cr_assert_eq(number(db, "SELECT count(*) FROM products WHERE note = 'ABC' COLLATE BINARY"), 1);
}

Test(rebuild, commands_and_events_of_others_go_on_during_a_rebuild)
{
    add_products(0, 10);
    other_closes("e", ACCOUNT, OUTCOME_DONE);
    plant("UPDATE products SET stock = 7 WHERE sku = 's0001'");
    folds();
    add_products(10, 5);
    other_closes("e", ACCOUNT, OUTCOME_DONE);
    finds(1);
    add_products(15, 5); /* between comparing and swapping: the fold gets them in the swap's turn */
    swaps();
    cr_assert(number(db, "SELECT count(*) FROM products WHERE stock = 1") == 20 &&
              number(db, "SELECT stock FROM totals") == 20);
    add_products(20, 5);
    finds(0);
    cr_assert(rebuild.events == 27);
}

Test(rebuild, an_error_that_spreads_before_the_swap_is_found_by_the_next_comparison)
{
    add_products(0, 3);
    plant("DELETE FROM totals");
    finds(1);
    reports("totals", 1, 0, 0, "1");
    add_product("late"); /* makes a total of 1, where 4 is right */
    swaps();
    cr_assert_eq(number(db, "SELECT stock FROM totals"), 4);
    /* rows that differ after a swap are found, too */
    plant("UPDATE products SET stock = 5 WHERE sku = 'late'");
    finds(1);
    swaps();
    finds(0);
}

static void another_product(void)
{
    add_products(100 + holds, 1);
}

Test(rebuild, it_compares_until_nothing_differs)
{
    add_products(0, 3);
    plant("DELETE FROM totals; UPDATE products SET stock = 7 WHERE sku = 's0001'");
    meanwhile = another_product;
    int r = rebuild_run(&rebuild);
    cr_assert(r == 0 && rebuild.differences == 0 && holds == 1, "%d %s", r, failure_text());
    cr_assert(rebuild.put_right == 2 && number(db, "SELECT stock FROM totals") == 4);
}

/* While the first swap waits, a row that was right becomes wrong. */
static void spreads(void)
{
    if (holds == 1)
        plant("UPDATE closed SET position = 9");
}

Test(rebuild, an_error_that_spreads_between_comparison_and_swap_is_repaired)
{
    add_products(0, 3);
    other_closes("e", ACCOUNT, OUTCOME_DONE);
    plant("DELETE FROM products WHERE sku = 's0001'");
    meanwhile = spreads;
    cr_assert(rebuild_run(&rebuild) == 0, "%s", failure_text());
    cr_assert(holds == 2 && rebuild.put_right == 3);
    cr_assert(number(db, "SELECT count(*) FROM products") == 3 &&
              number(db, "SELECT position FROM closed") == 1);
}

static void somebody_writes(void)
{
    plant("UPDATE closed SET position = position + 10");
}

Test(rebuild, a_foreign_writer_is_reported_after_the_last_swap)
{
    other_closes("e", ACCOUNT, OUTCOME_DONE);
    somebody_writes();
    meanwhile = somebody_writes;
    cr_assert_eq(rebuild_run(&rebuild), -ERR_INTERNAL);
    cr_assert_eq(holds, 3);
}

static void leader_goes(void)
{
    other_closes("e", ACCOUNT, OUTCOME_DONE);
    leader_is_away = 1;
}

Test(rebuild, a_leader_lost_during_the_swap_is_named_and_the_cursors_go_on)
{
    add_products(0, 1);
    plant("UPDATE products SET stock = 7");
    meanwhile = leader_goes;
    cr_assert_eq(rebuild_run(&rebuild), -ERR_NETWORK);
    cr_assert(strstr(failure_reason(), "other.events") && holds == 1 && releases == 1);
    cr_assert_eq(number(db, "SELECT stock FROM products"), 7);
}

Test(rebuild, the_swap_waits_until_the_cursors_rest)
{
    add_products(0, 3);
    other_closes("e", ACCOUNT, OUTCOME_DONE);
    plant("UPDATE products SET stock = 7");
    finds(3);
    other_closes("e", ACCOUNT, OUTCOME_DONE);
    _Bool unknown = 0;
    cr_assert_eq(rebuild_swap(&rebuild, db, &unknown), -ERR_LOCKED);
    cr_assert_eq(number(db, "SELECT count(*) FROM products WHERE stock = 7"), 3,
                 "nothing is changed");
    swaps();
    finds(0);
}

Test(rebuild, a_parked_event_stays_parked)
{
    other_closes("e1", "{}", OUTCOME_PARKED);
    /* parked behind it, though it could be applied */
    other_closes("e1", ACCOUNT, OUTCOME_PARKED);
    other_closes("e2", ACCOUNT, OUTCOME_DONE);
    finds(0);
    plant("DELETE FROM closed");
    finds(1);
    swaps();
    cr_assert(number(db, "SELECT count(*) FROM closed") == 1 &&
              number(db, "SELECT count(*) FROM parked") == 2);
}

Test(rebuild, an_unreachable_leader_is_named_and_nothing_is_changed)
{
    add_products(0, 3);
    plant("UPDATE products SET stock = 7");
    leader_is_away = 1;
    cr_assert(rebuild_open(&rebuild) == 0);
    cr_assert(rebuild_catch_up(&rebuild) == 0, "nothing of it was ever read, so nobody is asked");
    leader_is_away = 0;
    other_closes("e", ACCOUNT, OUTCOME_DONE);
    leader_is_away = 1;
    cr_assert_eq(rebuild_catch_up(&rebuild), -ERR_NETWORK);
    cr_assert(strstr(failure_reason(), "other.events"));
    cr_assert_eq(number(db, "SELECT count(*) FROM products WHERE stock = 7"), 3);
}

Test(rebuild, a_leader_with_another_log_is_named)
{
    for (int i = 0; i < 4; i++)
        other_closes("e", ACCOUNT, OUTCOME_DONE);
    cr_assert(rebuild_open(&rebuild) == 0);
    others[1].entity = "other"; /* its chain does not follow */
    cr_assert_eq(rebuild_catch_up(&rebuild), FOLD_DIFFERENT);
    cr_assert(strstr(rebuild.why, "OTHER: position 2"), "%s", rebuild.why);
    rebuild_deinit(&rebuild);
    rebuild = (struct rebuild){
        .service = &service, .served_path = path, .fetch = fetch, .key_limit = 2
    };
    others_count = 0; /* the leader has lost its log */
    cr_assert(rebuild_open(&rebuild) == 0);
    cr_assert_eq(rebuild_catch_up(&rebuild), FOLD_DIFFERENT);
    cr_assert(strstr(rebuild.why, "OTHER: position 1"), "%s", rebuild.why);
}

Test(rebuild, an_own_event_that_cannot_be_applied_is_named)
{
    add_products(0, 5);
    static struct event_type broken[] = {
        { &product_added_schema, "ProductAdded", apply_added, NULL }, { 0 }
    };
    struct service other = service;
    other.tables = "CREATE TABLE products (sku TEXT PRIMARY KEY, stock INTEGER CHECK (sku <> "
                   "'s0003'), note TEXT) STRICT;"
                   "CREATE TABLE totals (one INTEGER PRIMARY KEY, stock INTEGER) STRICT;"
                   "CREATE TABLE closed (entity TEXT, position INTEGER PRIMARY KEY) STRICT;";
    other.events = broken;
    rebuild.service = &other;
    cr_assert(rebuild_open(&rebuild) == 0);
    cr_assert_eq(rebuild_catch_up(&rebuild), FOLD_DIFFERENT);
    cr_assert(strstr(rebuild.why, "TEST: position 4 cannot be applied"), "%s", rebuild.why);
}

Test(rebuild, a_stop_ends_it_and_leaves_no_file)
{
    add_products(0, 10);
    atomic_store(&stopping, 1);
    cr_assert(rebuild_open(&rebuild) == 0);
    cr_assert_eq(rebuild_catch_up(&rebuild), REBUILD_STOPPED);
    char scratch[128];
    snprintf(scratch, sizeof(scratch), "%s.rebuild", path);
    cr_assert_eq(access(scratch, F_OK), 0);
    rebuild_deinit(&rebuild);
    cr_assert_neq(access(scratch, F_OK), 0);
}

Test(rebuild, a_scratch_file_of_an_earlier_run_is_ignored)
{
    char leftover[128];
    add_products(0, 2);
    snprintf(leftover, sizeof(leftover), "%s.rebuild", path);
    struct db *old = NULL;
    cr_assert(db_open(&(struct db_options){ .path = leftover, .scratch = 1 }, &old) == 0);
    cr_assert(db_script(old, service.tables) == 0 &&
              db_script(old, "INSERT INTO products VALUES ('ghost', 1, NULL)") == 0);
    db_free(old);
    finds(0);
    rebuild_deinit(&rebuild);
    FILE *file = fopen(leftover, "w");
    fputs("rubbish", file);
    fclose(file);
    rebuild_remove_leftover(path);
    cr_assert_neq(access(leftover, F_OK), 0);
}
