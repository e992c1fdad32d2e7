/* Journeys of @name@, each in a file of its name. A command has a decision and an answer made from
 * its event. The table in service.c says which subject leads to which. */
#pragma once
#include "journey.h"

/* What @name@ says no with, beside the runtime's own (base/refusal.h). The numbers stand in files:
 * none is ever given to another refusal. */
enum @name@_refusal {
    REFUSED_ALREADY_TAKEN = REFUSED_OWN,
};

int take_order(struct journey *j, const void *request);
void take_order_answer(const struct event *event, void *ret_reply);

extern const struct event_type project_orders[]; /* what we read of order-svc's log */
