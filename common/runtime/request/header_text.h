/* Header text: what headers bring into a request. A header that nobody reads cannot fail the
 * request. Any thread. */
#pragma once
#include "bus/bus.h"
#include "contract/schema.h"
#include "runtime/core/item.h"

/* A copy of the text in the item's arena. 0 or -ERR_MEMORY. */
int item_keep(struct item *item, const char *text, const char **ret_text);

/* A header's text in the item's arena; untouched when it is absent. Text that could not become part
 * of an event is refused by name, and so are two values: which of them counts is not ours to say.
 * 0, REFUSED_INVALID_REQUEST, < 0. */
int header_take_text(struct item *item, const struct bus_view *view, const char *key,
                     const char **ret_text, struct invalid *ret_invalid);

/* W3C Trace Context: a traceparent that cannot be read is as one that is not there. 0 or < 0. */
int header_take_traceparent(struct item *item, const struct bus_view *view);
