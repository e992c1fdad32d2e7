/* Own durable: our durable on another service's stream. Its leader makes it for us
 * (durable_io.h); where the leader does not answer we try it ourselves, which an open mesh permits.
 * A look compares it with what it should look like (sync/drift.h), and what the server's limits do
 * not permit is asked for smaller. What follows is decided in sync/feed.h. On the sender's
 * thread. */
#pragma once
#include "runtime/outbound/feed_io.h"

/* FEED_DELETE_DURABLE and FEED_MAKE_DURABLE. */
void own_durable_delete(struct feed_io *feed_io, int64_t now_ms);
void own_durable_make(struct feed_io *feed_io, int64_t sequence, int64_t now_ms);

/* Asks for it, the last part of a look. */
void own_durable_look(struct feed_io *feed_io, int64_t now_ms);

/* The answer to a step FEED_STEP_DURABLE and later; message: borrowed. */
void own_durable_reply(struct feed_io *feed_io, enum feed_step step, struct bus_message *message,
                       int64_t now_ms);
