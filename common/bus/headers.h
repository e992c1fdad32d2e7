/* Headers: subjects and headers of a message as plain text, without a connection. These functions
 * decide what may go on the wire, because nats.c checks neither subjects nor header keys: the
 * subject `"x 0\r\n\r\nPUB evil"` was seen to publish to `evil`.
 * Pure functions; any thread. */
#pragma once
#include <stddef.h>
#include "base/arena.h"

#define BUS_HEADERS_MAX 64    /* of one message; a message with more is refused */
#define BUS_SUBJECT_MAX 255   /* bytes of a subject */
#define BUS_HEADER_KEY_MAX 64 /* bytes of a key that we write */

struct bus_header { /* borrowed text */
    const char *key;
    const char *value; /* without the blanks around it */
};

/* A message as a reader sees it, from a delivery (bus_message_view) or from the stream's store
 * (js_parse_message). All is borrowed from there. */
struct bus_view {
    const char *subject;
    const struct bus_header *headers; /* in no particular order */
    int header_count;
    const char *data; /* not NULL; a NUL follows that is not counted */
    size_t data_length;
};

/* The first value under a key, in any case of letters; NULL: none. */
const char *bus_header_find(const struct bus_view *view, const char *key);
int bus_header_count(const struct bus_view *view, const char *key);

/* True for tokens of [A-Za-z0-9_$-] between dots, up to BUS_SUBJECT_MAX bytes. With wildcards the
 * token `*` is allowed too, and `>` as the last one. NULL is not safe. */
_Bool bus_subject_is_safe(const char *subject, _Bool wildcards);

/* True for a safe subject under `_INBOX.`, or under `_R_.`, which the server puts in the place of
 * an inbox when a request comes from another account. A service answers only to these: a requester
 * who chose `$JS.API.STREAM.DELETE.ORDER` as reply subject would make the service publish there. */
_Bool bus_subject_is_inbox(const char *subject);

/* True for a key of [A-Za-z0-9_-], 1 to BUS_HEADER_KEY_MAX bytes. */
_Bool bus_header_key_is_safe(const char *key);

/* Reads a header block as it stands on the wire and in a stream's store:
 * "NATS/1.0\r\nkey: value\r\n…". 0 with the headers in the arena, -ERR_INVALID (malformed, or more
 * than BUS_HEADERS_MAX), -ERR_MEMORY. */
int bus_headers_parse(const char *block, size_t length, struct arena *arena,
                      struct bus_header **ret_headers, int *ret_count);
