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
    return length > 0 && length <= EVENT_TEXT_FROM_OUTSIDE_MAX && utf8_is_printable(text, length);
}

/* Takes so many lower-case hex digits; false: they are others, or all zero where that is not
 * allowed. */
static _Bool takes_hex(const char **at, size_t digits, _Bool may_be_zero)
{
    const char *text = *at;
    _Bool is_zero = 1;
    for (size_t i = 0; i < digits; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return 0;
        is_zero = is_zero && text[i] == '0';
    }
    *at += digits;
    return may_be_zero || !is_zero;
}

static _Bool takes_dash(const char **at)
{
    return *(*at)++ == '-';
}

_Bool traceparent_is_valid(const char *text)
{
    const char *at = text;
    if (!event_text_is_safe(text) || strncmp(text, "ff", 2) == 0)
        return 0;
    if (!takes_hex(&at, 2, 1) || !takes_dash(&at) || !takes_hex(&at, 32, 0) || !takes_dash(&at) ||
        !takes_hex(&at, 16, 0) || !takes_dash(&at) || !takes_hex(&at, 2, 1))
        return 0;
    return !*at || (*at == '-' && strncmp(text, "00", 2) != 0);
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
