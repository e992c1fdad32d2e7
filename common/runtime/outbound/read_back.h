/* Read back: reads our own stream into the log, when it is ahead of it (RELAY_RECOVER): a window at
 * a time, in order, until the log reaches the stream's end, or the whole of the stream says that
 * what is ahead is none of ours. On the sender's thread.
 *
 * Many messages come through the stream reader (stream_reader.h), which reads ahead while the loop
 * runs a window; a few, and all where it cannot be had, are asked for one by one.
 *
 * Invariants, between two notes (recovery_check):
 *   S1  at most RECOVER_WINDOW messages are asked for one by one, at most READER_BATCH are of a
 *       window of the stream reader
 *   S2  as many are not settled as were given to the loop and not run; a part of them was undone
 *       only while there are some */
#pragma once
#include "runtime/outbound/relay_io.h"

#define READ_BACK_STEP 'g' /* of its requests */

/* RELAY_RECOVER: a window of our own messages, into the inbox when all are there. */
void read_back(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms);

/* Gives what the stream reader has brought to the loop. True: the relay has moved. */
_Bool read_back_act(struct relay_io *relay_io, int64_t now_ms);

/* The reply for this sequence; message: borrowed. */
void read_back_reply(struct relay_io *relay_io, int64_t sequence, struct bus_message *message,
                     int64_t now_ms);

/* Own events that were read back have been run; and our log may have grown. */
void read_back_settled(struct relay_io *relay_io, const struct batch *batch, int64_t now_ms);
