/* Names: see names.h. */
#include "names.h"
#include "base/buf.h"
#include <stdio.h>
#include <string.h>

static size_t name_length(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

static const struct bound *name_find(const struct names *names, const char *name, size_t length)
{
    for (int i = 0; i < names->count; i++)
        if (strlen(names->all[i].name) == length && strncmp(names->all[i].name, name, length) == 0)
            return &names->all[i];
    return NULL;
}

const char *names_fill_in(const struct names *names, const char *text, struct arena *arena,
                          const char **ret_unbound)
{
    _deinit_(buf) struct buf out = { 0 };
    while (*text) {
        if (*text != '$') {
            buf_put_char(&out, *text == '\'' ? '"' : *text);
            text++;
            continue;
        }
        size_t length = name_length(++text);
        const struct bound *bound = name_find(names, text, length);
        if (!bound) {
            *ret_unbound = text;
            return NULL;
        }
        buf_put_text(&out, bound->value);
        text += length;
    }
    return arena_copy(arena, out.data ? out.data : "", out.length);
}

/* How much of actual a new name or a * stands for. */
static size_t value_length(const char *actual)
{
    return strcspn(actual, "\",]}");
}

static const struct bound *name_bind(struct names *names, const char *name, size_t length,
                                     const char *actual)
{
    if (names->count == NAMES_MAX)
        return NULL;
    struct bound *bound = &names->all[names->count++];
    snprintf(bound->name, sizeof(bound->name), "%.*s", (int)length, name);
    snprintf(bound->value, sizeof(bound->value), "%.*s", (int)value_length(actual), actual);
    return bound;
}

_Bool names_match(struct names *names, const char *pattern, const char *actual)
{
    while (*pattern) {
        if (*pattern == '*') {
            pattern++;
            actual += value_length(actual);
            continue;
        }
        if (*pattern != '$') {
            if (*actual++ != (*pattern == '\'' ? '"' : *pattern))
                return 0;
            pattern++;
            continue;
        }
        size_t length = name_length(++pattern);
        const struct bound *bound = name_find(names, pattern, length);
        if (!bound)
            bound = name_bind(names, pattern, length, actual);
        if (!bound || strncmp(bound->value, actual, strlen(bound->value)) != 0)
            return 0;
        pattern += length;
        actual += strlen(bound->value);
    }
    return *actual == '\0';
}
