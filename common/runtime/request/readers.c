/* Readers: see readers.h. */
#include "runtime/request/readers.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"

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
            positions_reached(readers->status, readers->service, item->min_positions)) {
            *place = item->next;
            append_ready(readers, item);
        } else {
            place = &item->next;
        }
    }
}

static int64_t next_deadline_ms(const struct readers *readers, int64_t now_ms)
{
    int64_t deadline_ms = now_ms + 60000;
    for (const struct item *item = readers->waiting; item; item = item->next)
        if (item->give_up_ms < deadline_ms)
            deadline_ms = item->give_up_ms;
    return deadline_ms;
}

static struct item *take_ready(struct readers *readers)
{
    struct item *item;
    pthread_mutex_lock(&readers->lock);
    for (;;) {
        int64_t now_ms = clock_monotonic_ms();
        look_at_waiting(readers, now_ms);
        item = readers->first;
        if (item || readers->stopping)
            break;
        condition_wait(&readers->changed, &readers->lock, next_deadline_ms(readers, now_ms));
    }
    if (item) {
        readers->first = item->next;
        if (!readers->first)
            readers->last = &readers->first;
        item->next = NULL;
        readers->length--;
    }
    pthread_mutex_unlock(&readers->lock);
    return item;
}

static void answer(struct readers *readers, struct reader_place *place, struct item *item)
{
    if (!positions_reached(readers->status, readers->service, item->min_positions)) {
        item->outcome = OUTCOME_REFUSED;
        item->refusal = REFUSED_REPLAYING;
        item->message = "the demanded min_position has not been reached in time; try again";
    } else {
        query_run(place, item, clock_wall_ms());
    }
    readers->reply(readers->context, item);
}

static void *reader_main(void *argument)
{
    struct readers *readers = argument;
    struct reader_place place = {
        .service = readers->service,
        .option_values = readers->option_values,
        .status = readers->status,
    };
    id_source_init(&place.ids, 0);
    struct db_options options = { .path = readers->database_path,
                                  .read_only = 1,
                                  .damaged = &readers->status->damaged };
    if (db_open(&options, &place.db) < 0)
        log_error("reader_failed", LOG_TEXT("reason", failure_text()));
    struct item *item;
    while ((item = take_ready(readers))) {
        /* A connection that could not be opened is tried again by the next query. */
        if (!place.db && db_open(&options, &place.db) < 0) {
            item->outcome = OUTCOME_REFUSED;
            item->refusal = REFUSED_INTERNAL;
            item->message = "the service's database cannot be read";
            readers->reply(readers->context, item);
            continue;
        }
        answer(readers, &place, item);
    }
    db_free(place.db);
    return NULL;
}

int readers_start(struct readers *readers, int thread_count)
{
    readers->last = &readers->first;
    pthread_mutex_init(&readers->lock, NULL);
    condition_init(&readers->changed);
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
    pthread_cond_destroy(&readers->changed);
    pthread_mutex_destroy(&readers->lock);
}

int readers_push(struct readers *readers, struct item *item)
{
    int result = 0;
    pthread_mutex_lock(&readers->lock);
    if (readers->stopping || readers->length >= readers->queue_max) {
        result = REFUSED_BUSY;
    } else {
        readers->length++;
        if (positions_reached(readers->status, readers->service, item->min_positions)) {
            append_ready(readers, item);
        } else {
            item->next = readers->waiting;
            readers->waiting = item;
        }
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
