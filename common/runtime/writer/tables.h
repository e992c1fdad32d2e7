/* Tables: a service's own tables at its start: made when they are not there, folded anew from our
 * log when the program wants others (tables_version). */
#pragma once
#include "journey.h"

/* In the caller's transaction, before anything is served. When they were folded anew, META_FOLDING
 * is set: the projections are not yet where they were. 0 or < 0. */
int tables_create(const struct service *service, struct db *db);

/* Likewise: the service's tables are dropped, made as the program wants them now, and filled from
 * our own log. Others' logs are read again from their beginning by the feeds, whose cursors go
 * back; what we reacted to before has its cause in our log and is not reacted to again. Tables that
 * the program no longer names stay as they are, unread. 0 or < 0. */
int tables_rebuild(const struct service *service, struct db *db);
