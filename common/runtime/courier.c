/* Courier: the thread, its mailbox, and settling. See courier.h. */
#include "runtime/courier_parts.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/crash.h"
#include "base/log.h"
#include "bus/jetstream.h"
#include "runtime/endpoint.h"
#include "runtime/reply.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define URGENT_REPLIES_MAX 8 /* a write call each; more than that go gathered */
#define TICK_MS 1000         /* the longest sleep */
#define STOP_PUBLISH_MS 2000 /* how long a stop waits for the stream */
#define STOP_TICK_MS 20

/* ---- The mailbox ---------------------------------------------------------------------------- */

void courier_note(struct courier *courier, struct note note)
{
    struct note *kept = malloc(sizeof(*kept));
    if (!kept) {
        log_error("out_of_memory");
        abort(); /* a note lost is a stall: better to be started again */
    }
    *kept = note;
    kept->next = NULL;
    pthread_mutex_lock(&courier->lock);
    *courier->last = kept;
    courier->last = &kept->next;
    pthread_mutex_unlock(&courier->lock);
    /* after the unlock: it would wake up only to wait for the lock */
    pthread_cond_signal(&courier->filled);
}

void courier_wake(struct courier *courier)
{
    pthread_mutex_lock(&courier->lock); /* it looks at what woke it under the lock, or is waiting */
    pthread_mutex_unlock(&courier->lock);
    pthread_cond_signal(&courier->filled);
}

void courier_settle(struct courier *courier, struct batch *batch)
{
    courier_note(courier, (struct note){ .kind = NOTE_BATCH, .batch = batch });
}

void courier_connected(struct courier *courier)
{
    courier_note(courier, (struct note){ .kind = NOTE_CONNECTED });
}

void courier_disconnected(struct courier *courier)
{
    courier_note(courier, (struct note){ .kind = NOTE_DISCONNECTED });
}

void courier_operate(struct courier *courier, struct item *item)
{
    courier_note(courier, (struct note){ .kind = NOTE_OPERATOR, .request = item });
}

static void on_answer(void *context, struct bus_message *message)
{
    courier_note(context, (struct note){ .kind = NOTE_ANSWER, .answer = message });
}

/* ---- Asking and being answered -------------------------------------------------------------- */

int courier_ask(struct courier *courier, const char *asker, char step, int64_t epoch, int64_t n,
                const char *subject, const void *body, size_t length)
{
    char reply[BUS_SUBJECT_MAX + 1];
    snprintf(reply, sizeof(reply), "%s.q.%s.%c.%lld.%lld", courier->inbox, asker, step,
             (long long)epoch, (long long)n);
    return trace(
        bus_publish(courier->instance->bus, BUS_URGENT,
                    &(struct bus_outgoing){
                        .subject = subject, .reply = reply, .data = body, .length = length }));
}

static void take_answer(struct courier *courier, struct bus_message *answer, int64_t now_ms)
{
    _free_(bus_message) struct bus_message *message = answer;
    const char *rest = bus_message_subject(message) + strlen(courier->inbox) + strlen(".q.");
    char asker[8], step;
    long long epoch, n;
    /* NOLINTNEXTLINE(cert-err34-c): our own subject; glibc makes a number too large its largest,
     * for which nobody waits */
    if (sscanf(rest, "%7[^.].%c.%lld.%lld", asker, &step, &epoch, &n) != 4)
        return;
    if (asker[0] == 'r')
        relay_part_answer(courier, step, epoch, n, message, now_ms);
    else if (asker[0] == 'c')
        call_part_answer(courier, n, message);
    else if (asker[0] == 'p')
        redrive_part_answer(courier, n, message, now_ms);
    else
        feed_part_answer(courier, (int)strtol(asker, NULL, 10), step, epoch, message, now_ms);
}

/* ---- Settling ------------------------------------------------------------------------------- */

static int count_replies(const struct batch *batch)
{
    int count = 0;
    for (const struct item *item = batch->items; item && count <= URGENT_REPLIES_MAX;
         item = item->next)
        count += item->kind == ITEM_COMMAND;
    return count;
}

static void settle(struct courier *courier, struct batch *batch, int64_t now_ms)
{
    /* First those who wait for us: the commit is done (rule 4). */
    enum bus_urgency urgency = count_replies(batch) > URGENT_REPLIES_MAX ? BUS_BULK : BUS_URGENT;
    crash_point("before_reply");
    for (struct item *item = batch->items; item; item = item->next)
        if (item->kind == ITEM_COMMAND)
            reply_send(courier->instance->bus, urgency, item);
    crash_point("after_reply");
    /* Then the world outside, which may take its time. */
    call_part_make(courier, batch, now_ms);
    feed_part_settled(courier, batch, now_ms);
    relay_part_settled(courier, batch, now_ms);
    redrive_part_settled(courier, batch, now_ms);
    batch_free(batch);
}

/* ---- State ---------------------------------------------------------------------------------- */

/* Our log agrees with our stream for the first time: the feeds may begin, and others may read our
 * log. */
static void note_whole(struct courier *courier)
{
    struct instance *instance = courier->instance;
    atomic_store(&instance->status.whole, 1);
    if (endpoints_subscribe(instance) < 0 || bus_flush(instance->bus, 2000) < 0) {
        log_error("not_ready", LOG_TEXT("reason", failure_text()));
        return; /* tried again with the next note or tick */
    }
    courier->whole = 1;
    courier->more = 1;
}

/* Projections that were begun anew are awaited: an order of a customer who is not known yet would
 * be refused, and the refusal be remembered under its key. */
static _Bool has_projections(struct courier *courier)
{
    struct instance *instance = courier->instance;
    const struct source *source = instance->service->sources;
    if (!atomic_load(&instance->status.folding))
        return 1;
    for (int i = 0; source && source[i].log; i++)
        if (!feed_has_what_there_is(&courier->feeds[i]))
            return 0;
    atomic_store(&instance->writer.end_folding, 1);
    inbox_wake(&instance->inbox);
    return 0; /* the writer wakes us when that is in the file */
}

/* Now requests are taken and timers run. */
static void announce(struct courier *courier)
{
    struct instance *instance = courier->instance;
    atomic_store(&instance->status.caught_up, 1);
    atomic_store(&instance->writer.start_process, 1);
    inbox_wake(&instance->inbox);
    courier->announced = 1;
    log_info("ready", LOG_INT("position", courier->relay.head),
             LOG_INT("start_ms", clock_wall_ms() - instance->status.started_ms));
}

/* Since when the oldest event waits for the stream. */
static void note_ages(struct courier *courier, int64_t now_ms)
{
    const struct relay *relay = &courier->relay;
    int passed = 0;
    while (passed < courier->age_count && courier->ages[passed].position <= relay->published)
        passed++;
    courier->age_count -= passed;
    memmove(courier->ages, courier->ages + passed,
            sizeof(courier->ages[0]) * (size_t)courier->age_count);
    struct relay_age *newest = courier->age_count > 0 ? &courier->ages[courier->age_count - 1]
                                                      : NULL;
    if (newest && (now_ms - newest->since_ms < RELAY_AGE_MS || courier->age_count == RELAY_AGES))
        newest->position = relay->head;
    else if (relay->head > (newest ? newest->position : relay->published))
        courier->ages[courier->age_count++] = (struct relay_age){ relay->head, now_ms };
    atomic_store(&courier->instance->status.unpublished_since_ms,
                 courier->age_count > 0 ? courier->ages[0].since_ms : 0);
}

static void note_states(struct courier *courier, int64_t now_ms)
{
    struct instance *instance = courier->instance;
    struct status *status = &instance->status;
    enum relay_state state = courier->relay.state;
    if (atomic_exchange(&status->relay_state, state) != (int)state) {
        enum log_level level = state == RELAY_FORKED    ? LOG_ERROR
                               : state == RELAY_WAITING ? LOG_WARN
                                                        : LOG_INFO;
        log_at(
            level, "relay", LOG_TEXT("state", relay_state_name(state)),
            LOG_INT("published", courier->relay.published),
            LOG_INT("position", courier->relay.head),
            LOG_TEXT("reason", state == RELAY_FORKED || state == RELAY_WAITING
                                   ? courier->relay.reason
                                   : NULL),
            LOG_TEXT(
                "help",
                state == RELAY_FORKED
                    ? "a person must choose: `resolve` shows both sides, docs/OPERATIONS.md, A fork"
                    : NULL));
        if ((state == RELAY_RECOVERING || state == RELAY_FORKED) &&
            endpoints_subscribe(instance) < 0)
            log_error("not_ready", LOG_TEXT("reason", failure_text()));
    }
    note_ages(courier, now_ms);
    atomic_store(&status->published, courier->relay.published);
    atomic_store(&status->republished, courier->relay.republished);
    atomic_store(&status->stream_remade, courier->relay.remade);
    atomic_store(&status->refused, courier->relay.refusals);
    atomic_store(&status->replay_target,
                 state == RELAY_RECOVERING ? courier->relay.stream_position : 0);
    if (state == RELAY_PUBLISHING && !courier->whole)
        note_whole(courier);
    if (courier->whole && !courier->announced && has_projections(courier))
        announce(courier);
    const struct source *source = instance->service->sources;
    for (int i = 0; source && source[i].log; i++) {
        const struct feed *feed = &courier->feeds[i];
        if (atomic_exchange(&status->sources[i].feed_state, feed->state) != (int)feed->state)
            log_at(feed->state == FEED_FORKED    ? LOG_ERROR
                   : feed->state == FEED_FILLING ? LOG_WARN
                                                 : LOG_DEBUG,
                   "feed", LOG_TEXT("log", source[i].log),
                   LOG_TEXT("state", feed_state_name(feed->state)), LOG_INT("cursor", feed->cursor),
                   LOG_TEXT("reason", feed->state == FEED_FORKED || feed->state == FEED_WAITING
                                          ? feed->reason
                                          : NULL));
        atomic_store(&status->sources[i].leader_position, feed->leader_position);
        atomic_store(&status->sources[i].remade, feed->remade);
        atomic_store(&status->sources[i].gaps, feed->gaps);
        if (feed->complete_ms > 0)
            atomic_store(&status->sources[i].complete_at_ms,
                         clock_wall_ms() - (now_ms - feed->complete_ms));
    }
}

/* The newest position that was acknowledged in the relay's epoch; 0: none. */
static int64_t acked_in_epoch(const struct courier *courier)
{
    uint64_t acked = atomic_load(&courier->acked);
    int64_t position = ack_position(acked);
    return acked == ack_pack(courier->relay.epoch, position) ? position : 0;
}

/* ---- The thread ----------------------------------------------------------------------------- */

static void take_note(struct courier *courier, struct note *note, int64_t now_ms)
{
    const struct source *source = courier->instance->service->sources;
    switch (note->kind) {
    case NOTE_BATCH:    settle(courier, note->batch, now_ms); break;
    case NOTE_ANSWER:   take_answer(courier, note->answer, now_ms); break;
    case NOTE_OPERATOR: redrive_part_request(courier, note->request, now_ms); break;
    case NOTE_REFUSED:
        if (note->status == JS_ERR_WRONG_LAST_SEQUENCE)
            relay_denied(&courier->relay, note->epoch, relay_part_reason(note->status), now_ms);
        else
            relay_refused(&courier->relay, note->epoch, relay_part_reason(note->status), now_ms);
        break;
    case NOTE_CONNECTED:
        log_info("connected");
        relay_connected(&courier->relay, now_ms);
        for (int i = 0; source && source[i].log; i++)
            feed_connected(&courier->feeds[i]);
        break;
    case NOTE_DISCONNECTED:
        log_warn("disconnected");
        relay_disconnected(&courier->relay);
        for (int i = 0; source && source[i].log; i++)
            feed_disconnected(&courier->feeds[i]);
        break;
    case NOTE_PULL_STATUS: feed_part_status(courier, note, now_ms); break;
    }
    free(note);
}

static void act(struct courier *courier, int64_t now_ms)
{
    const struct source *source = courier->instance->service->sources;
    int64_t acked = acked_in_epoch(courier);
    if (acked > 0)
        relay_acked(&courier->relay, courier->relay.epoch, acked, now_ms);
    courier->more = relay_part_act(courier, now_ms);
    /* Wake up for the last of what is in flight, or for enough of it to keep the window open. */
    const struct relay *relay = &courier->relay;
    int64_t half = relay->published + relay->config.window_max / 2;
    atomic_store(&courier->ack_wake_position, relay->sent < half ? relay->sent : half);
    /* Others' logs only once our own is whole: a reaction must see what we have said before. */
    for (int i = 0; source && source[i].log && courier->whole; i++)
        feed_part_act(courier, i, now_ms);
    call_part_look_at_clock(courier, now_ms);
    redrive_part_look_at_clock(courier, now_ms);
    note_states(courier, now_ms);
}

static int64_t due_ms(const struct courier *courier, int64_t now_ms)
{
    const struct source *source = courier->instance->service->sources;
    int64_t due = now_ms + (courier->stop_by_ms > 0 ? STOP_TICK_MS : TICK_MS);
    if (relay_due_ms(&courier->relay) < due)
        due = relay_due_ms(&courier->relay);
    for (int i = 0; source && source[i].log && courier->whole; i++)
        if (feed_due_ms(&courier->feeds[i]) < due)
            due = feed_due_ms(&courier->feeds[i]);
    if (courier->calls && courier->calls->deadline_ms < due)
        due = courier->calls->deadline_ms;
    if (courier->redrive.item && courier->redrive.deadline_ms < due)
        due = courier->redrive.deadline_ms;
    return due;
}

static struct note *take_mail(struct courier *courier, int64_t deadline_ms, _Bool *ret_stopping)
{
    pthread_mutex_lock(&courier->lock);
    _Bool acked = courier->relay.sent > courier->relay.published &&
                  acked_in_epoch(courier) >= atomic_load(&courier->ack_wake_position);
    _Bool ending = courier->stopping && courier->stop_by_ms == 0;
    if (!courier->first && !ending && !acked && !courier->more)
        condition_wait(&courier->filled, &courier->lock, deadline_ms);
    struct note *notes = courier->first;
    courier->first = NULL;
    courier->last = &courier->first;
    *ret_stopping = courier->stopping;
    pthread_mutex_unlock(&courier->lock);
    return notes;
}

/* A stop in peace leaves an empty outbox, if the stream takes what is left in time. */
static _Bool is_done(struct courier *courier, int64_t now_ms)
{
    const struct relay *relay = &courier->relay;
    if (courier->stop_by_ms == 0)
        courier->stop_by_ms = now_ms + STOP_PUBLISH_MS;
    return relay->state != RELAY_PUBLISHING || relay->published >= relay->head ||
           now_ms >= courier->stop_by_ms;
}

static void *courier_main(void *argument)
{
    struct courier *courier = argument;
    _Bool stopping = 0;
    int64_t now_ms = clock_monotonic_ms();
    for (;;) {
        struct note *notes = take_mail(courier, due_ms(courier, now_ms), &stopping);
        now_ms = clock_monotonic_ms();
        if (!notes && stopping && is_done(courier, now_ms))
            return NULL;
        atomic_store(&courier->instance->status.courier_turned_ms, now_ms);
        /* Arrivals before batches: what a batch settles has arrived before. */
        feed_part_arrivals(courier, now_ms);
        while (notes) {
            struct note *next = notes->next;
            take_note(courier, notes, now_ms);
            notes = next;
        }
        act(courier, now_ms);
    }
}

/* ---- Opening and closing -------------------------------------------------------------------- */

/* Not 0, which would be none. */
static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        seed = (uint64_t)clock_monotonic_ns();
    return seed | 1;
}

int courier_open(struct courier *courier, struct instance *instance)
{
    const struct service *service = instance->service;
    courier->instance = instance;
    courier->last = &courier->first;
    courier->self = service_as_source(service);
    pthread_mutex_init(&courier->lock, NULL);
    condition_init(&courier->filled);
    struct relay_config relay_config = relay_defaults;
    relay_config.seed = random_seed();
    relay_init(&courier->relay, &relay_config, instance->writer.loop.at.head.position);
    relay_saw(&courier->relay, instance->writer.loop.at.stream_position);
    for (int i = 0; service->sources && service->sources[i].log; i++) {
        struct feed_config feed_config = feed_defaults;
        feed_config.seed = random_seed();
        feed_init(&courier->feeds[i], &feed_config, instance->writer.loop.at.cursors[i].position);
        int r = config_source_api(instance->config, service->sources[i].log, courier->apis[i]);
        if (r < 0)
            return trace(r);
    }
    struct db_options options = { .path = instance->database_path,
                                  .read_only = 1,
                                  .damaged = &instance->status.damaged };
    return trace(db_open(&options, &courier->db));
}

static int subscribe(struct courier *courier, const char *suffix, bus_handler handler,
                     void *context, struct bus_subscription **ret_subscription)
{
    char subject[BUS_SUBJECT_MAX + 1];
    snprintf(subject, sizeof(subject), "%s%s", courier->inbox, suffix);
    return trace(
        bus_subscribe(courier->instance->bus, subject, NULL, handler, context, ret_subscription));
}

int courier_subscribe(struct courier *courier)
{
    const struct source *source = courier->instance->service->sources;
    int r = bus_new_inbox(courier->instance->bus, courier->inbox);
    if (r == 0)
        r = subscribe(courier, ".a.>", on_puback, courier, &courier->acks);
    if (r == 0)
        r = subscribe(courier, ".q.>", on_answer, courier, &courier->answers);
    for (int i = 0; source && source[i].log && r == 0; i++) {
        char suffix[16];
        snprintf(suffix, sizeof(suffix), ".f.%d.>", i);
        courier->places[i] = (struct delivery_place){ .courier = courier, .feed = i };
        r = subscribe(courier, suffix, on_delivery, &courier->places[i], &courier->deliveries[i]);
    }
    return trace(r);
}

int courier_start(struct courier *courier)
{
    if (pthread_create(&courier->thread, NULL, courier_main, courier) != 0)
        return fail(ERR_MEMORY, "no thread for the courier");
    courier->runs = 1;
    return 0;
}

void courier_stop(struct courier *courier)
{
    if (!courier->runs)
        return;
    pthread_mutex_lock(&courier->lock);
    courier->stopping = 1;
    pthread_cond_signal(&courier->filled);
    pthread_mutex_unlock(&courier->lock);
    pthread_join(courier->thread, NULL);
    courier->runs = 0;
    redrive_part_stop(courier);
}

static void drop_notes(struct courier *courier)
{
    while (courier->first) {
        struct note *note = courier->first;
        courier->first = note->next;
        bus_message_free(note->answer);
        batch_free(note->batch);
        item_free(note->request);
        free(note);
    }
}

void courier_deinit(struct courier *courier)
{
    drop_notes(courier);
    bus_subscription_free(courier->acks);
    bus_subscription_free(courier->answers);
    for (int i = 0; i < SOURCES_MAX; i++)
        bus_subscription_free(courier->deliveries[i]);
    while (courier->calls) {
        struct open_call *next = courier->calls->next;
        outbound_call_free(courier->calls->call);
        free(courier->calls);
        courier->calls = next;
    }
    for (int i = 0; i < RECOVER_WINDOW; i++)
        item_free(courier->recovery.items[i]);
    db_free(courier->db);
    courier->db = NULL;
}
