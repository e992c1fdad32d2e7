/* Header text: see header_text.h. */
#include "runtime/request/header_text.h"
#include "runtime/core/event_text.h"
#include <stdio.h>
#include <string.h>

static int refuse_header(struct invalid *ret_invalid, const char *key, const char *why)
{
    snprintf(ret_invalid->field, sizeof(ret_invalid->field), "%s", key);
    snprintf(ret_invalid->message, sizeof(ret_invalid->message), "%s", why);
    return REFUSED_INVALID_REQUEST;
}

int item_keep(struct item *item, const char *text, const char **ret_text)
{
    *ret_text = arena_copy(&item->arena, text, strlen(text));
    return *ret_text ? 0 : fail(ERR_MEMORY, "no memory for a request");
}

int header_take_text(struct item *item, const struct bus_view *view, const char *key,
                     const char **ret_text, struct invalid *ret_invalid)
{
    const char *value;
    if (!bus_header_find_one(view, key, &value))
        return refuse_header(ret_invalid, key, "the header must not be there with two values");
    if (!value)
        return 0;
    if (!event_text_is_safe(value))
        return refuse_header(ret_invalid, key,
                             "the header must have 1 to 496 bytes of printable UTF-8");
    return item_keep(item, value, ret_text);
}

int header_take_traceparent(struct item *item, const struct bus_view *view)
{
    const char *value;
    if (!bus_header_find_one(view, "traceparent", &value) || !value || !traceparent_is_valid(value))
        return 0;
    return item_keep(item, value, &item->origin.traceparent);
}
