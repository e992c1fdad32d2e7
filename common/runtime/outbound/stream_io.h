/* Stream I/O: inspects our stream for the relay, creates it, and reads it back into the log. When
 * to do so is decided in sync/relay.h, which is told what was found. On the sender's thread.
 *
 * Invariants of reading back, between two notes (recovery_check):
 *   S1  at most RECOVER_WINDOW messages are asked for at a time
 *   S2  as many are not settled as were given to the loop and not run; a part of them was undone
 *       only while there are some */
#pragma once
#include "runtime/outbound/relay_io.h"

/* RELAY_ASK and RELAY_AUDIT: the stream's state; an audit also reads a part of it. */
void stream_io_look(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms);
/* RELAY_MAKE_STREAM and RELAY_DELETE_STREAM. */
void stream_io_make(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms);
/* RELAY_RECOVER: a window of our own messages, into the inbox when all are there. */
void stream_io_read_back(struct relay_io *relay_io, const struct relay_action *action,
                         int64_t now_ms);

/* A reply to one of these requests; message: borrowed. */
void stream_io_reply(struct relay_io *relay_io, const struct reply_tag *tag,
                     struct bus_message *message, int64_t now_ms);

/* Own events that were read back have been run; and our log may have grown. */
void stream_io_settled(struct relay_io *relay_io, const struct batch *batch, int64_t now_ms);
