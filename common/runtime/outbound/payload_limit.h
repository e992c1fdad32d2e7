/* Payload limit: a server that takes less than the largest event of our log. The event could not be
 * published again, or given to a reader: the service is not ready, until the operator raises
 * max_payload. When it has done so without a restart of the server, the process ends and is started
 * again, because nats.c takes the new limit with a new connection only. On the sender's thread. */
#pragma once
#include "runtime/outbound/outbound.h"

struct payload_limit {
    struct outbound *outbound; /* borrowed */
    _Bool is_small;            /* so said the notice */
};

void payload_limit_init(struct payload_limit *limit, struct outbound *outbound);
/* Sets the notice, or takes it back. */
void payload_limit_act(struct payload_limit *limit);
