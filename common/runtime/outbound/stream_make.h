/* Stream make: deletes and creates our stream for the relay, and gives others back what they had
 * set and made on it (stream_keep.h). On the sender's thread. Messages are borrowed. */
#pragma once
#include "runtime/outbound/relay_io.h"

/* RELAY_MAKE_STREAM and RELAY_DELETE_STREAM. */
void stream_make_begin(struct relay_io *relay_io, const struct relay_action *action,
                       int64_t now_ms);

/* Durables of others that the stream had before it was made anew; while keep.owed_count > 0. */
void stream_make_give_back(struct relay_io *relay_io, int64_t now_ms);

/* What the writer had to keep may be in our file now: the stream may be deleted. */
void stream_make_settled(struct relay_io *relay_io, const struct batch *batch, int64_t now_ms);

/* The server's replies. */
void stream_make_take_deleted(struct relay_io *relay_io, struct bus_message *message,
                              int64_t now_ms);
void stream_make_take_created(struct relay_io *relay_io, struct bus_message *message,
                              int64_t now_ms);
void stream_make_take_mended(struct relay_io *relay_io, struct bus_message *message);
/* Before the stream is deleted: who reads it, once more. No answer: as it was last seen. */
void stream_make_take_listed_last(struct relay_io *relay_io, int64_t epoch,
                                  struct bus_message *message, int64_t now_ms);
