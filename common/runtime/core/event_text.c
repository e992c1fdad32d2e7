/* Event text: see event_text.h. */
#include "runtime/core/event_text.h"
#include "base/utf8.h"
#include <string.h>

#define NAME_MAX_BYTES 64 /* of an event's name, without its version */
#define VERSION_DIGITS_MAX 4

_Bool text_is_utf8(const char *text, size_t length)
{
    for (size_t i = 0, step; i < length; i += step)
        if ((step = utf8_length(text + i)) == 0)
            return 0;
    return 1;
}

_Bool event_text_is_safe(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return 0;
    return length > 0 && length <= EVENT_TEXT_FROM_OUTSIDE_MAX && text_is_utf8(text, length);
}

_Bool event_name_is_first(const char *name)
{
    return strchr(name, '.') == NULL;
}

static _Bool is_version(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= VERSION_DIGITS_MAX && !text[digits] && text[0] != '0' &&
           strcmp(text, "1") != 0;
}

static _Bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Each message passes here; strspn() with so many characters costs several times as much. */
_Bool event_name_is_valid(const char *name)
{
    size_t length = 0;
    while (is_letter_or_digit(name[length]))
        length++;
    if (length == 0 || length > NAME_MAX_BYTES)
        return 0;
    return !name[length] || (strncmp(name + length, ".v", 2) == 0 && is_version(name + length + 2));
}
