/* Feed's pulls: the requests for messages that are out, at most FEED_PULLS; of PULLING (feed.h). */
#pragma once
#include "runtime/sync/feed.h"

struct feed_pull *feed_pull_find(struct feed *feed, int64_t number); /* NULL: it is not out */
/* A delivery keeps the stream's subject, so it does not say which pull it answers; the server
 * serves them in order. NULL: none is out. */
struct feed_pull *feed_pull_oldest(struct feed *feed);
_Bool feed_pull_is_out(const struct feed *feed);

/* The next pull, when there is room for it; else FEED_NOTHING. */
struct feed_action feed_pull_next(struct feed *feed, int64_t now_ms);
