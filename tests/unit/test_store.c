/* Store: the database door, the event log and its chain, cursors, refusals, parked events, migrations. */
#include "base/result.h"
#include "store/cursor.h"
#include "store/migrate.h"
#include "store/parked.h"
#include "store/refusals.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char folder[64], path[96];

static void make_folder(void)
{
    strcpy(folder, "/tmp/journey-store-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/t.db", folder);
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    cr_assert(system(command) == 0);
}

TestSuite(store, .init = make_folder, .fini = remove_folder);

static struct db *open_db(_Bool read_only)
{
    struct db *db = NULL;
    struct db_options options = { .path = path, .read_only = read_only };
    cr_assert(db_open(&options, &db) == 0, "%s", failure_text());
    return db;
}

static struct db *open_store(void)
{
    struct db *db = open_db(0);
    cr_assert(store_migrate(db) == 0, "%s", failure_text());
    return db;
}

static int64_t number(struct db *db, const char *sql)
{
    int64_t value = -1;
    cr_assert(db_number(db, &value, sql, "") == 1, "%s", failure_text());
    return value;
}

/* ---- The door ------------------------------------------------------------------------------- */

Test(store, values_of_all_kinds_come_back)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "CREATE TABLE t (i INTEGER, s TEXT, b BLOB)");
    cr_assert(db_exec(db, "INSERT INTO t VALUES (?1, ?2, ?3)", "isb", INT64_MIN, "Köln", "\0\1", (size_t)2) == 0);
    cr_assert(db_exec(db, "INSERT INTO t VALUES (?1, ?2, ?3)", "isb", INT64_C(2), NULL, NULL, (size_t)0) == 0);
    _deinit_(query) struct query q = { 0 };
    size_t length;
    cr_assert(query_open(&q, db, "SELECT i, s, b FROM t ORDER BY i", "") == 0);
    cr_assert(query_next(&q) == 1 && query_int(&q, 0) == INT64_MIN && strcmp(query_text(&q, 1), "Köln") == 0);
    cr_assert(memcmp(query_blob(&q, 2, &length), "\0\1", 2) == 0 && length == 2);
    cr_assert(query_next(&q) == 1 && query_is_null(&q, 1) && query_text(&q, 1) == NULL);
    cr_assert(query_next(&q) == 0);
}

static int64_t count_down(struct db *db, int64_t n)   /* the same statement, open within itself */
{
    _deinit_(query) struct query q = { 0 };
    cr_assert(query_open(&q, db, "SELECT ?1", "i", n) == 0 && query_next(&q) == 1);
    int64_t below = n > 0 ? count_down(db, n - 1) : 0;
    return below + query_int(&q, 0);
}

Test(store, a_statement_may_be_used_within_itself)
{
    _free_(db) struct db *db = open_db(0);
    cr_assert_eq(count_down(db, 10), 55);
    cr_assert_eq(count_down(db, 3), 6);
}

Test(store, transactions_and_savepoints)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "CREATE TABLE t (i INTEGER PRIMARY KEY)");
    cr_assert(db_begin(db) == 0 && db_exec(db, "INSERT INTO t VALUES (1)", "") == 0);
    cr_assert(db_savepoint(db) == 0 && db_exec(db, "INSERT INTO t VALUES (2)", "") == 0);
    cr_assert(db_savepoint(db) == 0 && db_exec(db, "INSERT INTO t VALUES (3)", "") == 0);
    cr_assert(db_rollback_to_savepoint(db) == 0 && number(db, "SELECT count(*) FROM t") == 2);
    cr_assert(db_exec(db, "INSERT INTO t VALUES (1)", "") == -ERR_CONSTRAINT);
    cr_assert(db_release(db) == 0 && db_commit(db) == 0 && number(db, "SELECT count(*) FROM t") == 2);
    cr_assert(db_begin(db) == 0 && db_exec(db, "DELETE FROM t", "") == 0 && db_rollback(db) == 0);
    cr_assert(number(db, "SELECT count(*) FROM t") == 2 && db_rollback(db) == 0);
}

Test(store, failures_have_names)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "CREATE TABLE t (s TEXT)");
    _free_(db) struct db *other = open_db(0);
    cr_assert(db_begin(db) == 0 && db_begin(other) == -ERR_LOCKED && db_rollback(db) == 0);
    _free_(db) struct db *reader = open_db(1);
    cr_assert_eq(db_exec(reader, "INSERT INTO t VALUES ('x')", ""), -ERR_READONLY);
    cr_assert_eq(db_exec(db, "INSERT INTO nowhere VALUES (1)", ""), -ERR_INTERNAL);
    db_script(db, "PRAGMA max_page_count=3");
    int r = 0;
    for (int i = 0; i < 100 && r == 0; i++)
        r = db_exec(db, "INSERT INTO t VALUES (printf('%01000d', 1))", "");
    cr_assert_eq(r, -ERR_FULL);
}

Test(store, a_reader_sees_what_is_committed)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "CREATE TABLE t (i)");
    _free_(db) struct db *reader = open_db(1);
    cr_assert(db_begin(db) == 0 && db_exec(db, "INSERT INTO t VALUES (1)", "") == 0);
    cr_assert_eq(number(reader, "SELECT count(*) FROM t"), 0);
    cr_assert(db_commit(db) == 0);
    cr_assert_eq(number(reader, "SELECT count(*) FROM t"), 1);
}

Test(store, damage_is_seen_and_not_written_to)
{
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database ", file);
    fclose(file);
    struct db *db = NULL;
    struct db_options options = { .path = path };
    cr_assert_eq(db_open(&options, &db), -ERR_CORRUPT);
    cr_assert_null(db);
}

Test(store, backup_is_whole_and_overwrites_nothing)
{
    _free_(db) struct db *db = open_store();
    char copy[96];
    snprintf(copy, sizeof(copy), "%s/copy.db", folder);
    cr_assert(meta_write(db, "answer", 42) == 0 && db_backup(db, copy) == 0);
    cr_assert_eq(db_backup(db, copy), -ERR_READONLY);
    strcpy(path, copy);
    _free_(db) struct db *opened = open_db(0);
    cr_assert(number(opened, "SELECT value FROM meta") == 42 && db_integrity_check(opened) == 0);
}

/* ---- The log -------------------------------------------------------------------------------- */

static struct event event_at(int64_t position, const struct digest *previous)
{
    struct event event = {
        .log = "TEST", .position = position, .id = "id", .type = "Happened", .entity = "e1", .time_ms = 1795412400000 + position,
        .correlation = position % 2 ? "c" : NULL, .cause = position == 3 ? "request/k" : NULL, .data = "{\"a\":1}", .data_length = 7,
    };
    struct digest digest;
    cr_assert(event_digest(&event, &digest) == 0 && event_chain(previous, &digest, &event.chain) == 0);
    return event;
}

static struct log_head fill(struct db *db, int64_t count)
{
    struct log_head head = { 0 };
    for (int64_t p = 1; p <= count; p++) {
        struct event event = event_at(p, &head.chain);
        cr_assert(event_log_append(db, &event) == 0, "%s", failure_text());
        head = (struct log_head){ p, event.chain };
    }
    return head;
}

Test(store, the_log_gives_back_what_it_took)
{
    _free_(db) struct db *db = open_store();
    struct log_head head, filled = fill(db, 10);
    struct digest chain;
    cr_assert(event_log_head(db, &head) == 0 && head.position == 10 && digest_equal(&head.chain, &filled.chain));
    cr_assert(event_log_chain_at(db, 10, &chain) == 1 && digest_equal(&chain, &head.chain) && event_log_chain_at(db, 11, &chain) == 0);
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    struct digest digest, previous;
    cr_assert(event_log_chain_at(db, 3, &previous) == 1 && event_reader_open(&reader, db, "TEST", 3, 5) == 0);
    for (int64_t p = 4; p <= 8; p++) {
        cr_assert(event_reader_next(&reader, &event) == 1 && event.position == p && strcmp(event.data, "{\"a\":1}") == 0);
        cr_assert((event.correlation != NULL) == (p % 2 == 1));
        cr_assert(event_digest(&event, &digest) == 0 && event_chain(&previous, &digest, &chain) == 0 && digest_equal(&chain, &event.chain));
        previous = event.chain;
    }
    cr_assert_eq(event_reader_next(&reader, &event), 0);
    cr_assert(event_log_has_cause(db, "request/k") == 1 && event_log_has_cause(db, "request/other") == 0);
}

Test(store, a_position_is_taken_once)
{
    _free_(db) struct db *db = open_store();
    struct log_head head = fill(db, 2);
    struct event again = event_at(2, &head.chain);
    cr_assert_eq(event_log_append(db, &again), -ERR_CONSTRAINT);
}

Test(store, every_field_is_in_the_chain)
{
    struct digest zero = { 0 }, base, other;
    struct event event = event_at(3, &zero);
    event.correlation = event.causation = event.cause_digest = event.traceparent = "x";
    cr_assert(event_digest(&event, &base) == 0);
    const char **texts[] = { &event.log, &event.id, &event.type, &event.entity, &event.correlation, &event.causation, &event.cause,
                             &event.cause_digest, &event.traceparent };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        const char *kept = *texts[i];
        *texts[i] = "another";
        cr_assert(event_digest(&event, &other) == 0 && !digest_equal(&base, &other), "field %zu", i);
        *texts[i] = NULL;
        cr_assert(event_digest(&event, &other) == 0 && !digest_equal(&base, &other), "field %zu", i);
        *texts[i] = kept;
    }
    event.time_ms++;
    cr_assert(event_digest(&event, &other) == 0 && !digest_equal(&base, &other));
}

Test(store, a_long_event_hashes_as_a_short_one)
{
    char data[5000];
    memset(data, 'x', sizeof(data));
    struct digest zero = { 0 }, one, two;
    struct event event = event_at(1, &zero);
    event.data = data;
    for (size_t length = 1000; length < 5000; length += 1000) {
        event.data_length = length;
        cr_assert(event_digest(&event, &one) == 0);
        event.data_length = length + 1;
        cr_assert(event_digest(&event, &two) == 0 && !digest_equal(&one, &two));
    }
}

/* ---- Places in others' logs ------------------------------------------------------------------ */

Test(store, where_an_event_stands_against_a_cursor)
{
    struct digest zero = { 0 }, digest;
    struct event first = event_at(1, &zero), second = event_at(2, &first.chain), wrong = event_at(2, &zero);
    struct cursor cursor = { .position = 1, .chain = first.chain };
    static const char *const names[] = { "next", "repeat", "gap", "fork" };
    const struct { struct event *event; int64_t position; enum cursor_fit fit; } cases[] = {
        { &second, 2, CURSOR_NEXT }, { &first, 1, CURSOR_REPEAT }, { &first, 0, CURSOR_REPEAT }, { &second, 3, CURSOR_GAP },
        { &wrong, 2, CURSOR_FORK }, { &wrong, 1, CURSOR_FORK },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cr_assert(event_digest(cases[i].event, &digest) == 0);
        enum cursor_fit fit = cursor_fit(&cursor, cases[i].position, &cases[i].event->chain, &digest);
        cr_assert_eq(fit, cases[i].fit, "case %zu is a %s", i, names[fit]);
    }
}

Test(store, cursors_refusals_and_parked_events_are_kept)
{
    _free_(db) struct db *db = open_store();
    struct cursor cursor = { .position = 7, .event_time_ms = 5 }, read;
    memset(cursor.chain.bytes, 9, DIGEST_SIZE);
    cr_assert(cursor_read(db, "OTHER", &read) == 0 && read.position == 0);
    cr_assert(cursor_write(db, "OTHER", &cursor) == 0 && cursor_read(db, "OTHER", &read) == 0);
    cr_assert(read.position == 7 && digest_equal(&read.chain, &cursor.chain) && read.event_time_ms == 5);

    _deinit_(arena) struct arena arena = { 0 };
    const char *digest, *message;
    enum refusal refusal;
    cr_assert(refusals_find(db, "k", &arena, &digest, &refusal, &message) == 0);
    cr_assert(refusals_write(db, "k", "d", REFUSED_OUT_OF_STOCK, "none left", 1) == 0);
    cr_assert(refusals_find(db, "k", &arena, &digest, &refusal, &message) == 1);
    cr_assert(refusal == REFUSED_OUT_OF_STOCK && strcmp(digest, "d") == 0 && strcmp(message, "none left") == 0);

    struct parked parked = { "OTHER", 3, "e1", "Happened", "bad", 1 }, list[4];
    int count;
    int64_t parked_rows;
    cr_assert(parked_has(db, "OTHER", "e1") == 0 && parked_add(db, &parked) == 0 && parked_has(db, "OTHER", "e1") == 1);
    cr_assert(parked_list(db, "", 0, &arena, list, 4, &count) == 0 && count == 1 && strcmp(list[0].error, "bad") == 0);
    cr_assert(parked_list(db, "OTHER", 3, &arena, list, 4, &count) == 0 && count == 0);
    cr_assert(parked_remove(db, "OTHER", 3) == 0 && parked_count(db, &parked_rows) == 0 && parked_rows == 0);
}

/* ---- Versions of the file -------------------------------------------------------------------- */

Test(store, a_file_of_a_newer_program_is_refused)
{
    _free_(db) struct db *db = open_store();
    cr_assert(store_migrate(db) == 0);
    db_script(db, "PRAGMA user_version=99");
    cr_assert(store_migrate(db) == -ERR_CONFIG && strstr(failure_text(), "version 99"), "%s", failure_text());
}

Test(store, a_file_of_another_program_is_refused)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "CREATE TABLE theirs (x)");
    cr_assert(store_migrate(db) == -ERR_CONFIG && strstr(failure_text(), "another program"), "%s", failure_text());
}
