/* Brief: answers `<prefix>.status`, how this instance is in ten lines, from the table of fields
 * (statistics.h) and under the names that the fields have there. `$SRV.STATS` says all of it.
 *
 * Each instance answers, leading or not, and in any state: on the library thread that the request
 * comes in on, from numbers in memory. JSON, so that a program reads it as any reply; with a line
 * for each member of the whole, so that a person does: `nats req order.status ''`. */
#pragma once
#include "runtime/watch/statistics.h"

/* An endpoint's sink: takes the item over, and answers it; 0. The context is a struct statistics
 * with a bus. */
int brief_answer(void *context, struct item *item);

/* Writes the answer. -ERR_MEMORY. */
int brief_write(const struct statistics *of, struct arena *arena, struct buf *out);
