/* Event text: which text from outside can become part of an event. */
#pragma once
#include <stddef.h>

#define EVENT_TEXT_MAX 512 /* bytes of any text of an event but its data */

/* What a request may bring is shorter: the event's cause puts CAUSE_REQUEST before the key. */
#define EVENT_TEXT_FROM_OUTSIDE_MAX (EVENT_TEXT_MAX - 16)

_Bool text_is_utf8(const char *text, size_t length);

/* True for an idempotency key or a correlation id of 1 to EVENT_TEXT_FROM_OUTSIDE_MAX bytes of
 * printable UTF-8 (base/utf8.h). Endpoints ask before they let it in. */
_Bool event_text_is_safe(const char *text);

/* True for what names an event: letters and digits, and from version 2 on ".v2" to ".v9999" behind
 * them. The first version has no number, so that each has one name alone. */
_Bool event_name_is_valid(const char *name);
/* The name is of the first version. */
_Bool event_name_is_first(const char *name);

/* True for a traceparent as W3C Trace Context has it: version 00 with its 55 characters, or a later
 * one, which may have more behind them. Any other must not be passed on. */
_Bool traceparent_is_valid(const char *text);
