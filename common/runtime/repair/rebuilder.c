/* Rebuilder: see rebuilder.h. */
#include "runtime/repair/rebuilder.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "runtime/repair/api_client.h"
#include "runtime/repair/rebuild.h"
#include "runtime/request/reply.h"
#include "schemas/runtime.events.reply.h"
#include "schemas/runtime.rebuild.h"
#include "schemas/runtime.rebuild.reply.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define KEY_LIMIT 20
#define NICE 10 /* who serves comes first */

struct asking { /* what a rebuild's questions need */
    struct rebuilder *rebuilder;
    struct api_client *api; /* made with the first question */
};

/* ---- The writer's part ----------------------------------------------------------------------- */

static int do_wanted(struct rebuilder *rebuilder, struct writer *writer, _Bool *ret_outcome_unknown)
{
    int r = 0;
    assert(atomic_load(&rebuilder->active));
    switch ((enum rebuild_want)atomic_load(&rebuilder->want)) {
    case REBUILD_WANTS_NOTHING: return 0;
    case REBUILD_WANTS_HOLD:    writer_hold_events(writer); break;
    case REBUILD_WANTS_RELEASE: writer_release_events(writer); break;
    case REBUILD_WANTS_SWAP:
        r = rebuild_swap(rebuilder->rebuild, writer->db, ret_outcome_unknown);
        loop_stop_process(&writer->loop); /* it remembers what the tables said */
        writer_release_events(writer);
        break;
    }
    return trace(r);
}

void rebuilder_between_batches(struct rebuilder *rebuilder, struct writer *writer)
{
    _Bool outcome_unknown = 0;
    if (atomic_load(&rebuilder->want) == REBUILD_WANTS_NOTHING)
        return;
    int result = do_wanted(rebuilder, writer, &outcome_unknown);
    if (outcome_unknown || result == -ERR_CORRUPT)
        writer_failed(writer, outcome_unknown, result);
    pthread_mutex_lock(&rebuilder->lock);
    rebuilder->result = result;
    snprintf(rebuilder->reason, sizeof(rebuilder->reason), "%s",
             result < 0 ? failure_reason() : "");
    atomic_store(&rebuilder->want, REBUILD_WANTS_NOTHING);
    pthread_mutex_unlock(&rebuilder->lock);
    pthread_cond_signal(&rebuilder->turned);
}

static int wait_for_writer(void *context, enum rebuild_want wanted)
{
    struct rebuilder *rebuilder = ((struct asking *)context)->rebuilder;
    pthread_mutex_lock(&rebuilder->lock);
    assert(wanted != REBUILD_WANTS_NOTHING &&
           atomic_load(&rebuilder->want) == REBUILD_WANTS_NOTHING);
    atomic_store(&rebuilder->want, wanted);
    inbox_wake(rebuilder->options.inbox);
    while (atomic_load(&rebuilder->want) != REBUILD_WANTS_NOTHING)
        pthread_cond_wait(&rebuilder->turned, &rebuilder->lock);
    int r = rebuilder->result;
    pthread_mutex_unlock(&rebuilder->lock);
    return r < 0 ? fail((enum failure) - r, "%s", rebuilder->reason) : 0;
}

/* ---- The thread ------------------------------------------------------------------------------ */

static int fetch_events(void *context, const struct source *source, int64_t after_position,
                        struct arena *arena, const struct runtime_events_reply **ret_page)
{
    struct asking *asking = context;
    const struct rebuilder_options *options = &asking->rebuilder->options;
    int r = asking->api ? 0 : api_client_open(options->config, options->service, &asking->api);
    return r < 0 ? trace(r)
                 : trace(api_client_events(asking->api, source, after_position, arena, ret_page));
}

/* What differed and was put right, also when something failed after that. */
static void tell_differences(const struct rebuild *rebuild)
{
    for (int i = 0; i < rebuild->table_count; i++) {
        const struct runtime_rebuild_reply_tables_item *table = &rebuild->tables[i];
        log_warn("rebuild_differed", LOG_TEXT("table", table->table),
                 LOG_INT("missing", table->missing), LOG_INT("extra", table->extra),
                 LOG_INT("changed", table->changed),
                 LOG_TEXT("first_key", table->keys_count > 0 ? table->keys[0] : NULL));
    }
}

static void refuse_rebuild(struct item *item, enum refusal refusal, const char *why)
{
    char *message = arena_copy(&item->arena, why, strlen(why));
    item->outcome = OUTCOME_REFUSED;
    item->refusal = refusal_of(refusal);
    item->message = message ? message : "no memory";
}

/* These failures are transient; any other needs an operator. */
static _Bool is_transient(int r)
{
    return r == -ERR_NETWORK || r == -ERR_LOCKED || r == -ERR_FULL || r == -ERR_READONLY ||
           r == -ERR_MEMORY;
}

/* Becomes the item's outcome. */
static void settle(struct item *item, struct rebuild *rebuild, int r, int64_t duration_ms)
{
    const struct runtime_rebuild_reply reply = {
        .events = rebuild->events,
        .duration_ms = duration_ms,
        .tables = rebuild->tables,
        .tables_count = (size_t)rebuild->table_count,
    };
    tell_differences(rebuild);
    if (r == 0)
        r = schema_encode(&runtime_rebuild_reply_schema, &reply, &item->body);
    if (r == 0) {
        item->outcome = OUTCOME_DONE;
        log_info("rebuilt", LOG_INT("events", rebuild->events), LOG_INT("duration_ms", duration_ms),
                 LOG_INT("rows_put_right", rebuild->put_right),
                 LOG_INT("held_ms", rebuild->held_ms), LOG_INT("swap_ms", rebuild->swap_ms));
        return;
    }
    const char *why = r < 0                 ? failure_reason()
                      : r == FOLD_DIFFERENT ? rebuild->why
                                            : "the service is stopping";
    char message[400];
    int length = snprintf(message, sizeof(message), "%s", why);
    if (rebuild->put_right > 0 && length < (int)sizeof(message))
        snprintf(message + length, sizeof(message) - (size_t)length,
                 "; rows put right before that: %" PRId64, rebuild->put_right);
    refuse_rebuild(item, is_transient(r) || r == REBUILD_STOPPED ? REFUSED_BUSY : REFUSED_INTERNAL,
                   message);
    log_at(is_transient(r) || r == REBUILD_STOPPED ? LOG_WARN : LOG_ERROR, "rebuild_failed",
           LOG_TEXT("reason", r < 0 ? failure_text() : why), LOG_INT("events", rebuild->events));
}

static void *rebuilder_main(void *argument)
{
    struct rebuilder *rebuilder = argument;
    const struct rebuilder_options *options = &rebuilder->options;
    struct status *status = options->status;
    struct item *item = rebuilder->item;
    const struct runtime_rebuild *request = item->request;
    struct asking asking = { .rebuilder = rebuilder };
    struct rebuild rebuild = {
        .service = options->service,
        .served_path = options->database_path,
        .fetch = fetch_events,
        .turn = wait_for_writer,
        .context = &asking,
        .stopping = &rebuilder->stopping,
        .progress = &status->rebuild_events,
        .key_limit = request->has_key_limit ? (int)request->key_limit : KEY_LIMIT,
    };
    rebuilder->rebuild = &rebuild;
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread alone */
    int64_t begun_ms = clock_monotonic_ms();
    log_info("rebuild_begun", LOG_INT("position", atomic_load(&status->position)));
    int r = rebuild_run(&rebuild);
    settle(item, &rebuild, r, clock_monotonic_ms() - begun_ms);
    if (item->outcome == OUTCOME_DONE) {
        atomic_fetch_add(&status->rebuilds, 1);
        atomic_store(&status->tables_differ, 0);
    }
    atomic_fetch_add(&status->rebuilt_rows, rebuild.put_right);
    api_client_free(asking.api);
    rebuild_deinit(&rebuild);
    atomic_store(&status->rebuild_events, 0);
    atomic_store(&rebuilder->active, 0); /* before the answer: who has it may ask again */
    reply_send(options->bus, BUS_URGENT, item);
    item_free(item);
    return NULL;
}

/* ---- Begin and end --------------------------------------------------------------------------- */

void rebuilder_init(struct rebuilder *rebuilder, const struct rebuilder_options *options)
{
    assert(options->service && options->status && options->inbox && options->bus);
    rebuilder->options = *options;
    pthread_mutex_init(&rebuilder->lock, NULL);
    pthread_mutex_init(&rebuilder->begin_lock, NULL);
    condition_init(&rebuilder->turned);
    rebuild_remove_leftover(options->database_path);
}

_Bool rebuilder_is_active(const struct rebuilder *rebuilder)
{
    return atomic_load(&rebuilder->active);
}

/* NULL, or why not. */
static const char *begin(struct rebuilder *rebuilder, struct item *item)
{
    if (atomic_load(&rebuilder->active))
        return "a rebuild is under way";
    if (atomic_load(&rebuilder->stopping))
        return "the service is stopping";
    if (rebuilder->joinable)
        pthread_join(rebuilder->thread, NULL); /* it has ended, or is about to */
    rebuilder->item = item;
    atomic_store(&rebuilder->active, 1);
    rebuilder->joinable = pthread_create(&rebuilder->thread, NULL, rebuilder_main, rebuilder) == 0;
    if (!rebuilder->joinable)
        atomic_store(&rebuilder->active, 0);
    return rebuilder->joinable ? NULL : "there is no thread for it at the moment";
}

void rebuilder_begin(struct rebuilder *rebuilder, struct item *item)
{
    assert(item->kind == ITEM_REBUILD && item->request);
    pthread_mutex_lock(&rebuilder->begin_lock);
    const char *why = begin(rebuilder, item);
    pthread_mutex_unlock(&rebuilder->begin_lock);
    if (!why)
        return;
    refuse_rebuild(item, REFUSED_BUSY, why);
    reply_send(rebuilder->options.bus, BUS_URGENT, item);
    item_free(item);
}

void rebuilder_stop(struct rebuilder *rebuilder)
{
    pthread_mutex_lock(&rebuilder->begin_lock);
    atomic_store(&rebuilder->stopping, 1);
    pthread_mutex_unlock(&rebuilder->begin_lock);
    if (rebuilder->joinable)
        pthread_join(rebuilder->thread, NULL);
    rebuilder->joinable = 0;
}
