/* Migration: brings a database file of an older version to this one, step by step, each step in its
 * own transaction. The application id tells our files from others'; user_version counts the steps
 * done. */
#pragma once
#include "store/db.h"

/* Makes the runtime's own tables, or upgrades them. ERR_CONFIG, naming both versions, for a file of
 * a newer program, and for one that is not ours. */
int store_migrate(struct db *db);

/* how far our stream was seen to go, when it was ahead of our log */
#define META_STREAM_POSITION "stream_position"

/* 1: the projections were begun anew, and are not yet where they were */
#define META_FOLDING "folding"

/* A number of the file's own, e.g. "tables_version". 0, NOT_FOUND or < 0. */
int meta_find(struct db *db, const char *name, int64_t *ret_value);
int meta_read_or(struct db *db, const char *name, int64_t otherwise, int64_t *ret_value);
int meta_write(struct db *db, const char *name, int64_t value);
