/* Compare: the tables of a file that serves with the same tables folded anew, row by row by their
 * primary keys; and the rows that differ, put right. On the connection of the fold: its own file is
 * `main`, the one that serves is attached for reading as COMPARE_SERVED. What differs is noted in a
 * temporary table. */
#pragma once
#include "store/db.h"

#define COMPARE_SERVED "served"

/* in the file that serves */
enum difference_kind { DIFFERENCE_MISSING, DIFFERENCE_EXTRA, DIFFERENCE_CHANGED };
struct difference {
    const char *table;
    enum difference_kind kind;
    const char *key; /* the primary key's columns, with slashes between */
    /* of a changed row: the names of those that differ, with blanks; else NULL */
    const char *columns;
};

/* Attaches the file that serves, to the connection of a scratch file. */
int compare_attach(struct db *db, const char *path);

/* Forgets what was noted. */
int compare_begin(struct db *db);
/* Notes the differences of one table, and in its own table `swap <table>` the keys for
 * compare_swap. 0; ERR_CONFIG: it has no primary key. */
int compare_table(struct db *db, const char *table);
/* compare_table for all of them. *ret_count: rows that differ. */
int compare_all(struct db *db, int64_t *ret_count);

/* Reads the notes, in the order of tables and keys. Text is valid until the next call. False at the
 * end and after a failure, as with query_has_row. */
int differences_open(struct query *query, struct db *db);
_Bool differences_have_next(struct query *query, struct difference *ret_difference);

/* The names of the fold's tables, in order: query_text(query, 0). */
int compare_tables_open(struct query *query, struct db *db);

/* On the connection that serves, in its transaction, with the fold's file attached as COMPARE_FOLD:
 * the rows whose keys were noted become what the fold has, or go. */
#define COMPARE_FOLD "fold"
int compare_swap(struct db *db);
