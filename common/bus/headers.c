/* Headers: see headers.h. */
#include "bus/headers.h"
#include "base/result.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *bus_header_find(const struct bus_view *view, const char *key)
{
    assert(key && view->header_count >= 0);
    for (int i = 0; i < view->header_count; i++)
        if (strcasecmp(view->headers[i].key, key) == 0)
            return view->headers[i].value;
    return NULL;
}

int bus_header_count(const struct bus_view *view, const char *key)
{
    assert(key && view->header_count >= 0);
    int count = 0;
    for (int i = 0; i < view->header_count; i++)
        count += strcasecmp(view->headers[i].key, key) == 0;
    return count;
}

_Bool bus_header_find_one(const struct bus_view *view, const char *key, const char **ret_value)
{
    *ret_value = NULL;
    for (int i = 0; i < view->header_count; i++) {
        const struct bus_header *header = &view->headers[i];
        if (strcasecmp(header->key, key) != 0)
            continue;
        if (*ret_value && strcmp(*ret_value, header->value) != 0)
            return 0;
        *ret_value = header->value;
    }
    return 1;
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

static char reply_prefixes[BUS_SUBJECT_MAX + 1]; /* set once, before there are threads */

int bus_set_reply_prefixes(const char *list)
{
    char copy[sizeof(reply_prefixes)], *rest = copy, *one;
    const size_t length = strlen(list);
    if (length >= sizeof(copy))
        return fail(ERR_CONFIG, "a list of at most %d bytes, please", BUS_SUBJECT_MAX);
    memcpy(copy, list, length + 1);
    while (length > 0 && (one = strsep(&rest, ","))) {
        size_t end = strlen(one);
        if (end > 0 && one[end - 1] == '.')
            one[end - 1] = '\0';
        if (!bus_subject_is_safe(one, 0) || *one == '$' || strncmp(one, "evt", 3) == 0)
            return fail(ERR_CONFIG, "%s cannot begin a reply subject", one);
    }
    memcpy(reply_prefixes, list, length + 1);
    return 0;
}

/* Is it under one of these prefixes, with a dot between? */
static _Bool is_under_prefix(const char *subject)
{
    for (const char *prefix = reply_prefixes; *prefix;) {
        size_t length = strcspn(prefix, ",");
        const char *next = prefix[length] ? prefix + length + 1 : prefix + length;
        length -= length > 0 && prefix[length - 1] == '.';
        if (length > 0 && strncmp(subject, prefix, length) == 0 && subject[length] == '.')
            return 1;
        prefix = next;
    }
    return 0;
}

_Bool bus_subject_is_inbox(const char *subject)
{
    return bus_subject_is_safe(subject, 0) &&
           (strncmp(subject, "_INBOX.", 7) == 0 || strncmp(subject, "_R_.", 4) == 0 ||
            is_under_prefix(subject));
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

#define VERSION "NATS/1.0"
#define VERSION_LENGTH (sizeof(VERSION) - 1)

/* One line without its CRLF, whose place takes the NUL behind the value. False: it is no header. */
static _Bool cut_line(char *line, size_t length, struct bus_header *ret_header)
{
    char *colon = memchr(line, ':', length), *end = line + length;
    if (!colon || colon == line || memchr(line, '\0', length))
        return 0;
    char *value = colon + 1;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    *colon = *end = '\0';
    *ret_header = (struct bus_header){ .key = line, .value = value };
    return 1;
}

static char *line_end(char *from, const char *end)
{
    while ((from = memchr(from, '\r', (size_t)(end - from))) && from + 1 < end)
        if (*++from == '\n')
            return from - 1;
    return NULL;
}

int bus_headers_room(const char *block, size_t length)
{
    int count = 0;
    const char *end = block + length;
    for (const char *at = block; at < end && (at = memchr(at, '\n', (size_t)(end - at))); at++)
        count++;
    return count;
}

int bus_headers_cut(char *block, size_t length, struct bus_header *headers, int *ret_count)
{
    assert(block || length == 0);
    const char *end = block + length;
    int count = 0;
    if (length < VERSION_LENGTH || memcmp(block, VERSION, VERSION_LENGTH) != 0)
        return fail(ERR_INVALID, "a header block that does not begin with its version");
    char *line_at = line_end(block, end); /* at the CRLF before the next line */
    if (line_at)
        *line_at = '\0';
    while (line_at) {
        char *line = line_at + 2, *next = line_end(line, end);
        assert(line <= end);
        if (next == line) {
            *ret_count = count;
            return 0;
        }
        if (next)
            count += cut_line(line, (size_t)(next - line), &headers[count]);
        line_at = next;
    }
    return fail(ERR_INVALID, "a header block without its end");
}

int bus_block_status(const char *block, const char **ret_text)
{
    const char *code = block + VERSION_LENGTH;
    *ret_text = "";
    if (*code != ' ')
        return 0;
    const char *text = strchr(code + 1, ' ');
    if (text)
        *ret_text = text + 1;
    return (int)strtol(code + 1, NULL, 10);
}

int bus_headers_parse(const char *block, size_t length, struct arena *arena,
                      struct bus_header **ret_headers, int *ret_count)
{
    char *copy = arena_copy(arena, block, length);
    struct bus_header *headers =
        arena_alloc(arena, (size_t)bus_headers_room(block, length) * sizeof(*headers));
    if (!copy || !headers)
        return fail(ERR_MEMORY, "no memory for headers");
    int count = 0, r = bus_headers_cut(copy, length, headers, &count);
    if (r < 0)
        return trace(r);
    *ret_headers = headers;
    *ret_count = count;
    return 0;
}
