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

void readers_check(const struct readers *readers)
{
    assert(readers->first || readers->last == &readers->first);                    /* Q1 */
    assert(!*readers->last);                                                       /* Q1 */
    assert((readers->length == 0) == (!readers->first && !readers->waiting));      /* Q2 */
    assert(readers->length >= 0 && readers->length <= readers->options.queue_max); /* Q2 */
}

static void append_ready(struct readers *readers, struct item *item)
{
    item->next = NULL;
    *readers->last = item;
    readers->last = &item->next;
}

/* Moves those to the ready list whose positions are there, or whose time is up. Under the lock. */
static void look_at_waiting(struct readers *readers, int64_t now_ms)
{
    struct item **place = &readers->waiting;
    while (*place) {
        struct item *item = *place;
        if (readers->stopping || item->give_up_ms <= now_ms ||
            positions_reached(readers->options.status, readers->options.service,
                              item->min_positions)) {
            *place = item->next;
            append_ready(readers, item);
        } else {
            place = &item->next;
        }
    }
}

static int64_t next_deadline_ms(const struct readers *readers, int64_t now_ms)
{
    int64_t deadline_ms = now_ms + TICK_MS;
    for (const struct item *item = readers->waiting; item; item = item->next)
        if (item->give_up_ms < deadline_ms)
            deadline_ms = item->give_up_ms;
    return deadline_ms;
}

/* Under the lock; NULL: none is ready. */
static struct item *take_ready(struct readers *readers, int64_t now_ms)
{
    look_at_waiting(readers, now_ms);
    struct item *item = readers->first;
    if (!item)
        return NULL;
    readers->first = item->next;
    if (!readers->first)
        readers->last = &readers->first;
    item->next = NULL;
    readers->length--;
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
    int64_t due_ms = readers->first ? now_ms : next_deadline_ms(readers, now_ms);
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
    readers->last = &readers->first;
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
    item_list_free(readers->first);
    item_list_free(readers->waiting);
    readers->first = readers->waiting = NULL;
    pthread_cond_destroy(&readers->changed);
    pthread_mutex_destroy(&readers->lock);
}

int readers_push(struct readers *readers, struct item *item)
{
    int result = 0;
    assert(item->kind == ITEM_QUERY);
    pthread_mutex_lock(&readers->lock);
    if (readers->stopping || readers->length >= readers->options.queue_max) {
        result = REFUSED_BUSY;
    } else {
        readers->length++;
        if (positions_reached(readers->options.status, readers->options.service,
                              item->min_positions)) {
            append_ready(readers, item);
        } else {
            item->next = readers->waiting;
            readers->waiting = item;
        }
        readers_check(readers);
        pthread_cond_signal(&readers->changed);
    }
    pthread_mutex_unlock(&readers->lock);
    return result;
}

void readers_committed(struct readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    if (readers->waiting)
        pthread_cond_broadcast(&readers->changed);
    pthread_mutex_unlock(&readers->lock);
}

int readers_length(struct readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    int length = readers->length;
    pthread_mutex_unlock(&readers->lock);
    return length;
}
