/* Mesh: its picture as JSON, made once a second for all browsers. The page (page/map.js) reads what
 * is written here, and nothing else does. */
#include <math.h>
#include <string.h>
#include "map/mesh_parts.h"

static void put_text(struct buf *out, const char *key, const char *value)
{
    buf_put_format(out, "\"%s\":", key);
    buf_put_json(out, value, strlen(value));
    buf_put_char(out, ',');
}

/* Numbers of at most three digits behind the point; negative: unknown. */
static void put_real(struct buf *out, const char *key, double value)
{
    if (value < 0 || !isfinite(value))
        buf_put_format(out, "\"%s\":null,", key);
    else
        buf_put_format(out, value >= 1000 ? "\"%s\":%.0f," : "\"%s\":%.3g,", key, value);
}

static void end_members(struct buf *out, char closing)
{
    if (out->length > 0 && out->data[out->length - 1] == ',')
        buf_cut(out, out->length - 1);
    buf_put_char(out, closing);
}

static void put_instances(const struct mesh_service *service, int64_t now_ms, struct buf *out)
{
    buf_put_text(out, "\"instances\":[");
    for (int i = 0; i < service->instance_count; i++) {
        const struct mesh_instance *instance = &service->instances[i];
        buf_put_char(out, '{');
        put_text(out, "id", instance->id);
        put_text(out, "host", instance->host);
        put_text(out, "pid", instance->pid);
        put_text(out, "state", instance->state);
        put_text(out, "role", instance->role);
        buf_put_format(out, "\"term\":%lld,\"silent_ms\":%lld},", (long long)instance->term,
                       (long long)(instance->silent ? now_ms - instance->heard_ms : 0));
    }
    end_members(out, ']');
    buf_put_char(out, ',');
}

static void put_sources(struct mesh *mesh, const struct mesh_service *service, int64_t now_ms,
                        struct buf *out)
{
    buf_put_text(out, "\"sources\":[");
    for (int i = 0; i < service->source_count; i++) {
        const struct mesh_source *source = &service->sources[i];
        int64_t age_ms = source->age_ms;
        if (service->silent_since_ms > 0 && age_ms >= 0)
            age_ms += now_ms - service->told_ms;
        buf_put_char(out, '{');
        put_text(out, "log", source->log);
        put_text(out, "state", source->state);
        buf_put_format(out, "\"cursor\":%lld,\"lag\":%lld,\"age_ms\":%lld},",
                       (long long)source->cursor, (long long)mesh_lag(mesh, service, source),
                       (long long)age_ms);
    }
    end_members(out, ']');
    buf_put_char(out, ',');
}

static void put_stream(const struct mesh_stream *stream, struct buf *out)
{
    buf_put_format(out,
                   "\"stream\":{\"there\":%s,\"missing\":%s,\"messages\":%lld,\"bytes\":%lld,"
                   "\"last\":%lld,",
                   stream->there ? "true" : "false", stream->missing ? "true" : "false",
                   (long long)stream->messages, (long long)stream->bytes, (long long)stream->last);
    put_real(out, "rate", stream->rate);
    buf_put_text(out, "\"types\":{");
    for (int i = 0; i < stream->type_count; i++)
        if (stream->types[i].rate > 0)
            put_real(out, stream->types[i].name, stream->types[i].rate);
    end_members(out, '}');
    buf_put_text(out, "},");
}

static void put_service(struct mesh *mesh, const struct mesh_service *service, int64_t now_ms,
                        struct buf *out)
{
    const struct mesh_instance *leading = mesh_leading(service);
    double rate_of[MESH_BUCKETS];
    struct mesh_second second = { 0 };
    mesh_sum_rates(service, rate_of, &second);
    buf_put_char(out, '{');
    put_text(out, "name", service->name);
    put_text(out, "log", service->log);
    put_text(out, "prefix", service->prefix);
    put_text(out, "state", leading ? leading->state : "");
    put_text(out, "relay", leading ? leading->relay : "");
    put_text(out, "reason", service->reason);
    buf_put_format(
        out, "\"silent_ms\":%lld,\"notices\":%d,",
        (long long)(service->silent_since_ms > 0 ? now_ms - service->silent_since_ms : 0),
        service->notice_count);
    buf_put_format(out, "\"led\":%s,", mesh_is_led(service) ? "true" : "false");
    put_real(out, "requests", second.requests);
    put_real(out, "refusals", second.refusals);
    put_real(out, "p50_ms", mesh_percentile_ms(rate_of, 0.50));
    put_real(out, "p99_ms", mesh_percentile_ms(rate_of, 0.99));
    if (leading)
        buf_put_format(out,
                       "\"term\":%lld,\"queue\":%lld,\"queries\":%lld,\"wal\":%lld,"
                       "\"position\":%lld,\"outbox\":%lld,\"parked\":%lld,\"held\":%lld,",
                       (long long)leading->term, (long long)leading->queue,
                       (long long)leading->queries, (long long)leading->wal_bytes,
                       (long long)leading->position, (long long)leading->outbox,
                       (long long)leading->parked, (long long)leading->held);
    put_instances(service, now_ms, out);
    put_sources(mesh, service, now_ms, out);
    put_stream(&service->stream, out);
    end_members(out, '}');
    buf_put_char(out, ',');
}

void mesh_write(struct mesh *mesh, int64_t now_ms, struct buf *out)
{
    buf_put_format(out, "\"left_out\":%lld,\"services\":[", (long long)mesh->left_out);
    for (int i = 0; i < mesh->count; i++)
        put_service(mesh, mesh->services[i], now_ms, out);
    end_members(out, ']');
}

/* Each second is a row: [up, requests, refusals, p50, p99, lag, outbox]; -1: unknown. */
void mesh_write_history(const struct mesh_service *service, struct buf *out)
{
    int64_t from = service->seconds > MESH_HISTORY ? service->seconds - MESH_HISTORY : 0;
    buf_put_text(out, "{\"seconds\":[");
    for (int64_t i = from; i < service->seconds; i++) {
        const struct mesh_second *second = &service->history[i % MESH_HISTORY];
        buf_put_format(out, "%s[%d,%.4g,%.3g,%.3g,%.3g,%.6g,%.6g]", i > from ? "," : "", second->up,
                       (double)second->requests, (double)second->refusals, (double)second->p50_ms,
                       (double)second->p99_ms, (double)second->lag, (double)second->outbox);
    }
    buf_put_text(out, "]}");
}
