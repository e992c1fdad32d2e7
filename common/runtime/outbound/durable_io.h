/* Durable I/O: makes the durable of a feed and looks whether it is as we want it. What follows is
 * decided in sync/feed.h. On the sender's thread. */
#pragma once
#include "runtime/outbound/feed_io.h"

/* FEED_MAKE_DURABLE: the request, to be sent; as js_consumer_create. */
int durable_io_make(struct feed_io *feed_io, int64_t sequence, struct js_request *request);
/* The answer, with the server's words where it refuses. message: borrowed. */
void durable_io_made(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms);

/* The answer to CONSUMER.INFO, the last part of a look. */
void durable_io_looked(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms);
