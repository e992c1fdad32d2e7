/* Event text: see event_text.h. */
#include "runtime/core/event_text.h"
#include "base/utf8.h"
#include <string.h>

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
