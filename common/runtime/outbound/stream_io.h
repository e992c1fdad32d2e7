/* Stream I/O: inspects our stream for the relay; stream_make.h creates it, read_back.h reads it
 * back into the log. When to do so is decided in sync/relay.h, which is told what was found. On the
 * sender's thread. */
#pragma once
#include "runtime/outbound/read_back.h"
#include "runtime/outbound/relay_io.h"

/* The step of a request about the stream. */
enum stream_step {
    STEP_INFO = 'i',
    STEP_AUDIT = 'u',
    STEP_LOOK = 'l',
    STEP_AUDITED = 'v',
    STEP_MADE = 'm',
    STEP_DELETED = 'd',
    STEP_MENDED = 'x',
    STEP_LISTED = 'k',
    STEP_LISTED_LAST = 'K', /* before the stream is deleted */
    STEP_GIVEN = 'b',
    STEP_OWN_MESSAGE = READ_BACK_STEP,
    STEP_READER_MADE = 'o', /* of stream_reader.h */
    STEP_READER_GONE = 'O', /* nobody waits for it */
};

/* Asks the server, with a tag of these; built: the result of building the request. */
void stream_io_request(struct relay_io *relay_io, enum stream_step step, int64_t epoch, int64_t n,
                       int built, const struct js_request *request, int64_t now_ms);

/* RELAY_ASK and RELAY_AUDIT: the stream's state; an audit also reads a part of it. */
void stream_io_look(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms);
/* A reply to one of these requests, or of read_back.h; message: borrowed. */
void stream_io_reply(struct relay_io *relay_io, const struct reply_tag *tag,
                     struct bus_message *message, int64_t now_ms);
