/* Sender: the thread, its mailbox, and settling. See sender.h. */
#include "runtime/outbound/sender_parts.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/crash.h"
#include "base/log.h"
#include "bus/jetstream.h"
#include "runtime/request/endpoint.h"
#include "runtime/request/reply.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define URGENT_REPLIES_MAX 8 /* a write call each; more than that go gathered */
#define TICK_MS 1000         /* the longest sleep */
#define STOP_PUBLISH_MS 2000 /* how long a stop waits for the stream */
#define STOP_TICK_MS 20
#define NO_WAIT 0

/* ---- The mailbox ---------------------------------------------------------------------------- */

void sender_note(struct sender *sender, struct note note)
{
    struct note *kept = malloc(sizeof(*kept));
    if (!kept) {
        log_error("out_of_memory");
        abort(); /* a note lost is a stall: better to be started again */
    }
    *kept = note;
    kept->next = NULL;
    pthread_mutex_lock(&sender->lock);
    *sender->last = kept;
    sender->last = &kept->next;
    pthread_mutex_unlock(&sender->lock);
    /* after the unlock: it would wake up only to wait for the lock */
    pthread_cond_signal(&sender->filled);
}

void sender_wake(struct sender *sender)
{
    pthread_mutex_lock(&sender->lock); /* it looks at what woke it under the lock, or is waiting */
    pthread_mutex_unlock(&sender->lock);
    pthread_cond_signal(&sender->filled);
}

void sender_settle(struct sender *sender, struct batch *batch)
{
    sender_note(sender, (struct note){ .kind = NOTE_BATCH, .batch = batch });
}

void sender_connected(struct sender *sender)
{
    sender_note(sender, (struct note){ .kind = NOTE_CONNECTED });
}

void sender_disconnected(struct sender *sender)
{
    sender_note(sender, (struct note){ .kind = NOTE_DISCONNECTED });
}

void sender_operate(struct sender *sender, struct item *item)
{
    sender_note(sender, (struct note){ .kind = NOTE_OPERATOR, .request = item });
}

static void on_answer(void *context, struct bus_message *message)
{
    sender_note(context, (struct note){ .kind = NOTE_ANSWER, .answer = message });
}

/* ---- Asking and being answered -------------------------------------------------------------- */

int sender_ask(struct sender *sender, const char *asker, char step, int64_t epoch, int64_t n,
               const char *subject, const void *body, size_t length)
{
    char reply[BUS_SUBJECT_MAX + 1];
    snprintf(reply, sizeof(reply), "%s.q.%s.%c.%lld.%lld", sender->inbox, asker, step,
             (long long)epoch, (long long)n);
    return trace(
        bus_publish(sender->instance->bus, BUS_URGENT,
                    &(struct bus_outgoing){
                        .subject = subject, .reply = reply, .data = body, .length = length }));
}

static void take_answer(struct sender *sender, struct bus_message *answer, int64_t now_ms)
{
    _free_(bus_message) struct bus_message *message = answer;
    const char *rest = bus_message_subject(message) + strlen(sender->inbox) + strlen(".q.");
    char asker[8], step;
    long long epoch, n;
    /* NOLINTNEXTLINE(cert-err34-c): our own subject; glibc makes a number too large its largest,
     * for which nobody waits */
    if (sscanf(rest, "%7[^.].%c.%lld.%lld", asker, &step, &epoch, &n) != 4)
        return;
    if (asker[0] == 'r')
        relay_part_answer(sender, step, epoch, n, message, now_ms);
    else if (asker[0] == 'c')
        call_part_answer(sender, n, message);
    else if (asker[0] == 'p')
        redrive_part_answer(sender, n, message, now_ms);
    else
        feed_part_answer(sender, (int)strtol(asker, NULL, 10), step, epoch, message, now_ms);
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

static void settle(struct sender *sender, struct batch *batch, int64_t now_ms)
{
    /* First those who wait for us: the commit is done (rule 4). */
    enum bus_urgency urgency = count_replies(batch) > URGENT_REPLIES_MAX ? BUS_BULK : BUS_URGENT;
    crash_point("before_reply");
    for (struct item *item = batch->items; item; item = item->next)
        if (item->kind == ITEM_COMMAND)
            reply_send(sender->instance->bus, urgency, item);
    crash_point("after_reply");
    /* Then the world outside, which may take its time. */
    call_part_make(sender, batch, now_ms);
    feed_part_settled(sender, batch, now_ms);
    relay_part_settled(sender, batch, now_ms);
    redrive_part_settled(sender, batch, now_ms);
    batch_free(batch);
}

/* ---- State ---------------------------------------------------------------------------------- */

/* Our log agrees with our stream for the first time: the feeds may begin, and others may read our
 * log. */
static void note_whole(struct sender *sender)
{
    struct instance *instance = sender->instance;
    atomic_store(&instance->status.whole, 1);
    if (endpoints_subscribe(instance) < 0 || bus_flush(instance->bus, 2000) < 0) {
        log_error("not_ready", LOG_TEXT("reason", failure_text()));
        return; /* tried again with the next note or tick */
    }
    sender->whole = 1;
    sender->more = 1;
}

/* Projections that were begun anew are awaited: an order of a customer who is not known yet would
 * be refused, and the refusal be remembered under its key. */
static _Bool has_projections(struct sender *sender)
{
    struct instance *instance = sender->instance;
    const struct source *source = instance->service->sources;
    if (!atomic_load(&instance->status.folding))
        return 1;
    for (int i = 0; source && source[i].log; i++)
        if (!feed_has_what_there_is(&sender->feeds[i]))
            return 0;
    atomic_store(&instance->writer.end_folding, 1);
    inbox_wake(&instance->inbox);
    return 0; /* the writer wakes us when that is in the file */
}

/* Now requests are taken and timers run. */
static void announce(struct sender *sender)
{
    struct instance *instance = sender->instance;
    atomic_store(&instance->status.caught_up, 1);
    atomic_store(&instance->writer.start_process, 1);
    inbox_wake(&instance->inbox);
    sender->announced = 1;
    log_info("ready", LOG_INT("position", sender->relay.head),
             LOG_INT("start_ms", clock_wall_ms() - instance->status.started_ms));
}

/* Since when the oldest event waits for the stream. */
static void note_ages(struct sender *sender, int64_t now_ms)
{
    const struct relay *relay = &sender->relay;
    int passed = 0;
    while (passed < sender->age_count && sender->ages[passed].position <= relay->published)
        passed++;
    sender->age_count -= passed;
    memmove(sender->ages, sender->ages + passed,
            sizeof(sender->ages[0]) * (size_t)sender->age_count);
    struct relay_age *newest = sender->age_count > 0 ? &sender->ages[sender->age_count - 1] : NULL;
    if (newest && (now_ms - newest->since_ms < RELAY_AGE_MS || sender->age_count == RELAY_AGES))
        newest->position = relay->head;
    else if (relay->head > (newest ? newest->position : relay->published))
        sender->ages[sender->age_count++] = (struct relay_age){ relay->head, now_ms };
    atomic_store(&sender->instance->status.unpublished_since_ms,
                 sender->age_count > 0 ? sender->ages[0].since_ms : 0);
}

static void note_states(struct sender *sender, int64_t now_ms)
{
    struct instance *instance = sender->instance;
    struct status *status = &instance->status;
    enum relay_state state = sender->relay.state;
    if (atomic_exchange(&status->relay_state, state) != (int)state) {
        enum log_level level = state == RELAY_FORKED    ? LOG_ERROR
                               : state == RELAY_WAITING ? LOG_WARN
                                                        : LOG_INFO;
        log_at(
            level, "relay", LOG_TEXT("state", relay_state_name(state)),
            LOG_INT("published", sender->relay.published), LOG_INT("position", sender->relay.head),
            LOG_TEXT("reason",
                     state == RELAY_FORKED || state == RELAY_WAITING ? sender->relay.reason : NULL),
            LOG_TEXT(
                "help",
                state == RELAY_FORKED
                    ? "a person must choose: `resolve` shows both sides, docs/OPERATIONS.md, A fork"
                    : NULL));
        if ((state == RELAY_RECOVERING || state == RELAY_FORKED) &&
            endpoints_subscribe(instance) < 0)
            log_error("not_ready", LOG_TEXT("reason", failure_text()));
    }
    note_ages(sender, now_ms);
    atomic_store(&status->published, sender->relay.published);
    atomic_store(&status->republished, sender->relay.republished);
    atomic_store(&status->stream_remade, sender->relay.remade);
    atomic_store(&status->refused, sender->relay.refusals);
    atomic_store(&status->replay_target,
                 state == RELAY_RECOVERING ? sender->relay.stream_position : 0);
    if (state == RELAY_PUBLISHING && !sender->whole)
        note_whole(sender);
    if (sender->whole && !sender->announced && has_projections(sender))
        announce(sender);
    const struct source *source = instance->service->sources;
    for (int i = 0; source && source[i].log; i++) {
        const struct feed *feed = &sender->feeds[i];
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
static int64_t acked_in_epoch(const struct sender *sender)
{
    uint64_t acked = atomic_load(&sender->acked);
    int64_t position = ack_position(acked);
    return acked == ack_pack(sender->relay.epoch, position) ? position : 0;
}

/* ---- The thread ----------------------------------------------------------------------------- */

static void take_note(struct sender *sender, struct note *note, int64_t now_ms)
{
    const struct source *source = sender->instance->service->sources;
    switch (note->kind) {
    case NOTE_BATCH:    settle(sender, note->batch, now_ms); break;
    case NOTE_ANSWER:   take_answer(sender, note->answer, now_ms); break;
    case NOTE_OPERATOR: redrive_part_request(sender, note->request, now_ms); break;
    case NOTE_REFUSED:
        if (note->status == JS_ERR_WRONG_LAST_SEQUENCE)
            relay_denied(&sender->relay, note->epoch, relay_part_reason(note->status), now_ms);
        else
            relay_refused(&sender->relay, note->epoch, relay_part_reason(note->status), now_ms);
        break;
    case NOTE_CONNECTED:
        log_info("connected");
        relay_connected(&sender->relay, now_ms);
        for (int i = 0; source && source[i].log; i++)
            feed_connected(&sender->feeds[i]);
        break;
    case NOTE_DISCONNECTED:
        log_warn("disconnected");
        relay_disconnected(&sender->relay);
        for (int i = 0; source && source[i].log; i++)
            feed_disconnected(&sender->feeds[i]);
        break;
    case NOTE_PULL_STATUS: feed_part_status(sender, note, now_ms); break;
    }
    free(note);
}

static void act(struct sender *sender, int64_t now_ms)
{
    const struct source *source = sender->instance->service->sources;
    int64_t acked = acked_in_epoch(sender);
    if (acked > 0)
        relay_acked(&sender->relay, sender->relay.epoch, acked, now_ms);
    sender->more = relay_part_act(sender, now_ms);
    /* Wake up for the last of what is in flight, or for enough of it to keep the window open. */
    const struct relay *relay = &sender->relay;
    int64_t half = relay->published + relay->config.window_max / 2;
    atomic_store(&sender->ack_wake_position, relay->sent < half ? relay->sent : half);
    /* Others' logs only once our own is whole: a reaction must see what we have said before. */
    for (int i = 0; source && source[i].log && sender->whole; i++)
        feed_part_act(sender, i, now_ms);
    call_part_look_at_clock(sender, now_ms);
    redrive_part_look_at_clock(sender, now_ms);
    note_states(sender, now_ms);
}

static int64_t due_ms(const struct sender *sender, int64_t now_ms)
{
    const struct source *source = sender->instance->service->sources;
    int64_t due = now_ms + (sender->stop_by_ms > 0 ? STOP_TICK_MS : TICK_MS);
    if (relay_due_ms(&sender->relay) < due)
        due = relay_due_ms(&sender->relay);
    for (int i = 0; source && source[i].log && sender->whole; i++)
        if (feed_due_ms(&sender->feeds[i]) < due)
            due = feed_due_ms(&sender->feeds[i]);
    if (sender->calls && sender->calls->deadline_ms < due)
        due = sender->calls->deadline_ms;
    if (sender->redrive.item && sender->redrive.deadline_ms < due)
        due = sender->redrive.deadline_ms;
    return due;
}

/* Is there something to do before any time is reached? Under the lock. */
static _Bool has_work(struct sender *sender)
{
    _Bool acked = sender->relay.sent > sender->relay.published &&
                  acked_in_epoch(sender) >= atomic_load(&sender->ack_wake_position);
    _Bool ending = sender->stopping && sender->stop_by_ms == 0;
    return sender->first || ending || acked || sender->more;
}

/* deadline_ms: until when it waits for something to do; NO_WAIT. */
static struct note *take_mail(struct sender *sender, int64_t deadline_ms, _Bool *ret_stopping)
{
    pthread_mutex_lock(&sender->lock);
    if (deadline_ms != NO_WAIT && !has_work(sender))
        condition_wait(&sender->filled, &sender->lock, deadline_ms);
    struct note *notes = sender->first;
    sender->first = NULL;
    sender->last = &sender->first;
    *ret_stopping = sender->stopping;
    pthread_mutex_unlock(&sender->lock);
    return notes;
}

/* A stop in peace leaves an empty outbox, if the stream takes what is left in time. */
static _Bool is_done(struct sender *sender, int64_t now_ms)
{
    const struct relay *relay = &sender->relay;
    if (sender->stop_by_ms == 0)
        sender->stop_by_ms = now_ms + STOP_PUBLISH_MS;
    return relay->state != RELAY_PUBLISHING || relay->published >= relay->head ||
           now_ms >= sender->stop_by_ms;
}

/* False: a stop was asked for and all is settled. */
static _Bool take_and_act(struct sender *sender, struct note *notes, _Bool stopping, int64_t now_ms)
{
    if (!notes && stopping && is_done(sender, now_ms))
        return 0;
    atomic_store(&sender->instance->status.sender_turned_ms, now_ms);
    /* Arrivals before batches: what a batch settles has arrived before. */
    feed_part_arrivals(sender, now_ms);
    while (notes) {
        struct note *next = notes->next;
        take_note(sender, notes, now_ms);
        notes = next;
    }
    act(sender, now_ms);
    return 1;
}

_Bool sender_turn(struct sender *sender, int64_t now_ms)
{
    _Bool stopping = 0;
    struct note *notes = take_mail(sender, NO_WAIT, &stopping);
    return take_and_act(sender, notes, stopping, now_ms);
}

int64_t sender_due_ms(struct sender *sender, int64_t now_ms)
{
    pthread_mutex_lock(&sender->lock);
    _Bool at_once = has_work(sender);
    pthread_mutex_unlock(&sender->lock);
    return at_once ? now_ms : due_ms(sender, now_ms);
}

static void *sender_main(void *argument)
{
    struct sender *sender = argument;
    struct note *notes;
    _Bool stopping = 0;
    int64_t now_ms = clock_monotonic_ms();
    do {
        notes = take_mail(sender, due_ms(sender, now_ms), &stopping);
        now_ms = clock_monotonic_ms();
    } while (take_and_act(sender, notes, stopping, now_ms));
    return NULL;
}

/* ---- Opening and closing -------------------------------------------------------------------- */

/* Of one machine's waits; not 0, which would be none. */
static uint64_t seed_of(uint64_t seed, int number)
{
    uint64_t drawn = seed + (uint64_t)number;
    if (seed == 0 && getrandom(&drawn, sizeof(drawn), 0) != sizeof(drawn))
        drawn = (uint64_t)clock_monotonic_ns();
    return drawn | 1;
}

int sender_open(struct sender *sender, struct instance *instance, uint64_t seed)
{
    const struct service *service = instance->service;
    sender->instance = instance;
    sender->last = &sender->first;
    sender->self = service_as_source(service);
    pthread_mutex_init(&sender->lock, NULL);
    condition_init(&sender->filled);
    struct relay_config relay_config = relay_defaults;
    relay_config.seed = seed_of(seed, 0);
    relay_init(&sender->relay, &relay_config, instance->writer.loop.at.head.position);
    relay_saw(&sender->relay, instance->writer.loop.at.stream_position);
    for (int i = 0; service->sources && service->sources[i].log; i++) {
        struct feed_config feed_config = feed_defaults;
        feed_config.seed = seed_of(seed, 2 * (i + 1));
        feed_init(&sender->feeds[i], &feed_config, instance->writer.loop.at.cursors[i].position);
        int r = config_source_api(instance->config, service->sources[i].log, sender->apis[i]);
        if (r < 0)
            return trace(r);
    }
    struct db_options options = { .path = instance->database_path,
                                  .read_only = 1,
                                  .damaged = &instance->status.damaged };
    return trace(db_open(&options, &sender->db));
}

static int subscribe(struct sender *sender, const char *suffix, bus_handler handler, void *context,
                     struct bus_subscription **ret_subscription)
{
    char subject[BUS_SUBJECT_MAX + 1];
    snprintf(subject, sizeof(subject), "%s%s", sender->inbox, suffix);
    return trace(
        bus_subscribe(sender->instance->bus, subject, NULL, handler, context, ret_subscription));
}

int sender_subscribe(struct sender *sender)
{
    const struct source *source = sender->instance->service->sources;
    int r = bus_new_inbox(sender->instance->bus, sender->inbox);
    if (r == 0)
        r = subscribe(sender, ".a.>", on_puback, sender, &sender->acks);
    if (r == 0)
        r = subscribe(sender, ".q.>", on_answer, sender, &sender->answers);
    for (int i = 0; source && source[i].log && r == 0; i++) {
        char suffix[16];
        snprintf(suffix, sizeof(suffix), ".f.%d.>", i);
        sender->places[i] = (struct delivery_place){ .sender = sender, .feed = i };
        r = subscribe(sender, suffix, on_delivery, &sender->places[i], &sender->deliveries[i]);
    }
    return trace(r);
}

int sender_start(struct sender *sender)
{
    if (pthread_create(&sender->thread, NULL, sender_main, sender) != 0)
        return fail(ERR_MEMORY, "no thread for the sender");
    sender->runs = 1;
    return 0;
}

void sender_stop(struct sender *sender)
{
    if (!sender->runs)
        return;
    pthread_mutex_lock(&sender->lock);
    sender->stopping = 1;
    pthread_cond_signal(&sender->filled);
    pthread_mutex_unlock(&sender->lock);
    pthread_join(sender->thread, NULL);
    sender->runs = 0;
    redrive_part_stop(sender);
}

static void drop_notes(struct sender *sender)
{
    while (sender->first) {
        struct note *note = sender->first;
        sender->first = note->next;
        bus_message_free(note->answer);
        batch_free(note->batch);
        item_free(note->request);
        free(note);
    }
}

void sender_deinit(struct sender *sender)
{
    drop_notes(sender);
    bus_subscription_free(sender->acks);
    bus_subscription_free(sender->answers);
    for (int i = 0; i < SOURCES_MAX; i++)
        bus_subscription_free(sender->deliveries[i]);
    while (sender->calls) {
        struct open_call *next = sender->calls->next;
        outbound_call_free(sender->calls->call);
        free(sender->calls);
        sender->calls = next;
    }
    for (int i = 0; i < RECOVER_WINDOW; i++)
        item_free(sender->recovery.items[i]);
    db_free(sender->db);
    sender->db = NULL;
}
