/* Rebuild: folds a service's tables anew from the logs. */
#pragma once
#include "journey.h"

/* In the caller's transaction, before anything is served: the service's tables are dropped, made as the program
 * wants them now, and filled from our own log. Others' logs are read again from their beginning by the feeds, whose
 * cursors go back; what we reacted to before has its cause in our log and is not reacted to again. Tables that the
 * program no longer names stay as they are, unread. 0 or < 0. */
int rebuild_tables(const struct service *service, struct db *db);
