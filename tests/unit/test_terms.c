/* Terms: the table beside the log, what a message's term says to a reader, the first event of a
 * life, and what is set aside when another leads. */
#include "runtime/writer/loop.h"
#include "runtime/core/runtime_events.h"
#include "runtime/writer/orphan_file.h"
#include "runtime/writer/set_aside.h"
#include "store/terms.h"
#include "add_product.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW_MS 1795000000000

static const struct event_type own_events[] = {
    { &product_added_schema, "ProductAdded", apply_product_added, NULL }, { 0 }
};
static const struct command commands[] = {
    { "test.add", &order_add_product_schema, &order_add_product_reply_schema, decide_add_product,
      answer_add_product },
    { 0 },
};
static const struct service service = {
    .name = "test-svc",
    .log = "TEST",
    .prefix = "test",
    .tables_version = 1,
    .events = own_events,
    .commands = commands,
    .tables = "CREATE TABLE IF NOT EXISTS products (sku TEXT PRIMARY KEY, stock INTEGER) STRICT;",
};

static struct loop loop;
static struct db *db;
static char folder[] = "/tmp/journey-terms-XXXXXX", path[64];

static void open_loop(void)
{
    struct db_options options = { .path = path };
    cr_assert(db_open(&options, &db) == 0 && loop_open(&loop, &service, NULL, db, 1) == 0, "%s",
              failure_text());
    loop.wants_term = 1;
}

static void close_loop(void)
{
    loop_close(&loop);
    db_free(db);
}

static void begin(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/test-svc.db", folder);
    open_loop();
}

TestSuite(terms, .init = begin, .fini = close_loop);

static enum item_outcome run(struct item *item, int64_t *ret_term)
{
    struct batch *batch = batch_new();
    cr_assert_eq(loop_run(&loop, &item, 1, NOW_MS, batch), 0, "%s", failure_text());
    const enum item_outcome outcome = item->outcome;
    if (ret_term)
        *ret_term = item->term;
    batch_free(batch);
    return outcome;
}

static int64_t begin_term(const char *instance, int64_t seen)
{
    struct item *item = item_new(ITEM_TERM);
    int64_t term = 0;
    item->instance = instance;
    item->term = seen;
    run(item, &term);
    return term;
}

static enum item_outcome add(const char *sku)
{
    struct item *item = item_new(ITEM_COMMAND);
    struct order_add_product *request = arena_alloc(&item->arena, sizeof(*request));
    *request = (struct order_add_product){ .sku = arena_copy(&item->arena, sku, strlen(sku)),
                                           .name = "n",
                                           .price = { .amount = 1, .currency = "EUR" },
                                           .stock = 1 };
    item->command = &commands[0];
    item->request = request;
    return run(item, NULL);
}

static enum item_outcome set_aside_after(int64_t common)
{
    struct item *item = item_new(ITEM_ASIDE);
    item->common = common;
    item->database_path = path;
    return run(item, NULL);
}

static int64_t rows(const char *sql)
{
    int64_t count = -1;
    db_find_number(db, &count, sql, "");
    return count;
}

Test(terms, each_life_begins_the_next_term_in_its_log)
{
    cr_assert(begin_term("A", 0) == 1 && loop.at.own_term == 1 && loop.at.head.position == 1);
    cr_assert_eq(begin_term("A", 0), 1, "once in a life");
    cr_assert(add("tea") == OUTCOME_DONE && loop.at.head.position == 2);
    close_loop();
    open_loop();
    cr_assert(loop.at.term == 1 && loop.at.own_term == 0);
    cr_assert_eq(begin_term("B", 6), 7, "behind the highest that was seen anywhere");
    cr_assert_eq(
        rows("SELECT count(*) FROM event_log WHERE position = 3 AND entity = 'B' AND data = "
             "'{\"term\":7,\"instance\":\"B\",\"head_before\":2}'"),
        1);
    struct term term;
    static const struct {
        int64_t position, term, begun_at;
    } places[] = { { 0, 0, 0 }, { 1, 1, 1 }, { 2, 1, 1 }, { 3, 7, 3 }, { 99, 7, 3 } };
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        cr_expect(terms_find(db, places[i].position, &term) == 0 && term.term == places[i].term &&
                      term.position == places[i].begun_at,
                  "position %lld", (long long)places[i].position);
    cr_assert(terms_newest(db, &term) == 0 && strcmp(term.instance, "B") == 0);
}

Test(terms, a_term_that_was_ended_takes_nothing_more)
{
    struct item *item = item_new(ITEM_END);
    item->instance = "A";
    item->successor = "B";
    begin_term("A", 0);
    cr_assert_eq(add("tea"), OUTCOME_DONE);
    cr_assert_eq(run(item, NULL), OUTCOME_DONE);
    cr_assert_eq(
        rows("SELECT count(*) FROM event_log WHERE position = 3 AND type = 'TermEnded' AND entity "
             "= 'A' AND data = '{\"term\":1,\"instance\":\"A\",\"successor\":\"B\"}'"),
        1);
    cr_assert_eq(add("mug"), OUTCOME_REFUSED, "the successor decides");
    struct item *again = item_new(ITEM_END);
    again->instance = "A";
    cr_assert_eq(run(again, NULL), OUTCOME_REPEAT);
    cr_assert(loop.at.head.position == 3 && begin_term("A", 0) == 0, "not in this life");
    close_loop();
    open_loop();
    cr_assert_eq(begin_term("B", 0), 2);
}

Test(terms, a_walk_says_the_term_of_each_event)
{
    static const int64_t wanted[] = { 1, 1, 2, 2 };
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct term_walk walk = { 0 };
    struct event event;
    int i = 0;
    begin_term("A", 0);
    add("tea");
    close_loop();
    open_loop();
    begin_term("B", 0);
    add("mug");
    cr_assert(term_walk_to(&walk, db, 1) == 0 && event_reader_open(&reader, db, "TEST", 0, 9) == 0);
    while (event_reader_has_next(&reader, &event))
        cr_assert_eq(term_walk_pass(&walk, &event), wanted[i++]);
    cr_assert_eq(i, 4);
    cr_assert(term_walk_to(&walk, db, 3) == 0 && walk.term == 1 && walk.next == 3);
}

Test(terms, a_readers_cursor_tells_what_is_void_and_what_is_forged)
{
    const struct cursor at_5 = { .position = 5, .term = 2 }, old = { .position = 5 };
    static const char begins_3[] = "{\"term\":3,\"instance\":\"C\",\"head_before\":5}";
    struct {
        const struct cursor *cursor;
        int64_t position, term;
        const char *type;
        _Bool is_void, is_forged;
    } cases[] = {
        { &at_5, 6, 2, "X", 0, 0 },
        { &at_5, 6, 1, "X", 1, 1 },
        { &at_5, 6, 0, "X", 0, 1 }, /* without the header: of nobody who has led */
        { &at_5, 5, 1, "X", 0, 1 }, /* a repeat, whatever it says */
        { &at_5, 6, 3, "X", 0, 1 },
        { &at_5, 6, 3, EVENT_TERM_BEGAN, 0, 0 },
        { &at_5, 6, 2, EVENT_TERM_BEGAN, 0, 1 },
        { &old, 6, 4, "X", 0, 0 }, /* a program up to 0.1.0 has moved the cursor */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const struct event event = { .position = cases[i].position,
                                     .term = cases[i].term,
                                     .type = cases[i].type,
                                     .data = begins_3,
                                     .data_length = strlen(begins_3) };
        cr_expect_eq(cursor_is_void(cases[i].cursor, &event), cases[i].is_void, "case %zu", i);
        cr_expect_eq(cursor_claims_term(cases[i].cursor, &event), cases[i].is_forged, "case %zu",
                     i);
    }
}

Test(terms, a_request_that_comes_to_one_that_does_not_lead_is_refused)
{
    loop.wants_term = 1;
    cr_expect_eq(add("tea"), OUTCOME_REFUSED, "before its term");
    begin_term("A", 0);
    loop.follows = 1;
    cr_expect_eq(add("tea"), OUTCOME_REFUSED, "another leads");
    loop.follows = 0;
    cr_expect(add("tea") == OUTCOME_DONE && loop.at.head.position == 2);
}

Test(terms, what_only_a_fenced_log_has_is_set_aside_and_the_tables_are_folded_anew)
{
    char file[128], line[1000];
    struct stat state;
    begin_term("A", 0);
    add("tea");
    add("mug");
    add("pot");
    cr_assert_eq(set_aside_after(2), OUTCOME_DONE);
    cr_assert(loop.at.head.position == 2 && loop.at.term == 1 && loop.at.orphans == 2);
    snprintf(file, sizeof(file), "%s/orphans-1-3-4.jsonl", folder);
    cr_assert(stat(file, &state) == 0 && (state.st_mode & 0777) == 0600, "%s", file);
    FILE *lines = fopen(file, "r");
    cr_assert(fgets(line, sizeof(line), lines) && strstr(line, "{\"position\":3,") &&
                  strstr(line, "\"entity\":\"mug\"") && strstr(line, "\"data\":\"{\\\"sku\\\":"),
              "%s", line);
    cr_assert(fgets(line, sizeof(line), lines) && strstr(line, "\"entity\":\"pot\"") &&
              !fgets(line, sizeof(line), lines));
    fclose(lines);
    cr_assert_eq(add("jug"), OUTCOME_REFUSED, "nothing is decided any more");
    cr_assert_eq(begin_term("A", 0), 0, "and no term begins");
    close_loop();
    open_loop();
    cr_assert(rows("SELECT count(*) FROM products") == 1 && loop.at.orphans == 2);
    cr_assert_eq(begin_term("A", 2), 3);
}

static int64_t size_of(const char *name)
{
    char file[160];
    struct stat state;
    snprintf(file, sizeof(file), "%s/%s", folder, name);
    return stat(file, &state) == 0 ? state.st_size : -1;
}

/* A restored copy of the file may come to the same term and positions. */
Test(terms, what_was_set_aside_is_never_written_over)
{
    char name[160];
    begin_term("A", 0);
    add("tea");
    snprintf(name, sizeof(name), "%s/orphans-1-3-3.jsonl", folder);
    FILE *file = fopen(name, "w");
    fputs("those of another life\n", file);
    fclose(file);
    add("mug");
    cr_assert_eq(set_aside_after(2), OUTCOME_DONE);
    cr_assert_eq(size_of("orphans-1-3-3.jsonl"), (int64_t)strlen("those of another life\n"));
    cr_assert_gt(size_of("orphans-1-3-3-2.jsonl"), 100);
    cr_assert_eq(size_of("orphans-1-3-3.new"), -1);
}

Test(terms, the_same_events_once_more_get_no_second_file)
{
    begin_term("A", 0);
    add("tea");
    add("mug");
    struct orphan_file orphans = { .database_path = path, .term = 1, .first = 3, .last = 3 };
    for (int i = 0; i < 2; i++) { /* the first commit has failed */
        _deinit_(event_reader) struct event_reader again = { 0 };
        cr_assert_eq(event_reader_open(&again, db, loop.service->log, 2, INT64_MAX), 0);
        cr_assert_eq(orphan_file_write(&orphans, &again), 0);
    }
    cr_assert(size_of("orphans-1-3-3.jsonl") > 100 && size_of("orphans-1-3-3-2.jsonl") == -1);
}

Test(terms, a_claim_alone_is_taken_back_without_a_file)
{
    begin_term("A", 0);
    add("tea");
    close_loop();
    open_loop();
    begin_term("B", 0);
    cr_assert_eq(terms_stand_alone(db, 3), 1);
    cr_assert_eq(terms_stand_alone(db, 2), 0);
    cr_assert_eq(set_aside_after(2), OUTCOME_DONE);
    cr_assert(loop.at.head.position == 2 && loop.at.term == 1 && loop.at.orphans == 0);
    cr_assert_eq(rows("SELECT value FROM meta WHERE name = 'tables_version'"), 1);
    cr_assert(rows("SELECT count(*) FROM terms") == 1 &&
              rows("SELECT count(*) FROM products") == 1);
}
