/* Reply: an item's outcome as a message. A refusal is a body and two headers (ADR-32). */
#pragma once
#include "bus/bus.h"
#include "runtime/core/item.h"

struct micro_endpoint;

/* Answers, counts, and logs what was refused for a reason of ours. Any thread; the item stays the
 * caller's. */
void reply_send(struct bus *bus, enum bus_urgency urgency, const struct item *item);

/* The same for a request that became no item. */
void reply_refusal(struct bus *bus, const char *reply_to, struct micro_endpoint *counters,
                   int64_t received_ns, const struct refusal_type *refusal, const char *message);

/* Another service has refused to send a reply because it is larger than a message of the server. */
_Bool reply_is_too_large(struct bus_message *message);
