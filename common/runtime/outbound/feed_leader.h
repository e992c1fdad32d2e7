/* Feed's leader: what a feed asks the leader itself, by its request `<prefix>.events`: the events
 * that its stream does not give, and whether its log is still the one that we have read. The
 * leader's log, and not its stream, says what is an event (sync/feed.h). On the sender's thread. */
#pragma once
#include "runtime/outbound/feed_io.h"

/* The steps of these requests. */
#define FEED_LEADER_PAGE 'f'
#define FEED_LEADER_COMPARED 'e'

/* FEED_FILL and FEED_COMPARE. */
void feed_leader_fill(struct feed_io *feed_io, const struct feed_action *action, int64_t now_ms);
void feed_leader_compare(struct feed_io *feed_io, const struct feed_action *action, int64_t now_ms);

/* Their answers. message: borrowed */
void feed_leader_page(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms);
void feed_leader_compared(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms);

/* A delivery that does not follow, or stands behind a gap: what is named when it turns out to be
 * void. */
void feed_leader_suspect(struct feed_io *feed_io, const struct item *item);
