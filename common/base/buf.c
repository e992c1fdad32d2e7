/* Buf: see buf.h.
 *
 *   B1  with memory: length < capacity, and a NUL stands behind the text
 *   B2  without memory: length and capacity are 0
 */
#include "base/buf.h"
#include "base/digits.h"
#include "base/result.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void buf_check(const struct buf *buf)
{
    if (buf->data)
        assert(buf->length < buf->capacity && buf->data[buf->length] == '\0'); /* B1 */
    else
        assert(buf->length == 0 && buf->capacity == 0); /* B2 */
}

void buf_init(struct buf *buf)
{
    *buf = (struct buf){ 0 };
}

void buf_deinit(struct buf *buf)
{
    buf_check(buf);
    free(buf->data);
    buf_init(buf);
}

void buf_clear(struct buf *buf)
{
    buf_cut(buf, 0);
    buf->failed = 0;
}

void buf_cut(struct buf *buf, size_t length)
{
    buf_check(buf);
    assert(length <= buf->length);
    buf->length = length;
    if (buf->data)
        buf->data[length] = '\0';
}

int buf_status(const struct buf *buf)
{
    return buf->failed
               ? fail(ERR_MEMORY, "no memory for a text of more than %zu bytes", buf->length)
               : 0;
}

static _Bool has_room(struct buf *buf, size_t more)
{
    assert(buf->length <= buf->capacity); /* B1 and B2, as far as it is cheap on the hot path */
    if (buf->failed)
        return 0;
    if (buf->length + more < buf->capacity)
        return 1;
    assert(more < SIZE_MAX / 4 - buf->length);
    size_t capacity = buf->capacity ? buf->capacity * 2 : 256;
    while (capacity <= buf->length + more)
        capacity *= 2;
    char *data = realloc(buf->data, capacity);
    if (!data) {
        buf->failed = 1;
        return 0;
    }
    buf->data = data;
    buf->data[buf->length] = '\0';
    buf->capacity = capacity;
    return 1;
}

void buf_reserve(struct buf *buf, size_t more)
{
    has_room(buf, more);
}

void buf_put(struct buf *buf, const void *data, size_t length)
{
    assert(data || length == 0);
    if (!has_room(buf, length))
        return;
    if (length > 0)
        memcpy(buf->data + buf->length, data, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
}

void buf_put_text(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

void buf_put_char(struct buf *buf, char c)
{
    if (!has_room(buf, 1))
        return;
    buf->data[buf->length++] = c;
    buf->data[buf->length] = '\0';
}

void buf_put_int(struct buf *buf, int64_t value)
{
    char digits[DIGITS_SIZE];
    size_t length;
    const char *first = digits_of(value, digits, &length);
    buf_put(buf, first, length);
}

void buf_put_format(struct buf *buf, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !has_room(buf, (size_t)length + 1)) {
        buf->failed = 1;
        return;
    }
    va_start(arguments, format);
    vsnprintf(buf->data + buf->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buf->length += (size_t)length;
}

static void put_escaped(struct buf *buf, unsigned char c)
{
    switch (c) {
    case '"':  buf_put(buf, "\\\"", 2); break;
    case '\\': buf_put(buf, "\\\\", 2); break;
    case '\n': buf_put(buf, "\\n", 2); break;
    case '\r': buf_put(buf, "\\r", 2); break;
    case '\t': buf_put(buf, "\\t", 2); break;
    default:   buf_put_format(buf, "\\u%04x", c); break;
    }
}

void buf_put_json(struct buf *buf, const char *text, size_t length)
{
    /* by a table, because every byte of every event comes through here */
    static const _Bool is_escaped[256] = { [0 ... 0x1f] = 1, ['"'] = 1, ['\\'] = 1, [0x7f] = 1 };
    buf_put_char(buf, '"');
    size_t start = 0; /* of the run that needs no escape */
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (!is_escaped[c])
            continue;
        buf_put(buf, text + start, i - start);
        put_escaped(buf, c);
        start = i + 1;
    }
    buf_put(buf, text + start, length - start);
    buf_put_char(buf, '"');
}

void buf_put_hex(struct buf *buf, const void *data, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;
    assert(data || length == 0);
    if (!has_room(buf, 2 * length))
        return;
    char *out = buf->data + buf->length;
    for (size_t i = 0; i < length; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
    buf->length += 2 * length;
}

char *buf_take(struct buf *buf, size_t *ret_length)
{
    buf_check(buf);
    char *data = buf->data;
    if (ret_length)
        *ret_length = buf->length;
    buf_init(buf);
    return data;
}
