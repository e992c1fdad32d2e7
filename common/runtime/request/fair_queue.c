/* Fair queue: see fair_queue.h. */
#include "runtime/request/fair_queue.h"
#include <assert.h>

#define WORDS (FAIR_QUEUE_CLIENTS / 64)

static int place_of(uint32_t client)
{
    return (int)(client % FAIR_QUEUE_CLIENTS);
}

void fair_queue_init(struct fair_queue *fair, int max)
{
    assert(max > 0);
    *fair = (struct fair_queue){ .max = max };
}

void fair_queue_deinit(struct fair_queue *fair)
{
    for (int i = 0; i < FAIR_QUEUE_CLIENTS; i++)
        item_list_free(fair->queues[i].first);
    *fair = (struct fair_queue){ .max = fair->max };
}

static uint64_t bit_of(int place)
{
    return UINT64_C(1) << (place % 64);
}

void fair_queue_check(const struct fair_queue *fair, uint32_t client)
{
    const struct client_queue *queue = &fair->queues[place_of(client)];
    uint64_t filled = 0;
    for (int i = 0; i < WORDS; i++)
        filled |= fair->filled[i];
    assert((fair->length == 0) == (filled == 0));                 /* C1 */
    assert(queue->length >= 0 && queue->length <= fair->length);  /* C1 */
    assert((queue->length == 0) == (queue->first == NULL));       /* C2 */
    assert(!queue->first || (queue->last && !queue->last->next)); /* C2 */
    assert((queue->length > 0) ==
           ((fair->filled[place_of(client) / 64] & bit_of(place_of(client))) != 0)); /* C2 */
}

_Bool fair_queue_has_room(const struct fair_queue *fair, uint32_t client)
{
    int kept = fair->max / 8, few = fair->max / 64;
    return fair->length < fair->max - kept ||
           (fair->length < fair->max && fair->queues[place_of(client)].length < few);
}

void fair_queue_add(struct fair_queue *fair, struct item *item)
{
    int place = place_of(item->client);
    struct client_queue *queue = &fair->queues[place];
    item->next = NULL;
    if (queue->first)
        queue->last->next = item;
    else
        queue->first = item;
    queue->last = item;
    queue->length++;
    fair->length++;
    fair->filled[place / 64] |= bit_of(place);
    fair_queue_check(fair, item->client);
}

/* The next queue with items, behind `served` and around. One is there. */
static int next_filled(const struct fair_queue *fair)
{
    int word = fair->served / 64;
    uint64_t behind = ~(bit_of(fair->served) | (bit_of(fair->served) - 1));
    uint64_t bits = fair->filled[word] & behind;
    for (int i = 0; !bits && i < WORDS; i++) {
        word = (word + 1) % WORDS;
        bits = fair->filled[word];
    }
    assert(bits); /* C1 */
    return word * 64 + __builtin_ctzll(bits);
}

struct item *fair_queue_take(struct fair_queue *fair)
{
    if (fair->length == 0)
        return NULL;
    int place = next_filled(fair);
    struct client_queue *queue = &fair->queues[place];
    struct item *item = queue->first;
    queue->first = item->next;
    item->next = NULL;
    queue->length--;
    fair->length--;
    fair->served = place;
    if (!queue->first)
        fair->filled[place / 64] &= ~bit_of(place);
    fair_queue_check(fair, item->client);
    return item;
}
