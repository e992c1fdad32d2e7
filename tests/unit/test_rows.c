/* Rows: how the rows of a query are found, read by the names of their columns, and ended; and that
 * each assertion about them stands. */
#include "store/row.h"
#include "store_folder.h"
#include <signal.h>

TestSuite(rows, .init = make_folder, .fini = remove_folder);

static struct db *open_shop(void)
{
    struct db *db = open_db(0);
    cr_assert_eq(db_script(db, "CREATE TABLE products (sku TEXT, name TEXT, stock INTEGER,"
                               "  added_ms INTEGER, is_sold INTEGER);"
                               "INSERT INTO products VALUES ('tea', 'Tea', 3, 1000, 1),"
                               "  ('cup', NULL, -9223372036854775807 - 1, 2000, 0)"),
                 0);
    return db;
}

Test(rows, columns_are_read_by_their_names_in_any_order)
{
    static const char sql[] = "SELECT sku, name, stock * 2 AS twice, added_ms, is_sold"
                              " FROM products WHERE sku = ?1";
    _free_(db) struct db *db = open_shop();
    _deinit_(arena) struct arena arena = { 0 };
    for (int round = 0; round < 3; round++) { /* the first one remembers where the names are */
        _deinit_(query) struct query q = { 0 };
        struct row row = { .query = &q, .arena = &arena };
        cr_assert_eq(query_find(&q, db, sql, "s", "tea"), 0);
        if (round == 1)
            cr_assert(row_bool(&row, "is_sold") && strcmp(row_text(&row, "sku"), "tea") == 0);
        cr_assert_str_eq(row_text(&row, "sku"), "tea");
        cr_assert_str_eq(row_text(&row, "name"), "Tea");
        cr_assert_eq(row_int(&row, "twice"), 6);
        cr_assert_str_eq(row_time(&row, "added_ms"), "1970-01-01T00:00:01.000Z");
        cr_assert(row_bool(&row, "is_sold") && !row_is_null(&row, "name"));
        cr_assert_eq(row_status(&row), 0);
    }
    _deinit_(query) struct query q = { 0 };
    struct row row = { .query = &q, .arena = &arena };
    cr_assert_eq(query_find(&q, db, sql, "s", "cup"), 0);
    cr_assert(row_is_null(&row, "name") && row_text(&row, "name") == NULL);
}

/* The second query has a statement of its own, with the names of the shared one. */
Test(rows, a_query_within_itself_knows_the_names)
{
    static const char sql[] = "SELECT sku, stock FROM products ORDER BY sku DESC";
    _free_(db) struct db *db = open_shop();
    _deinit_(query) struct query outer = { 0 }, inner = { 0 };
    struct row outside = { .query = &outer }, inside = { .query = &inner };
    cr_assert(query_find(&outer, db, sql, "") == 0 && row_int(&outside, "stock") == 3);
    cr_assert(query_find(&inner, db, sql, "") == 0 && row_int(&inside, "stock") == 3);
    cr_assert(query_has_row(&outer) && row_int(&outside, "stock") == INT64_MIN);
    cr_assert(row_int(&inside, "stock") == 3 && !query_has_row(&outer));
}

Test(rows, what_is_not_there_is_not_found)
{
    _free_(db) struct db *db = open_shop();
    _deinit_(query) struct query q = { 0 };
    int64_t stock = 7;
    cr_assert_eq(query_find(&q, db, "SELECT sku FROM products WHERE sku = 'jam'", ""), NOT_FOUND);
    cr_assert_eq(db_find_number(db, &stock, "SELECT stock FROM products WHERE sku = 'jam'", ""),
                 NOT_FOUND);
    cr_assert_eq(stock, 7, "a number that was not found stays as it was");
    cr_assert_eq(db_find_number(db, &stock, "SELECT stock FROM products WHERE sku = 'tea'", ""), 0);
    cr_assert_eq(stock, 3);
    cr_assert_eq(db_has_row(db, "SELECT 1 FROM products WHERE sku = 'jam'", ""), 0);
    cr_assert_eq(db_has_row(db, "SELECT 1 FROM products WHERE sku = 'tea'", ""), 1);
    cr_assert_eq(db_has_row(db, "SELECT 1 FROM nowhere", ""), -ERR_INTERNAL);
}

/* abs() of the smallest number is an error of SQLite, at the second row. */
#define SECOND_ROW_FAILS "SELECT abs(stock) AS stock FROM products ORDER BY rowid"

Test(rows, a_failure_in_the_middle_is_told_at_the_end)
{
    _free_(db) struct db *db = open_shop();
    _deinit_(query) struct query q = { 0 };
    struct row row = { .query = &q };
    int count = 0;
    int r = query_open(&q, db, SECOND_ROW_FAILS, "");
    while (r == 0 && query_has_row(&q))
        count += row_int(&row, "stock") == 3;
    cr_assert(r == 0 && count == 1 && !query_has_row(&q));
    cr_assert_eq(row_status(&row), -ERR_INTERNAL, "%s", failure_text());
    cr_assert_eq(query_status(&q), -ERR_INTERNAL);
}

Test(rows, a_reader_that_cannot_use_a_row_ends_the_rows)
{
    _free_(db) struct db *db = open_shop();
    _deinit_(query) struct query q = { 0 };
    cr_assert_eq(query_find(&q, db, "SELECT sku FROM products", ""), 0);
    query_end(&q, -ERR_CORRUPT);
    cr_assert(!query_has_row(&q) && query_status(&q) == -ERR_CORRUPT);
}

/* ---- Assertions ------------------------------------------------------------------------------ */

/* A process that ends by an assertion removes nothing: the open file needs no folder any more. */
static struct db *open_last_shop(void)
{
    struct db *db = open_shop();
    remove_folder();
    return db;
}

Test(rows, a_failure_that_nobody_reads_is_a_failed_assertion, .signal = SIGABRT)
{
    struct db *db = open_last_shop();
    struct query q = { 0 };
    cr_assert_eq(query_open(&q, db, SECOND_ROW_FAILS, ""), 0);
    while (query_has_row(&q))
        ;
    query_deinit(&q);
}

Test(rows, a_name_that_the_select_does_not_have_is_a_failed_assertion, .signal = SIGABRT)
{
    struct query q = { 0 };
    struct row row = { .query = &q };
    cr_assert_eq(query_find(&q, open_last_shop(), "SELECT sku FROM products", ""), 0);
    row_int(&row, "stock");
}

Test(rows, a_column_behind_the_last_row_is_a_failed_assertion, .signal = SIGABRT)
{
    struct query q = { 0 };
    cr_assert_eq(query_find(&q, open_last_shop(), "SELECT sku FROM products WHERE sku = 'tea'", ""),
                 0);
    cr_assert(!query_has_row(&q));
    query_text(&q, 0);
}

Test(rows, a_query_that_outlives_its_connection_is_a_failed_assertion, .signal = SIGABRT)
{
    struct query q = { 0 };
    struct db *db = open_last_shop();
    cr_assert_eq(query_find(&q, db, "SELECT sku FROM products", ""), 0);
    db_free(db);
}

Test(rows, a_transaction_within_a_transaction_is_a_failed_assertion, .signal = SIGABRT)
{
    struct db *db = open_last_shop();
    cr_assert_eq(db_begin(db), 0);
    (void)db_begin(db);
}

Test(rows, a_commit_with_an_open_savepoint_is_a_failed_assertion, .signal = SIGABRT)
{
    struct db *db = open_last_shop();
    cr_assert(db_begin(db) == 0 && db_savepoint(db) == 0);
    (void)db_commit(db);
}
