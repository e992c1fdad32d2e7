/* Asks: see asks.h. An array with a hash table over it for finding and binary heaps for time. */
#include "asks.h"
#include "base/log.h"
#include "base/result.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int asks_init(struct asks *asks, const char *what, int max)
{
    int buckets = 16;
    while (buckets < max)
        buckets *= 2;
    *asks = (struct asks){ .what = what, .max = max, .bucket_mask = buckets - 1, .free = -1 };
    asks->all = calloc((size_t)max + 1, sizeof(*asks->all));
    asks->waiting.heap = calloc((size_t)max + 1, sizeof(*asks->waiting.heap));
    asks->sent.heap = calloc((size_t)max + 1, sizeof(*asks->sent.heap));
    asks->buckets = calloc((size_t)buckets, sizeof(*asks->buckets));
    if (!asks->all || !asks->waiting.heap || !asks->sent.heap || !asks->buckets) {
        asks_deinit(asks);
        return fail(ERR_MEMORY, "no memory for %d payments", max);
    }
    for (int i = 0; i < buckets; i++)
        asks->buckets[i] = -1;
    return 0;
}

void asks_deinit(struct asks *asks)
{
    free(asks->all);
    free(asks->waiting.heap);
    free(asks->sent.heap);
    free(asks->buckets);
    *asks = (struct asks){ .free = -1 };
}

/* ---- By order and attempt: FNV-1a over both -------------------------------------------------- */

static int *bucket_of(const struct asks *asks, const char *order_id, int64_t attempt)
{
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)attempt;
    for (const char *c = order_id; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return &asks->buckets[(hash >> 16 ^ hash) & (uint64_t)asks->bucket_mask];
}

struct ask *asks_find(const struct asks *asks, const char *order_id, int64_t attempt)
{
    for (int i = *bucket_of(asks, order_id, attempt); i >= 0; i = asks->all[i].next)
        if (asks->all[i].attempt == attempt && strcmp(asks->all[i].order_id, order_id) == 0)
            return &asks->all[i];
    return NULL;
}

/* ---- By time --------------------------------------------------------------------------------- */

static struct ask_queue *queue_of(struct asks *asks, enum ask_state state)
{
    return state == ASK_SENT ? &asks->sent : &asks->waiting;
}

static void queue_put(struct asks *asks, struct ask_queue *queue, int place, int index)
{
    queue->heap[place] = index;
    asks->all[index].place = place;
}

static _Bool is_earlier(const struct asks *asks, const struct ask_queue *queue, int a, int b)
{
    return asks->all[queue->heap[a]].due_ms < asks->all[queue->heap[b]].due_ms;
}

static void queue_swap(struct asks *asks, struct ask_queue *queue, int a, int b)
{
    int index = queue->heap[a];
    queue_put(asks, queue, a, queue->heap[b]);
    queue_put(asks, queue, b, index);
}

static void queue_settle(struct asks *asks, struct ask_queue *queue, int place)
{
    for (; place > 0 && is_earlier(asks, queue, place, (place - 1) / 2); place = (place - 1) / 2)
        queue_swap(asks, queue, place, (place - 1) / 2);
    for (;;) {
        int least = 2 * place + 1;
        if (least >= queue->count)
            return;
        if (least + 1 < queue->count && is_earlier(asks, queue, least + 1, least))
            least++;
        if (!is_earlier(asks, queue, least, place))
            return;
        queue_swap(asks, queue, place, least);
        place = least;
    }
}

static void queue_enter(struct asks *asks, struct ask *ask)
{
    struct ask_queue *queue = queue_of(asks, ask->state);
    queue_put(asks, queue, queue->count++, (int)(ask - asks->all));
    queue_settle(asks, queue, ask->place);
}

static void queue_leave(struct asks *asks, struct ask *ask)
{
    struct ask_queue *queue = queue_of(asks, ask->state);
    int place = ask->place;
    queue->count--;
    if (place == queue->count)
        return;
    queue_put(asks, queue, place, queue->heap[queue->count]);
    queue_settle(asks, queue, place);
}

/* ---- Coming, moving, going ------------------------------------------------------------------- */

struct ask *asks_add(struct asks *asks, const char *order_id, int64_t attempt, int64_t due_ms)
{
    if (asks->count == asks->max)
        return NULL;
    int index = asks->free >= 0 ? asks->free : asks->fresh++;
    struct ask *ask = &asks->all[index];
    if (asks->free >= 0)
        asks->free = ask->next;
    int *bucket = bucket_of(asks, order_id, attempt);
    *ask = (struct ask){ .attempt = attempt,
                         .state = ASK_DUE,
                         .due_ms = due_ms,
                         .until_ms = INT64_MAX,
                         .next = *bucket };
    snprintf(ask->order_id, sizeof(ask->order_id), "%s", order_id);
    *bucket = index;
    asks->count++;
    queue_enter(asks, ask);
    return ask;
}

void asks_remove(struct asks *asks, struct ask *ask)
{
    int index = (int)(ask - asks->all);
    int *link = bucket_of(asks, ask->order_id, ask->attempt);
    while (*link != index)
        link = &asks->all[*link].next;
    *link = ask->next;
    queue_leave(asks, ask);
    asks->count--;
    ask->next = asks->free;
    asks->free = index;
}

void asks_move(struct asks *asks, struct ask *ask, enum ask_state state, int64_t due_ms)
{
    static const char *const names[ASK_STATE_MAX] = { "due", "sent", "resting" };
    static const _Bool moves[ASK_STATE_MAX][ASK_STATE_MAX] = {
        [ASK_DUE] = { [ASK_SENT] = 1, [ASK_RESTING] = 1 }, /* resting: no token yet */
        [ASK_SENT] = { [ASK_RESTING] = 1 },
        [ASK_RESTING] = { [ASK_DUE] = 1 },
    };
    assert(moves[ask->state][state]);
    (void)moves;
    log_debug("payment_ask", LOG_TEXT("what", asks->what), LOG_TEXT("order", ask->order_id),
              LOG_INT("attempt", ask->attempt), LOG_TEXT("from", names[ask->state]),
              LOG_TEXT("to", names[state]));
    queue_leave(asks, ask);
    ask->state = state;
    ask->due_ms = due_ms;
    queue_enter(asks, ask);
}

struct ask *asks_first_due(const struct asks *asks, const struct ask_queue *queue, int64_t now_ms)
{
    return asks_due_ms(asks, queue) <= now_ms ? &asks->all[queue->heap[0]] : NULL;
}

int64_t asks_due_ms(const struct asks *asks, const struct ask_queue *queue)
{
    return queue->count > 0 ? asks->all[queue->heap[0]].due_ms : INT64_MAX;
}
