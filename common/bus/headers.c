/* Headers: see headers.h. */
#include "bus/headers.h"
#include "base/result.h"
#include <assert.h>
#include <string.h>
#include <strings.h>

const char *bus_header_find(const struct bus_view *view, const char *key)
{
    assert(key && view->header_count <= BUS_HEADERS_MAX);
    for (int i = 0; i < view->header_count; i++)
        if (strcasecmp(view->headers[i].key, key) == 0)
            return view->headers[i].value;
    return NULL;
}

int bus_header_count(const struct bus_view *view, const char *key)
{
    assert(key && view->header_count <= BUS_HEADERS_MAX);
    int count = 0;
    for (int i = 0; i < view->header_count; i++)
        count += strcasecmp(view->headers[i].key, key) == 0;
    return count;
}

/* ---- What may go on the wire ---------------------------------------------------------------- */

static _Bool is_name_char(char c) /* isalnum would ask the locale */
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static _Bool token_is_safe(const char *token, size_t length, _Bool wildcards, _Bool last)
{
    if (wildcards && length == 1 && (*token == '*' || (*token == '>' && last)))
        return 1;
    for (size_t i = 0; i < length; i++)
        if (!is_name_char(token[i]) && token[i] != '$')
            return 0;
    return length > 0;
}

_Bool bus_subject_is_safe(const char *subject, _Bool wildcards)
{
    if (!subject || strlen(subject) > BUS_SUBJECT_MAX)
        return 0;
    for (const char *token = subject;;) {
        size_t length = strcspn(token, ".");
        _Bool last = token[length] == '\0';
        if (!token_is_safe(token, length, wildcards, last))
            return 0;
        if (last)
            return 1;
        token += length + 1;
    }
}

_Bool bus_subject_is_inbox(const char *subject)
{
    return bus_subject_is_safe(subject, 0) &&
           (strncmp(subject, "_INBOX.", 7) == 0 || strncmp(subject, "_R_.", 4) == 0);
}

_Bool bus_header_key_is_safe(const char *key)
{
    assert(key);
    size_t length = strlen(key);
    for (size_t i = 0; i < length; i++)
        if (!is_name_char(key[i]))
            return 0;
    return length > 0 && length <= BUS_HEADER_KEY_MAX;
}

/* ---- A header block ------------------------------------------------------------------------- */

static _Bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* One line without its CRLF. */
static int parse_line(const char *line, size_t length, struct arena *arena,
                      struct bus_header *ret_header)
{
    assert(ret_header);
    const char *colon = memchr(line, ':', length);
    if (!colon || colon == line || memchr(line, '\0', length))
        return fail(ERR_INVALID, "a header line without a key, or with a NUL in it");
    const char *value = colon + 1, *end = line + length;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    struct bus_header header = {
        .key = arena_copy(arena, line, (size_t)(colon - line)),
        .value = arena_copy(arena, value, (size_t)(end - value)),
    };
    if (!header.key || !header.value)
        return fail(ERR_MEMORY, "no memory for a header");
    *ret_header = header;
    return 0;
}

static const char *line_end(const char *from, const char *end)
{
    for (; end - from >= 2; from++)
        if (from[0] == '\r' && from[1] == '\n')
            return from;
    return NULL;
}

int bus_headers_parse(const char *block, size_t length, struct arena *arena,
                      struct bus_header **ret_headers, int *ret_count)
{
    assert(block || length == 0);
    static const char version[] = "NATS/1.0";
    const char *end = block + length;
    if (length < sizeof(version) - 1 || memcmp(block, version, sizeof(version) - 1) != 0)
        return fail(ERR_INVALID, "a header block that does not begin with its version");
    struct bus_header *headers = arena_alloc(arena, BUS_HEADERS_MAX * sizeof(*headers));
    if (!headers)
        return fail(ERR_MEMORY, "no memory for headers");
    int count = 0;
    const char *line_at = line_end(block, end);
    while (line_at) { /* at the CRLF before the next line */
        const char *line = line_at + 2, *next = line_end(line, end);
        assert(line <= end && count <= BUS_HEADERS_MAX);
        if (!next)
            return fail(ERR_INVALID, "a header block without its end");
        if (next == line) {
            *ret_headers = headers;
            *ret_count = count;
            return 0;
        }
        if (count == BUS_HEADERS_MAX)
            return fail(ERR_INVALID, "more than %d headers", BUS_HEADERS_MAX);
        int r = parse_line(line, (size_t)(next - line), arena, &headers[count++]);
        if (r < 0)
            return trace(r);
        line_at = next;
    }
    return fail(ERR_INVALID, "a header block without its end");
}
