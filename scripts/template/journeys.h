/* The requests that @name@ answers, each by a journey in a file of its name: a command has a
 * decision and an answer made from its event, a query one function. Start reading here; service.c
 * has the rest of its table of contents. */
#pragma once
#include "journey.h"

#define @LOG@_COMMANDS(COMMAND) \
    COMMAND("@name@.take", @name@_take, take_order)
@LOG@_COMMANDS(COMMAND_DECLARE)

/* What @name@ says no with, beside the runtime's own (base/refusal.h). The numbers stand in files:
 * none is ever given to another refusal. */
enum @name@_refusal {
    REFUSED_ALREADY_TAKEN = REFUSED_OWN,
};

extern const struct event_type project_orders[]; /* what we read of order-svc's log */
