/* Runtime events: the types of events that every service's log may have, without a line of the
 * service's own code: who leads (store/terms.h). They change no table of a service. */
#pragma once
#include "runtime/core/service_table.h"

extern const struct event_type runtime_events[];

/* Of our own log: the service's types, and the runtime's. NULL: none. */
const struct event_type *own_event_type_of_name(const struct service *service, const char *name);
