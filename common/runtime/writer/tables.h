/* Tables: creates a service's own tables at its start, or folds them anew from our log when the
 * program has another tables_version than the file. */
#pragma once
#include "base/buf.h"
#include "journey.h"

/* The version of the program that folded the tables, in the file. */
#define META_TABLES_VERSION "tables_version"

/* In the caller's transaction, before the service takes requests. Sets META_FOLDING when the tables
 * were folded anew: the projections have to catch up. 0 or < 0. */
int tables_create(const struct service *service, struct db *db);

/* In the caller's transaction: drops the service's tables, creates them as the program has them
 * now, and fills them from our own log. The cursors are reset, so the feeds read others' logs again
 * from the beginning; events that we have reacted to have their cause in our log, and cause no
 * second reaction. Tables that the program no longer names stay as they are. 0 or < 0. */
int tables_rebuild(const struct service *service, struct db *db);

/* Has the file the tables, indexes, triggers and views that this program makes, and no others?
 * Writes to `out`, ended by NUL, what differs. 0; LAYOUT_DIFFERS (store/layout.h); or < 0. */
int tables_compare_layout(const struct service *service, struct db *db, struct buf *out);
