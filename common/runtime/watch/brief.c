/* Brief: see brief.h. */
#include "runtime/watch/brief.h"
#include "base/clock.h"
#include "base/log.h"
#include "runtime/core/service_table.h"
#include "runtime/request/reply.h"
#include "schemas/runtime.status.h"
#include "schemas/runtime.status.reply.h"
#include <assert.h>
#include <string.h>

#define TEXT_SIZE 512

/* ---- Fields of the table -------------------------------------------------------------------- */

static const struct statistics_field *find(enum statistics_scope of, const char *key)
{
    const struct statistics_field *field = statistics_fields;
    while (field->of != of || !field->key || strcmp(field->key, key) != 0) {
        field++;
        assert(field->key || field->metric.name); /* the test of this file asks for each */
    }
    return field;
}

static int64_t number(const struct statistics_sample *sample, const char *key)
{
    return statistics_value(find(OF_SERVICE, key), sample, 0);
}

static const char *text(const struct statistics_sample *sample, enum statistics_scope of, int i,
                        const char *key, struct arena *arena)
{
    const struct statistics_field *field = find(of, key);
    char *value = arena_alloc(arena, TEXT_SIZE);
    if (!value)
        return NULL;
    *value = '\0';
    field->text(sample, i, value, TEXT_SIZE);
    return value;
}

/* ---- Layout --------------------------------------------------------------------------------- */

/* Each member of the whole on a line of its own, and the second and further items of its lists. */
static void lay_out(const struct buf *in, struct buf *out)
{
    int depth = 0;
    _Bool is_text = 0;
    for (size_t i = 0; i < in->length; i++) {
        const char c = in->data[i];
        buf_put_char(out, c);
        if (is_text && c == '\\' && i + 1 < in->length)
            buf_put_char(out, in->data[++i]);
        else if (c == '"')
            is_text = !is_text;
        if (is_text)
            continue;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c == ',' && depth == 1)
            buf_put_text(out, "\n ");
        else if (c == ',' && depth == 2 && in->data[i - 1] == '}')
            buf_put_text(out, "\n          ");
        else if (c == ':' || c == ',')
            buf_put_char(out, ' ');
    }
}

/* ---- The answer ------------------------------------------------------------------------------ */

static int put_sources(const struct statistics_sample *sample, struct arena *arena,
                       struct runtime_status_reply *reply)
{
    const struct statistics_group *group = &statistics_groups[OF_SOURCE];
    const int count = group->count(sample->of);
    struct runtime_status_reply_reads_item *rows = arena_alloc(arena,
                                                               ((size_t)count + 1) * sizeof(*rows));
    if (!rows)
        return fail(ERR_MEMORY, "no memory for the status");
    for (int i = 0; i < count; i++) {
        const int64_t age_ms = statistics_value(find(OF_SOURCE, "age_ms"), sample, i);
        const int64_t state = statistics_value(find(OF_SOURCE, "state"), sample, i);
        rows[i] = (struct runtime_status_reply_reads_item){
            .log = group->name(sample->of, i),
            .state = feed_state_name((enum feed_state)state),
            .lag = statistics_value(find(OF_SOURCE, "lag"), sample, i),
            .has_age_ms = age_ms >= 0,
            .age_ms = age_ms,
        };
    }
    reply->reads = rows;
    reply->reads_count = (size_t)count;
    return 0;
}

static int64_t count_work(const struct statistics_sample *sample)
{
    int64_t open = 0;
    for (int i = 0; i < statistics_groups[OF_WORK].count(sample->of); i++)
        open += statistics_value(find(OF_WORK, "open"), sample, i);
    return open;
}

static void put_service(const struct statistics_sample *sample, char started[RFC3339_SIZE],
                        struct runtime_status_reply *reply)
{
    const struct statistics *of = sample->of;
    rfc3339_format(of->status->started_ms, started);
    reply->service.name = of->service->name;
    reply->service.version = service_version(of->service);
    reply->service.instance = of->instance;
    reply->service.started = started;
    for (int i = 0; i < of->endpoint_count; i++) {
        reply->requests.answered += atomic_load(&of->endpoints[i].num_requests);
        reply->requests.refused += atomic_load(&of->endpoints[i].num_errors);
    }
}

static void put_numbers(const struct statistics_sample *sample, struct runtime_status_reply *reply)
{
    reply->state = service_state_name((enum service_state)number(sample, "state"));
    reply->log.position = number(sample, "position");
    reply->log.published = number(sample, "published");
    reply->log.relay = relay_state_name((enum relay_state)number(sample, "relay"));
    reply->waits.outbox = number(sample, "outbox");
    reply->waits.queue = number(sample, "queue");
    reply->waits.readers_queue = number(sample, "readers_queue");
    reply->waits.answers_held = number(sample, "answers_held");
    reply->waits.work = count_work(sample);
    reply->parked = number(sample, "parked");
    reply->files.database_bytes = number(sample, "database_bytes");
    reply->files.wal_bytes = number(sample, "wal_bytes");
    reply->leads.term = number(sample, "term");
    reply->leads.follower_lag = number(sample, "follower_lag");
}

int brief_write(const struct statistics *of, struct arena *arena, struct buf *out)
{
    struct statistics_sample sample;
    char started[RFC3339_SIZE];
    _deinit_(buf) struct buf compact = { 0 };
    struct runtime_status_reply reply = { 0 };
    statistics_take(of, &sample);
    put_service(&sample, started, &reply);
    put_numbers(&sample, &reply);
    reply.reason = text(&sample, OF_SERVICE, 0, "reason", arena);
    reply.leads.role = text(&sample, OF_SERVICE, 0, "role", arena);
    reply.leads.leader = text(&sample, OF_SERVICE, 0, "leader", arena);
    if (!reply.reason || !reply.leads.role || !reply.leads.leader)
        return fail(ERR_MEMORY, "no memory for the status");
    int r = put_sources(&sample, arena, &reply);
    if (r == 0)
        r = schema_encode(&runtime_status_reply_schema, &reply, &compact);
    if (r < 0)
        return trace(r);
    lay_out(&compact, out);
    return trace(buf_status(out));
}

int brief_answer(void *context, struct item *taken)
{
    const struct statistics *of = context;
    _free_(item) struct item *item = taken;
    const struct runtime_status *wanted = item->request;
    assert(item->kind == ITEM_STATUS && of->bus && of->instance);
    if (wanted->instance && strcmp(wanted->instance, of->instance) != 0)
        return 0;
    item->outcome = OUTCOME_DONE;
    if (brief_write(of, &item->arena, &item->body) < 0) {
        log_error("status_not_written", LOG_TEXT("reason", failure_text()));
        item->outcome = OUTCOME_REFUSED;
        item->refusal = refusal_of(REFUSED_INTERNAL);
        item->message = "no memory for the status; its log says why";
    }
    reply_send(of->bus, BUS_URGENT, item);
    return 0;
}
