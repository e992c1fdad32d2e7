/* Readers: see readers.h. */
#include "runtime/request/readers.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include <assert.h>

#define TICK_MS 60000 /* the longest sleep */

static _Bool positions_reached(const struct status *status, const struct service *service,
                               const int64_t *min)
{
    if (!min)
        return 1;
    if (atomic_load(&status->position) < min[0])
        return 0;
    for (int i = 0; service->sources && service->sources[i].log; i++)
        if (atomic_load(&status->sources[i].position) < min[1 + i])
            return 0;
    return 1;
}

static int waiting_max(const struct readers *readers)
{
    return readers->options.queue_max < QUERIES_WAITING_MAX ? readers->options.queue_max
                                                            : QUERIES_WAITING_MAX;
}

void readers_check(const struct readers *readers)
{
    int most = readers->options.queue_max + waiting_max(readers);
    assert(readers->waiting || readers->last_waiting == &readers->waiting);    /* Q1 */
    assert(!*readers->last_waiting);                                           /* Q1 */
    assert((readers->waiting_count == 0) == !readers->waiting);                /* Q2 */
    assert(readers->waiting_count <= waiting_max(readers));                    /* Q2 */
    assert(readers->healing.length >= 0 && readers->healing.length <= most);   /* Q3 */
    assert(readers->journeys.length >= 0 && readers->journeys.length <= most); /* Q3 */
}

static struct fair_queue *queue_of(struct readers *readers, const struct item *item)
{
    return item->is_about_log ? &readers->healing : &readers->journeys;
}

/* ---- Those that wait for a position, under the lock ------------------------------------------ */

/* A client may take the last eighth of the places only for its first few. */
static _Bool may_wait(const struct readers *readers, const struct item *item)
{
    int max = waiting_max(readers), of_client = 0;
    if (readers->waiting_count < max - max / 8)
        return 1;
    if (readers->waiting_count >= max)
        return 0;
    for (const struct item *other = readers->waiting; other; other = other->next)
        of_client += other->client == item->client;
    return of_client < max / 64;
}

static void let_wait(struct readers *readers, struct item *item)
{
    item->next = NULL;
    *readers->last_waiting = item;
    readers->last_waiting = &item->next;
    readers->waiting_count++;
}

/* Moves those to their queue whose positions are there, or whose time is up. The list is walked
 * only when positions have moved, or the first has waited long enough. */
static void look_at_waiting(struct readers *readers, int64_t now_ms)
{
    struct item **place = &readers->waiting;
    if (!*place ||
        (!readers->positions_moved && !readers->stopping && (*place)->give_up_ms > now_ms))
        return;
    readers->positions_moved = 0;
    while (*place) {
        struct item *item = *place;
        if (readers->stopping || item->give_up_ms <= now_ms ||
            positions_reached(readers->options.status, readers->options.service,
                              item->min_positions)) {
            *place = item->next;
            readers->waiting_count--;
            fair_queue_add(queue_of(readers, item), item);
        } else {
            place = &item->next;
        }
    }
    readers->last_waiting = place;
}

/* All wait equally long, so the first gives up first; threads of the library may differ by
 * moments. */
static int64_t next_deadline_ms(const struct readers *readers, int64_t now_ms)
{
    int64_t deadline_ms = now_ms + TICK_MS;
    if (readers->waiting && readers->waiting->give_up_ms < deadline_ms)
        deadline_ms = readers->waiting->give_up_ms;
    return deadline_ms;
}

/* Under the lock; NULL: none is ready. */
static struct item *take_ready(struct readers *readers, int64_t now_ms)
{
    look_at_waiting(readers, now_ms);
    _Bool heals = readers->healing.length > 0 &&
                  (!readers->has_healed || readers->journeys.length == 0);
    struct item *item = fair_queue_take(heals ? &readers->healing : &readers->journeys);
    if (item)
        readers->has_healed = heals;
    readers_check(readers);
    return item;
}

/* ---- One reader ------------------------------------------------------------------------------ */

void reader_init(struct reader *reader, const struct readers *readers)
{
    *reader = (struct reader){
        .service = readers->options.service,
        .option_values = readers->options.option_values,
        .status = readers->options.status,
    };
    id_source_init(&reader->ids, readers->options.seed);
}

void reader_deinit(struct reader *reader)
{
    db_free(reader->db);
    reader->db = NULL;
}

static int open_database(const struct readers *readers, struct reader *reader)
{
    assert(!reader->db);
    struct db_options options = { .path = readers->options.database_path,
                                  .read_only = 1,
                                  .damaged = &readers->options.status->damaged };
    return trace(db_open(&options, &reader->db));
}

static void refuse(struct item *item, enum refusal refusal, const char *message)
{
    item->outcome = OUTCOME_REFUSED;
    item->refusal = refusal_of(refusal);
    item->message = message;
}

static void answer(struct readers *readers, struct reader *reader, struct item *item)
{
    const struct readers_options *options = &readers->options;
    owner_assert(&reader->owner);
    assert(item->kind == ITEM_QUERY && item->query && !item->next);
    /* A connection that could not be opened is tried again by the next query. */
    if (!reader->db && open_database(readers, reader) < 0)
        refuse(item, REFUSED_INTERNAL, "the service's database cannot be read");
    else if (!positions_reached(options->status, options->service, item->min_positions))
        refuse(item, REFUSED_REPLAYING,
               "the demanded min_position has not been reached in time; try again");
    else
        query_run(reader, item, clock_wall_ms());
    options->reply(options->context, item);
}

_Bool readers_turn(struct readers *readers, struct reader *reader, int64_t now_ms)
{
    pthread_mutex_lock(&readers->lock);
    struct item *item = take_ready(readers, now_ms);
    pthread_mutex_unlock(&readers->lock);
    if (item)
        answer(readers, reader, item);
    return item != NULL;
}

int64_t readers_due_ms(struct readers *readers, int64_t now_ms)
{
    pthread_mutex_lock(&readers->lock);
    look_at_waiting(readers, now_ms);
    _Bool is_ready = readers->healing.length + readers->journeys.length > 0;
    int64_t due_ms = is_ready ? now_ms : next_deadline_ms(readers, now_ms);
    pthread_mutex_unlock(&readers->lock);
    return due_ms;
}

/* ---- The threads ----------------------------------------------------------------------------- */

/* NULL: the readers stop, and nothing is left. */
static struct item *wait_for_item(struct readers *readers)
{
    struct item *item;
    pthread_mutex_lock(&readers->lock);
    for (;;) {
        int64_t now_ms = clock_monotonic_ms();
        item = take_ready(readers, now_ms);
        if (item || readers->stopping)
            break;
        condition_wait(&readers->changed, &readers->lock, next_deadline_ms(readers, now_ms));
    }
    pthread_mutex_unlock(&readers->lock);
    return item;
}

static void *reader_main(void *argument)
{
    struct readers *readers = argument;
    struct reader reader;
    struct item *item;
    reader_init(&reader, readers);
    owner_take(&reader.owner);
    if (open_database(readers, &reader) < 0)
        log_error("reader_failed", LOG_TEXT("reason", failure_text()));
    while ((item = wait_for_item(readers)))
        answer(readers, &reader, item);
    reader_deinit(&reader);
    return NULL;
}

void readers_init(struct readers *readers, const struct readers_options *options)
{
    assert(options->service && options->status && options->reply && options->queue_max > 0);
    *readers = (struct readers){ .options = *options };
    fair_queue_init(&readers->healing, options->queue_max);
    fair_queue_init(&readers->journeys, options->queue_max);
    readers->last_waiting = &readers->waiting;
    pthread_mutex_init(&readers->lock, NULL);
    condition_init(&readers->changed);
}

int readers_start(struct readers *readers, int thread_count)
{
    assert(thread_count > 0 && readers->thread_count == 0);
    for (int i = 0; i < thread_count && i < READERS_MAX; i++) {
        if (pthread_create(&readers->threads[i], NULL, reader_main, readers) != 0)
            return fail(ERR_MEMORY, "no thread for the readers");
        readers->thread_count++;
    }
    return 0;
}

void readers_stop(struct readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    readers->stopping = 1;
    pthread_cond_broadcast(&readers->changed);
    pthread_mutex_unlock(&readers->lock);
    for (int i = 0; i < readers->thread_count; i++)
        pthread_join(readers->threads[i], NULL);
    readers->thread_count = 0;
}

void readers_deinit(struct readers *readers)
{
    assert(readers->thread_count == 0); /* readers_stop joined them */
    fair_queue_deinit(&readers->healing);
    fair_queue_deinit(&readers->journeys);
    item_list_free(readers->waiting);
    readers->waiting = NULL;
    pthread_cond_destroy(&readers->changed);
    pthread_mutex_destroy(&readers->lock);
}

/* Under the lock. 0, or REFUSED_BUSY. */
static int place(struct readers *readers, struct item *item)
{
    struct fair_queue *queue = queue_of(readers, item);
    if (readers->stopping || !fair_queue_has_room(queue, item->client))
        return REFUSED_BUSY;
    if (positions_reached(readers->options.status, readers->options.service, item->min_positions)) {
        fair_queue_add(queue, item);
        return 0;
    }
    if (!may_wait(readers, item)) {
        item->message = "too many queries wait for their min_position; try again";
        return REFUSED_BUSY;
    }
    let_wait(readers, item);
    return 0;
}

int readers_push(struct readers *readers, struct item *item)
{
    assert(item->kind == ITEM_QUERY);
    pthread_mutex_lock(&readers->lock);
    int r = place(readers, item);
    readers_check(readers);
    if (r == 0)
        pthread_cond_signal(&readers->changed);
    pthread_mutex_unlock(&readers->lock);
    return r;
}

void readers_committed(struct readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    if (readers->waiting) {
        readers->positions_moved = 1;
        pthread_cond_broadcast(&readers->changed);
    }
    pthread_mutex_unlock(&readers->lock);
}

int readers_length(struct readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    int length = readers->healing.length + readers->journeys.length + readers->waiting_count;
    pthread_mutex_unlock(&readers->lock);
    return length;
}

int readers_waiting(struct readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    int count = readers->waiting_count;
    pthread_mutex_unlock(&readers->lock);
    return count;
}
