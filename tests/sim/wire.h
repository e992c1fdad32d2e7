/* Wire: a message as it travels and as a stream keeps it: bytes. It is not changed after it was
 * made, and whoever keeps it holds it. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "bus/headers.h"

struct wire {
    int holders;
    int subject_length, reply_length, block_length, data_length;
    /* subject NUL reply NUL header block NUL data NUL; an absent reply or block is empty */
    char bytes[];
};

struct wire_parts { /* borrowed; NULL and 0: absent */
    const char *subject, *reply, *block;
    const void *data;
    size_t block_length, data_length;
};
struct wire *wire_new(const struct wire_parts *parts);
/* With a header block made of these; CR and LF become blanks. */
struct wire *wire_with_headers(const struct wire_parts *parts, const struct bus_header *headers,
                               int count);
struct wire *wire_hold(struct wire *wire);
void wire_drop(struct wire *wire); /* NULL is fine */

static inline const char *wire_subject(const struct wire *wire)
{
    return wire->bytes;
}
static inline const char *wire_reply(const struct wire *wire) /* "": none */
{
    return wire->bytes + wire->subject_length + 1;
}
static inline const char *wire_block(const struct wire *wire)
{
    return wire_reply(wire) + wire->reply_length + 1;
}
static inline const char *wire_data(const struct wire *wire)
{
    return wire_block(wire) + wire->block_length + 1;
}

/* The value under a key, exactly as it is written: its length, or -1: none. */
int wire_header(const struct wire *wire, const char *key, const char **ret_value);
/* The same as a number; otherwise: what there is without it. */
int64_t wire_header_number(const struct wire *wire, const char *key, int64_t otherwise);
/* The number under a name of a JSON body, `"seq":` and so on; otherwise: what there is without. */
int64_t wire_member(const struct wire *wire, const char *name, int64_t otherwise);
/* The code of a message that is only a status; 0: an ordinary one. */
int wire_status(const struct wire *wire);
