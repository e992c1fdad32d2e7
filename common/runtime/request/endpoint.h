/* Endpoint: a request's way in. On a library thread it checks size and reply subject, decodes the
 * body by its schema, and pushes an item to the inbox or to the readers; what needs no state is
 * answered at once. */
#pragma once
#include "bus/bus.h"
#include "runtime/core/item.h"
#include "runtime/request/micro.h"

struct instance;

struct endpoint {
    struct instance *instance;
    struct micro_endpoint *counters;
    const char *subject;
    const struct schema *request;
    enum item_kind kind;            /* of the items that it makes */
    const struct command *command;  /* of an ITEM_COMMAND */
    const struct query_type *query; /* of an ITEM_QUERY */
    struct bus_subscription *subscription;
};

/* Makes instance->endpoints and counters from the service's table and the runtime's own
 * requests. */
int endpoints_create(struct instance *instance);
int endpoints_subscribe(struct instance *instance);
void endpoints_drain(struct instance *instance);
void endpoints_free(struct instance *instance);
