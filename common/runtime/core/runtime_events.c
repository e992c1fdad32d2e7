/* Runtime events: see runtime_events.h. */
#include "runtime/core/runtime_events.h"
#include "schemas/evt.runtime.TermBegan.h"
#include "schemas/evt.runtime.TermEnded.h"
#include "store/terms.h"

/* The table `terms` is written with the log itself (event_log_append). */
static int apply_nothing(struct db *db, const struct event *event)
{
    (void)db;
    (void)event;
    return 0;
}

const struct event_type runtime_events[] = {
    { .name = EVENT_TERM_BEGAN, .schema = &term_began_schema, .apply = apply_nothing },
    { .name = EVENT_TERM_ENDED, .schema = &term_ended_schema, .apply = apply_nothing },
    { 0 },
};

const struct event_type *own_event_type_of_name(const struct service *service, const char *name)
{
    const struct event_type *type = event_type_of_name(service->events, name);
    return type ? type : event_type_of_name(runtime_events, name);
}
