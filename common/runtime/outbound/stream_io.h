/* Stream I/O: inspects our stream for the relay, and creates it; read_back.h reads it back into the
 * log. When to do so is decided in sync/relay.h, which is told what was found. On the sender's
 * thread. */
#pragma once
#include "runtime/outbound/relay_io.h"

/* RELAY_ASK and RELAY_AUDIT: the stream's state; an audit also reads a part of it. */
void stream_io_look(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms);
/* RELAY_MAKE_STREAM and RELAY_DELETE_STREAM. */
void stream_io_make(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms);

/* Durables of others that the stream had before it was made anew; while keep.owed_count > 0. */
void stream_io_give_back(struct relay_io *relay_io, int64_t now_ms);

/* A reply to one of these requests, or of read_back.h; message: borrowed. */
void stream_io_reply(struct relay_io *relay_io, const struct reply_tag *tag,
                     struct bus_message *message, int64_t now_ms);
