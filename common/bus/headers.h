/* Headers: subjects and headers of a message as plain text, without a connection. What may go on
 * the wire is decided here: nats.c checks neither subjects nor header keys, and `"x 0\r\n\r\nPUB
 * evil"` as a subject was seen to publish to `evil`.
 * Pure functions; any thread. */
#pragma once
#include <stddef.h>
#include "base/arena.h"

#define BUS_HEADERS_MAX 64    /* of one message; more of them: the message is refused */
#define BUS_SUBJECT_MAX 255   /* bytes of a subject */
#define BUS_HEADER_KEY_MAX 64 /* bytes of a key that we write */

struct bus_header { /* borrowed text */
    const char *key;
    const char *value; /* without the blanks around it */
};

/* One message as its readers see it, wherever it came from: a delivery (bus_message_view) or the
 * stream's store (js_parse_message). Borrowed from there. */
struct bus_view {
    const char *subject;
    const struct bus_header *headers; /* in no particular order */
    int header_count;
    const char *data; /* not NULL; followed by a NUL that is not counted */
    size_t data_length;
};

/* The first value under a key, in any case of letters; NULL: none. */
const char *bus_header_find(const struct bus_view *view, const char *key);
int bus_header_count(const struct bus_view *view, const char *key);

/* True for tokens of [A-Za-z0-9_$-] between dots, up to BUS_SUBJECT_MAX bytes; with wildcards also
 * the tokens `*` and, last, `>`. */
_Bool bus_subject_is_safe(const char *subject, _Bool wildcards);

/* True for a safe subject under `_INBOX.`, or under `_R_.`, which the server makes of one when the
 * request comes from another account: the only kinds that a service answers to, because a requester
 * who chose `$JS.API.STREAM.DELETE.ORDER` would make us publish there. */
_Bool bus_subject_is_inbox(const char *subject);

/* True for a key of [A-Za-z0-9_-], 1 to BUS_HEADER_KEY_MAX bytes. */
_Bool bus_header_key_is_safe(const char *key);

/* Reads a header block as it stands on the wire and in a stream's store: "NATS/1.0\r\nkey:
 * value\r\n…".
 * 0 with the headers in the arena, -ERR_INVALID (malformed, or more than BUS_HEADERS_MAX),
 * -ERR_MEMORY. */
int bus_headers_parse(const char *block, size_t length, struct arena *arena,
                      struct bus_header **ret_headers, int *ret_count);
