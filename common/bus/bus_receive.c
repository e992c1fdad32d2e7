/* Bus on nats.c, receiving: subscriptions and messages. See bus.h. */
#include "bus/bus_nats.h"
#include "base/result.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- Giving messages back -------------------------------------------------------------------- */

/* nats.c frees messages on a thread of its own, and wakes that thread for each message that comes
 * while its list is empty. One by one, a message would cost two context switches. So messages are
 * gathered here and go there many at a time. */
#define DISCARD_MAX 64
#define DISCARD_BYTES_MAX ((size_t)64 * 1024)

static struct {
    pthread_mutex_t lock;
    natsMsg *messages[DISCARD_MAX];
    int count;
    size_t bytes;
} discarded = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void give_back(natsMsg *last, _Bool all)
{
    natsMsg *full[DISCARD_MAX];
    int count = 0;
    pthread_mutex_lock(&discarded.lock);
    assert(discarded.count >= 0 && discarded.count < DISCARD_MAX); /* there is room for one more */
    if (last) {
        discarded.messages[discarded.count++] = last;
        discarded.bytes += (size_t)natsMsg_GetDataLength(last);
    }
    if (all || discarded.count == DISCARD_MAX || discarded.bytes >= DISCARD_BYTES_MAX) {
        count = discarded.count;
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what is copied */
        memcpy(full, discarded.messages, (size_t)count * sizeof(*full));
        discarded.count = 0;
        discarded.bytes = 0;
    }
    pthread_mutex_unlock(&discarded.lock);
    for (int i = 0; i < count; i++)
        natsMsg_Destroy(full[i]);
}

void bus_discard(natsMsg *raw)
{
    if (raw)
        give_back(raw, 0);
}

void bus_discard_all(void)
{
    give_back(NULL, 1);
}

/* ---- Messages ------------------------------------------------------------------------------- */

struct bus_message {
    natsMsg *raw;
    struct bus_header *headers; /* read when first asked for; their text is the raw message's */
    int header_count;
    int header_result;       /* 0, or the failure to read them */
    int status;              /* in the first line of the headers; 0: none */
    const char *status_text; /* NULL: none */
    _Bool has_read_headers;
};

void bus_message_free(struct bus_message *message)
{
    if (!message)
        return;
    bus_discard(message->raw);
    free(message->headers);
    free(message);
}

const char *bus_message_subject(const struct bus_message *message)
{
    return natsMsg_GetSubject(message->raw);
}

const char *bus_message_reply(const struct bus_message *message)
{
    return natsMsg_GetReply(message->raw);
}

const char *bus_message_data(const struct bus_message *message)
{
    const char *data = natsMsg_GetData(message->raw);
    return data ? data : "";
}

size_t bus_message_length(const struct bus_message *message)
{
    return (size_t)natsMsg_GetDataLength(message->raw);
}

/* The header block as it came; *ret_length 0: there is none.
 *
 * nats.c has no function that gives it, and its own table of headers cannot be made when one of
 * them has no value (3.4.1), nor without some five allocations for each. But a message that was
 * received is one piece of memory: subject, reply subject, block and data, each with a NUL behind
 * it, as natsMsg_create() has it in all versions from 3.4.1 to 3.13. So the block is what stands
 * between the last subject and the data. (test_bus_live tests what arrives.) */
static char *header_block(const struct bus_message *message, size_t *ret_length)
{
    const char *before = natsMsg_GetReply(message->raw), *data = natsMsg_GetData(message->raw);
    *ret_length = 0;
    if (!before)
        before = natsMsg_GetSubject(message->raw);
    const char *block = before + strlen(before) + 1;
    if (!data || block >= data)
        return NULL;
    *ret_length = (size_t)(data - block) - 1;
    return (char *)block; /* nobody else reads it */
}

static int read_headers(struct bus_message *message)
{
    size_t length;
    char *block = header_block(message, &length);
    if (length == 0)
        return 0;
    size_t size = (size_t)bus_headers_room(block, length) * sizeof(*message->headers);
    message->headers = malloc(size + 1);
    if (!message->headers)
        return fail(ERR_MEMORY, "no memory for headers");
    int r = bus_headers_cut(block, length, message->headers, &message->header_count);
    if (r < 0)
        return trace(r);
    message->status = bus_block_status(block, &message->status_text);
    return 0;
}

int bus_message_view(struct bus_message *message, struct bus_view *ret_view)
{
    if (!message->has_read_headers)
        message->header_result = read_headers(message);
    message->has_read_headers = 1;
    *ret_view = (struct bus_view){
        .subject = bus_message_subject(message),
        .headers = message->headers,
        .header_count = message->header_count,
        .data = bus_message_data(message),
        .data_length = bus_message_length(message),
    };
    return message->header_result;
}

const char *bus_message_header(struct bus_message *message, const char *key)
{
    struct bus_view view;
    return bus_message_view(message, &view) == 0 ? bus_header_find(&view, key) : NULL;
}

int bus_message_status(struct bus_message *message)
{
    if (bus_message_length(message) > 0)
        return 0;
    struct bus_view view;
    return bus_message_view(message, &view) == 0 ? message->status : 0;
}

const char *bus_message_status_text(struct bus_message *message)
{
    return bus_message_status(message) && message->status_text ? message->status_text : "";
}

/* ---- Subscriptions -------------------------------------------------------------------------- */

int bus_new_inbox(const struct bus *bus, char ret_inbox[BUS_INBOX_SIZE])
{
    natsInbox *inbox = NULL; /* "_INBOX.<unique>": nats.c does not give the unique part alone */
    natsStatus s = natsInbox_Create(&inbox);
    if (s != NATS_OK)
        return bus_fail(s, "make an inbox");
    int length = snprintf(ret_inbox, BUS_INBOX_SIZE, "%s.%s", bus->inbox_prefix,
                          strrchr(inbox, '.') + 1);
    natsInbox_Destroy(inbox);
    assert(length > 0 && length < BUS_INBOX_SIZE);
    return 0;
}

struct bus_subscription {
    natsSubscription *raw;
    bus_handler handler;
    void *context;
    struct pump *pump;  /* NULL: a library thread calls the handler */
    atomic_int holders; /* the owner, and nats.c until its last call of the handler */
};

static void subscription_release(void *closure)
{
    struct bus_subscription *subscription = closure;
    int holders = atomic_fetch_sub(&subscription->holders, 1);
    assert(holders == 1 || holders == 2);
    if (holders == 1)
        free(subscription);
}

void bus_subscription_handle(struct bus_subscription *subscription, natsMsg *raw_message)
{
    assert(atomic_load(&subscription->holders) > 0);
    struct bus_message *message = malloc(sizeof(*message));
    if (!message) {
        bus_discard(raw_message); /* as if the message had been lost on the way */
        return;
    }
    *message = (struct bus_message){ .raw = raw_message };
    subscription->handler(subscription->context, message);
}

static void on_message(natsConnection *connection, natsSubscription *raw, natsMsg *raw_message,
                       void *closure)
{
    (void)connection, (void)raw;
    bus_subscription_handle(closure, raw_message);
}

static natsStatus subscribe_raw(natsConnection *connection, const char *subject, const char *queue,
                                struct bus_subscription *to)
{
    if (queue)
        return natsConnection_QueueSubscribe(&to->raw, connection, subject, queue, on_message, to);
    return natsConnection_Subscribe(&to->raw, connection, subject, on_message, to);
}

static int subscribe(natsConnection *connection, const char *subject, const char *queue,
                     bus_handler handler, void *context, struct bus_subscription **ret_subscription)
{
    assert(handler && ret_subscription);
    if (!bus_subject_is_safe(subject, 1) || (queue && !bus_header_key_is_safe(queue)))
        return fail(ERR_INVALID, "not a subject and queue to subscribe to");
    struct bus_subscription *subscription = malloc(sizeof(*subscription));
    if (!subscription)
        return fail(ERR_MEMORY, "no memory for a subscription");
    *subscription =
        (struct bus_subscription){ .handler = handler, .context = context, .holders = 1 };
    natsStatus s = subscribe_raw(connection, subject, queue, subscription);
    if (s != NATS_OK) {
        free(subscription);
        return bus_fail(s, "subscribe");
    }
    atomic_fetch_add(&subscription->holders, 1);
    if (natsSubscription_SetOnCompleteCB(subscription->raw, subscription_release, subscription) !=
        NATS_OK)
        /* the subscription is closed already: the callback does not come */
        atomic_fetch_sub(&subscription->holders, 1);
    natsSubscription_SetPendingLimits(subscription->raw, BUS_PENDING_MAX, BUS_PENDING_BYTES_MAX);
    *ret_subscription = subscription;
    return 0;
}

int bus_subscribe(struct bus *bus, const char *subject, const char *queue, bus_handler handler,
                  void *context, struct bus_subscription **ret_subscription)
{
    return trace(subscribe(bus->lanes[BUS_URGENT].connection, subject, queue, handler, context,
                           ret_subscription));
}

int bus_subscribe_apart(struct bus *bus, const char *subject, const char *queue,
                        bus_handler handler, void *context,
                        struct bus_subscription **ret_subscription)
{
    return trace(subscribe(bus->lanes[BUS_BULK].connection, subject, queue, handler, context,
                           ret_subscription));
}

int bus_subscribe_pumped(struct bus *bus, const char *subject, bus_handler handler, void *context,
                         struct bus_subscription **ret_subscription)
{
    struct pump *pump = &bus->pump;
    assert(bus->lane_count == LANES && pump->subscription_count < BUS_PUMPED_SUBSCRIPTIONS_MAX);
    if (!bus_subject_is_safe(subject, 1))
        return fail(ERR_INVALID, "not a subject to subscribe to");
    struct bus_subscription *subscription = malloc(sizeof(*subscription));
    if (!subscription)
        return fail(ERR_MEMORY, "no memory for a subscription");
    *subscription = (struct bus_subscription){
        .handler = handler, .context = context, .pump = pump, .holders = 1
    };
    natsStatus s = natsConnection_SubscribeSync(&subscription->raw,
                                                bus->lanes[BUS_PUMPED].connection, subject);
    if (s != NATS_OK) {
        free(subscription);
        return bus_fail(s, "subscribe");
    }
    natsSubscription_SetPendingLimits(subscription->raw, BUS_PENDING_MAX, BUS_PENDING_BYTES_MAX);
    pump->subscriptions[pump->subscription_count++] = subscription;
    bus_pump_out(bus);
    *ret_subscription = subscription;
    return 0;
}

natsMsg *bus_subscription_next(struct bus_subscription *subscription)
{
    natsMsg *message = NULL;
    natsStatus s = natsSubscription_NextMsg(&message, subscription->raw, 0);
    if (s == NATS_SLOW_CONSUMER) /* said once, in place of the next message */
        s = natsSubscription_NextMsg(&message, subscription->raw, 0);
    return s == NATS_OK ? message : NULL;
}

/* Its thread calls bus_pump no more. */
static void leave_pump(struct bus_subscription *subscription)
{
    struct pump *pump = subscription->pump;
    int i = 0;
    while (pump->subscriptions[i] != subscription)
        i++;
    pump->subscriptions[i] = pump->subscriptions[--pump->subscription_count];
}

int bus_subscription_begin_drain(struct bus_subscription *subscription, int timeout_ms)
{
    assert(timeout_ms > 0);
    natsStatus s = natsSubscription_DrainTimeout(subscription->raw, timeout_ms);
    return s == NATS_OK ? 0 : bus_fail(s, "drain a subscription");
}

int bus_subscription_end_drain(struct bus_subscription *subscription, int timeout_ms)
{
    assert(timeout_ms > 0);
    natsStatus s = natsSubscription_WaitForDrainCompletion(subscription->raw, timeout_ms);
    return s == NATS_OK ? 0 : bus_fail(s, "drain a subscription");
}

int bus_subscription_drain(struct bus_subscription *subscription, int timeout_ms)
{
    int r = bus_subscription_begin_drain(subscription, timeout_ms);
    return r < 0 ? trace(r) : trace(bus_subscription_end_drain(subscription, timeout_ms));
}

void bus_subscription_free(struct bus_subscription *subscription)
{
    if (!subscription)
        return;
    if (subscription->pump)
        leave_pump(subscription);
    bus_discard_all(); /* messages are freed before their subscription */
    natsSubscription_Destroy(subscription->raw);
    subscription_release(subscription);
}
