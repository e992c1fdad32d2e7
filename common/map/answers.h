/* Answers: what the bus brings, from the library's threads to the loop of the map. Bounded: what
 * finds no place is dropped and counted, because the next second asks again. */
#pragma once
#include "bus/bus.h"

#define ANSWERS_MAX 4096

struct answers; /* opaque */

/* Subscribes to all that is below the inbox. */
int answers_open(struct bus *bus, const char *inbox, struct answers **ret_answers);
void answers_free(struct answers *answers); /* before the bus */
DEFINE_FREE(answers)

int answers_fd(const struct answers *answers); /* readable: there may be one */
/* The oldest, which the caller frees; NULL: there is none. */
struct bus_message *answers_take(struct answers *answers);
int64_t answers_dropped(struct answers *answers);
