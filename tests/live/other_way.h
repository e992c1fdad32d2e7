/* Another way: a stream that has gone on otherwise than a log, though no term began there. */
#pragma once
#include <stdint.h>
#include "bus/bus.h"

/* Publishes order-svc's log of a file up to a position, but the last event under another id: as
 * somebody with its identity, in the same term. */
void publish_otherwise(struct bus *bus, const char *path, int64_t last);
