/* Contract: see contract.h. */
#include "runtime/repair/contract.h"
#include "base/buf.h"
#include "runtime/core/config.h"
#include "runtime/core/event_text.h"
#include "runtime/core/runtime_events.h"
#include "runtime/core/service_table.h"
#include "runtime/request/min_position.h"
#include "schemas/error.h"
#include "schemas/runtime.durable.h"
#include "schemas/runtime.durable.reply.h"
#include "schemas/runtime.events.h"
#include "schemas/runtime.events.reply.h"
#include "schemas/runtime.hand-over.h"
#include "schemas/runtime.hand-over.reply.h"
#include "schemas/runtime.orphans.h"
#include "schemas/runtime.orphans.reply.h"
#include "schemas/runtime.parked.h"
#include "schemas/runtime.parked.reply.h"
#include "schemas/runtime.rebuild.h"
#include "schemas/runtime.rebuild.reply.h"
#include "schemas/runtime.redrive.h"
#include "schemas/runtime.redrive.reply.h"
#include "schemas/runtime.status.h"
#include "schemas/runtime.status.reply.h"
#include "schemas/runtime.take-over.h"
#include "schemas/runtime.take-over.reply.h"
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define FORM 1
#define SCHEMAS_MAX 1024

/* What every service answers, behind its prefix (admin.c, operations.c, brief.c). */
static const struct {
    const char *name;
    const struct schema *request, *reply;
} own_requests[] = {
    { "durable.*.make", &runtime_durable_schema, &runtime_durable_reply_schema },
    { "events", &runtime_events_schema, &runtime_events_reply_schema },
    { "hand-over", &runtime_hand_over_schema, &runtime_hand_over_reply_schema },
    { "orphans", &runtime_orphans_schema, &runtime_orphans_reply_schema },
    { "parked", &runtime_parked_schema, &runtime_parked_reply_schema },
    { "rebuild", &runtime_rebuild_schema, &runtime_rebuild_reply_schema },
    { "redrive", &runtime_redrive_schema, &runtime_redrive_reply_schema },
    { "status", &runtime_status_schema, &runtime_status_reply_schema },
    { "take-over", &runtime_take_over_schema, &runtime_take_over_reply_schema },
};

struct printer {
    struct buf out;
    const struct schema *schemas[SCHEMAS_MAX]; /* that were named, each once */
    int schema_count;
};

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Each row of a list on a line of its own, so that two contracts can be compared line by line. */
static void begin_row(struct printer *p, int number)
{
    buf_put_text(&p->out, number > 0 ? ",\n    {" : "\n    {");
}

static void put_key(struct printer *p, const char *key)
{
    const char *end = p->out.data + p->out.length;
    _Bool is_first = p->out.length == 0 || end[-1] == '{' || end[-1] == ' ';
    buf_put_format(&p->out, "%s\"%s\": ", is_first ? "" : ", ", key);
}

static void put_value(struct printer *p, const char *text)
{
    if (text)
        buf_put_json(&p->out, text, strlen(text));
    else
        buf_put_text(&p->out, "null");
}

static void put_text(struct printer *p, const char *key, const char *text)
{
    put_key(p, key);
    put_value(p, text);
}

static void put_number(struct printer *p, const char *key, int64_t value)
{
    put_key(p, key);
    buf_put_int(&p->out, value);
}

static void put_truth(struct printer *p, const char *key, _Bool value)
{
    put_key(p, key);
    buf_put_text(&p->out, value ? "true" : "false");
}

static void put_schema(struct printer *p, const char *key, const struct schema *schema)
{
    int i = 0;
    while (i < p->schema_count && p->schemas[i] != schema)
        i++;
    assert(i < SCHEMAS_MAX);
    if (i == p->schema_count)
        p->schemas[p->schema_count++] = schema;
    put_text(p, key, schema->name);
}

/* A member of the whole that is a list: `  "events": [` and, behind its rows, `],`. */
static void begin_list(struct printer *p, const char *key)
{
    buf_put_format(&p->out, "  \"%s\": [", key);
}

static void end_list(struct printer *p)
{
    buf_put_text(&p->out, "\n  ],\n");
}

/* ---- Its parts ------------------------------------------------------------------------------- */

static void put_request(struct printer *p, int number, const char *subject, const char *kind,
                        const struct schema *request, const struct schema *reply)
{
    begin_row(p, number);
    put_text(p, "subject", subject);
    put_text(p, "kind", kind);
    put_schema(p, "request", request);
    put_schema(p, "reply", reply);
    if (request->account) {
        char subject_of_account[256];
        snprintf(subject_of_account, sizeof(subject_of_account), "%s.{%s}", subject,
                 request->account);
        put_text(p, "account", request->account);
        put_text(p, "account_subject", subject_of_account);
    }
    buf_put_char(&p->out, '}');
}

static void put_requests(struct printer *p, const struct service *service)
{
    int number = 0;
    char subject[128];
    begin_list(p, "requests");
    for (const struct command *c = service->commands; c && c->subject; c++)
        put_request(p, number++, c->subject, "command", c->request, c->reply);
    for (const struct query_type *q = service->queries; q && q->subject; q++)
        put_request(p, number++, q->subject, "query", q->request, q->reply);
    for (size_t i = 0; i < sizeof(own_requests) / sizeof(*own_requests); i++) {
        snprintf(subject, sizeof(subject), "%s.%s", service->prefix, own_requests[i].name);
        put_request(p, number++, subject, "runtime", own_requests[i].request,
                    own_requests[i].reply);
    }
    end_list(p);
}

static void put_event(struct printer *p, const char *prefix, const struct event_type *type)
{
    const char *version = strstr(type->name, ".v");
    char name[128], subject[256];
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(type->name, "."), type->name);
    snprintf(subject, sizeof(subject), "evt.%s.%s", prefix, type->name);
    put_text(p, "name", name);
    put_number(p, "version", version ? strtol(version + 2, NULL, 10) : 1);
    put_text(p, "subject", subject);
    put_schema(p, "schema", type->schema);
}

static void put_events(struct printer *p, const struct service *service)
{
    int number = 0;
    begin_list(p, "events");
    for (const struct event_type *type = service->events; type && type->name; type++) {
        begin_row(p, number++);
        put_event(p, service->prefix, type);
        buf_put_char(&p->out, '}');
    }
    for (const struct event_type *type = runtime_events; type->name; type++) {
        begin_row(p, number++);
        put_event(p, service->prefix, type);
        put_text(p, "of", "runtime");
        buf_put_char(&p->out, '}');
    }
    end_list(p);
}

static void put_sources(struct printer *p, const struct service *service)
{
    int number = 0;
    begin_list(p, "sources");
    for (const struct source *source = service->sources; source && source->log; source++) {
        begin_row(p, number++);
        put_text(p, "log", source->log);
        put_text(p, "service", source->service);
        put_text(p, "prefix", source->prefix);
        put_text(p, "option", source->option);
        put_key(p, "events");
        buf_put_char(&p->out, '[');
        for (const struct event_type *type = source->events; type && type->name; type++) {
            buf_put_text(&p->out, type > source->events ? ",\n      {" : "\n      {");
            put_event(p, source->prefix, type);
            put_truth(p, "reacts", type->react != NULL);
            buf_put_char(&p->out, '}');
        }
        buf_put_text(&p->out, "\n    ]}");
    }
    end_list(p);
}

static void put_calls(struct printer *p, const struct service *service)
{
    int number = 0;
    begin_list(p, "calls");
    for (const struct call_type *type = service->calls; type && type->subject; type++) {
        begin_row(p, number++);
        put_text(p, "subject", type->subject);
        put_schema(p, "request", type->request);
        put_schema(p, "reply", type->reply);
        buf_put_char(&p->out, '}');
    }
    end_list(p);
}

/* The refusal with the least number above one; NULL: none. */
static const struct refusal_type *refusal_after(const struct service *service, int number)
{
    const struct refusal_type *next = NULL;
    for (const struct refusal_type *type = service->refusals; type && type->code; type++)
        if (type->number > number && (!next || type->number < next->number))
            next = type;
    for (int i = number + 1; i < REFUSAL_MAX && (!next || i < next->number); i++)
        if (refusal_find(NULL, i))
            return refusal_find(NULL, i);
    return next;
}

static void put_refusals(struct printer *p, const struct service *service)
{
    int number = 0;
    begin_list(p, "refusals");
    for (const struct refusal_type *type = refusal_after(service, 0); type;
         type = refusal_after(service, type->number)) {
        begin_row(p, number++);
        put_text(p, "code", type->code);
        put_number(p, "status", type->status);
        put_truth(p, "transient", type->is_transient);
        put_text(p, "of", refusal_find(NULL, type->number) == type ? "runtime" : "service");
        buf_put_char(&p->out, '}');
    }
    end_list(p);
}

static void put_options(struct printer *p, const struct service *service)
{
    struct config_option option;
    begin_list(p, "options");
    for (int i = 0; config_option(service, i, &option); i++) {
        begin_row(p, i);
        put_text(p, "name", option.flag);
        put_text(p, "environment", option.variable);
        put_text(p, "kind", option.kind);
        put_text(p, "default", option.value);
        if (option.max > option.min) {
            put_number(p, "min", option.min);
            put_number(p, "max", option.max);
        }
        if (option.choices) {
            put_key(p, "choices");
            buf_put_char(&p->out, '[');
            for (const char *const *choice = option.choices; *choice; choice++) {
                buf_put_text(&p->out, choice > option.choices ? ", " : "");
                put_value(p, *choice);
            }
            buf_put_char(&p->out, ']');
        }
        put_text(p, "help", option.help);
        put_truth(p, "secret", option.is_secret);
        put_text(p, "of", option.is_own ? "service" : "runtime");
        buf_put_char(&p->out, '}');
    }
    end_list(p);
}

static void put_limits(struct printer *p)
{
    buf_put_text(&p->out, "  \"limits\": {");
    put_number(p, "request_bytes_max", REQUEST_BYTES_MAX);
    put_number(p, "json_depth_max", SCHEMA_DEPTH_MAX);
    put_number(p, "header_bytes_max", EVENT_TEXT_FROM_OUTSIDE_MAX);
    put_number(p, "min_position_wait_ms", MIN_POSITION_WAIT_MS);
    buf_put_text(&p->out, "},\n");
}

static void put_schemas(struct printer *p)
{
    buf_put_text(&p->out, "  \"schemas\": {");
    for (int i = 0; i < p->schema_count; i++) {
        buf_put_text(&p->out, i > 0 ? ",\n    " : "\n    ");
        put_value(p, p->schemas[i]->name);
        buf_put_text(&p->out, ": ");
        buf_put_text(&p->out, p->schemas[i]->text);
    }
    buf_put_text(&p->out, "\n  }\n}\n");
}

static void put_head(struct printer *p, const struct service *service)
{
    const struct {
        const char *key, *value;
    } members[] = {
        { "name", service->name },     { "version", service_version(service) },
        { "log", service->log },       { "description", service->description },
        { "prefix", service->prefix }, { "schema_base", service->schema_base },
    };
    buf_put_format(&p->out, "{\n  \"contract\": %d,\n", FORM);
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        buf_put_format(&p->out, "  \"%s\": ", members[i].key);
        put_value(p, members[i].value);
        buf_put_text(&p->out, ",\n");
    }
    buf_put_text(&p->out, "  ");
    put_schema(p, "refusal", &error_schema);
    buf_put_text(&p->out, ",\n");
}

int contract_print(const struct service *service, FILE *file)
{
    _free_memory_ struct printer *p = calloc(1, sizeof(*p));
    if (!p)
        return fail(ERR_MEMORY, "no memory for the contract");
    put_head(p, service);
    put_requests(p, service);
    put_events(p, service);
    put_sources(p, service);
    put_calls(p, service);
    put_refusals(p, service);
    put_options(p, service);
    put_limits(p);
    put_schemas(p);
    int r = buf_status(&p->out);
    if (r == 0 && fwrite(p->out.data, 1, p->out.length, file) != p->out.length)
        r = fail(ERR_IO, "the contract cannot be written");
    buf_deinit(&p->out);
    return trace(r);
}
