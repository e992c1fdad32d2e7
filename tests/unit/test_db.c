/* Db: pragmas, parameters, transactions and failures; damage, checkpoints and backups. */
#include "base/clock.h"
#include "store_folder.h"
#include <pthread.h>
#include <stdatomic.h>

TestSuite(db, .init = make_folder, .fini = remove_folder);

Test(db, all_pragmas_hold_after_opening)
{
    static const struct {
        const char *pragma;
        int64_t writer, reader;
    } cases[] = {
        { "PRAGMA synchronous", 2, 2 },
        { "PRAGMA foreign_keys", 1, 1 },
        { "PRAGMA trusted_schema", 0, 0 },
        { "PRAGMA cell_size_check", 1, 1 },
        { "PRAGMA journal_size_limit", 67108864, -1 },
        { "PRAGMA wal_autocheckpoint", 0, 1000 },
    };
    _free_(db) struct db *db = open_store();
    _free_(db) struct db *reader = open_db(1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cr_assert_eq(number(db, cases[i].pragma), cases[i].writer, "%s", cases[i].pragma);
        cr_assert_eq(number(reader, cases[i].pragma), cases[i].reader, "%s", cases[i].pragma);
    }
    _deinit_(query) struct query q = { 0 };
    cr_assert(query_find(&q, reader, "PRAGMA journal_mode", "") == 0);
    cr_assert_str_eq(query_text(&q, 0), "wal");
}

Test(db, a_pragma_that_does_not_hold_is_a_configuration_error)
{
    struct db *db = NULL; /* this VFS has no shared memory, so no WAL */
    struct db_options options = { .path = path, .vfs = "unix-dotfile" };
    cr_assert_eq(db_open(&options, &db), -ERR_CONFIG);
    cr_assert(db == NULL && strstr(failure_text(), "journal_mode says delete instead of wal"), "%s",
              failure_text());
}

Test(db, values_of_all_kinds_are_read_as_they_were_bound)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "CREATE TABLE t (i INTEGER, s TEXT, b BLOB)");
    cr_assert(db_exec(db, "INSERT INTO t VALUES (?1, ?2, ?3)", "isb", INT64_MIN, "Köln", "\0\1",
                      (size_t)2) == 0);
    cr_assert(db_exec(db, "INSERT INTO t VALUES (?1, ?2, ?3)", "isb", INT64_C(2), NULL, NULL,
                      (size_t)0) == 0);
    _deinit_(query) struct query q = { 0 };
    size_t length;
    cr_assert(query_open(&q, db, "SELECT i, s, b FROM t ORDER BY i", "") == 0);
    cr_assert(query_has_row(&q) && query_int(&q, 0) == INT64_MIN &&
              strcmp(query_text(&q, 1), "Köln") == 0);
    cr_assert(memcmp(query_blob(&q, 2, &length), "\0\1", 2) == 0 && length == 2);
    cr_assert(query_has_row(&q) && query_is_null(&q, 1) && query_text(&q, 1) == NULL);
    cr_assert(!query_has_row(&q) && !query_has_row(&q)); /* and does not begin again */
}

Test(db, a_wrong_number_of_parameters_is_refused)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "CREATE TABLE t (i INTEGER, s TEXT)");
    cr_assert_eq(db_exec(db, "INSERT INTO t VALUES (?1, ?2)", "is", INT64_C(1), "x"), 0);
    cr_assert_eq(db_exec(db, "INSERT INTO t VALUES (?1, ?2) ", "i", INT64_C(1)), -ERR_INTERNAL);
    cr_assert_eq(db_exec(db, "INSERT INTO t VALUES (?1, ?2)  ", "isi", INT64_C(1), "x", INT64_C(1)),
                 -ERR_INTERNAL);
    cr_assert_eq(db_exec(db, "INSERT INTO t VALUES (?1, ?2)   ", "iz", INT64_C(1), "x"),
                 -ERR_INTERNAL);
    cr_assert_eq(number(db, "SELECT count(*) FROM t"), 1);
    cr_assert_eq(db_changed_rows(db), 1);
}

Test(db, sql_that_is_no_literal_is_noticed)
{
    _free_(db) struct db *db = open_db(0);
    static char texts[300][16];
    int r = 0, i = 0;
    for (; i < 300 && r == 0; i++) {
        strcpy(texts[i], "SELECT 1");
        r = db_exec(db, texts[i], "");
    }
    cr_assert(r == -ERR_INTERNAL && i > 200 && strstr(failure_text(), "literal"), "%d: %s", i,
              failure_text());
}

/* A query within a query of the same statement. */
static int64_t count_down(struct db *db, int64_t n)
{
    _deinit_(query) struct query q = { 0 };
    cr_assert(query_find(&q, db, "SELECT ?1", "i", n) == 0);
    int64_t below = n > 0 ? count_down(db, n - 1) : 0;
    return below + query_int(&q, 0);
}

Test(db, a_statement_may_be_used_within_itself)
{
    _free_(db) struct db *db = open_db(0);
    cr_assert_eq(count_down(db, 10), 55);
    cr_assert_eq(count_down(db, 3), 6);
}

Test(db, savepoints_nest_in_a_transaction)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "CREATE TABLE t (i INTEGER PRIMARY KEY)");
    cr_assert(db_begin(db) == 0 && db_exec(db, "INSERT INTO t VALUES (1)", "") == 0);
    cr_assert(db_savepoint(db) == 0 && db_exec(db, "INSERT INTO t VALUES (2)", "") == 0);
    cr_assert(db_savepoint(db) == 0 && db_exec(db, "INSERT INTO t VALUES (3)", "") == 0);
    cr_assert(db_rollback_to_savepoint(db) == 0 && number(db, "SELECT count(*) FROM t") == 2);
    cr_assert(db_exec(db, "INSERT INTO t VALUES (1)", "") == -ERR_CONSTRAINT);
    cr_assert(db_release(db) == 0 && db_commit(db) == 0 &&
              number(db, "SELECT count(*) FROM t") == 2);
    cr_assert(db_begin(db) == 0 && db_exec(db, "DELETE FROM t", "") == 0 && db_rollback(db) == 0);
    cr_assert(number(db, "SELECT count(*) FROM t") == 2 && db_rollback(db) == 0);
}

Test(db, each_failure_of_sqlite_has_its_code)
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

Test(db, a_row_that_a_table_refuses_is_a_constraint_failure)
{
    static const char *const cases[] = {
        "INSERT INTO t VALUES (1, 1, 1)",  "INSERT INTO t VALUES (2, NULL, 1)",
        "INSERT INTO t VALUES (2, -1, 1)", "INSERT INTO t VALUES (2, 'text', 1)",
        "INSERT INTO t VALUES (2, 1, 99)", "INSERT INTO t VALUES ('text', 1, 1)",
    };
    _free_(db) struct db *db = open_db(0);
    cr_assert(db_script(db, "CREATE TABLE t (i INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n >= "
                            "0), p INTEGER REFERENCES t) STRICT;"
                            "INSERT INTO t VALUES (1, 1, 1)") == 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        cr_assert_eq(db_exec(db, cases[i], ""), -ERR_CONSTRAINT, "%s: %s", cases[i],
                     failure_text());
    cr_assert_eq(number(db, "SELECT count(*) FROM t"), 1);
}

Test(db, a_file_that_cannot_be_opened_is_named)
{
    struct {
        const char *path;
        _Bool read_only;
    } cases[] = { { path, 1 }, { "/nowhere/at/all/t.db", 0 }, { folder, 0 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct db *db = NULL;
        struct db_options options = { .path = cases[i].path, .read_only = cases[i].read_only };
        cr_assert(db_open(&options, &db) == -ERR_READONLY && db == NULL, "%s: %s", cases[i].path,
                  failure_text());
    }
    cr_assert(access(path, F_OK) != 0, "a reader makes no file");
}

Test(db, a_reader_sees_committed_rows_only)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "CREATE TABLE t (i)");
    _free_(db) struct db *reader = open_db(1);
    cr_assert(db_begin(db) == 0 && db_exec(db, "INSERT INTO t VALUES (1)", "") == 0);
    cr_assert_eq(number(reader, "SELECT count(*) FROM t"), 0);
    cr_assert(db_commit(db) == 0);
    cr_assert_eq(number(reader, "SELECT count(*) FROM t"), 1);
}

Test(db, a_damaged_file_is_detected_and_not_written)
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

static void make_store_with_damaged_page(void)
{
    struct db *writer = open_store();
    cr_assert(
        db_script(writer,
                  "CREATE TABLE t (s TEXT);"
                  "INSERT INTO t SELECT printf('%0500d', value) FROM (WITH RECURSIVE n(value) AS"
                  " (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 1000) SELECT value "
                  "FROM n)") == 0);
    db_free(writer);
    FILE *file = fopen(path, "r+");
    fseek(file, 4096 * 60, SEEK_SET);
    for (int i = 0; i < 4096; i++)
        fputc(0xee, file);
    fclose(file);
}

Test(db, a_damaged_page_ends_all_writing)
{
    make_store_with_damaged_page();
    size_t length;
    char *before = contents(path, &length);
    _free_(db) struct db *db = open_db(0);
    cr_assert(meta_write(db, "answer", 41) == 0 && db_wal_bytes(db) > 0); /* in the WAL only */
    int64_t sum, answer = 0;
    cr_assert(db_begin(db) == 0 && meta_write(db, "answer", 42) == 0);
    cr_assert_eq(db_find_number(db, &sum, "SELECT sum(length(s)) FROM t", ""), -ERR_CORRUPT);
    cr_assert_eq(db_commit(db), -ERR_CORRUPT);
    cr_assert_eq(db_rollback(db), 0);
    cr_assert(meta_find(db, "answer", &answer) == 0 && answer == 41);
    cr_assert_eq(db_begin(db), -ERR_CORRUPT);
    cr_assert_eq(db_checkpoint(db, 1, NULL), -ERR_CORRUPT);
    cr_assert_eq(db_integrity_check(db), -ERR_CORRUPT);
    db_free(take(db));
    assert_untouched(before, length);
}

/* A service reads on other connections than the one that writes. */
Test(db, damage_that_a_reader_meets_ends_all_writing)
{
    make_store_with_damaged_page();
    size_t length;
    char *before = contents(path, &length);
    atomic_bool damaged = 0;
    struct db_options writing = { .path = path, .damaged = &damaged },
                      reading = { .path = path, .read_only = 1, .damaged = &damaged };
    _free_(db) struct db *writer = NULL, *reader = NULL;
    cr_assert(db_open(&writing, &writer) == 0 && db_open(&reading, &reader) == 0);
    cr_assert(meta_write(writer, "answer", 41) == 0 && db_may_write(writer) == 0);
    cr_assert(db_begin(writer) == 0 && meta_write(writer, "answer", 42) == 0);
    int64_t sum;
    cr_assert_eq(db_find_number(reader, &sum, "SELECT sum(length(s)) FROM t", ""), -ERR_CORRUPT);
    cr_assert_eq(db_may_write(writer), -ERR_CORRUPT);
    cr_assert_eq(db_commit(writer), -ERR_CORRUPT);
    cr_assert_eq(db_rollback(writer), 0);
    cr_assert_eq(db_begin(writer), -ERR_CORRUPT);
    db_free(take(reader));
    db_free(take(writer));
    assert_untouched(before, length);
}

/* An index that contradicts its table. Each page is well-formed, so SQLite itself would commit. */
Test(db, a_transaction_that_meets_damage_is_not_committed)
{
    struct db *writer = open_store();
    cr_assert(
        db_script(
            writer,
            "CREATE TABLE t (s TEXT); CREATE INDEX i ON t (s); INSERT INTO t VALUES ('needle')") ==
        0);
    long root = (long)number(writer, "SELECT rootpage FROM sqlite_master WHERE name = 'i'");
    db_free(writer);
    size_t length;
    char *bytes = contents(path, &length),
         *key = memmem(bytes + (root - 1) * 4096, 4096, "needle", 6);
    cr_assert_not_null(key);
    FILE *file = fopen(path, "r+");
    fseek(file, key - bytes, SEEK_SET);
    fputs("poodle", file);
    fclose(file);
    free(bytes);
    _free_(db) struct db *db = open_db(0);
    int64_t answer;
    cr_assert(db_begin(db) == 0 && meta_write(db, "answer", 42) == 0);
    cr_assert_eq(db_exec(db, "DELETE FROM t WHERE rowid = 1", ""), -ERR_CORRUPT);
    cr_assert_eq(db_commit(db), -ERR_CORRUPT);
    cr_assert(db_rollback(db) == 0 && meta_find(db, "answer", &answer) == NOT_FOUND);
}

/* The file of the WAL does not shrink, so its size does not tell whether a checkpoint is due. This
 * was seen as a checkpoint after every commit, once the file had grown to the limit. */
Test(db, pending_bytes_of_the_wal_are_counted_and_not_the_size_of_its_file)
{
    struct db *db;
    struct db_options options = { .path = path };
    cr_assert(db_open(&options, &db) == 0 && db_script(db, "CREATE TABLE t (b BLOB)") == 0);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(db_exec(db, "INSERT INTO t VALUES (randomblob(4000))", ""), 0);
    cr_assert(db_wal_pending_bytes(db) > 100 * 4096);
    _free_(db) struct db *reader = open_db(1);
    cr_assert(db_begin(reader) == 0 && number(reader, "SELECT count(*) FROM t") == 100);
    cr_assert(db_checkpoint(db, 0, NULL) == 0 && db_wal_pending_bytes(db) == 0 &&
              db_wal_bytes(db) > 100 * 4096);
    cr_assert(db_exec(db, "INSERT INTO t VALUES (randomblob(4000))", "") == 0);
    cr_assert(db_wal_pending_bytes(db) > 0 && db_wal_pending_bytes(db) < 10 * 4096,
              "behind what the reader still needs");
    cr_assert(db_rollback(reader) == 0 && db_checkpoint(db, 0, NULL) == 0 &&
              db_wal_pending_bytes(db) == 0);
    cr_assert(db_exec(db, "INSERT INTO t VALUES (randomblob(4000))", "") == 0);
    cr_assert(db_wal_pending_bytes(db) > 0 && db_wal_pending_bytes(db) < 10 * 4096,
              "from the beginning again");
    cr_assert(db_checkpoint(db, 1, NULL) == 0 && db_wal_pending_bytes(db) == 0 &&
              db_wal_bytes(db) == 0);
    db_free(db);
}

Test(db, only_the_writer_checkpoints_and_readers_do_not_wait)
{
    struct db *db;
    struct db_options options = { .path = path, .lock_timeout_ms = 600000 };
    cr_assert(db_open(&options, &db) == 0 && db_script(db, "CREATE TABLE t (b BLOB)") == 0);
    int64_t file_bytes = db_file_bytes(db), wal_bytes = 0;
    for (int i = 0; i < 1500; i++) /* SQLite by itself would checkpoint at 1000 pages */
        cr_assert_eq(db_exec(db, "INSERT INTO t VALUES (randomblob(4000))", ""), 0);
    cr_assert(db_file_bytes(db) == file_bytes && db_wal_bytes(db) > 1500 * 4096);
    _free_(db) struct db *reader = open_db(1);
    cr_assert(db_begin(reader) == 0 && number(reader, "SELECT count(*) FROM t") == 1500);
    cr_assert(db_exec(db, "INSERT INTO t VALUES (randomblob(4000))", "") == 0);
    int64_t start_ms = clock_monotonic_ms();
    cr_assert(db_checkpoint(db, 1, &wal_bytes) == 0 && wal_bytes > 0 &&
              db_file_bytes(db) > 1500 * 4096);
    cr_assert(clock_monotonic_ms() - start_ms < 300000, "it has waited for the reader");
    cr_assert(db_rollback(reader) == 0 && db_checkpoint(db, 1, &wal_bytes) == 0 && wal_bytes == 0);
    db_free(db);
}

static _Atomic _Bool copied;

static void *write_until_copied(void *argument)
{
    struct db *db = argument;
    while (!atomic_load(&copied))
        if (db_begin(db) < 0 || db_exec(db, "INSERT INTO t VALUES (randomblob(1000))", "") < 0 ||
            db_commit(db) < 0)
            return NULL;
    return db;
}

Test(db, a_backup_ends_while_others_write)
{
    _free_(db) struct db *db = open_store();
    db_script(
        db,
        "CREATE TABLE t (b BLOB);"
        "INSERT INTO t SELECT randomblob(4000) FROM (WITH RECURSIVE n(value) AS"
        " (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 2000) SELECT value FROM n)");
    _free_(db) struct db *reader = open_db(1);
    char copy[96];
    snprintf(copy, sizeof(copy), "%s/copy.db", folder);
    pthread_t thread;
    void *wrote;
    cr_assert(pthread_create(&thread, NULL, write_until_copied, db) == 0);
    int r = db_backup(reader, copy);
    atomic_store(&copied, 1);
    pthread_join(thread, &wrote);
    cr_assert(r == 0 && wrote, "%s", failure_text());
    strcpy(path, copy);
    _free_(db) struct db *opened = open_store();
    cr_assert(db_integrity_check(opened) == 0 && number(opened, "SELECT count(*) FROM t") >= 2000);
}

Test(db, a_failed_backup_leaves_no_file)
{
    _free_(db) struct db *db = open_store();
    cr_assert_eq(db_backup(db, "/nowhere/at/all/copy.db"), -ERR_READONLY);
    _free_(db) struct db *other = open_store();
    char copy[96];
    snprintf(copy, sizeof(copy), "%s/copy.db", folder);
    cr_assert(db_begin(other) == 0 && db_exec(other, "DELETE FROM meta", "") == 0 &&
              db_backup(other, copy) < 0);
    cr_assert(access(copy, F_OK) != 0, "a transaction of one's own is not for a backup");
}

Test(db, a_backup_is_complete_and_overwrites_nothing)
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
