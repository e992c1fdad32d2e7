/* Metrics: see metrics.h. */
#include "runtime/watch/metrics.h"
#include "base/clock.h"
#include <string.h>

/* ---- /metrics ------------------------------------------------------------------------------- */

/* Fields with the same metric are neighbours in the table; the first begins the family. */
static _Bool begins_family(const struct statistics_field *field)
{
    return field == statistics_fields || !field[-1].metric.name ||
           strcmp(field[-1].metric.name, field->metric.name) != 0;
}

static void write_labels(const struct statistics_field *field, const struct statistics *of, int i,
                         struct buf *out)
{
    const struct statistics_group *group = &statistics_groups[field->of];
    if (field->metric.label)
        buf_put_format(out, "{%s}", field->metric.label);
    else if (group->label)
        buf_put_format(out, "{%s=\"%s\"}", group->label, group->name(of, i));
}

static void write_value(const struct statistics_field *field, int64_t value, struct buf *out)
{
    if (field->form == FORM_MS && value < 0)
        buf_put_text(out, " -1.000\n"); /* unknown */
    else if (field->form == FORM_MS || field->form == FORM_TIME_MS)
        buf_put_format(out, " %.3f\n", (double)value / 1e3);
    else
        buf_put_format(out, " %lld\n", (long long)value);
}

static void write_family(const struct statistics_field *field,
                         const struct statistics_sample *sample, struct buf *out)
{
    const struct metric *metric = &field->metric;
    int count = statistics_groups[field->of].count(sample->of);
    if (count == 0)
        return;
    if (begins_family(field))
        buf_put_format(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name,
                       metric->help ? metric->help : field->help, metric->name, metric->type);
    for (int i = 0; i < count; i++) {
        if (metric->lines) {
            metric->lines(sample, i, out);
            continue;
        }
        buf_put_text(out, metric->name);
        write_labels(field, sample->of, i, out);
        write_value(field, statistics_value(field, sample, i), out);
    }
}

void metrics_write(const struct statistics *statistics, struct buf *out)
{
    struct statistics_sample sample;
    statistics_take(statistics, &sample);
    for (const struct statistics_field *field = statistics_fields; field->key || field->metric.name;
         field++)
        if (field->metric.name)
            write_family(field, &sample, out);
}

static int metrics_page(void *context, struct buf *out, const char **content_type)
{
    *content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(context, out);
    return 200;
}

/* ---- Alive and ready ------------------------------------------------------------------------ */

_Bool health_is_alive(const struct status *status, const char **ret_why)
{
    int64_t now_ms = clock_monotonic_ms();
    *ret_why = "the writer stands still; the disk?";
    if (now_ms - atomic_load(&status->writer_turned_ms) > HEALTH_SILENCE_MS)
        return 0;
    *ret_why = "the sender stands still";
    if (now_ms - atomic_load(&status->sender_turned_ms) > HEALTH_SILENCE_MS)
        return 0;
    *ret_why = "alive";
    return 1;
}

static int health_page(void *context, struct buf *out, const char **content_type)
{
    const struct statistics *statistics = context;
    const char *why;
    (void)content_type;
    _Bool alive = health_is_alive(statistics->status, &why);
    buf_put_format(out, "%s\n", why);
    return alive ? 200 : 503;
}

static int ready_page(void *context, struct buf *out, const char **content_type)
{
    const struct statistics *statistics = context;
    enum service_state state = status_state(statistics->status);
    (void)content_type;
    buf_put_format(out, "%s\n", service_state_name(state));
    return state == SERVICE_READY ? 200 : 503;
}

const struct http_page metrics_pages[] = {
    { "/metrics", metrics_page },
    { "/healthz", health_page },
    { "/readyz", ready_page },
    { 0 },
};
