/* Work queue: see work_queue.h. An array with a hash table over it for finding, two binary heaps
 * for time, and a chain for age. */
#include "runtime/writer/work_queue.h"
#include "base/log.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int work_queue_init(struct work_queue *queue, const char *name, int open_max, int in_flight_max,
                    int each_max)
{
    int buckets = 16;
    while (buckets < open_max)
        buckets *= 2;
    *queue = (struct work_queue){ .name = name,
                                  .open_max = open_max,
                                  .in_flight_max = in_flight_max,
                                  .bucket_mask = buckets - 1,
                                  .free = -1,
                                  .oldest = -1,
                                  .newest = -1 };
    queue->pieces = calloc((size_t)open_max + 1, sizeof(*queue->pieces));
    queue->waiting.pieces = calloc((size_t)open_max + 1, sizeof(*queue->waiting.pieces));
    queue->in_flight.pieces = calloc((size_t)open_max + 1, sizeof(*queue->in_flight.pieces));
    queue->buckets = calloc((size_t)buckets, sizeof(*queue->buckets));
    if (!queue->pieces || !queue->waiting.pieces || !queue->in_flight.pieces || !queue->buckets) {
        work_queue_deinit(queue);
        return fail(ERR_MEMORY, "no memory for %d pieces of work", open_max);
    }
    for (int i = 0; i < buckets; i++)
        queue->buckets[i] = -1;
    int r = work_owners_init(&queue->owners, open_max, each_max);
    if (r < 0)
        work_queue_deinit(queue);
    return trace(r);
}

void work_queue_deinit(struct work_queue *queue)
{
    free(queue->pieces);
    free(queue->waiting.pieces);
    free(queue->in_flight.pieces);
    free(queue->buckets);
    work_owners_deinit(&queue->owners);
    *queue = (struct work_queue){ .free = -1, .oldest = -1, .newest = -1 };
}

/* ---- By key and number ----------------------------------------------------------------------- */

/* Multiply and fold, eight bytes at a time: each order asks for it several times. */
static int bucket_of(const struct work_queue *queue, const char *key, int64_t number)
{
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)number, word;
    size_t length = strlen(key);
    for (; length > 0; key += sizeof(word)) {
        size_t part = length < sizeof(word) ? length : sizeof(word);
        word = 0;
        memcpy(&word, key, part);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
        length -= part;
    }
    return (int)(hash & (uint64_t)queue->bucket_mask);
}

struct piece *work_queue_find(const struct work_queue *queue, const char *key, int64_t number)
{
    for (int i = queue->buckets[bucket_of(queue, key, number)]; i >= 0; i = queue->pieces[i].next)
        if (queue->pieces[i].number == number && strcmp(queue->pieces[i].key, key) == 0)
            return &queue->pieces[i];
    return NULL;
}

/* ---- By time --------------------------------------------------------------------------------- */

static struct piece_heap *heap_of(struct work_queue *queue, enum piece_state state)
{
    return state == PIECE_IN_FLIGHT ? &queue->in_flight : &queue->waiting;
}

static void heap_put(struct work_queue *queue, struct piece_heap *heap, int place, int index)
{
    heap->pieces[place] = index;
    queue->pieces[index].place = place;
}

static _Bool is_earlier(const struct work_queue *queue, const struct piece_heap *heap, int a, int b)
{
    return queue->pieces[heap->pieces[a]].due_ms < queue->pieces[heap->pieces[b]].due_ms;
}

static void heap_swap(struct work_queue *queue, struct piece_heap *heap, int a, int b)
{
    int index = heap->pieces[a];
    heap_put(queue, heap, a, heap->pieces[b]);
    heap_put(queue, heap, b, index);
}

static void heap_settle(struct work_queue *queue, struct piece_heap *heap, int place)
{
    for (; place > 0 && is_earlier(queue, heap, place, (place - 1) / 2); place = (place - 1) / 2)
        heap_swap(queue, heap, place, (place - 1) / 2);
    for (;;) {
        int least = 2 * place + 1;
        if (least >= heap->count)
            return;
        if (least + 1 < heap->count && is_earlier(queue, heap, least + 1, least))
            least++;
        if (!is_earlier(queue, heap, least, place))
            return;
        heap_swap(queue, heap, place, least);
        place = least;
    }
}

static void heap_enter(struct work_queue *queue, struct piece *piece)
{
    struct piece_heap *heap = heap_of(queue, piece->state);
    heap_put(queue, heap, heap->count++, (int)(piece - queue->pieces));
    heap_settle(queue, heap, piece->place);
}

static void heap_leave(struct work_queue *queue, struct piece *piece)
{
    struct piece_heap *heap = heap_of(queue, piece->state);
    int place = piece->place;
    heap->count--;
    if (place == heap->count)
        return;
    heap_put(queue, heap, place, heap->pieces[heap->count]);
    heap_settle(queue, heap, place);
}

/* ---- By age ---------------------------------------------------------------------------------- */

static void age_enter(struct work_queue *queue, int index)
{
    struct piece *piece = &queue->pieces[index];
    piece->older = queue->newest;
    piece->newer = -1;
    if (queue->newest >= 0)
        queue->pieces[queue->newest].newer = index;
    else
        queue->oldest = index;
    queue->newest = index;
}

static void age_leave(struct work_queue *queue, const struct piece *piece)
{
    if (piece->older >= 0)
        queue->pieces[piece->older].newer = piece->newer;
    else
        queue->oldest = piece->newer;
    if (piece->newer >= 0)
        queue->pieces[piece->newer].older = piece->older;
    else
        queue->newest = piece->older;
}

/* ---- The invariants -------------------------------------------------------------------------- */

static void check_counts(const struct work_queue *queue)
{
    assert(queue->open == queue->waiting.count + queue->in_flight.count); /* W1 */
    assert(queue->open >= 0 && queue->open <= queue->open_max);           /* W1 */
    assert(queue->in_flight.count <= queue->in_flight_max);               /* W2 */
    assert((queue->open == 0) == (queue->oldest < 0));                    /* W6 */
    assert((queue->open == 0) == (queue->newest < 0));                    /* W6 */
}

static void check_piece(struct work_queue *queue, const struct piece *piece)
{
    const struct piece_heap *heap = heap_of(queue, piece->state);
    const int place = piece->place, index = (int)(piece - queue->pieces);
    check_counts(queue);
    assert(place < heap->count && heap->pieces[place] == index);            /* W3 */
    assert(place == 0 || !is_earlier(queue, heap, place, (place - 1) / 2)); /* W4 */
    for (int below = 2 * place + 1; below <= 2 * place + 2; below++)
        assert(below >= heap->count || !is_earlier(queue, heap, below, place)); /* W4 */
    assert(piece->due_ms <= piece->until_ms || piece->state == PIECE_DUE);      /* W5 */
    assert(piece->state != PIECE_IN_FLIGHT || piece->due_ms < INT64_MAX);       /* W5 */
    assert(queue->pieces[queue->oldest].older < 0);                             /* W6 */
    assert(piece->older >= 0 || queue->oldest == index);                        /* W6 */
}

/* ---- Coming, moving, going ------------------------------------------------------------------- */

struct piece *work_queue_add(struct work_queue *queue, const char *key, int64_t number,
                             int64_t now_ms, int64_t until_ms)
{
    assert(strlen(key) < WORK_KEY_SIZE);
    if (queue->open == queue->open_max)
        return NULL;
    int index = queue->free >= 0 ? queue->free : queue->fresh++;
    struct piece *piece = &queue->pieces[index];
    if (queue->free >= 0)
        queue->free = piece->next;
    int bucket = bucket_of(queue, key, number);
    *piece = (struct piece){ .number = number,
                             .state = PIECE_DUE,
                             .due_ms = now_ms,
                             .until_ms = until_ms,
                             .since_ms = now_ms,
                             .bucket = bucket,
                             .next = queue->buckets[bucket] };
    memcpy(piece->key, key, strlen(key) + 1);
    work_owners_add(&queue->owners, index, NULL);
    queue->buckets[bucket] = index;
    queue->open++;
    age_enter(queue, index);
    heap_enter(queue, piece);
    check_piece(queue, piece);
    return piece;
}

void work_queue_own(struct work_queue *queue, struct piece *piece, const char *owner)
{
    assert(piece->state == PIECE_DUE && piece->asks == 0);
    work_owners_add(&queue->owners, (int)(piece - queue->pieces), owner);
}

_Bool work_queue_owner_may_send(const struct work_queue *queue, const struct piece *piece)
{
    return work_owners_may_send(&queue->owners, (int)(piece - queue->pieces));
}

int work_queue_owner_behind(const struct work_queue *queue, const struct piece *piece)
{
    return work_owners_behind(&queue->owners, (int)(piece - queue->pieces));
}

/* One of its owner's may leave the line, because one has landed, or did not take its turn. */
static void call_next(struct work_queue *queue, int index)
{
    int called = work_owners_call(&queue->owners, index);
    if (called == index) /* it goes itself */
        called = work_owners_call(&queue->owners, index);
    if (called < 0)
        return;
    struct piece *piece = &queue->pieces[called];
    piece->due_ms = 0; /* at once */
    work_queue_wake(queue, piece);
}

void work_queue_remove(struct work_queue *queue, struct piece *piece)
{
    int index = (int)(piece - queue->pieces);
    if (piece->state == PIECE_IN_FLIGHT)
        work_owners_landed(&queue->owners, index);
    int *link = &queue->buckets[piece->bucket];
    while (*link != index)
        link = &queue->pieces[*link].next;
    *link = piece->next;
    heap_leave(queue, piece);
    age_leave(queue, piece);
    queue->open--;
    call_next(queue, index);
    work_owners_remove(&queue->owners, index);
    piece->next = queue->free;
    queue->free = index;
    check_counts(queue);
}

static void move(struct work_queue *queue, struct piece *piece, enum piece_state state,
                 int64_t due_ms)
{
    static const char *const names[PIECE_STATE_MAX] = { "due", "in_flight", "resting" };
    static const _Bool moves[PIECE_STATE_MAX][PIECE_STATE_MAX] = {
        [PIECE_DUE] = { [PIECE_IN_FLIGHT] = 1, [PIECE_RESTING] = 1 },
        [PIECE_IN_FLIGHT] = { [PIECE_RESTING] = 1 },
        [PIECE_RESTING] = { [PIECE_DUE] = 1 },
    };
    assert(moves[piece->state][state]);
    log_debug("work_moved", LOG_TEXT("work", queue->name), LOG_TEXT("key", piece->key),
              LOG_INT("number", piece->number), LOG_TEXT("from", names[piece->state]),
              LOG_TEXT("to", names[state]));
    const int index = (int)(piece - queue->pieces);
    heap_leave(queue, piece);
    if (piece->state == PIECE_IN_FLIGHT)
        work_owners_landed(&queue->owners, index);
    if (state == PIECE_IN_FLIGHT)
        work_owners_sent(&queue->owners, index);
    piece->state = state;
    piece->due_ms = due_ms < piece->until_ms ? due_ms : piece->until_ms;
    heap_enter(queue, piece);
    check_piece(queue, piece);
}

void work_queue_send(struct work_queue *queue, struct piece *piece, int64_t lost_ms)
{
    move(queue, piece, PIECE_IN_FLIGHT, lost_ms);
    piece->asks++;
}

void work_queue_rest(struct work_queue *queue, struct piece *piece, int64_t due_ms)
{
    move(queue, piece, PIECE_RESTING, due_ms);
    piece->tries++;
    call_next(queue, (int)(piece - queue->pieces));
}

void work_queue_hold(struct work_queue *queue, struct piece *piece)
{
    move(queue, piece, PIECE_RESTING, INT64_MAX);
    work_owners_queue(&queue->owners, (int)(piece - queue->pieces));
}

void work_queue_wake(struct work_queue *queue, struct piece *piece)
{
    move(queue, piece, PIECE_DUE, piece->due_ms);
}

/* ---- What is due ----------------------------------------------------------------------------- */

static int64_t heap_due_ms(const struct work_queue *queue, const struct piece_heap *heap)
{
    return heap->count > 0 ? queue->pieces[heap->pieces[0]].due_ms : INT64_MAX;
}

_Bool work_queue_may_send(const struct work_queue *queue)
{
    return queue->in_flight.count < queue->in_flight_max;
}

struct piece *work_queue_first_in_flight(const struct work_queue *queue, int64_t now_ms)
{
    return heap_due_ms(queue, &queue->in_flight) <= now_ms
               ? &queue->pieces[queue->in_flight.pieces[0]]
               : NULL;
}

struct piece *work_queue_first_waiting(const struct work_queue *queue, int64_t now_ms)
{
    return heap_due_ms(queue, &queue->waiting) <= now_ms ? &queue->pieces[queue->waiting.pieces[0]]
                                                         : NULL;
}

int64_t work_queue_due_ms(const struct work_queue *queue)
{
    int64_t in_flight_ms = heap_due_ms(queue, &queue->in_flight);
    int64_t waiting_ms = work_queue_may_send(queue) ? heap_due_ms(queue, &queue->waiting)
                                                    : INT64_MAX;
    return in_flight_ms < waiting_ms ? in_flight_ms : waiting_ms;
}

int64_t work_queue_oldest_ms(const struct work_queue *queue)
{
    return queue->oldest >= 0 ? queue->pieces[queue->oldest].since_ms : INT64_MAX;
}

int64_t piece_backoff_ms(const struct piece *piece, int min_ms, int max_ms)
{
    int64_t delay_ms = min_ms;
    for (int i = 0; i < piece->tries && delay_ms < max_ms; i++)
        delay_ms *= 2;
    if (delay_ms > max_ms)
        delay_ms = max_ms;
    uint32_t hash = 2166136261u ^ (uint32_t)piece->tries;
    for (const char *c = piece->key; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return delay_ms / 2 + (int64_t)(hash % (uint32_t)(delay_ms / 2 + 1));
}
