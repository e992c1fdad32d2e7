/* Migration: brings a database file of an older version to this program's version, step by step,
 * with one transaction for each step. The application id marks a file as ours; user_version counts
 * the steps that were done. */
#pragma once
#include "store/db.h"

/* Makes the runtime's own tables, or upgrades them. ERR_CONFIG: the file is of a newer program (the
 * message names both versions) or of another program. */
int store_migrate(struct db *db);

int64_t store_version(void); /* of this program: user_version of a file that it has made */

/* How far our stream was seen to go, when the stream was ahead of our log. */
#define META_STREAM_POSITION "stream_position"

/* 1: the projections are folded anew, and have not yet caught up. */
#define META_FOLDING "folding"
/* What the largest event of our log needs to travel in (runtime/writer/event_size.h). */
#define META_LARGEST_EVENT "largest_event_bytes"

/* So many events were set aside in the life of the file (runtime/writer/set_aside.h). */
#define META_ORPHANS "orphans"

/* A number that the file keeps under a name, such as "tables_version". 0, NOT_FOUND or < 0. */
int meta_find(struct db *db, const char *name, int64_t *ret_value);
/* The same, with a value for a name that is not there. 0 or < 0. */
int meta_read_or(struct db *db, const char *name, int64_t otherwise, int64_t *ret_value);
int meta_write(struct db *db, const char *name, int64_t value);
