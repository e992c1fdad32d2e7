/* Wire: see wire.h. */
#include "wire.h"
#include "world.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "NATS/1.0"
#define HEADERS_MAX 64 /* more than any part of the mesh writes */

/* Subject and reply are copied, block and data left to the caller. */
static struct wire *begin(const struct wire_parts *parts, size_t block_length)
{
    const char *reply = parts->reply ? parts->reply : "";
    size_t subject_length = strlen(parts->subject), reply_length = strlen(reply);
    struct wire *wire = must(malloc(sizeof(*wire) + subject_length + reply_length + block_length +
                                    parts->data_length + 4));
    wire->holders = 1;
    wire->subject_length = (int)subject_length;
    wire->reply_length = (int)reply_length;
    wire->block_length = (int)block_length;
    wire->data_length = (int)parts->data_length;
    memcpy(wire->bytes, parts->subject, subject_length + 1);
    memcpy(wire->bytes + subject_length + 1, reply, reply_length + 1);
    char *end_of_block = (char *)wire_block(wire) + block_length;
    *end_of_block = '\0';
    if (parts->data_length > 0)
        memcpy(end_of_block + 1, parts->data, parts->data_length);
    end_of_block[1 + parts->data_length] = '\0';
    return wire;
}

struct wire *wire_new(const struct wire_parts *parts)
{
    struct wire *wire = begin(parts, parts->block_length);
    if (parts->block_length > 0)
        memcpy((char *)wire_block(wire), parts->block, parts->block_length);
    return wire;
}

static char *put(char *to, const char *text, size_t length)
{
    memcpy(to, text, length);
    return to + length;
}

static char *put_value(char *to, const char *value, size_t length)
{
    memcpy(to, value, length);
    for (size_t i = 0; i < length; i++)
        if (to[i] == '\r' || to[i] == '\n')
            to[i] = ' ';
    return to + length;
}

struct wire *wire_with_headers(const struct wire_parts *parts, const struct bus_header *headers,
                               int count)
{
    size_t key_lengths[HEADERS_MAX], value_lengths[HEADERS_MAX];
    size_t length = count > 0 ? strlen(VERSION) + 4 : 0;
    assert(count <= HEADERS_MAX);
    for (int i = 0; i < count; i++) {
        key_lengths[i] = strlen(headers[i].key);
        value_lengths[i] = strlen(headers[i].value);
        length += key_lengths[i] + value_lengths[i] + 4;
    }
    struct wire *wire = begin(parts, length);
    if (count == 0)
        return wire;
    char *to = put((char *)wire_block(wire), VERSION "\r\n", strlen(VERSION) + 2);
    for (int i = 0; i < count; i++) {
        to = put(to, headers[i].key, key_lengths[i]);
        to = put(to, ": ", 2);
        to = put_value(to, headers[i].value, value_lengths[i]);
        to = put(to, "\r\n", 2);
    }
    put(to, "\r\n", 2);
    return wire;
}

struct wire *wire_hold(struct wire *wire)
{
    wire->holders++;
    return wire;
}

void wire_drop(struct wire *wire)
{
    if (wire && --wire->holders == 0)
        free(wire);
}

int wire_header(const struct wire *wire, const char *key, const char **ret_value)
{
    const char *end = wire_block(wire) + wire->block_length, *line = wire_block(wire);
    size_t length = strlen(key);
    while ((line = memchr(line, '\n', (size_t)(end - line)))) {
        line++;
        if ((size_t)(end - line) <= length + 2)
            break;
        if (line[length] != ':' || memcmp(line, key, length) != 0)
            continue;
        *ret_value = line + length + 2;
        return (int)strcspn(*ret_value, "\r");
    }
    return -1;
}

int64_t wire_header_number(const struct wire *wire, const char *key, int64_t otherwise)
{
    const char *value;
    return wire_header(wire, key, &value) > 0 ? strtoll(value, NULL, 10) : otherwise;
}

int64_t wire_member(const struct wire *wire, const char *name, int64_t otherwise)
{
    const char *at = strstr(wire_data(wire), name);
    return at ? strtoll(at + strlen(name), NULL, 10) : otherwise;
}

int wire_status(const struct wire *wire)
{
    const size_t length = strlen(VERSION);
    if (wire->data_length > 0 || wire->block_length == 0 || wire_block(wire)[length] != ' ')
        return 0;
    return (int)strtol(wire_block(wire) + length, NULL, 10);
}
