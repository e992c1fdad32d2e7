/* Db, statements and the rows that they give. See db.h.
 *
 * A statement is prepared once and kept by the address of its text, in a hash table that is never
 * full. Invariants (checked in release builds, too):
 *
 *   Q1  at most half of the table is in use, so that a search ends at an empty place
 *   Q2  a shared statement has at most one query that walks over it: `busy`
 *   Q3  a column is read only while the query stands at a row, and only one that the statement has
 *   Q4  a query that ended with a failure does not go before somebody has asked for its status
 */
#include "store/db_sqlite.h"
#include "base/result.h"
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- Statements ----------------------------------------------------------------------------- */

int db_prepare(struct db *db, const char *sql, unsigned flags, sqlite3_stmt **ret_prepared)
{
    assert(sql);
    int code = sqlite3_prepare_v3(db->handle, sql, -1, flags, ret_prepared, NULL);
    return code == SQLITE_OK ? 0 : db_fail(db, code, sql);
}

static int statement_of(struct db *db, const char *sql, struct statement **ret_statement)
{
    size_t place = ((uintptr_t)sql >> 3) * 0x9e3779b97f4a7c15u >> 32;
    assert(db->statement_count <= STATEMENTS_MAX / 2); /* Q1 */
    for (;; place++) {
        struct statement *statement = &db->statements[place & (STATEMENTS_MAX - 1)];
        if (statement->sql == sql) {
#ifndef __OPTIMIZE__ /* debug builds: has the text at this address changed? */
            assert(strcmp(sqlite3_sql(statement->prepared), sql) == 0);
#endif
            *ret_statement = statement;
            return 0;
        }
        if (statement->sql)
            continue;
        if (db->statement_count == STATEMENTS_MAX / 2)
            return fail(ERR_INTERNAL, "more than %d statements; is an SQL text not a literal?",
                        STATEMENTS_MAX / 2);
        int r = db_prepare(db, sql, SQLITE_PREPARE_PERSISTENT, &statement->prepared);
        if (r < 0)
            return trace(r);
        statement->sql = sql;
        statement->parameter_count = sqlite3_bind_parameter_count(statement->prepared);
        statement->column_count = sqlite3_column_count(statement->prepared);
        db->statement_count++;
        *ret_statement = statement;
        return 0;
    }
}

void db_finalize_statements(struct db *db)
{
    for (int i = 0; i < STATEMENTS_MAX; i++) {
        assert(!db->statements[i].busy); /* Q2: a query goes before its connection */
        sqlite3_finalize(db->statements[i].prepared);
        free((void *)db->statements[i].columns);
    }
}

static int bind_one(struct db *db, sqlite3_stmt *prepared, int number, char type,
                    va_list *arguments)
{
    int code;
    if (type == 'i') {
        code = sqlite3_bind_int64(prepared, number, va_arg(*arguments, int64_t));
    } else if (type == 's') {
        code = sqlite3_bind_text(prepared, number, va_arg(*arguments, const char *), -1,
                                 SQLITE_STATIC);
    } else if (type == 'b') {
        const void *data = va_arg(*arguments, const void *);
        code = sqlite3_bind_blob64(prepared, number, data, va_arg(*arguments, size_t),
                                   SQLITE_STATIC);
    } else {
        return fail(ERR_INTERNAL, "a parameter is i, s or b, not %c", type);
    }
    return code == SQLITE_OK ? 0 : db_fail(db, code, sqlite3_sql(prepared));
}

/* Each parameter is bound anew: what an earlier query bound is gone. */
static int bind_all(struct db *db, const struct statement *statement, sqlite3_stmt *prepared,
                    const char *types, va_list *arguments)
{
    int count = 0;
    for (; count < statement->parameter_count && types[count]; count++) {
        int r = bind_one(db, prepared, count + 1, types[count], arguments);
        if (r < 0)
            return trace(r);
    }
    if (count < statement->parameter_count || types[count])
        return fail(ERR_INTERNAL, "%zu parameters instead of %d: %s", strlen(types),
                    statement->parameter_count, statement->sql);
    return 0;
}

/* ---- Rows ----------------------------------------------------------------------------------- */

static int query_start(struct query *query, struct db *db, const char *sql, const char *types,
                       va_list *arguments)
{
    struct statement *statement = NULL;
    sqlite3_stmt *prepared;
    assert(!query->prepared); /* Q2: the query before it has ended */
    int r = statement_of(db, sql, &statement);
    if (r < 0)
        return trace(r);
    prepared = statement->prepared;
    if (statement->busy) {
        r = db_prepare(db, sql, 0, &prepared);
        if (r < 0)
            return trace(r);
    }
    r = bind_all(db, statement, prepared, types, arguments);
    if (r < 0) {
        if (statement->busy)
            sqlite3_finalize(prepared);
        return trace(r);
    }
    *query = (struct query){
        .prepared = prepared,
        .statement = statement,
        .db = db,
        .columns = statement->columns,
        .column_count = statement->column_count,
        .is_private = statement->busy,
    };
    statement->busy = 1;
    return 0;
}

int query_open(struct query *query, struct db *db, const char *sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    int r = query_start(query, db, sql, types, &arguments);
    va_end(arguments);
    return trace(r);
}

_Bool query_has_row(struct query *query)
{
    assert(query->prepared);
    query->has_row = 0;
    if (query->ended) /* SQLite would start anew */
        return 0;
    int code = sqlite3_step(query->prepared);
    if (code == SQLITE_ROW) {
        query->has_row = 1;
        query->next_column = 0;
        return 1;
    }
    query->ended = 1;
    if (code != SQLITE_DONE)
        query->failure = db_fail(query->db, code, sqlite3_sql(query->prepared));
    return 0;
}

void query_end(struct query *query, int failure)
{
    assert(failure < 0);
    query->has_row = 0;
    query->ended = 1;
    query->failure = failure;
}

int query_status(struct query *query)
{
    query->is_told = 1;
    return trace(query->failure);
}

/* The first row of a query that was just opened. */
static int go_to_first(struct query *query)
{
    if (query_has_row(query))
        return 0;
    int r = query_status(query);
    return r < 0 ? trace(r) : NOT_FOUND;
}

static int find_first(struct query *query, struct db *db, const char *sql, const char *types,
                      va_list *arguments)
{
    int r = query_start(query, db, sql, types, arguments);
    return r < 0 ? trace(r) : trace(go_to_first(query));
}

int query_find(struct query *query, struct db *db, const char *sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    int r = find_first(query, db, sql, types, &arguments);
    va_end(arguments);
    return trace(r);
}

void query_deinit(struct query *query)
{
    if (!query->prepared)
        return;
    assert(query->failure == 0 || query->is_told); /* Q4 */
    if (query->is_private) {
        sqlite3_finalize(query->prepared);
    } else {
        assert(query->statement->busy); /* Q2 */
        sqlite3_reset(query->prepared);
        query->statement->busy = 0;
    }
    query->prepared = NULL;
}

/* ---- Columns -------------------------------------------------------------------------------- */

static void check_column(const struct query *query, int column)
{
    assert(query->has_row && column >= 0 && column < query->column_count); /* Q3 */
}

/* By the statement's own names. What was found is remembered with the statement, by the address of
 * the name; without memory for that, the names are compared each time. */
static int column_of_name(struct query *query, const char *name)
{
    struct statement *statement = query->statement;
    int column = 0;
    while (column < query->column_count &&
           strcmp(sqlite3_column_name(query->prepared, column), name) != 0)
        column++;
    assert(column < query->column_count); /* Q3: the SELECT names this column */
    /* One more: it stays NULL, and the next name is never found there. */
    if (!statement->columns)
        /* lint: malloc-leak because the statement keeps them until db_finalize_statements() */
        statement->columns = calloc((size_t)query->column_count + 1, sizeof(*statement->columns));
    if (statement->columns)
        statement->columns[column] = name;
    query->columns = statement->columns;
    return column;
}

int query_search_column(struct query *query, const char *name)
{
    assert(query->has_row); /* Q3 */
    int column = 0;
    while (query->columns && column < query->column_count && query->columns[column] != name)
        column++;
    if (!query->columns || column == query->column_count)
        column = column_of_name(query, name);
    query->next_column = column + 1;
    return column;
}

int64_t query_int(const struct query *query, int column)
{
    check_column(query, column);
    return sqlite3_column_int64(query->prepared, column);
}

_Bool query_is_null(const struct query *query, int column)
{
    check_column(query, column);
    return sqlite3_column_type(query->prepared, column) == SQLITE_NULL;
}

const char *query_text(const struct query *query, int column)
{
    check_column(query, column);
    return (const char *)sqlite3_column_text(query->prepared, column);
}

const void *query_blob(const struct query *query, int column, size_t *ret_length)
{
    check_column(query, column);
    const void *blob = sqlite3_column_blob(query->prepared, column);
    *ret_length = (size_t)sqlite3_column_bytes(query->prepared, column);
    return blob;
}

/* ---- In one call ----------------------------------------------------------------------------- */

int db_exec(struct db *db, const char *sql, const char *types, ...)
{
    _deinit_(query) struct query query = { 0 };
    va_list arguments;
    va_start(arguments, types);
    int r = query_start(&query, db, sql, types, &arguments);
    va_end(arguments);
    while (r == 0 && query_has_row(&query))
        ;
    return r < 0 ? trace(r) : trace(query_status(&query));
}

int db_find_number(struct db *db, int64_t *ret_value, const char *sql, const char *types, ...)
{
    _deinit_(query) struct query query = { 0 };
    va_list arguments;
    va_start(arguments, types);
    int r = find_first(&query, db, sql, types, &arguments);
    va_end(arguments);
    if (r == 0)
        *ret_value = query_int(&query, 0);
    return trace(r);
}

int db_has_row(struct db *db, const char *sql, const char *types, ...)
{
    _deinit_(query) struct query query = { 0 };
    va_list arguments;
    va_start(arguments, types);
    int r = find_first(&query, db, sql, types, &arguments);
    va_end(arguments);
    return r < 0 ? trace(r) : r == 0;
}

int db_script(struct db *db, const char *sql)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : db_fail(db, code, "script");
}

int64_t db_changed_rows(const struct db *db)
{
    return sqlite3_changes64(db->handle);
}

int db_changed_one(struct db *db, int result)
{
    if (result < 0)
        return trace(result);
    int64_t changed = db_changed_rows(db);
    return changed == 1 ? 0
                        : fail(ERR_CONSTRAINT, "an event changed %lld rows instead of one",
                               (long long)changed);
}

int64_t db_inserted_row(const struct db *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}
