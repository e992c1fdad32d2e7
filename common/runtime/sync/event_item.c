/* Event item: see event_item.h. */
#include "runtime/sync/event_item.h"
#include "runtime/core/context.h"
#include "runtime/core/runtime_events.h"
#include "runtime/writer/fold.h"
#include <assert.h>
#include <stdio.h>

/* Type, value and `invalid` of the item's event. */
static void set_type(struct item *item, const struct source *leader)
{
    struct invalid invalid;
    void *value = NULL;
    item->type = event_type_of_name(leader->events, item->event.type);
    if (!item->type && !item->source) /* of our own log */
        item->type = event_type_of_name(runtime_events, item->event.type);
    if (!item->type)
        return;
    int r = schema_decode(item->type->schema, item->event.data, item->event.data_length,
                          &item->arena, &value, &invalid);
    if (r == 0) {
        item->event.value = value;
        return;
    }
    char text[sizeof(invalid.field) + sizeof(invalid.message) + 2];
    int length = r < 0 ? snprintf(text, sizeof(text), "no memory")
                       : snprintf(text, sizeof(text), "%s %s", invalid.field, invalid.message);
    item->invalid = arena_copy(&item->arena, text, (size_t)length);
    if (!item->invalid)
        item->invalid = "it does not fit its schema";
}

int event_item_read(struct item *item, const struct bus_view *view, const struct source *leader,
                    const char **ret_reason)
{
    assert(item->kind == ITEM_EVENT);
    int r = envelope_decode(view, leader, &item->arena, &item->event, &item->event_digest,
                            ret_reason);
    if (r == 0)
        set_type(item, leader);
    return trace(r);
}

const struct runtime_events_reply *event_page_read(const char *data, size_t length,
                                                   struct arena *arena)
{
    struct invalid invalid;
    void *value = NULL;
    int r = schema_decode(&runtime_events_reply_schema, data, length, arena, &value, &invalid);
    return r == 0 ? value : NULL;
}

struct item *event_item_of_row(const struct runtime_events_reply_events_item *row,
                               const struct source *source, int number)
{
    _free_(item) struct item *item = item_new(ITEM_EVENT);
    struct event event;
    assert(number >= 0 && number < SOURCES_MAX);
    if (!item)
        return NULL;
    item->source = source;
    item->feed = number;
    if (fold_read_row(row, source->log, &event) < 0 ||
        event_copy(&event, &item->arena, &item->event) < 0 ||
        event_digest(&item->event, &item->event_digest) < 0)
        return NULL;
    set_type(item, source);
    return take(item);
}
