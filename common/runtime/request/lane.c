/* Lane: see lane.h. */
#include "runtime/request/lane.h"
#include <assert.h>

#define WORDS (LANE_CLIENTS / 64)

static int place_of(uint32_t client)
{
    return (int)(client % LANE_CLIENTS);
}

void lane_init(struct lane *lane, int max)
{
    assert(max > 0);
    *lane = (struct lane){ .max = max };
}

void lane_deinit(struct lane *lane)
{
    for (int i = 0; i < LANE_CLIENTS; i++)
        item_list_free(lane->queues[i].first);
    *lane = (struct lane){ .max = lane->max };
}

static uint64_t bit_of(int place)
{
    return UINT64_C(1) << (place % 64);
}

void lane_check(const struct lane *lane, uint32_t client)
{
    const struct lane_queue *queue = &lane->queues[place_of(client)];
    uint64_t filled = 0;
    for (int i = 0; i < WORDS; i++)
        filled |= lane->filled[i];
    assert((lane->length == 0) == (filled == 0));                 /* C1 */
    assert(queue->length >= 0 && queue->length <= lane->length);  /* C1 */
    assert((queue->length == 0) == (queue->first == NULL));       /* C2 */
    assert(!queue->first || (queue->last && !queue->last->next)); /* C2 */
    assert((queue->length > 0) ==
           ((lane->filled[place_of(client) / 64] & bit_of(place_of(client))) != 0)); /* C2 */
}

_Bool lane_has_room(const struct lane *lane, uint32_t client)
{
    int kept = lane->max / 8, few = lane->max / 64;
    return lane->length < lane->max - kept ||
           (lane->length < lane->max && lane->queues[place_of(client)].length < few);
}

void lane_add(struct lane *lane, struct item *item)
{
    int place = place_of(item->client);
    struct lane_queue *queue = &lane->queues[place];
    item->next = NULL;
    if (queue->first)
        queue->last->next = item;
    else
        queue->first = item;
    queue->last = item;
    queue->length++;
    lane->length++;
    lane->filled[place / 64] |= bit_of(place);
    lane_check(lane, item->client);
}

/* The next queue with items, behind `served` and around. One is there. */
static int next_filled(const struct lane *lane)
{
    int word = lane->served / 64;
    uint64_t behind = ~(bit_of(lane->served) | (bit_of(lane->served) - 1));
    uint64_t bits = lane->filled[word] & behind;
    for (int i = 0; !bits && i < WORDS; i++) {
        word = (word + 1) % WORDS;
        bits = lane->filled[word];
    }
    assert(bits); /* C1 */
    return word * 64 + __builtin_ctzll(bits);
}

struct item *lane_take(struct lane *lane)
{
    if (lane->length == 0)
        return NULL;
    int place = next_filled(lane);
    struct lane_queue *queue = &lane->queues[place];
    struct item *item = queue->first;
    queue->first = item->next;
    item->next = NULL;
    queue->length--;
    lane->length--;
    lane->served = place;
    if (!queue->first)
        lane->filled[place / 64] &= ~bit_of(place);
    lane_check(lane, item->client);
    return item;
}
