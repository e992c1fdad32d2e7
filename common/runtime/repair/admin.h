/* Admin: the queries about its log that every service answers for its runtime: `order.events` (a
 * range of the log, for readers that met a gap and for services that boot after the stream has
 * expired) and `order.parked`. What an operator can ask it to do is in operations.h. */
#pragma once
#include "runtime/core/context.h"

struct admin {
    char subjects[2][64];
    struct query_type queries[3]; /* ends with { 0 } */
};

void admin_init(struct admin *admin, const struct service *service);
