/* Item: see item.h. */
#include "runtime/core/item.h"

struct item *item_new(enum item_kind kind)
{
    struct item *item = calloc(1, sizeof(*item));
    if (!item)
        return NULL;
    item->kind = kind;
    arena_init(&item->arena);
    buf_init(&item->body);
    return item;
}

void item_free(struct item *item)
{
    if (!item)
        return;
    buf_deinit(&item->body);
    arena_deinit(&item->arena);
    free(item);
}

void item_list_free(struct item *first)
{
    while (first) {
        struct item *next = first->next;
        item_free(first);
        first = next;
    }
}
