/* Sender: see sender.h. */
#include "runtime/outbound/sender.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/smaller.h"
#include "runtime/outbound/read_back.h"
#include "runtime/outbound/sender_lead.h"
#include "runtime/outbound/sender_state.h"
#include "runtime/outbound/stream_io.h"
#include "runtime/outbound/stream_make.h"
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define TICK_MS 1000         /* the longest sleep */
#define STOP_PUBLISH_MS 2000 /* how long a stop waits for the stream */
#define STOP_TICK_MS 20

/* ---- From other threads --------------------------------------------------------------------- */

void sender_wake(struct sender *sender)
{
    mailbox_wake(&sender->outbound.mailbox);
}

void sender_settle(struct sender *sender, struct batch *batch)
{
    mailbox_push(&sender->outbound.mailbox, (struct note){ .kind = NOTE_BATCH, .batch = batch });
}

void sender_connected(struct sender *sender)
{
    mailbox_push(&sender->outbound.mailbox, (struct note){ .kind = NOTE_CONNECTED });
}

void sender_disconnected(struct sender *sender)
{
    mailbox_push(&sender->outbound.mailbox, (struct note){ .kind = NOTE_DISCONNECTED });
}

void sender_operate(struct sender *sender, struct item *item)
{
    mailbox_push(&sender->outbound.mailbox,
                 (struct note){ .kind = NOTE_OPERATOR, .request = item });
}

void sender_answer(struct sender *sender, struct item *item)
{
    mailbox_push(&sender->outbound.mailbox, (struct note){ .kind = NOTE_ANSWER, .request = item });
}

void sender_denied(struct sender *sender, _Bool publish, const char *subject)
{
    struct note note = { .kind = NOTE_DENIED, .status = publish };
    snprintf(note.words, sizeof(note.words), "%s", subject);
    mailbox_push(&sender->outbound.mailbox, note);
}

static void on_reply(void *context, struct bus_message *message)
{
    struct sender *sender = context;
    mailbox_push(&sender->outbound.mailbox, (struct note){ .kind = NOTE_REPLY, .reply = message });
}

/* ---- Notes ---------------------------------------------------------------------------------- */

static void take_reply(struct sender *sender, struct bus_message *reply, int64_t now_ms)
{
    _free_(bus_message) struct bus_message *message = reply;
    struct reply_tag tag;
    struct call_tag call;
    if (reply_subject_read_call(bus_message_subject(message), sender->outbound.replies, &call)) {
        call_io_answer(&sender->calls, &call, message);
        return;
    }
    if (!reply_subject_read_request(bus_message_subject(message), sender->outbound.replies, &tag))
        return;
    int feed = tag.part - PART_FEED;
    switch (tag.part) {
    case PART_RELAY:   stream_io_reply(&sender->relay_io, &tag, message, now_ms); break;
    case PART_CALLS:   call_io_reply(&sender->calls, tag.n, message); break;
    case PART_PEERS:   peer_io_reply(&sender->peers, message, now_ms); break;
    case PART_REDRIVE: redrive_reply(&sender->redrive, &tag, message, now_ms); break;
    case PART_READERS:
        reader_ask_reply(&sender->relay_io.readers, &sender->outbound, &sender->relay_io.relay,
                         message, now_ms);
        peer_io_hear(&sender->peers, message, now_ms); /* another of ours may have seen more */
        break;
    case PART_HANDOVER: handover_io_reply(&sender->handover, &tag, message, now_ms); break;
    case PART_DURABLES: durable_io_reply(&sender->durables, &tag, message, now_ms); break;
    default:
        if (feed >= 0 && feed < sender->feed_count)
            feed_io_reply(&sender->feeds[feed], &tag, message, now_ms);
    }
}

static void settle(struct sender *sender, struct batch *batch, int64_t now_ms)
{
    if (sender->relay_io.relay.state != RELAY_FENCED) /* else it speaks for nobody */
        gate_io_settle(&sender->gate, batch, now_ms); /* what leaves us because of the commit */
    for (int i = 0; i < sender->feed_count; i++)
        feed_io_settled(&sender->feeds[i], batch, now_ms);
    read_back_settled(&sender->relay_io, batch, now_ms);
    lead_io_settled(&sender->lead_io, batch, now_ms);
    stream_make_settled(&sender->relay_io, batch, now_ms);
    redrive_settled(&sender->redrive, batch, now_ms);
    term_io_settled(&sender->term_io, batch, now_ms);
    if (batch->events) { /* until the relay has had its turn */
        batch->next = NULL;
        *sender->last_settled = batch;
        sender->last_settled = &batch->next;
    } else {
        batch_free(batch);
    }
}

static void forget_settled(struct sender *sender)
{
    while (sender->settled) {
        struct batch *batch = sender->settled;
        sender->settled = batch->next;
        batch_free(batch);
    }
    sender->last_settled = &sender->settled;
}

static void connect_all(struct sender *sender, int64_t now_ms)
{
    log_info("connected");
    peer_connected(&sender->peers.peer, now_ms);
    lead_connected(&sender->lead_io.lead, now_ms);
    if (sender->lead_io.lead.state != LEAD_UNDECIDED)
        sender_lead_connect(sender, now_ms);
}

static void disconnect_all(struct sender *sender)
{
    log_warn("disconnected");
    permissions_disconnected(&sender->permissions);
    peer_disconnected(&sender->peers.peer);
    lead_disconnected(&sender->lead_io.lead);
    relay_disconnected(&sender->relay_io.relay);
    for (int i = 0; i < sender->feed_count; i++)
        feed_disconnected(&sender->feeds[i].feed);
}

static void take_note(struct sender *sender, struct note *note, int64_t now_ms)
{
    assert(note->feed >= 0 && note->feed < SOURCES_MAX);
    switch (note->kind) {
    case NOTE_BATCH:        settle(sender, note->batch, now_ms); break;
    case NOTE_REPLY:        take_reply(sender, note->reply, now_ms); break;
    case NOTE_CONNECTED:    connect_all(sender, now_ms); break;
    case NOTE_DISCONNECTED: disconnect_all(sender); break;
    case NOTE_REFUSED:
        relay_io_refused(&sender->relay_io, note->epoch, note->status, note->words, now_ms);
        break;
    case NOTE_PULL_STATUS: feed_io_pull_status(&sender->feeds[note->feed], note, now_ms); break;
    case NOTE_DENIED:
        permissions_denied(&sender->permissions, note->status != 0, note->words, now_ms);
        if (note->status && strncmp(note->words, "evt.", 4) == 0)
            relay_io_denied(&sender->relay_io, note->words, now_ms);
        break;
    case NOTE_HAND_OVER: handover_io_stop(&sender->handover, now_ms); break;
    case NOTE_BEAT:      sender_lead_heard(sender, note->reply, now_ms); break;
    case NOTE_ADVISED:   relay_io_advised(&sender->relay_io, now_ms); break;
    case NOTE_OPERATOR:
        sender->options.operate(sender->options.context, note->request, now_ms);
        break;
    case NOTE_ANSWER: gate_io_answer(&sender->gate, note->request, now_ms); break;
    }
    free(note);
}

/* ---- One turn ------------------------------------------------------------------------------- */

static _Bool reads_others(const struct sender *sender)
{
    const struct relay *relay = &sender->relay_io.relay;
    return relay->state != RELAY_FORKED && (sender->whole || relay->follows);
}

/* Before the next group: who waits for an acknowledgement does not wait for what comes after it. */
static void open_gate(struct sender *sender, int64_t now_ms)
{
    const struct gate *gate = &sender->gate.gate;
    const int64_t left = gate->confirmed + gate->given_up;
    relay_io_take_acks(&sender->relay_io, now_ms);
    gate_io_act(&sender->gate, &sender->relay_io.relay, now_ms);
    if (gate->confirmed + gate->given_up != left) /* with them their events' memory */
        forget_settled(sender);
}

static void act(struct sender *sender, int64_t now_ms)
{
    if (sender->outbound.status->answers_wait)
        open_gate(sender, now_ms);
    reader_ask_look_at_clock(&sender->relay_io.readers, &sender->outbound, &sender->relay_io.relay,
                             now_ms);
    payload_limit_act(&sender->payload_limit);
    if (peer_io_act(&sender->peers, now_ms))
        sender_lead_alone(sender, now_ms);
    sender->more = relay_io_act(&sender->relay_io, sender->settled, now_ms);
    relay_io_send(&sender->relay_io, now_ms);
    forget_settled(sender);
    sender->more |= sender_lead_act(sender, now_ms);
    relay_io_wake_at(&sender->relay_io, gate_first_position(&sender->gate.gate));
    /* Others' logs only once our own is whole: a reaction must see what we have said before. One
     * that follows reacts to nothing. */
    for (int i = 0; i < sender->feed_count && reads_others(sender); i++)
        feed_io_act(&sender->feeds[i], now_ms);
    call_io_look_at_clock(&sender->calls, now_ms);
    redrive_look_at_clock(&sender->redrive, now_ms);
    permissions_act(&sender->permissions, now_ms);
    durable_io_look_at_clock(&sender->durables, now_ms);
    sender_report(sender, now_ms);
}

static int64_t due_ms(const struct sender *sender, int64_t now_ms)
{
    int64_t due = smaller(now_ms + (sender->stop_by_ms > 0 ? STOP_TICK_MS : TICK_MS),
                          relay_due_ms(&sender->relay_io.relay));
    due = smaller(due, stream_reader_due_ms(&sender->relay_io.reader));
    due = smaller(due, reader_ask_due_ms(&sender->relay_io.readers));
    due = smaller(due, relay_io_send_due_ms(&sender->relay_io));
    due = smaller(due, peer_due_ms(&sender->peers.peer));
    for (int i = 0; i < sender->feed_count && reads_others(sender); i++)
        due = smaller(due, feed_due_ms(&sender->feeds[i].feed));
    due = smaller(due, sender_lead_due_ms(sender));
    due = smaller(due, call_io_due_ms(&sender->calls));
    due = smaller(due, gate_io_due_ms(&sender->gate));
    due = smaller(due, durable_io_due_ms(&sender->durables));
    return smaller(due, redrive_due_ms(&sender->redrive));
}

/* Is there work beside the mail that is due now? Under the mailbox's lock. */
static _Bool has_work(const void *context)
{
    const struct sender *sender = context;
    _Bool ending = sender->outbound.mailbox.stopping && sender->stop_by_ms == 0;
    return ending || sender->more || relay_io_has_acks(&sender->relay_io);
}

/* A stop in peace leaves an empty outbox, if the stream takes what is left in time. */
static _Bool is_done(struct sender *sender, int64_t now_ms)
{
    const struct relay *relay = &sender->relay_io.relay;
    if (sender->stop_by_ms == 0)
        sender->stop_by_ms = now_ms + STOP_PUBLISH_MS;
    return relay->state != RELAY_PUBLISHING || relay->published >= relay->head ||
           now_ms >= sender->stop_by_ms;
}

/* False: a stop was asked for and all is settled. */
static _Bool take_and_act(struct sender *sender, struct note *notes, _Bool stopping, int64_t now_ms)
{
    owner_assert(&sender->outbound.owner);
    if (!notes && stopping && is_done(sender, now_ms)) {
        gate_io_end(&sender->gate, &sender->relay_io.relay, now_ms);
        sender_lead_end(sender);
        return 0;
    }
    atomic_store(&sender->outbound.status->sender_turned_ms, now_ms);
    /* Before batches: what a batch settles has arrived before. */
    for (int i = 0; i < sender->feed_count; i++)
        feed_io_take_arrivals(&sender->feeds[i], now_ms);
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
    struct note *notes = mailbox_take(&sender->outbound.mailbox, MAILBOX_NO_WAIT, has_work, sender,
                                      &stopping);
    return take_and_act(sender, notes, stopping, now_ms);
}

int64_t sender_due_ms(struct sender *sender, int64_t now_ms)
{
    return mailbox_is_due(&sender->outbound.mailbox, has_work, sender) ? now_ms
                                                                       : due_ms(sender, now_ms);
}

/* ---- The thread ----------------------------------------------------------------------------- */

static void *sender_main(void *argument)
{
    struct sender *sender = argument;
    _Bool stopping = 0, goes_on;
    int64_t now_ms = clock_monotonic_ms();
    owner_take(&sender->outbound.owner);
    do {
        struct note *notes = mailbox_take(&sender->outbound.mailbox, due_ms(sender, now_ms),
                                          has_work, sender, &stopping);
        now_ms = clock_monotonic_ms();
        bus_pump(sender->outbound.bus, now_ms);
        goes_on = take_and_act(sender, notes, stopping, now_ms);
        bus_push(sender->outbound.bus, clock_wall_ms(), now_ms);
    } while (goes_on);
    return NULL;
}

int sender_start(struct sender *sender)
{
    assert(!sender->runs && sender->outbound.bus);
    if (pthread_create(&sender->thread, NULL, sender_main, sender) != 0)
        return fail(ERR_MEMORY, "no thread for the sender");
    sender->runs = 1;
    return 0;
}

void sender_stop(struct sender *sender)
{
    if (!sender->runs)
        return;
    mailbox_stop(&sender->outbound.mailbox);
    pthread_join(sender->thread, NULL);
    owner_release(&sender->outbound.owner);
    sender->runs = 0;
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

static int open_feeds(struct sender *sender, const struct positions *at)
{
    const struct source *source = sender->options.service->sources;
    for (int i = 0; source && source[i].log; i++) {
        int r = feed_io_init(&sender->feeds[i], &sender->outbound, sender->options.config, i,
                             at->cursors[i].position, seed_of(sender->options.seed, 2 * (i + 1)));
        if (r < 0)
            return trace(r);
        sender->feed_count++;
    }
    return 0;
}

int sender_open(struct sender *sender, const struct sender_options *options)
{
    struct outbound *outbound = &sender->outbound;
    const struct positions *at = &options->writer->loop.at;
    const struct relay_io_options relay_options = {
        .stream_max_bytes = options->config->stream_max_bytes,
        .stream_replicas = (int)options->config->stream_replicas,
        .head = at->head.position,
        .stream_position = at->stream_position,
        .seed = seed_of(options->seed, 0),
    };
    const struct db_options db_options = { .path = options->database_path,
                                           .read_only = 1,
                                           .damaged = &options->status->damaged };
    assert(options->service && options->status && options->inbox && options->endpoints);
    assert(options->operate && options->instance);
    sender->options = *options;
    outbound->inbox = options->inbox;
    outbound->status = options->status;
    outbound->service = options->service;
    outbound->self = service_as_source(options->service);
    mailbox_init(&outbound->mailbox);
    sender->last_settled = &sender->settled;
    int r = db_open(&db_options, &outbound->db);
    if (r == 0)
        r = relay_io_init(&sender->relay_io, outbound, &relay_options);
    if (r == 0)
        r = stream_keep_load(&sender->relay_io.keep);
    call_io_init(&sender->calls, outbound);
    gate_io_init(&sender->gate, outbound, &sender->calls, options->config->answer_wait_ms);
    redrive_init(&sender->redrive, outbound);
    permissions_init(&sender->permissions, outbound, options->endpoints);
    payload_limit_init(&sender->payload_limit, outbound);
    peer_io_init(&sender->peers, outbound, options->peers, options->endpoints);
    durable_io_init(&sender->durables, outbound);
    term_io_init(&sender->term_io, outbound, options->instance);
    sender_lead_init(sender, at, seed_of(options->seed, 1));
    if (r == 0)
        r = open_feeds(sender, at);
    return trace(r);
}

int sender_subscribe(struct sender *sender, struct bus *bus)
{
    static_assert(SOURCES_MAX <= 10, "a feed's part is one digit");
    assert(bus && !sender->outbound.bus);
    sender->outbound.bus = bus;
    peer_io_subscribed(&sender->peers);
    sender->outbound.mailbox.bus_fd = bus_pump_fd(bus);
    int r = bus_new_inbox(bus, sender->outbound.replies);
    if (r == 0)
        r = relay_io_subscribe(&sender->relay_io);
    if (r == 0)
        r = outbound_subscribe(&sender->outbound, ".q.>", on_reply, sender, &sender->replies);
    if (r == 0)
        r = outbound_subscribe(&sender->outbound, ".w.>", on_reply, sender, &sender->answers);
    if (r == 0)
        r = lead_io_subscribe(&sender->lead_io, sender->options.instance);
    for (int i = 0; i < sender->feed_count && r == 0; i++)
        r = feed_io_subscribe(&sender->feeds[i]);
    return trace(r);
}

void sender_deinit(struct sender *sender)
{
    assert(!sender->runs); /* sender_stop joined it */
    forget_settled(sender);
    mailbox_deinit(&sender->outbound.mailbox);
    relay_io_deinit(&sender->relay_io);
    bus_subscription_free(sender->replies);
    bus_subscription_free(sender->answers);
    for (int i = 0; i < sender->feed_count; i++)
        feed_io_deinit(&sender->feeds[i]);
    gate_io_deinit(&sender->gate);
    call_io_deinit(&sender->calls);
    redrive_deinit(&sender->redrive);
    peer_io_deinit(&sender->peers);
    lead_io_deinit(&sender->lead_io);
    handover_io_deinit(&sender->handover);
    successor_io_deinit(&sender->successor);
    durable_io_deinit(&sender->durables);
    db_free(sender->outbound.db);
    sender->outbound.db = NULL;
}
