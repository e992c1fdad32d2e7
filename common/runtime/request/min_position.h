/* Min position: the positions that a query demands, in the field `min_position` of its body. */
#pragma once
#include "runtime/request/endpoint.h"

#define MIN_POSITION_WAIT_MS 2000 /* how long a query waits for the positions that it demands */
/* Events that may come meanwhile, with much to spare: what is further ahead is refused at once. */
#define MIN_POSITION_AHEAD_MAX 200000

/* Takes them, whatever other fields the schema has: by the names of the logs. 0; a refusal, with
 * its reason: a position that cannot come while the query waits; or < 0. */
int min_position_take(struct item *item, const struct endpoints_options *options,
                      const struct schema *request, struct invalid *ret_invalid);
