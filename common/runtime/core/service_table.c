/* Service table: see service_table.h. */
#include "runtime/core/service_table.h"
#include "runtime/core/event_text.h"
#include "store/terms.h"
#include "work.h"
#include <string.h>

/* ---- Finding --------------------------------------------------------------------------------- */

const char *service_version(const struct service *service)
{
    return service->version ? service->version : JOURNEY_VERSION;
}

struct source service_as_source(const struct service *service)
{
    return (struct source){ .log = service->log,
                            .service = service->name,
                            .prefix = service->prefix,
                            .events = service->events };
}

const struct event_type *event_type_of_schema(const struct service *service,
                                              const struct schema *schema)
{
    for (const struct event_type *type = service->events; type->name; type++)
        if (type->schema == schema)
            return type;
    return NULL;
}

const struct event_type *event_type_of_name(const struct event_type *events, const char *name)
{
    for (const struct event_type *type = events; type && type->name; type++)
        if (strcmp(type->name, name) == 0)
            return type;
    return NULL;
}

const struct call_type *call_type_of_subject(const struct service *service, const char *subject)
{
    for (const struct call_type *type = service->calls; type && type->subject; type++)
        if (strcmp(type->subject, subject) == 0)
            return type;
    return NULL;
}

/* ---- Checking -------------------------------------------------------------------------------- */

static int check_refusals(const struct service *service)
{
    for (const struct refusal_type *type = service->refusals; type && type->code; type++) {
        if (type->number <= 0 || refusal_find(NULL, type->number))
            return fail(ERR_INTERNAL, "the refusal %s has the number %d of the runtime", type->code,
                        type->number);
        if (type->status < 400 || type->status > 599)
            return fail(ERR_INTERNAL, "the refusal %s has the status %d", type->code, type->status);
        if (refusal_find(service->refusals, type->number) != type)
            return fail(ERR_INTERNAL, "the refusal %s has the number of another", type->code);
    }
    return 0;
}

static int check_subject(const struct service *service, const char *subject)
{
    int count = 0;
    for (const struct command *c = service->commands; c && c->subject; c++)
        count += strcmp(c->subject, subject) == 0;
    for (const struct query_type *q = service->queries; q && q->subject; q++)
        count += strcmp(q->subject, subject) == 0;
    return count == 1 ? 0 : fail(ERR_INTERNAL, "%s is answered twice", subject);
}

/* The subject of an account, `<subject>.*`, would take another request's. */
static _Bool takes_subject(const char *subject, const char *other)
{
    size_t length = strlen(subject);
    return strncmp(other, subject, length) == 0 && other[length] == '.' &&
           !strchr(other + length + 1, '.');
}

static int check_account(const struct service *service, const char *subject,
                         const struct schema *request)
{
    if (!request->account)
        return 0;
    const struct schema_field *field = schema_find_field(request, request->account);
    if (!field || field->schema->shape != SHAPE_TEXT)
        return fail(ERR_INTERNAL, "%s has no text %s, which x-account names", subject,
                    request->account);
    _Bool takes = strcmp(subject, service->prefix) == 0; /* <prefix>.events and so on */
    for (const struct command *c = service->commands; c && c->subject; c++)
        takes |= takes_subject(subject, c->subject);
    for (const struct query_type *q = service->queries; q && q->subject; q++)
        takes |= takes_subject(subject, q->subject);
    return takes ? fail(ERR_INTERNAL, "%s.* for accounts would take other requests", subject) : 0;
}

static int check_request(const struct service *service, const char *subject,
                         const struct schema *request)
{
    int r = check_subject(service, subject);
    return r == 0 ? check_account(service, subject, request) : trace(r);
}

static int check_requests(const struct service *service)
{
    int r = 0;
    for (const struct command *c = service->commands; r == 0 && c && c->subject; c++)
        r = c->request && c->reply && c->decide && c->answer
                ? check_request(service, c->subject, c->request)
                : fail(ERR_INTERNAL, "%s lacks a schema or a function", c->subject);
    for (const struct query_type *q = service->queries; r == 0 && q && q->subject; q++)
        r = q->request && q->reply && q->ask
                ? check_request(service, q->subject, q->request)
                : fail(ERR_INTERNAL, "%s lacks a schema or a function", q->subject);
    return trace(r);
}

static int check_own_events(const struct event_type *events)
{
    for (const struct event_type *type = events; type->name; type++)
        if (event_is_of_runtime(type->name))
            return fail(ERR_INTERNAL, "the event %s is the runtime's own", type->name);
    return 0;
}

static int check_events(const struct event_type *events)
{
    for (const struct event_type *type = events; type && type->name; type++) {
        if (!event_name_is_valid(type->name))
            return fail(ERR_INTERNAL, "%s is no name of an event", type->name);
        if (!type->schema || !type->apply)
            return fail(ERR_INTERNAL, "the event %s lacks its schema or its apply", type->name);
        if (event_type_of_name(events, type->name) != type)
            return fail(ERR_INTERNAL, "the event %s is there twice", type->name);
    }
    return 0;
}

static int check_calls(const struct service *service)
{
    for (const struct call_type *type = service->calls; type && type->subject; type++) {
        if (!type->request || !type->reply)
            return fail(ERR_INTERNAL, "the call %s lacks a schema", type->subject);
        if (call_type_of_subject(service, type->subject) != type)
            return fail(ERR_INTERNAL, "the call %s is there twice", type->subject);
    }
    return 0;
}

static int check_work_type(const struct service *service, int place)
{
    const struct work_type *type = service->work[place];
    int sources = 0;
    if (!type->name || (!type->ask && !type->expired))
        return fail(ERR_INTERNAL, "work %s lacks ask and expired", type->name ? type->name : "");
    for (int i = 0; i < place; i++)
        if (strcmp(service->work[i]->name, type->name) == 0)
            return fail(ERR_INTERNAL, "work %s is there twice", type->name);
    for (const struct work_source *s = type->sources; s && s->find; s++, sources++)
        if (!s->mark_read != !s->mark_write)
            return fail(ERR_INTERNAL, "a source of %s has half a mark", type->name);
    if (sources > WORK_SOURCES_MAX)
        return fail(ERR_INTERNAL, "work %s has %d sources", type->name, sources);
    return 0;
}

static int check_work(const struct service *service)
{
    int r = 0, count = 0;
    for (; r == 0 && service->work && service->work[count]; count++)
        r = count < WORK_TYPES_MAX
                ? check_work_type(service, count)
                : fail(ERR_INTERNAL, "%s has too many types of work", service->name);
    return trace(r);
}

int service_check(const struct service *service)
{
    int r = check_refusals(service);
    if (r == 0)
        r = check_requests(service);
    if (r == 0)
        r = check_events(service->events);
    if (r == 0)
        r = check_own_events(service->events);
    for (const struct source *source = service->sources; r == 0 && source && source->log; source++)
        r = check_events(source->events);
    if (r == 0)
        r = check_calls(service);
    if (r == 0)
        r = check_work(service);
    return trace(r);
}
