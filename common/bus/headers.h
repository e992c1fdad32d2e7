/* Headers: subjects and headers of a message as plain text, without a connection. These functions
 * decide what may go on the wire, because nats.c checks neither subjects nor header keys: the
 * subject `"x 0\r\n\r\nPUB evil"` was seen to publish to `evil`.
 * Pure functions; any thread. */
#pragma once
#include <stddef.h>
#include "base/arena.h"

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

/* The one value under a key, however often it is there; NULL: none. False: there are two values. */
_Bool bus_header_find_one(const struct bus_view *view, const char *key, const char **ret_value);

/* True for tokens of [A-Za-z0-9_$-] between dots, up to BUS_SUBJECT_MAX bytes. With wildcards the
 * token `*` is allowed too, and `>` as the last one. NULL is not safe. */
_Bool bus_subject_is_safe(const char *subject, _Bool wildcards);

/* True for a safe subject under `_INBOX.`, or under `_R_.`, which the server puts in the place of
 * an inbox when a request comes from another account. A service answers only to these: a requester
 * who chose `$JS.API.STREAM.DELETE.ORDER` as reply subject would make the service publish there.
 * An operator may allow other prefixes beside, for clients with inboxes of their own: a list with
 * commas, "MYAPP.inbox"; before threads are started. 0 or -ERR_CONFIG. */
int bus_set_reply_prefixes(const char *list);
_Bool bus_subject_is_inbox(const char *subject);

/* True for a key of [A-Za-z0-9_-], 1 to BUS_HEADER_KEY_MAX bytes. */
_Bool bus_header_key_is_safe(const char *key);

/* ---- A header block ------------------------------------------------------------------------- */

/* "NATS/1.0\r\n", "key: value\r\n" and so on, "\r\n". These functions read what anybody may have
 * sent, so a line that is no header of ours to read does no harm: a line without a key, or with a
 * NUL in it, is left out, a value may be empty, and the number of headers is bounded by the size of
 * the message alone. */

/* Room for so many headers is enough. */
int bus_headers_room(const char *block, size_t length);

/* Cuts a block into its headers where it stands: their text is the block's. The first line is cut
 * too. 0, or -ERR_INVALID: it does not begin with its version, or has no end. */
int bus_headers_cut(char *block, size_t length, struct bus_header *headers, int *ret_count);

/* The status in the first line of a block that was cut: 503 of "NATS/1.0 503 No Responders", and
 * the text behind it, or "". 0: it has none. */
int bus_block_status(const char *block, const char **ret_text);

/* The headers of a block, all in the arena. 0, -ERR_INVALID as above, -ERR_MEMORY. */
int bus_headers_parse(const char *block, size_t length, struct arena *arena,
                      struct bus_header **ret_headers, int *ret_count);
