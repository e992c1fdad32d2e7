/* Feed's pulls: the requests for messages that are out, at most FEED_PULLS; of PULLING (feed.h). */
#pragma once
#include "runtime/sync/feed.h"

/* A stream whose messages have all expired or were purged does not say how many events there were:
 * at most as many as sequences. 1: the leader is to be asked for them, once for each end of the
 * stream; fill_until is set. */
_Bool feed_fill_of_expired(struct feed *feed, const struct feed_info *info);
/* A page of the leader has so many events at most, from 1 to what is configured: one that does not
 * come may be larger than a message, so the next is asked for less, and for a little more again
 * once one has come. */
void feed_set_fill_limit(struct feed *feed, int64_t limit);
/* Does the durable not stand where our cursor stands? */
_Bool feed_durable_is_wrong(const struct feed *feed, const struct feed_info *info);
/* The leader disagrees: is that believed? One answer may come from an instance that was frozen and
 * is about to step back, or that reads its log back from its stream: what is said again and again
 * for disagree_ms, by a log that does not grow, is. */
_Bool feed_disagrees_for_good(struct feed *feed, enum feed_fit fit, int64_t last_position,
                              int64_t now_ms);

struct feed_pull *feed_pull_find(struct feed *feed, int64_t number); /* NULL: it is not out */
/* A delivery keeps the stream's subject, so it does not say which pull it answers; the server
 * serves them in order. NULL: none is out. */
struct feed_pull *feed_pull_oldest(struct feed *feed);
_Bool feed_pull_is_out(const struct feed *feed);

/* The next pull, when there is room for it; else FEED_NOTHING. */
struct feed_action feed_pull_next(struct feed *feed, int64_t now_ms);

/* Nothing is known to be missing, as far as it may go: then it is complete (feed_limits.c). */
void feed_note_complete(struct feed *feed, int64_t now_ms);
