/* Statistics: see statistics.h. */
#include "runtime/watch/statistics.h"
#include "base/clock.h"
#include <assert.h>
#include <string.h>

/* ---- Values --------------------------------------------------------------------------------- */

void statistics_take(const struct statistics *of, struct statistics_sample *ret_sample)
{
    *ret_sample = (struct statistics_sample){
        .of = of,
        .wall_ms = clock_wall_ms(),
        .monotonic_ms = clock_monotonic_ms(),
    };
    /* in this order, because both grow: what is published is in the log */
    ret_sample->published = atomic_load(&of->status->published);
    ret_sample->position = atomic_load(&of->status->position);
    assert(of->service && of->status);
    if (of->bus) { /* NULL in tests */
        bus_read_stats(of->bus, &ret_sample->bus);
        ret_sample->connected = bus_is_connected(of->bus);
    }
}

int64_t statistics_value(const struct statistics_field *field,
                         const struct statistics_sample *sample, int i)
{
    assert(i >= 0 && i < statistics_groups[field->of].count(sample->of));
    if (field->read)
        return field->read(sample, i);
    const char *base = statistics_groups[field->of].base(sample->of, i);
    return atomic_load((const atomic_llong *)(base + field->at));
}

static _Bool is_field(const struct statistics_field *field)
{
    return field->key || field->metric.name;
}

/* ---- $SRV.STATS ----------------------------------------------------------------------------- */

static void put_time(int64_t time_ms, struct buf *out)
{
    char text[RFC3339_SIZE] = "";
    if (time_ms > 0)
        rfc3339_format(time_ms, text);
    buf_put_format(out, "\"%s\"", text);
}

static void put_text(const struct statistics_field *field, const struct statistics_sample *sample,
                     int i, struct buf *out)
{
    char text[512] = "";
    field->text(sample, i, text, sizeof(text));
    if (field->form == FORM_COUNTS)
        buf_put_text(out, text);
    else
        buf_put_json(out, text, strlen(text));
}

/* Their texts have neither quotes nor control characters. */
static void put_notices(const struct statistics_sample *sample, struct buf *out)
{
    struct notice notice;
    buf_put_char(out, '[');
    for (int i = 0; notices_read(&sample->of->status->notices, i, &notice); i++)
        buf_put_format(out, "%s{\"of\":\"%s\",\"field\":\"%s\",\"value\":\"%s\",\"is\":\"%s\"}",
                       i > 0 ? "," : "", notice.of, notice.field, notice.value,
                       notice_kind_name(notice.kind));
    buf_put_char(out, ']');
}

static void put_value(enum statistics_form form, int64_t value, struct buf *out)
{
    switch (form) {
    case FORM_NUMBER:
    case FORM_MS:      buf_put_int(out, value); break;
    case FORM_TIME_MS: put_time(value, out); break;
    case FORM_SERVICE_STATE:
        buf_put_format(out, "\"%s\"", service_state_name((enum service_state)value));
        break;
    case FORM_RELAY_STATE:
        buf_put_format(out, "\"%s\"", relay_state_name((enum relay_state)value));
        break;
    case FORM_FEED_STATE:
        buf_put_format(out, "\"%s\"", feed_state_name((enum feed_state)value));
        break;
    case FORM_TEXT:
    case FORM_COUNTS:
    case FORM_NOTICES: break; /* no number: put_fields */
    }
}

/* The fields of one scope, as the members of an object. */
static void put_fields(const struct statistics_sample *sample, enum statistics_scope of, int i,
                       struct buf *out)
{
    _Bool first = 1;
    for (const struct statistics_field *field = statistics_fields; is_field(field); field++) {
        if (!field->key || field->of != of)
            continue;
        const _Bool is_text = field->form == FORM_TEXT || field->form == FORM_COUNTS;
        const _Bool is_number = !is_text && field->form != FORM_NOTICES;
        int64_t value = is_number ? statistics_value(field, sample, i) : 0;
        if (field->form == FORM_MS && value < 0)
            continue;
        buf_put_format(out, "%s\"%s\":", first ? "" : ",", field->key);
        if (is_text)
            put_text(field, sample, i, out);
        else if (field->form == FORM_NOTICES)
            put_notices(sample, out);
        else
            put_value(field->form, value, out);
        first = 0;
    }
}

static void put_group(const struct statistics_sample *sample, enum statistics_scope of,
                      struct buf *out)
{
    const struct statistics_group *group = &statistics_groups[of];
    assert(group->key && group->name);
    int count = group->count(sample->of);
    buf_put_format(out, ",\"%s\":{", group->key);
    for (int i = 0; i < count; i++) {
        buf_put_format(out, "%s\"%s\":{", i > 0 ? "," : "", group->name(sample->of, i));
        put_fields(sample, of, i, out);
        buf_put_char(out, '}');
    }
    buf_put_char(out, '}');
}

void statistics_write_data(void *context, struct buf *out)
{
    struct statistics_sample sample;
    statistics_take(context, &sample);
    buf_put_char(out, '{');
    put_fields(&sample, OF_SERVICE, 0, out);
    for (int of = 0; of < STATISTICS_SCOPES; of++)
        if (statistics_groups[of].key)
            put_group(&sample, (enum statistics_scope)of, out);
    buf_put_char(out, '}');
}

/* ---- --print-status-fields ------------------------------------------------------------------ */

static void put_member(struct buf *out, const char *key, const char *value)
{
    buf_put_format(out, "\"%s\": ", key);
    if (value)
        buf_put_json(out, value, strlen(value));
    else
        buf_put_text(out, "null");
}

static void put_states(struct buf *out, const char *machine, const struct state_text *states,
                       int count)
{
    buf_put_format(out, "    \"%s\": [", machine);
    for (int i = 0; i < count; i++) {
        buf_put_text(out, i > 0 ? ",\n      {" : "\n      {");
        put_member(out, "name", states[i].name);
        buf_put_text(out, ", ");
        put_member(out, "meaning", states[i].meaning);
        buf_put_text(out, ", ");
        put_member(out, "action", states[i].action);
        buf_put_char(out, '}');
    }
    buf_put_text(out, "\n    ]");
}

static void put_metric(struct buf *out, const struct statistics_field *field)
{
    const struct metric *metric = &field->metric;
    buf_put_text(out, ", \"metric\": ");
    if (!metric->name) {
        buf_put_text(out, "null");
        return;
    }
    buf_put_char(out, '{');
    put_member(out, "name", metric->name);
    buf_put_text(out, ", ");
    put_member(out, "type", metric->type);
    buf_put_text(out, ", ");
    put_member(out, "label", metric->label ? metric->label : statistics_groups[field->of].label);
    buf_put_char(out, '}');
}

static void put_field(struct buf *out, const struct statistics_field *field)
{
    static const char *const forms[] = {
        [FORM_NUMBER] = "number",       [FORM_MS] = "milliseconds",   [FORM_TIME_MS] = "time",
        [FORM_SERVICE_STATE] = "state", [FORM_RELAY_STATE] = "state", [FORM_FEED_STATE] = "state",
        [FORM_TEXT] = "text",           [FORM_COUNTS] = "list",       [FORM_NOTICES] = "list",
    };
    buf_put_text(out, "    {");
    put_member(out, "key", field->key);
    buf_put_text(out, ", ");
    put_member(out, "group", statistics_groups[field->of].key);
    buf_put_text(out, ", ");
    put_member(out, "form", forms[field->form]);
    buf_put_format(out, ", \"shown\": %s", field->shown ? "true" : "false");
    put_metric(out, field);
    buf_put_text(out, ", ");
    put_member(out, "help", field->help);
    buf_put_char(out, '}');
}

int statistics_print_fields(FILE *file)
{
    _deinit_(buf) struct buf out = { 0 };
    buf_put_text(&out, "{\n  \"states\": {\n");
    put_states(&out, "service", service_states, SERVICE_STATES);
    buf_put_text(&out, ",\n");
    put_states(&out, "relay", relay_states, RELAY_STATES);
    buf_put_text(&out, ",\n");
    put_states(&out, "feed", feed_states, FEED_STATES);
    buf_put_text(&out, "\n  },\n  \"fields\": [\n");
    for (const struct statistics_field *field = statistics_fields; is_field(field); field++) {
        if (field > statistics_fields)
            buf_put_text(&out, ",\n");
        put_field(&out, field);
    }
    buf_put_text(&out, "\n  ]\n}\n");
    int r = buf_status(&out);
    if (r == 0)
        (void)fwrite(out.data, 1, out.length, file);
    return trace(r);
}
