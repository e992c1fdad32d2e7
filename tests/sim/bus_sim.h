/* Bus, simulated: what the world calls of the second implementation of bus.h. The runtime calls the
 * first part, bus.h itself, and does not know the difference: linked before the library, it keeps
 * bus_nats.o and bus_receive.o out of the program. */
#pragma once
#include <stdint.h>
#include "bus/bus.h"
#include "wire.h"

struct world;
struct node;

/* What a delivery thread does: a message waits for its handler, and is handled in a step of its
 * own. Those of one subscription come in order. */
void bus_arrive(struct bus *bus, int64_t sid, struct wire *wire);
_Bool bus_has_pending(const struct bus *bus);
void bus_handle_one(struct world *world, struct bus *bus);

/* A link of the node is up, or down: tells the server of all subscriptions, and the instance when
 * both are up, or one of them is not any more. */
void bus_link_changed(struct bus *bus, int lane);
