/* Admin: the requests that every service answers for its runtime: `order.events` (a range of the
 * log, for readers that met a gap and for services that boot after the stream has expired),
 * `order.parked`, `order.redrive` (which the sender does: redrive.c), and `order.rebuild`
 * (rebuilder.c). */
#pragma once
#include "runtime/core/context.h"

struct admin {
    char subjects[2][64];
    char redrive_subject[64], rebuild_subject[64];
    struct query_type queries[3]; /* ends with { 0 } */
};

void admin_init(struct admin *admin, const struct service *service);
