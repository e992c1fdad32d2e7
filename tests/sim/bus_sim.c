/* Bus, simulated: see bus.h and bus_sim.h. Messages are bytes on the way, and are taken apart here
 * as nats.c does it. */
#include "bus_sim.h"
#include "base/result.h"
#include "net.h"
#include "server.h"
#include "world.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SUBSCRIPTIONS_MAX 128
#define MAX_PAYLOAD_BYTES (1024 * 1024) /* the server's default */

struct bus_subscription {
    struct bus *bus;
    int64_t sid;
    char subject[BUS_SUBJECT_MAX + 1], queue[32];
    bus_handler handler;
    void *context;
    struct bus_message *first, **last; /* arrived, not handled */
};

struct bus {
    struct node *node;
    char name[BUS_HEADER_KEY_MAX + 1];
    struct bus_handlers handlers;
    _Bool is_connected;
    int64_t sids, inboxes;
    struct bus_subscription *subscriptions[SUBSCRIPTIONS_MAX];
    int subscription_count;
    int pending;
    struct bus_stats stats;
};

struct bus_message {
    struct bus_message *next;
    struct wire *wire;
    struct bus_header *headers; /* with the text of the block behind them; NULL: not read yet */
    int header_count, header_result;
    const char *status_text; /* in the first line of the block */
};

/* ---- Connecting ----------------------------------------------------------------------------- */

int bus_open(const struct bus_options *options, struct bus **ret_bus)
{
    struct bus *bus = must(calloc(1, sizeof(*bus)));
    bus->node = current_node();
    bus->handlers = options->handlers;
    snprintf(bus->name, sizeof(bus->name), "%s", options->name);
    bus->node->bus = bus;
    *ret_bus = bus;
    return 0;
}

void bus_free(struct bus *bus)
{
    if (!bus)
        return;
    if (bus->subscription_count > 0)
        violated(bus->node->world, "%s frees its bus before its subscriptions", bus->name);
    bus->node->bus = NULL;
    free(bus);
}

void bus_library_close(void)
{
}

_Bool bus_is_connected(const struct bus *bus)
{
    return bus->is_connected;
}

const char *bus_library_version(void)
{
    return "simulated";
}

_Bool bus_library_is_old(void)
{
    return 0;
}

int64_t bus_max_payload_bytes(const struct bus *bus)
{
    return bus->stats.connects > 0 ? MAX_PAYLOAD_BYTES : 0;
}

_Bool bus_takes_more(const struct bus *bus)
{
    (void)bus;
    return 0;
}

void bus_close(struct bus *bus)
{
    (void)bus;
    abort(); /* its server always takes as much */
}

void bus_read_stats(const struct bus *bus, struct bus_stats *ret_stats)
{
    *ret_stats = bus->stats;
}

void bus_link_changed(struct bus *bus, int lane)
{
    struct node *node = bus->node;
    const struct link *links = node->links;
    if (node->frozen_until_ms > 0)
        return; /* it hears of it later */
    if (lane == BUS_URGENT && links[lane].is_up)
        for (int i = 0; i < bus->subscription_count; i++) {
            const struct bus_subscription *s = bus->subscriptions[i];
            server_subscribe(node->world, node->index, links[lane].number, s->sid, s->subject,
                             s->queue);
        }
    _Bool both = links[BUS_URGENT].is_up && links[BUS_BULK].is_up;
    if (both == bus->is_connected)
        return;
    bus->is_connected = both;
    bus->stats.connects += both;
    tell(node->world, "%s %s", bus->name, both ? "is connected" : "is disconnected");
    void (*handler)(void *) = both ? bus->handlers.connected : bus->handlers.disconnected;
    if (handler && !node->is_dead)
        handler(bus->handlers.context);
}

/* ---- Publishing ----------------------------------------------------------------------------- */

static int check_outgoing(const struct bus_outgoing *message)
{
    if (!bus_subject_is_safe(message->subject, 0))
        return fail(ERR_INVALID, "not a subject to publish on");
    if (message->reply && !bus_subject_is_safe(message->reply, 0))
        return fail(ERR_INVALID, "not a subject for answers");
    if (message->length > MAX_PAYLOAD_BYTES)
        return fail(ERR_INVALID, "more than the server takes");
    for (int i = 0; i < message->header_count; i++)
        if (!bus_header_key_is_safe(message->headers[i].key) || !*message->headers[i].value)
            return fail(ERR_INVALID, "a header without a proper key and a value");
    return 0;
}

int bus_publish(struct bus *bus, enum bus_urgency urgency, const struct bus_outgoing *message)
{
    struct node *node = bus->node;
    if (!bus->is_connected)
        return fail(ERR_NETWORK, "not connected to NATS");
    int r = check_outgoing(message);
    if (r < 0)
        return trace(r);
    if (node->is_dead)
        return 0;
    const struct wire_parts parts = {
        .subject = message->subject,
        .reply = message->reply,
        .data = message->data,
        .data_length = message->length,
    };
    bus->stats.messages_out++;
    struct wire *wire = wire_with_headers(&parts, message->headers, message->header_count);
    check_reply(node->world, node, wire);
    const int lane = urgency == BUS_URGENT ? BUS_URGENT : BUS_BULK; /* two links are simulated */
    net_send_from_node(node->world, node, lane, PACKET_PUBLISH, wire, 0);
    return 0;
}

/* Who waits for the server does nothing else meanwhile, so it may as well take no time; or the
 * connection breaks. */
int bus_flush(struct bus *bus, int timeout_ms)
{
    struct node *node = bus->node;
    (void)timeout_ms;
    if (node->is_dead)
        return 0;
    if (bus->is_connected && !node->world->calm && one_in(node->world, 50))
        link_cut(node->world, node, (int)draw(node->world, LINKS));
    if (!bus->is_connected)
        return fail(ERR_NETWORK, "not connected to NATS");
    net_hurry(node->world, node);
    return 0;
}

void bus_push(struct bus *bus, int64_t wall_ms, int64_t now_ms)
{
    (void)bus, (void)wall_ms, (void)now_ms; /* nothing is gathered here */
}

int bus_pump_fd(const struct bus *bus)
{
    (void)bus;
    return -1; /* nobody waits */
}

void bus_pump(struct bus *bus, int64_t now_ms)
{
    (void)bus, (void)now_ms; /* what arrives is handled by the scheduler */
}

void bus_pump_out(struct bus *bus)
{
    (void)bus;
}

int bus_new_inbox(const struct bus *bus, char ret_inbox[BUS_INBOX_SIZE])
{
    struct bus *own = (struct bus *)bus; /* it counts them */
    snprintf(ret_inbox, BUS_INBOX_SIZE, "_INBOX.%s.N%dL%" PRId64 "x%" PRId64, bus->name,
             bus->node->index, bus->node->life, ++own->inboxes);
    return 0;
}

/* ---- Subscriptions -------------------------------------------------------------------------- */

static void tell_server(struct bus_subscription *subscription, enum packet_kind kind)
{
    struct node *node = subscription->bus->node;
    if (node->links[BUS_URGENT].is_up && !node->is_dead)
        net_send_from_node(node->world, node, BUS_URGENT, kind,
                           wire_new(&(struct wire_parts){ .subject = subscription->subject,
                                                          .reply = subscription->queue }),
                           subscription->sid);
}

int bus_subscribe(struct bus *bus, const char *subject, const char *queue, bus_handler handler,
                  void *context, struct bus_subscription **ret_subscription)
{
    if (!bus_subject_is_safe(subject, 1) || (queue && !bus_header_key_is_safe(queue)))
        return fail(ERR_INVALID, "not a subject and queue to subscribe to");
    if (bus->subscription_count == SUBSCRIPTIONS_MAX)
        return fail(ERR_MEMORY, "no memory for a subscription");
    struct bus_subscription *s = must(calloc(1, sizeof(*s)));
    s->bus = bus;
    s->sid = ++bus->sids;
    s->handler = handler;
    s->context = context;
    s->last = &s->first;
    snprintf(s->subject, sizeof(s->subject), "%s", subject);
    snprintf(s->queue, sizeof(s->queue), "%s", queue ? queue : "");
    bus->subscriptions[bus->subscription_count++] = s;
    tell_server(s, PACKET_SUBSCRIBE);
    *ret_subscription = s;
    return 0;
}

/* No flood is simulated that is a matter of threads. */
int bus_subscribe_apart(struct bus *bus, const char *subject, const char *queue,
                        bus_handler handler, void *context,
                        struct bus_subscription **ret_subscription)
{
    return trace(bus_subscribe(bus, subject, queue, handler, context, ret_subscription));
}

/* That its handler runs on the sender's thread is one of the orders that the scheduler tries. */
int bus_subscribe_pumped(struct bus *bus, const char *subject, bus_handler handler, void *context,
                         struct bus_subscription **ret_subscription)
{
    return trace(bus_subscribe(bus, subject, NULL, handler, context, ret_subscription));
}

static void handle(struct bus_subscription *s)
{
    struct bus_message *message = s->first;
    s->first = message->next;
    if (!s->first)
        s->last = &s->first;
    s->bus->pending--;
    s->handler(s->context, message);
}

int bus_subscription_drain(struct bus_subscription *subscription, int timeout_ms)
{
    (void)timeout_ms;
    tell_server(subscription, PACKET_UNSUBSCRIBE);
    while (subscription->first)
        handle(subscription);
    return 0;
}

int bus_subscription_begin_drain(struct bus_subscription *subscription, int timeout_ms)
{
    return trace(bus_subscription_drain(subscription, timeout_ms));
}

int bus_subscription_end_drain(struct bus_subscription *subscription, int timeout_ms)
{
    (void)subscription;
    (void)timeout_ms;
    return 0;
}

void bus_subscription_free(struct bus_subscription *subscription)
{
    if (!subscription)
        return;
    struct bus *bus = subscription->bus;
    tell_server(subscription, PACKET_UNSUBSCRIBE);
    while (subscription->first) {
        struct bus_message *next = subscription->first->next;
        bus_message_free(subscription->first);
        subscription->first = next;
        bus->pending--;
    }
    int i = 0;
    while (bus->subscriptions[i] != subscription)
        i++;
    bus->subscription_count--;
    memmove(&bus->subscriptions[i], &bus->subscriptions[i + 1],
            (size_t)(bus->subscription_count - i) * sizeof(bus->subscriptions[0]));
    free(subscription);
}

/* ---- Receiving ------------------------------------------------------------------------------ */

void bus_arrive(struct bus *bus, int64_t sid, struct wire *wire)
{
    for (int i = 0; bus && i < bus->subscription_count; i++) {
        struct bus_subscription *s = bus->subscriptions[i];
        if (s->sid != sid)
            continue;
        struct bus_message *message = must(calloc(1, sizeof(*message)));
        message->wire = wire_hold(wire);
        *s->last = message;
        s->last = &message->next;
        bus->pending++;
        bus->stats.messages_in++;
        return;
    }
}

_Bool bus_has_pending(const struct bus *bus)
{
    return bus && bus->pending > 0;
}

void bus_handle_one(struct world *world, struct bus *bus)
{
    struct bus_subscription *ready[SUBSCRIPTIONS_MAX];
    int count = 0;
    for (int i = 0; i < bus->subscription_count; i++)
        if (bus->subscriptions[i]->first)
            ready[count++] = bus->subscriptions[i];
    handle(ready[draw(world, count)]);
}

void bus_message_free(struct bus_message *message)
{
    if (!message)
        return;
    wire_drop(message->wire);
    free(message->headers);
    free(message);
}

const char *bus_message_subject(const struct bus_message *message)
{
    return wire_subject(message->wire);
}

const char *bus_message_reply(const struct bus_message *message)
{
    return *wire_reply(message->wire) ? wire_reply(message->wire) : NULL;
}

const char *bus_message_data(const struct bus_message *message)
{
    return wire_data(message->wire);
}

size_t bus_message_length(const struct bus_message *message)
{
    return (size_t)message->wire->data_length;
}

/* ---- Headers -------------------------------------------------------------------------------- */

static int read_headers(struct bus_message *message)
{
    const struct wire *wire = message->wire;
    size_t length = (size_t)wire->block_length;
    size_t room = (size_t)bus_headers_room(wire_block(wire), length);
    message->headers = must(malloc(room * sizeof(struct bus_header) + length + 1));
    if (length == 0)
        return 0;
    char *block = (char *)(message->headers + room);
    memcpy(block, wire_block(wire), length + 1);
    int r = bus_headers_cut(block, length, message->headers, &message->header_count);
    if (r == 0)
        bus_block_status(block, &message->status_text);
    return trace(r);
}

int bus_message_view(struct bus_message *message, struct bus_view *ret_view)
{
    if (!message->headers)
        message->header_result = read_headers(message);
    *ret_view = (struct bus_view){
        .subject = wire_subject(message->wire),
        .headers = message->headers,
        .header_count = message->header_count,
        .data = wire_data(message->wire),
        .data_length = (size_t)message->wire->data_length,
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
    return wire_status(message->wire);
}

const char *bus_message_status_text(struct bus_message *message)
{
    struct bus_view view;
    return bus_message_view(message, &view) == 0 && message->status_text ? message->status_text
                                                                         : "";
}
