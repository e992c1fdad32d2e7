/* Context: the functions of journey.h that a journey calls. They only collect; the loop carries
 * out. */
#include "runtime/core/context.h"
#include "work.h"
#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void journey_init(struct journey *j, enum journey_mode mode, const struct service *service,
                  const char *const *option_values, struct db *db, struct arena *arena,
                  struct id_source *ids, int64_t now_ms)
{
    assert(service && arena);
    *j = (struct journey){
        .mode = mode,
        .service = service,
        .option_values = option_values,
        .db = db,
        .arena = arena,
        .ids = ids,
        .now_ms = now_ms,
    };
    j->last_emission = &j->emissions;
    j->last_call = &j->calls;
}

void journey_deinit(struct journey *j)
{
    while (j->calls) {
        struct outbound_call *next = j->calls->next;
        outbound_call_free(j->calls);
        j->calls = next;
    }
    j->last_call = &j->calls;
}

void outbound_call_free(struct outbound_call *call)
{
    if (!call)
        return;
    buf_deinit(&call->body);
    item_free(call->local);
    free(call);
}

struct db *journey_db(const struct journey *j)
{
    return j->db;
}
int64_t journey_now_ms(const struct journey *j)
{
    return j->now_ms;
}
struct arena *journey_arena(const struct journey *j)
{
    return j->arena;
}

int64_t journey_page_limit(struct journey *j, int64_t wanted)
{
    int64_t limit = j->page_max > 0 && j->page_max < wanted ? j->page_max : wanted;
    assert(wanted > 0 && j->mode == MODE_QUERY);
    if (limit > j->page_taken)
        j->page_taken = limit;
    return limit;
}

const char *journey_make_id(struct journey *j, const char *prefix)
{
    char *id = arena_alloc(j->arena, ID_SIZE);
    if (id)
        id_make(j->ids, prefix, j->now_ms, id);
    return id;
}

const char *journey_option(const struct journey *j, const char *name)
{
    for (int i = 0; j->service->options && j->service->options[i].name; i++)
        if (strcmp(j->service->options[i].name, name) == 0)
            return j->option_values && j->option_values[i] ? j->option_values[i]
                                                           : j->service->options[i].value;
    assert(!"an option that the service's table does not have");
    return "";
}

int64_t journey_option_int(const struct journey *j, const char *name)
{
    return strtoll(journey_option(j, name), NULL, 10);
}

int journey_refuse(struct journey *j, int refusal, const char *format, ...)
{
    if (!refusal_find(j->service->refusals, refusal))
        return fail(ERR_INTERNAL, "a refusal (%d) that is not in the table of %s", refusal,
                    j->service->name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(j->message, sizeof(j->message), format, arguments);
    va_end(arguments);
    return refusal;
}

int journey_emit(struct journey *j, const struct schema *schema, const char *entity,
                 const void *value)
{
    if (j->mode != MODE_DECIDE)
        return fail(ERR_INTERNAL, "an event can only be emitted by a decision");
    const struct event_type *type = event_type_of_schema(j->service, schema);
    if (!type)
        return fail(ERR_INTERNAL, "an event that is not in the table of %s", j->service->name);
    assert(entity && value && !*j->last_emission);
    struct emission *emission = arena_alloc(j->arena, sizeof(*emission));
    char *kept_entity = arena_copy(j->arena, entity, strlen(entity));
    void *kept = arena_alloc(j->arena, schema->size);
    if (!emission || !kept_entity || !kept)
        return fail(ERR_MEMORY, "no memory for an event");
    memcpy(kept, value, schema->size);
    *emission = (struct emission){
        .type = type, .entity = kept_entity, .value = kept, .origin = j->origin
    };
    *j->last_emission = emission;
    j->last_emission = &emission->next;
    return 0;
}

int journey_follow(struct journey *j, int64_t position)
{
    assert(position > 0);
    int r = event_log_find_origin(j->db, position, j->arena, &j->origin.correlation,
                                  &j->origin.causation, &j->origin.traceparent);
    j->origin.cause = j->origin.cause_digest = NULL;
    if (r == NOT_FOUND)
        return fail(ERR_INTERNAL, "no event at position %lld to follow from", (long long)position);
    return trace(r);
}

static int call_new(struct journey *j, const struct call *call, struct outbound_call **ret_made,
                    const struct call_type **ret_type)
{
    const struct call_type *type = call_type_of_subject(j->service, call->subject);
    if (!type)
        return fail(ERR_INTERNAL, "a call of %s that is not in the table of %s", call->subject,
                    j->service->name);
    struct outbound_call *made = calloc(1, sizeof(*made));
    if (!made)
        return fail(ERR_MEMORY, "no memory for a call");
    buf_init(&made->body);
    const struct work *work = j->asking;
    made->type = type;
    made->timeout_ms = work ? work->timeout_ms : call->timeout_ms;
    made->number = work ? work->number : call->number;
    made->work = work ? work->type->name : NULL;
    snprintf(made->tag, sizeof(made->tag), "%s", work ? work->key : call->tag);
    *j->last_call = made;
    j->last_call = &made->next;
    *ret_made = made;
    *ret_type = type;
    return 0;
}

int journey_call(struct journey *j, const struct call *call)
{
    struct outbound_call *made;
    const struct call_type *type;
    int r = call_new(j, call, &made, &type);
    if (r < 0)
        return trace(r);
    made->subject = type->subject;
    return trace(schema_encode(type->request, call->body, &made->body));
}

int journey_answer_later(struct journey *j, const struct call *call, enum answer_outcome outcome,
                         const void *reply, int delay_ms)
{
    struct outbound_call *made;
    const struct call_type *type;
    int r = call_new(j, call, &made, &type);
    if (r < 0)
        return trace(r);
    struct item *item = item_new(ITEM_ANSWER);
    if (!item)
        return fail(ERR_MEMORY, "no memory for an answer");
    made->local = item;
    item->due_ms = j->now_ms + delay_ms;
    item->answer = (struct answer){
        .outcome = outcome,
        .number = made->number,
        .work = made->work,
    };
    item->answer.tag = arena_copy(&item->arena, made->tag, strlen(made->tag));
    if (!item->answer.tag)
        return fail(ERR_MEMORY, "no memory for an answer");
    if (outcome != ANSWER_RECEIVED)
        return 0;
    /* Through the same text as a real provider's reply, so that both are held to one contract. */
    struct invalid invalid;
    _deinit_(buf) struct buf text = { 0 };
    void *body = NULL;
    r = schema_encode(type->reply, reply, &text);
    if (r == 0)
        r = schema_decode(type->reply, text.data, text.length, &item->arena, &body, &invalid);
    if (r != 0)
        return r < 0 ? trace(r)
                     : fail(ERR_INTERNAL, "a built-in answer breaks its contract at %s",
                            invalid.field);
    item->answer.body = body;
    return 0;
}
