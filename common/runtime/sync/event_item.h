/* Event item: an item for the loop, made of an event as a leader has published it (a message of its
 * stream) or as it gives it when asked (`.events`). No I/O; any thread. */
#pragma once
#include "runtime/core/item.h"
#include "runtime/sync/envelope.h"
#include "schemas/runtime.events.reply.h"

/* Fills the item's event, its digest, type and value from a message of the leader; text lives in
 * the item's arena. 0; ENVELOPE_REFUSED with *ret_reason; < 0. */
int event_item_read(struct item *item, const struct bus_view *view, const struct source *leader,
                    const char **ret_reason);

/* A range of a leader's log, in the arena; NULL: a refusal, such as `replaying`, or nothing that we
 * understand. */
const struct runtime_events_reply *event_page_read(const char *data, size_t length,
                                                   struct arena *arena);

/* Of one row of such a range, from source number `number`; NULL: no memory, or broken. */
struct item *event_item_of_row(const struct runtime_events_reply_events_item *row,
                               const struct source *source, int number);
