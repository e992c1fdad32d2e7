/* Generation: does the WAL beside a database belong to it? SQLite reads whatever WAL lies there: a
 * backup that is copied over a database, with the WAL of the old one still beside it, gives a
 * mixture of two files that no check of single pages notices.
 *
 * So each WAL has a random number, its generation, and counts in it the transactions before a
 * checkpoint (db_set_wal_numbering). Both stand in `meta` as one value, generation << 16 | count:
 *
 *     wal_number   of the newest WAL; written in its first transaction and before each checkpoint
 *     wal_after    what wal_number was in the file when this WAL began
 *
 * A file belongs to its WAL when its own wal_number is of the WAL's generation (a checkpoint has
 * moved a part of the WAL into it, or it is a copy that was made while the WAL was written, which
 * the WAL makes whole), or is wal_after. A copy that was made earlier or later is neither.
 *
 * Files of programs without numbers have none: beside a WAL with a number it cannot be told. */
#pragma once
#include "store/db.h"

/* On the writing connection, when `meta` is there; from then on each WAL is numbered. The first
 * transaction after this call is numbered too. */
void generation_begin(struct db *db);

/* Right after opening, before anything is written or checkpointed. 0; 1: it cannot be told, because
 * the file by itself cannot be read, as in the middle of a checkpoint; ERR_CONFIG: the WAL is not
 * of this file, with a message for a person; or another failure. */
int generation_check(struct db *db);
#define GENERATION_UNKNOWN 1
