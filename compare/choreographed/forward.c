/* Forward: joins entity services to a chain: each service hands the order on to the next, and the
 * last one answers the customer. The reply of a service becomes the request to the next, with the
 * customer's inbox as the reply subject and the customer's key. No service waits for another. A
 * customer's retry under the same key goes down the whole chain again, and each service finds its
 * earlier result.
 *
 *     user.get ─► product.quote ─► inventory.reserve ─► payment.charge ─► order.create ─► customer
 *
 * A refusal goes to the customer at once. When the card is refused, payment-svc has the stock
 * released. When the chain breaks behind its first link, the customer gets no answer (the server's
 * "no responders" reaches only the service that has published), and retries after a timeout. Until
 * then the stock stays reserved: no other service knows of the reservation. A service that waited
 * for the next one's answer would notice the break, and would be a gateway with four more hops.
 *
 * The runtime cannot forward a reply: the programs of the chain are linked with --wrap=reply_send,
 * and the function here runs in the place of the runtime's. */
#include "entities/entities.h"
#include "base/log.h"
#include "runtime/request/reply.h"
#include "schemas/bench.order.h"
#include <string.h>

static const struct link {
    const char *subject, *next, *undo;
} chain[] = {
    { "user.get", "product.quote", NULL },
    { "product.quote", "inventory.reserve", NULL },
    { "inventory.reserve", "payment.charge", NULL },
    { "payment.charge", "order.create", "inventory.release" },
};

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's --wrap requires these names */
void __real_reply_send(struct bus *bus, enum bus_urgency urgency, const struct item *item);
void __wrap_reply_send(struct bus *bus, enum bus_urgency urgency, const struct item *item);
/* NOLINTEND(bugprone-reserved-identifier) */

static const struct link *link_of(const struct item *item)
{
    const char *subject = item->command ? item->command->subject
                          : item->query ? item->query->subject
                                        : "";
    for (size_t i = 0; i < sizeof(chain) / sizeof(*chain); i++)
        if (strcmp(chain[i].subject, subject) == 0)
            return &chain[i];
    return NULL;
}

static void publish(struct bus *bus, enum bus_urgency urgency, const struct item *item,
                    const char *subject, const char *reply, const struct buf *body)
{
    struct bus_header header = { "Idempotency-Key", item->key };
    int r = bus_publish(bus, urgency,
                        &(struct bus_outgoing){
                            .subject = subject,
                            .reply = reply,
                            .headers = &header,
                            .header_count = item->key != NULL,
                            .data = body->data,
                            .length = body->length,
                        });
    if (r < 0)
        log_warn("order_not_handed_on", LOG_TEXT("to", subject),
                 LOG_TEXT("reason", failure_text()));
}

static void undo(struct bus *bus, const struct link *link, const struct item *item)
{
    const struct bench_order *order = item->request;
    struct bench_order reserved = { .order_id = order->order_id };
    _deinit_(buf) struct buf body = { 0 };
    if (schema_encode(&bench_order_schema, &reserved, &body) == 0)
        publish(bus, BUS_URGENT, item, link->undo, NULL, &body);
}

void __wrap_reply_send(struct bus *bus, enum bus_urgency urgency, const struct item *item)
{
    const struct link *link = link_of(item);
    if (!link || item->outcome == OUTCOME_REFUSED) {
        if (link && link->undo && !item->refusal->is_transient)
            undo(bus, link, item);
        __real_reply_send(bus, urgency, item);
        return;
    }
    publish(bus, urgency, item, link->next, item->reply_to, &item->body);
    struct item counted = *item; /* for the endpoint's statistics, without an answer */
    counted.reply_to = NULL;
    __real_reply_send(bus, urgency, &counted);
}
