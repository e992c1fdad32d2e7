/* Mesh: what it takes from the answers of services and server. A field that is missing or otherwise
 * than expected counts as absent, because services of other versions answer too. */
#include <stdio.h>
#include <string.h>
#include "base/result.h"
#include "map/mesh_parts.h"

/* Requests of the runtime, which are no journeys. */
static const char *const runtime_requests[] = { "events",  "parked",    "redrive",   "rebuild",
                                                "durable", "hand-over", "take-over", "orphans",
                                                "status",  NULL };

static void read_text(struct json_text object, const char *key, char *ret_text, size_t size)
{
    struct json_text value = json_text_find(object, key);
    if (value.length < 2 || *value.text != '"')
        value = (struct json_text){ "", 0 };
    else
        value = (struct json_text){ value.text + 1, value.length - 2 };
    json_text_plain(value, ret_text, size);
}

static int64_t read_number(struct json_text object, const char *key, int64_t otherwise)
{
    return json_text_number(json_text_find(object, key), otherwise);
}

/* A name of the mesh: what subjects and pages are made of. */
static _Bool is_name(const char *text)
{
    size_t length = strspn(text,
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return length > 0 && text[length] == '\0';
}

/* The instance that an answer comes from, known from now on. */
static int take_instance(struct mesh *mesh, struct json_text answer, int64_t now_ms,
                         struct mesh_service **ret_service, struct mesh_instance **ret_instance)
{
    char name[MESH_NAME_SIZE], id[MESH_NAME_SIZE], host[MESH_NAME_SIZE], log[MESH_NAME_SIZE],
        prefix[MESH_NAME_SIZE];
    struct json_text metadata = json_text_find(answer, "metadata");
    read_text(answer, "name", name, sizeof(name));
    read_text(answer, "id", id, sizeof(id));
    read_text(metadata, "log", log, sizeof(log));
    read_text(metadata, "prefix", prefix, sizeof(prefix));
    read_text(metadata, "host", host, sizeof(host));
    /* other services of NATS are none of the mesh */
    if (!is_name(name) || !is_name(id) || !is_name(log) || !is_name(prefix))
        return -ERR_INVALID;
    struct mesh_service *service = mesh_find(mesh, name);
    if (!service)
        service = mesh_add(mesh, name);
    struct mesh_instance *instance = service ? mesh_instance_of(service, id, host) : NULL;
    if (!instance)
        return fail(ERR_MEMORY, "no room for %s", name);
    snprintf(service->log, sizeof(service->log), "%s", log);
    snprintf(service->prefix, sizeof(service->prefix), "%s", prefix);
    read_text(metadata, "pid", instance->pid, sizeof(instance->pid));
    instance->heard_ms = now_ms;
    *ret_service = service;
    *ret_instance = instance;
    return 0;
}

int mesh_take_ping(struct mesh *mesh, const char *text, size_t length, int64_t now_ms)
{
    struct mesh_service *service;
    struct mesh_instance *instance;
    return take_instance(mesh, json_text_of(text, length), now_ms, &service, &instance);
}

/* ---- Statistics ------------------------------------------------------------------------------ */

static _Bool is_of_journey(const char *name)
{
    for (const char *const *other = runtime_requests; *other; other++)
        if (strcmp(*other, name) == 0)
            return 0;
    return 1;
}

/* What was counted since the last statistics, a second. */
static double rate(int64_t now, int64_t before, int64_t span_ms)
{
    return now > before && span_ms > 0 ? (double)(now - before) * 1000 / (double)span_ms : 0;
}

static void take_durations(struct mesh_instance *instance, struct json_text data, int64_t span_ms)
{
    struct json_members members;
    struct json_text key, value;
    json_text_members_begin(&members, json_text_find(data, "durations"));
    for (int i = 0; i < MESH_BUCKETS && json_text_members_next(&members, &key, &value); i++) {
        int64_t count = json_text_number(value, 0);
        instance->rate_of[i] = rate(count, instance->durations[i], span_ms);
        instance->durations[i] = count;
    }
}

static void take_endpoints(struct mesh_instance *instance, struct json_text endpoints,
                           int64_t span_ms, struct json_text *ret_data)
{
    struct json_members members;
    struct json_text key, value;
    int64_t requests = 0, refusals = 0;
    json_text_members_begin(&members, endpoints);
    while (json_text_members_next(&members, &key, &value)) {
        char name[MESH_NAME_SIZE];
        read_text(value, "name", name, sizeof(name));
        struct json_text data = json_text_find(value, "data");
        if (data.text && !ret_data->text)
            *ret_data = data;
        if (!is_of_journey(name))
            continue;
        requests += read_number(value, "num_requests", 0);
        refusals += read_number(value, "num_errors", 0);
    }
    instance->request_rate = rate(requests, instance->requests, span_ms);
    instance->refusal_rate = rate(refusals, instance->refusals, span_ms);
    instance->requests = requests;
    instance->refusals = refusals;
}

static void take_sources(struct mesh_service *service, struct json_text sources)
{
    struct json_members members;
    struct json_text key, value;
    service->source_count = 0;
    json_text_members_begin(&members, sources);
    while (service->source_count < MESH_SOURCES_MAX &&
           json_text_members_next(&members, &key, &value)) {
        struct mesh_source *source = &service->sources[service->source_count];
        if (key.length == 0 || key.length >= sizeof(source->log))
            continue;
        memcpy(source->log, key.text, key.length);
        source->log[key.length] = '\0';
        if (!is_name(source->log))
            continue;
        read_text(value, "state", source->state, sizeof(source->state));
        source->cursor = read_number(value, "cursor", 0);
        source->lag = read_number(value, "lag", 0);
        source->age_ms = read_number(value, "age_ms", -1);
        service->source_count++;
    }
}

static void take_service(struct mesh_service *service, struct json_text data, int64_t now_ms)
{
    struct json_members members;
    struct json_text key, value;
    read_text(data, "reason", service->reason, sizeof(service->reason));
    if (!*service->reason)
        read_text(data, "relay_reason", service->reason, sizeof(service->reason));
    take_sources(service, json_text_find(data, "sources"));
    service->notice_count = 0;
    json_text_members_begin(&members, json_text_find(data, "notices"));
    while (json_text_members_next(&members, &key, &value))
        service->notice_count++;
    service->told_ms = now_ms;
}

int mesh_take_statistics(struct mesh *mesh, const char *text, size_t length, int64_t now_ms)
{
    struct mesh_service *service;
    struct mesh_instance *instance;
    struct json_text answer = json_text_of(text, length), data = { NULL, 0 };
    int r = take_instance(mesh, answer, now_ms, &service, &instance);
    if (r < 0)
        return r;
    int64_t span_ms = instance->counted_ms > 0 ? now_ms - instance->counted_ms : 0;
    take_endpoints(instance, json_text_find(answer, "endpoints"), span_ms, &data);
    take_durations(instance, data, span_ms);
    instance->counted_ms = now_ms;
    read_text(data, "state", instance->state, sizeof(instance->state));
    read_text(data, "role", instance->role, sizeof(instance->role));
    read_text(data, "relay", instance->relay, sizeof(instance->relay));
    instance->term = read_number(data, "term", 0);
    instance->queue = read_number(data, "queue", 0);
    instance->queries = read_number(data, "readers_queue", 0);
    instance->wal_bytes = read_number(data, "wal_bytes", 0);
    instance->position = read_number(data, "position", 0);
    instance->published = read_number(data, "published", 0);
    instance->outbox = read_number(data, "outbox", 0);
    instance->parked = read_number(data, "parked", 0);
    instance->held = read_number(data, "answers_held", 0);
    if (instance == mesh_leading(service))
        take_service(service, data, now_ms);
    return 0;
}

/* ---- Streams --------------------------------------------------------------------------------- */

static struct mesh_type *type_of(struct mesh_stream *stream, struct json_text subject)
{
    char name[MESH_NAME_SIZE];
    const char *dot = memrchr(subject.text, '.', subject.length);
    const char *from = dot ? dot + 1 : subject.text;
    size_t length = subject.length - (size_t)(from - subject.text);
    if (length == 0 || length >= sizeof(name))
        return NULL;
    memcpy(name, from, length);
    name[length] = '\0';
    for (int i = 0; i < stream->type_count; i++)
        if (strcmp(stream->types[i].name, name) == 0)
            return &stream->types[i];
    if (!is_name(name) || stream->type_count == MESH_TYPES_MAX)
        return NULL;
    struct mesh_type *type = &stream->types[stream->type_count++];
    *type = (struct mesh_type){ .count = -1 };
    snprintf(type->name, sizeof(type->name), "%s", name);
    return type;
}

static void take_types(struct mesh_stream *stream, struct json_text subjects, int64_t span_ms)
{
    struct json_members members;
    struct json_text key, value;
    for (int i = 0; i < stream->type_count; i++)
        stream->types[i].rate = 0;
    json_text_members_begin(&members, subjects);
    while (json_text_members_next(&members, &key, &value)) {
        struct mesh_type *type = type_of(stream, key);
        if (!type)
            continue;
        int64_t count = json_text_number(value, 0);
        int64_t before = type->count < 0 && span_ms > 0 ? 0 : type->count;
        type->rate = before >= 0 ? rate(count, before, span_ms) : 0;
        type->count = count;
    }
}

int mesh_take_stream(struct mesh *mesh, const char *log, const char *text, size_t length,
                     int64_t now_ms)
{
    struct mesh_service *service = mesh_find_log(mesh, log);
    struct json_text answer = json_text_of(text, length), state = json_text_find(answer, "state");
    if (!service || !answer.text)
        return -ERR_INVALID;
    struct mesh_stream *stream = &service->stream;
    stream->missing = json_text_find(answer, "error").text != NULL;
    if (stream->missing || !state.text) {
        stream->rate = 0;
        return 0;
    }
    int64_t span_ms = stream->there ? now_ms - stream->seen_ms : 0;
    int64_t last = read_number(state, "last_seq", 0);
    stream->rate = stream->there ? rate(last, stream->last, span_ms) : 0;
    stream->there = 1;
    stream->last = last;
    stream->messages = read_number(state, "messages", 0);
    stream->bytes = read_number(state, "bytes", 0);
    take_types(stream, json_text_find(state, "subjects"), span_ms);
    stream->seen_ms = now_ms;
    return 0;
}
