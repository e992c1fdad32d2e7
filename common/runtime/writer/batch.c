/* Batch: see batch.h. */
#include "runtime/writer/batch.h"
#include <assert.h>

struct batch *batch_new(void)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    if (!batch)
        return NULL;
    arena_init(&batch->arena);
    batch->last_item = &batch->items;
    batch->last_call = &batch->calls;
    batch->last_event = &batch->events;
    return batch;
}

static void batch_drop_calls(struct batch *batch)
{
    while (batch->calls) {
        struct outbound_call *next = batch->calls->next;
        outbound_call_free(batch->calls);
        batch->calls = next;
    }
    batch->last_call = &batch->calls;
}

void batch_free(struct batch *batch)
{
    if (!batch)
        return;
    item_list_free(batch->items);
    batch_drop_calls(batch);
    arena_deinit(&batch->arena);
    free(batch);
}

void batch_add(struct batch *batch, struct item *item)
{
    assert(!*batch->last_item && item->outcome == OUTCOME_NONE);
    item->next = NULL;
    *batch->last_item = item;
    batch->last_item = &item->next;
}

void batch_undo(struct batch *batch)
{
    assert(!batch->outcome_unknown); /* what may be there cannot be taken back */
    batch->events = NULL;
    batch->last_event = &batch->events;
    batch->own_event_count = 0;
    batch_drop_calls(batch);
    for (struct item *item = batch->items; item; item = item->next) {
        buf_clear(&item->body);
        item->outcome = OUTCOME_NONE;
        item->refusal = NULL;
        item->message = NULL;
    }
}
