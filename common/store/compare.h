/* Compare: two files with the same tables, row by row by their primary keys. Both stand on one connection: the one that
 * serves as `main`, the one that was folded anew as `fold` (compare_attach). What differs is noted in a temporary table. */
#pragma once
#include "store/db.h"

int compare_attach(struct db *db, const char *path);        /* also within a transaction, whose snapshot of main stays */
int compare_detach(struct db *db);

enum difference_kind { DIFFERENCE_MISSING, DIFFERENCE_EXTRA, DIFFERENCE_CHANGED };   /* in main, as the fold has it */
struct difference {
    enum difference_kind kind;
    const char *key;                      /* the primary key's columns, with slashes between */
    const char *columns;                  /* of a changed row: the names of those that differ, with blanks */
};

/* Notes the differences of one table, in place of those of the one before. 0; ERR_CONFIG: it has no primary key. */
int compare_table(struct db *db, const char *table);
/* Reads the notes, in the order of their keys. Text is valid until the next call. */
int differences_open(struct query *query, struct db *db);
int differences_next(struct query *query, struct difference *ret_difference);   /* 1, 0 the end, < 0 */

/* The names of the fold's tables, in order: query_text(query, 0). */
int compare_tables_open(struct query *query, struct db *db);
