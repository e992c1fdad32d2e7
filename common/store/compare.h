/* Compare: compares the tables of a file that serves with the same tables folded anew, row by row
 * by their primary keys, and puts the rows that differ right. The comparison runs on the connection
 * of the fold: its own file is `main`, and the file that serves is attached for reading as
 * COMPARE_SERVED. Differences are noted in a temporary table. */
#pragma once
#include "store/db.h"

#define COMPARE_SERVED "served"

/* How a row of the file that serves differs: it is missing, should not be there, or is another. */
enum difference_kind { DIFFERENCE_MISSING, DIFFERENCE_EXTRA, DIFFERENCE_CHANGED };
struct difference {
    const char *table;
    enum difference_kind kind;
    const char *key;     /* the columns of the primary key, with slashes between */
    const char *columns; /* of a changed row: the columns that differ, with blanks; else NULL */
};

/* Attaches the file that serves to the connection of a scratch file. */
int compare_attach(struct db *db, const char *path);

int compare_begin(struct db *db); /* forgets the differences noted before */
/* Notes the differences of one table, and in a table `swap <table>` the keys for compare_swap. 0 or
 * < 0; ERR_CONFIG: the table has no primary key. */
int compare_table(struct db *db, const char *table);
/* compare_begin, and compare_table for all tables. *ret_count: how many rows differ. */
int compare_all(struct db *db, int64_t *ret_count);

/* Reads the differences, in the order of tables and keys. Text is valid until the next call. False
 * at the end and after a failure, as query_has_row. */
int differences_open(struct query *query, struct db *db);
_Bool differences_have_next(struct query *query, struct difference *ret_difference);

/* The names of the fold's tables, in order, as the first column of the query. */
int compare_tables_open(struct query *query, struct db *db);

/* On the connection that serves, in its transaction, with the file of the fold attached as
 * COMPARE_FOLD: each row whose key was noted becomes the row of the fold, or is deleted. */
#define COMPARE_FOLD "fold"
int compare_swap(struct db *db);
