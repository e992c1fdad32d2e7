/* Buf: a byte buffer that grows. A write never returns a failure: a failed allocation marks the
 * buffer, later writes to that buffer do nothing, and buf_status() tells once at the end.
 * Not thread-safe. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;    /* NUL-terminated whenever not NULL; owned */
    size_t length; /* bytes, without the NUL */
    size_t capacity;
    _Bool failed;
};

void buf_init(struct buf *buf);
void buf_deinit(struct buf *buf);
void buf_clear(struct buf *buf);       /* empties it: keeps the memory, forgets a failure */
int buf_status(const struct buf *buf); /* 0, or -ERR_MEMORY */

void buf_cut(struct buf *buf, size_t length); /* shortens the text to this length */

void buf_reserve(struct buf *buf, size_t more); /* room for `more` bytes with one allocation */
void buf_put(struct buf *buf, const void *data, size_t length);
void buf_put_text(struct buf *buf, const char *text); /* NUL-terminated, without the NUL */
void buf_put_char(struct buf *buf, char c);
void buf_put_int(struct buf *buf, int64_t value); /* decimal */
void buf_put_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_put_json(struct buf *buf, const char *text, size_t length); /* quoted, escaped, RFC 8259 */
void buf_put_hex(struct buf *buf, const void *data, size_t length);  /* lower case */

/* Hands the memory over (the caller frees it with free()); the buffer is empty again. */
char *buf_take(struct buf *buf, size_t *ret_length);

#include "base/cleanup.h"
DEFINE_DEINIT(buf)
