/* Stream reader: see stream_reader.h. */
#include "runtime/outbound/stream_reader.h"
#include "base/log.h"
#include "base/smaller.h"
#include "runtime/outbound/stream_io.h"
#include "runtime/sync/envelope.h"
#include "runtime/sync/event_item.h"
#include <stdio.h>
#include <string.h>

#define SILENCE_MS 1000    /* without a message that is there: it is read in another way */
#define INACTIVE_MS 300000 /* then the server forgets the consumer */
#define PULL_EXPIRES_MS 5000
#define NEWS_EACH 128     /* messages between two wake-ups of the sender */
#define WORTH_IT 256      /* messages that are given though more are to come */
#define REST_MIN_MS 10000 /* after a failure */
#define REST_MAX_MS 600000
#define STATUS_CONFLICT 409

static const char notice_of[] = "reading";

static void reader_check(const struct stream_reader *reader)
{
    const struct arrived *arrived = &reader->arrived;
    int64_t left = 0;
    for (int i = 0; i < READER_PULLS; i++)
        left += arrived->pulls[i].left;
    assert(arrived->count >= 0 && left >= 0 && arrived->count + left <= READER_AHEAD); /* D1 */
    assert(left == 0 || reader->state == READER_READING);                              /* D2 */
    (void)left; /* without assertions */
}

/* ---- Deliveries, on a library thread -------------------------------------------------------- */

static void tell_sender(struct stream_reader *reader)
{
    atomic_store(&reader->has_news, 1);
    mailbox_wake(&reader->outbound->mailbox);
}

static void break_off(struct stream_reader *reader, int64_t generation, const char *reason)
{
    struct arrived *arrived = &reader->arrived;
    pthread_mutex_lock(&arrived->lock);
    if (generation == arrived->generation)
        arrived->broken = reason;
    pthread_mutex_unlock(&arrived->lock);
    tell_sender(reader);
}

/* A pull is over before it has brought all: its bytes are used up, its time is, or there is no such
 * consumer. */
static void take_status(struct stream_reader *reader, struct bus_message *message, int status)
{
    struct arrived *arrived = &reader->arrived;
    int64_t generation, pull;
    if (!reply_subject_read_own(bus_message_subject(message), reader->outbound->replies,
                                &generation, &pull))
        return;
    const char *words = bus_message_status_text(message);
    const _Bool is_over = status == 408 || strncmp(words, "Message Size Exceeds", 20) == 0 ||
                          strncmp(words, "Batch Completed", 15) == 0;
    if (!is_over) {
        break_off(reader, generation,
                  status == STATUS_CONFLICT ? "the server refuses its pull"
                                            : "its consumer is not there");
        return;
    }
    pthread_mutex_lock(&arrived->lock);
    for (int i = 0; i < READER_PULLS && generation == arrived->generation; i++)
        if (arrived->pulls[i].number == pull)
            arrived->pulls[i] = (struct reader_pull){ 0 };
    pthread_mutex_unlock(&arrived->lock);
    tell_sender(reader);
}

/* Under the lock: one message of the oldest pull has come. */
static void count_one(struct arrived *arrived)
{
    struct reader_pull *oldest = NULL;
    for (int i = 0; i < READER_PULLS; i++)
        if (arrived->pulls[i].number > 0 && (!oldest || arrived->pulls[i].number < oldest->number))
            oldest = &arrived->pulls[i];
    if (oldest && --oldest->left == 0)
        *oldest = (struct reader_pull){ 0 };
}

/* True: it is the next, and the item, if there is one, was taken over. */
static _Bool add(struct stream_reader *reader, const struct js_delivery *delivery,
                 struct item *item, _Bool *ret_is_news)
{
    struct arrived *arrived = &reader->arrived;
    pthread_mutex_lock(&arrived->lock);
    const _Bool is_next = delivery->consumer_sequence == arrived->consumer_sequence + 1 &&
                          delivery->stream_sequence > arrived->newest && !arrived->broken;
    if (is_next) {
        count_one(arrived);
        arrived->consumer_sequence = delivery->consumer_sequence;
        arrived->newest = delivery->stream_sequence;
        arrived->is_end = delivery->pending_count == 0;
        if (item) {
            *arrived->last = item;
            arrived->last = &item->next;
            arrived->count++;
        }
    }
    *ret_is_news = arrived->is_end || arrived->newest >= reader->last ||
                   delivery->consumer_sequence % NEWS_EACH == 0;
    pthread_mutex_unlock(&arrived->lock);
    return is_next;
}

/* One that is no event of ours stays in its place, without a position. 0 or < 0; an item that is
 * NULL is a marker of the server, and is as a place without a message. */
static int read_message(struct stream_reader *reader, struct bus_message *message, int64_t sequence,
                        struct item **ret_item)
{
    struct bus_view view = { 0 };
    const char *reason = NULL;
    _free_(item) struct item *item = item_new(ITEM_EVENT);
    if (!item)
        return fail(ERR_MEMORY, "no memory for a message");
    int r = bus_message_view(message, &view);
    if (r == 0 && envelope_is_marker(&view))
        return 0;
    if (r == 0)
        r = event_item_read(item, &view, &reader->outbound->self, &reason);
    else if (r == -ERR_INVALID)
        reason = "no headers that can be read";
    if (r < 0 && !reason)
        return trace(r);
    item->sequence = sequence;
    if (reason) {
        log_error("foreign_message", LOG_TEXT("stream", reader->outbound->self.log),
                  LOG_INT("sequence", sequence), LOG_TEXT("reason", reason));
        item->event.position = 0;
    }
    *ret_item = take(item);
    return 0;
}

static _Bool is_of(const struct js_delivery *delivery, int64_t generation)
{
    const char *dash = strrchr(delivery->consumer, '-');
    return dash && strtoll(dash + 1, NULL, 10) == generation;
}

static void on_delivery(void *context, struct bus_message *received)
{
    struct stream_reader *reader = context;
    struct arrived *arrived = &reader->arrived;
    _free_(bus_message) struct bus_message *message = received;
    _free_(item) struct item *item = NULL;
    struct js_delivery delivery = { 0 };
    _Bool is_news = 0;
    const int status = bus_message_status(message);
    if (status) {
        take_status(reader, message, status);
        return;
    }
    pthread_mutex_lock(&arrived->lock);
    const int64_t generation = arrived->generation;
    pthread_mutex_unlock(&arrived->lock);
    if (!bus_message_reply(message) ||
        js_parse_delivery(bus_message_reply(message), &delivery) < 0 ||
        !is_of(&delivery, generation))
        return;
    if (read_message(reader, message, delivery.stream_sequence, &item) < 0)
        break_off(reader, generation, "a message cannot be read");
    else if (add(reader, &delivery, item, &is_news))
        item = NULL; /* it is theirs */
    else
        break_off(reader, generation, "a message was lost on the way");
    if (is_news)
        tell_sender(reader);
}

/* ---- On the sender's thread ----------------------------------------------------------------- */

static void forget(struct stream_reader *reader, int64_t next)
{
    struct arrived *arrived = &reader->arrived;
    pthread_mutex_lock(&arrived->lock);
    item_list_free(arrived->first);
    arrived->first = NULL;
    arrived->last = &arrived->first;
    arrived->count = 0;
    arrived->generation = ++reader->generation;
    arrived->newest = next - 1;
    arrived->consumer_sequence = 0;
    memset(arrived->pulls, 0, sizeof(arrived->pulls));
    arrived->is_end = 0;
    arrived->broken = NULL;
    reader->last = next - 1;
    pthread_mutex_unlock(&arrived->lock);
    reader->next = next;
    reader->seen = next - 1;
    reader->deadline_ms = INT64_MAX;
}

void stream_reader_close(struct stream_reader *reader)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    owner_assert(&reader->outbound->owner);
    if (reader->state == READER_IDLE)
        return;
    const struct reply_tag tag = { .part = PART_RELAY, .step = STEP_READER_GONE };
    reader->state = READER_IDLE;
    /* nobody waits for it: the server would forget it by itself */
    (void)outbound_request_api(
        reader->outbound, &tag,
        js_consumer_delete(&request, reader->outbound->self.log, reader->name), &request);
    forget(reader, 1);
    reader_check(reader);
}

static void reader_fail(struct stream_reader *reader, const char *reason, const char *words,
                        int64_t now_ms)
{
    struct notice notice;
    char value[NOTICE_VALUE_SIZE];
    stream_reader_close(reader);
    reader->rest_until_ms = now_ms + backoff_take_ms(&reader->rest);
    if (reader->reason)
        return;
    reader->reason = reason;
    snprintf(value, sizeof(value), "one by one: %s%s%s", reason, *words ? ": " : "", words);
    notice_set(&notice, NOTICE_BORNE, notice_of, reader->outbound->self.log, value, strlen(value));
    notices_replace(&reader->outbound->status->notices, notice_of, &notice, 1);
}

_Bool stream_reader_is_at(const struct stream_reader *reader, int64_t epoch, int64_t first,
                          int64_t now_ms)
{
    return reader->state != READER_IDLE && reader->epoch == epoch && reader->next == first &&
           now_ms - reader->used_ms < INACTIVE_MS / 2;
}

_Bool stream_reader_may_open(const struct stream_reader *reader, int64_t now_ms)
{
    return now_ms >= reader->rest_until_ms;
}

int stream_reader_open(struct stream_reader *reader, int64_t epoch, int64_t first, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    assert(first > 0);
    stream_reader_close(reader);
    forget(reader, first);
    reader->epoch = epoch;
    reader->used_ms = now_ms;
    reader->deadline_ms = now_ms + SILENCE_MS;
    reader->state = READER_MAKING;
    const char *unique = strrchr(reader->outbound->replies, '.');
    snprintf(reader->name, sizeof(reader->name), "%.24s-own-%.12s-%lld",
             reader->outbound->self.service, unique ? unique + 1 : "",
             (long long)reader->generation);
    const struct reply_tag tag = {
        .part = PART_RELAY, .step = STEP_READER_MADE, .epoch = epoch, .n = reader->generation
    };
    int r = outbound_request_api(
        reader->outbound, &tag,
        js_reader_create(&request, reader->outbound->self.log, reader->name, first, INACTIVE_MS),
        &request);
    if (r < 0)
        reader_fail(reader, "the server cannot be asked", "", now_ms);
    reader_check(reader);
    return trace(r);
}

void stream_reader_made(struct stream_reader *reader, int64_t generation,
                        const struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    if (reader->state != READER_MAKING || generation != reader->generation)
        return;
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message), &arena,
                                   &state);
    if (r != 0) {
        reader_fail(reader, "its consumer cannot be made", r > 0 ? state.error.description : "",
                    now_ms);
        return;
    }
    reader->state = READER_READING;
    reader->deadline_ms = now_ms + SILENCE_MS;
}

/* How many more to ask for: what the range may have, as far as there is room. 0: none now. */
static int64_t may_ask(struct arrived *arrived, int64_t last, struct reader_pull **ret_free)
{
    int64_t left = 0;
    *ret_free = NULL;
    for (int i = 0; i < READER_PULLS; i++) {
        left += arrived->pulls[i].left;
        if (arrived->pulls[i].number == 0)
            *ret_free = &arrived->pulls[i];
    }
    const int64_t wanted = smaller(last - arrived->newest - left, READER_BATCH);
    const int64_t room = READER_AHEAD - arrived->count - left;
    return *ret_free && wanted > 0 && room >= wanted ? wanted : 0;
}

static int send_pull(struct stream_reader *reader, int64_t number, int64_t count)
{
    _deinit_(js_request) struct js_request request;
    reply_subject reply;
    js_request_init(&request, NULL);
    reply_subject_of_own(reply, reader->outbound->replies, reader->generation, number);
    const struct js_pull wanted = { .batch = (int)count,
                                    .expires_ms = PULL_EXPIRES_MS,
                                    .max_bytes = READER_PULL_BYTES };
    int r = js_consumer_next(&request, reader->outbound->self.log, reader->name, &wanted);
    return r < 0 ? trace(r)
                 : trace(outbound_request_to(reader->outbound, reply, request.subject,
                                             request.body.data, request.body.length));
}

void stream_reader_wait(struct stream_reader *reader, int64_t now_ms)
{
    assert(reader->state != READER_IDLE);
    reader->deadline_ms = now_ms + SILENCE_MS;
}

/* The pull that is to be sent; 0: none is. */
static int64_t begin_pull(struct stream_reader *reader, int64_t last)
{
    struct arrived *arrived = &reader->arrived;
    struct reader_pull *pull;
    pthread_mutex_lock(&arrived->lock);
    if (last > reader->last)
        arrived->is_end = 0; /* there is more by now */
    reader->last = last;
    const int64_t count = may_ask(arrived, last, &pull);
    if (count > 0)
        *pull = (struct reader_pull){ .number = ++reader->pull, .left = count };
    pthread_mutex_unlock(&arrived->lock);
    return count;
}

void stream_reader_pull(struct stream_reader *reader, int64_t last, int64_t now_ms)
{
    int64_t count;
    owner_assert(&reader->outbound->owner);
    while (reader->state == READER_READING && (count = begin_pull(reader, last)) > 0) {
        reader->used_ms = now_ms;
        if (send_pull(reader, reader->pull, count) < 0)
            reader_fail(reader, "the server cannot be asked", "", now_ms);
    }
}

/* Under the lock: the oldest, up to READER_BATCH. */
static void take_oldest(struct stream_reader *reader, struct reader_window *window)
{
    struct arrived *arrived = &reader->arrived;
    int taken = 0;
    window->covered = reader->last;
    while (arrived->first && taken++ < READER_BATCH) {
        struct item *item = arrived->first;
        arrived->first = item->next;
        arrived->count--;
        item->next = NULL;
        window->covered = item->sequence;
        if (item->event.position == 0) {
            window->foreign++;
            item_free(item);
            continue;
        }
        window->count++;
        *window->last = item;
        window->last = &item->next;
    }
    if (arrived->first)
        return;
    arrived->last = &arrived->first;
    window->covered = arrived->is_end ? larger(arrived->newest, reader->last) : arrived->newest;
}

static void note_progress(struct stream_reader *reader, int64_t now_ms)
{
    reader->deadline_ms = now_ms + SILENCE_MS;
    if (!reader->reason)
        return;
    reader->reason = NULL;
    backoff_reset(&reader->rest);
    notices_replace(&reader->outbound->status->notices, notice_of, NULL, 0);
}

int stream_reader_take(struct stream_reader *reader, int64_t now_ms,
                       struct reader_window *ret_window)
{
    struct arrived *arrived = &reader->arrived;
    owner_assert(&reader->outbound->owner);
    assert(reader->state != READER_IDLE);
    atomic_store(&reader->has_news, 0);
    *ret_window = (struct reader_window){ .last = &ret_window->first };
    pthread_mutex_lock(&arrived->lock);
    const char *broken = arrived->broken;
    const int64_t newest = arrived->newest;
    const _Bool gives = !broken && reader->state == READER_READING &&
                        (arrived->count >= WORTH_IT || newest >= reader->last || arrived->is_end);
    if (gives)
        take_oldest(reader, ret_window);
    pthread_mutex_unlock(&arrived->lock);
    if (newest > reader->seen)
        note_progress(reader, now_ms);
    reader->seen = newest;
    if (gives) {
        reader->deadline_ms = INT64_MAX; /* until more is waited for */
        reader->next = ret_window->covered + 1;
        return 1;
    }
    if (!broken && now_ms < reader->deadline_ms)
        return 0;
    reader_fail(reader, broken ? broken : "no message comes", "", now_ms);
    return -ERR_NETWORK;
}

int64_t stream_reader_due_ms(const struct stream_reader *reader)
{
    return reader->state == READER_IDLE ? INT64_MAX : reader->deadline_ms;
}

/* ---- Opening and closing -------------------------------------------------------------------- */

void stream_reader_init(struct stream_reader *reader, struct outbound *outbound)
{
    *reader = (struct stream_reader){ .outbound = outbound, .deadline_ms = INT64_MAX };
    pthread_mutex_init(&reader->arrived.lock, NULL);
    reader->arrived.last = &reader->arrived.first;
    backoff_init(&reader->rest, REST_MIN_MS, REST_MAX_MS, 0);
}

int stream_reader_subscribe(struct stream_reader *reader)
{
    return trace(
        outbound_subscribe(reader->outbound, ".o.>", on_delivery, reader, &reader->deliveries));
}

/* The lock stays usable, for a library thread may be in its last call. */
void stream_reader_deinit(struct stream_reader *reader)
{
    bus_subscription_free(reader->deliveries);
    item_list_free(reader->arrived.first);
    reader->arrived.first = NULL;
}
