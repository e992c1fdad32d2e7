/* Service table: finds in the table of a service (struct service, journey.h), and checks it. */
#pragma once
#include "journey.h"

/* What no compiler sees: numbers, codes, names and subjects that are there twice or are none,
 * events without apply. 0; -ERR_INTERNAL names the row. Called before anything is started with
 * it. */
int service_check(const struct service *service);

const char *service_version(const struct service *service);

/* Our own log, as others see it. Borrows from the service. */
struct source service_as_source(const struct service *service);

/* The type of this schema in the service's own events; NULL: none. */
const struct event_type *event_type_of_schema(const struct service *service,
                                              const struct schema *schema);
const struct event_type *event_type_of_name(const struct event_type *events, const char *name);

/* The row of service.calls for this subject; NULL: none. */
const struct call_type *call_type_of_subject(const struct service *service, const char *subject);
