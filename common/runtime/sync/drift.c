/* Drift: see drift.h. */
#include "runtime/sync/drift.h"
#include "base/result.h"
#include "bus/jetstream.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000
#define ACK_WAIT_MIN_MS 10000 /* less, and deliveries come again while the loop runs them */

/* ---- When a value is as good as the wish ---------------------------------------------------- */

static _Bool is_wished(struct json_text value, struct json_text wish, const struct drift_use *use)
{
    (void)use;
    return json_text_equal(value, wish) || (json_text_is_empty(value) && json_text_is_empty(wish));
}

/* 0, -1 and nothing are no limit. */
static _Bool is_limit(struct json_text value)
{
    return json_text_number(value, 0) > 0;
}

static _Bool is_limit_wished(struct json_text value, struct json_text wish,
                             const struct drift_use *use)
{
    return is_wished(value, wish, use) || (!is_limit(value) && !is_limit(wish));
}

static _Bool is_default(struct json_text value, struct json_text wish, const struct drift_use *use)
{
    return is_wished(value, wish, use) || json_text_is(value, "\"none\"") ||
           json_text_is(value, "\"default\"") || json_text_is(value, "\"instant\"");
}

/* Where we do not ask for it, it does no harm. */
static _Bool is_there_if_wished(struct json_text value, struct json_text wish,
                                const struct drift_use *use)
{
    return is_wished(value, wish, use) || json_text_is_empty(wish);
}

static _Bool is_first(struct json_text value, struct json_text wish, const struct drift_use *use)
{
    (void)wish;
    (void)use;
    return json_text_number(value, 0) <= 1;
}

#define METADATA "metadata"
#define SERVERS_PREFIX "_nats." /* in metadata: "_nats.ver" and such */
#define OUR_PREFIX "journey."
#define FILL_TERM OUR_PREFIX "fill_term"
#define FILL_HEAD OUR_PREFIX "fill_head"
#define STANDBY OUR_PREFIX "standby" /* of a durable */

static _Bool begins_with(struct json_text key, const char *prefix)
{
    return key.length >= strlen(prefix) && memcmp(key.text, prefix, strlen(prefix)) == 0;
}

/* Servers write some of their own, and so do we. */
static _Bool is_no_operators(struct json_text value, struct json_text wish,
                             const struct drift_use *use)
{
    struct json_members members;
    struct json_text key, text;
    (void)wish;
    (void)use;
    json_text_members_begin(&members, value);
    while (json_text_members_next(&members, &key, &text))
        if (!begins_with(key, SERVERS_PREFIX) && !begins_with(key, OUR_PREFIX))
            return 0;
    return 1;
}

static _Bool is_from_a_sequence(struct json_text value, struct json_text wish,
                                const struct drift_use *use)
{
    (void)wish;
    (void)use;
    return json_text_is(value, "\"all\"") || json_text_is(value, "\"by_start_sequence\"");
}

static _Bool is_anything(struct json_text value, struct json_text wish, const struct drift_use *use)
{
    (void)value;
    (void)wish;
    (void)use;
    return 1;
}

static _Bool is_long_enough(struct json_text value, struct json_text wish,
                            const struct drift_use *use)
{
    return is_wished(value, wish, use) || json_text_is_empty(value) ||
           json_text_number(value, 0) >= ACK_WAIT_MIN_MS * (int64_t)NS_PER_MS;
}

static _Bool is_for_ever(struct json_text value, struct json_text wish, const struct drift_use *use)
{
    (void)wish;
    (void)use;
    return json_text_number(value, 0) <= 0;
}

static _Bool holds_our_deliveries(struct json_text value, struct json_text wish,
                                  const struct drift_use *use)
{
    (void)wish;
    return json_text_number(value, 0) < 0 || json_text_number(value, 0) >= use->ack_pending;
}

static _Bool holds_our_pulls(struct json_text value, struct json_text wish,
                             const struct drift_use *use)
{
    (void)wish;
    (void)use;
    return json_text_number(value, 0) <= 0 || json_text_number(value, 0) >= 8;
}

static _Bool allows_our_batch(struct json_text value, struct json_text wish,
                              const struct drift_use *use)
{
    (void)wish;
    return json_text_number(value, 0) <= 0 || json_text_number(value, 0) >= use->pull_batch;
}

static _Bool allows_our_wait(struct json_text value, struct json_text wish,
                             const struct drift_use *use)
{
    (void)wish;
    return json_text_number(value, 0) <= 0 ||
           json_text_number(value, 0) >= use->pull_expires_ms * NS_PER_MS;
}

static _Bool is_over(struct json_text value, struct json_text wish, const struct drift_use *use)
{
    (void)wish;
    return json_text_is_empty(value) || !use->is_paused;
}

/* ---- When an operator's setting is unbearable ----------------------------------------------- */

static _Bool drops_old(struct json_text config)
{
    return json_text_is(json_text_find(config, "discard"), "\"old\"");
}

/* With a limit it drops what a reader may not have read yet. */
static _Bool drops_unread(struct json_text value, struct json_text config,
                          const struct drift_use *use)
{
    (void)value;
    (void)use;
    return drops_old(config) && (is_limit(json_text_find(config, "max_msgs")) ||
                                 is_limit(json_text_find(config, "max_bytes")));
}

static _Bool is_full_of_messages(struct json_text value, struct json_text config,
                                 const struct drift_use *use)
{
    return drops_old(config) || use->messages >= json_text_number(value, INT64_MAX);
}

static _Bool is_full_of_bytes(struct json_text value, struct json_text config,
                              const struct drift_use *use)
{
    return drops_old(config) || use->bytes >= json_text_number(value, INT64_MAX);
}

/* ---- The tables, in the order of the server's own -------------------------------------------- */

const struct drift_field drift_stream_fields[] = {
    // clang-format off: a table
    { "name",                      DRIFT_OURS,       NULL,               NULL },
    { "description",               DRIFT_OPERATORS,  NULL,               NULL },
    { "subjects",                  DRIFT_UNBEARABLE, NULL,               NULL },
    { "retention",                 DRIFT_UNBEARABLE, NULL,               NULL },
    { "max_consumers",             DRIFT_OPERATORS,  is_limit_wished,    NULL },
    { "max_msgs",                  DRIFT_OPERATORS,  is_limit_wished,    is_full_of_messages },
    { "max_bytes",                 DRIFT_OPERATORS,  is_limit_wished,    is_full_of_bytes },
    { "max_age",                   DRIFT_OPERATORS,  is_limit_wished,    NULL },
    { "max_msgs_per_subject",      DRIFT_UNBEARABLE, is_limit_wished,    NULL },
    { "max_msg_size",              DRIFT_OPERATORS,  is_limit_wished,    NULL },
    { "discard",                   DRIFT_OPERATORS,  NULL,               drops_unread },
    { "storage",                   DRIFT_OPERATORS,  NULL,               NULL },
    { "num_replicas",              DRIFT_OPERATORS,  NULL,               NULL },
    { "no_ack",                    DRIFT_UNBEARABLE, NULL,               NULL },
    { "duplicate_window",          DRIFT_OPERATORS,  NULL,               NULL },
    { "placement",                 DRIFT_OPERATORS,  NULL,               NULL },
    { "mirror",                    DRIFT_UNBEARABLE, NULL,               NULL },
    { "sources",                   DRIFT_UNBEARABLE, NULL,               NULL },
    { "compression",               DRIFT_OPERATORS,  is_default,         NULL },
    { "first_seq",                 DRIFT_UNBEARABLE, is_first,           NULL },
    { "subject_transform",         DRIFT_UNBEARABLE, NULL,               NULL },
    { "republish",                 DRIFT_OPERATORS,  NULL,               NULL },
    { "allow_direct",              DRIFT_OPERATORS,  NULL,               NULL },
    { "mirror_direct",             DRIFT_OPERATORS,  NULL,               NULL },
    { "discard_new_per_subject",   DRIFT_OPERATORS,  NULL,               NULL },
    { "sealed",                    DRIFT_UNBEARABLE, NULL,               NULL },
    { "deny_delete",               DRIFT_OPERATORS,  NULL,               NULL },
    { "deny_purge",                DRIFT_OPERATORS,  NULL,               NULL },
    { "allow_rollup_hdrs",         DRIFT_OPERATORS,  NULL,               NULL },
    { "consumer_limits",           DRIFT_OPERATORS,  NULL,               NULL },
    { "allow_msg_ttl",             DRIFT_OPERATORS,  NULL,               NULL },
    { "subject_delete_marker_ttl", DRIFT_OPERATORS,  NULL,               NULL },
    { "allow_msg_counter",         DRIFT_UNBEARABLE, NULL,               NULL },
    { "allow_atomic",              DRIFT_OURS,       is_there_if_wished, NULL },
    { "allow_msg_schedules",       DRIFT_OPERATORS,  NULL,               NULL },
    { "persist_mode",              DRIFT_UNBEARABLE, is_default,         NULL },
    { "allow_batched",             DRIFT_OPERATORS,  NULL,               NULL },
    { "metadata",                  DRIFT_OPERATORS,  is_no_operators,    NULL },
    { 0 }
    // clang-format on
};

/* Of a durable nothing is unbearable: what is not ours to bear is made anew. */
const struct drift_field drift_durable_fields[] = {
    // clang-format off: a table
    { "durable_name",       DRIFT_OURS,      NULL,                 NULL },
    { "name",               DRIFT_OURS,      NULL,                 NULL },
    { "description",        DRIFT_OPERATORS, NULL,                 NULL },
    { "deliver_policy",     DRIFT_OURS,      is_from_a_sequence,   NULL },
    { "opt_start_seq",      DRIFT_OURS,      is_anything,          NULL }, /* the feed looks */
    { "opt_start_time",     DRIFT_OURS,      NULL,                 NULL },
    { "ack_policy",         DRIFT_OURS,      NULL,                 NULL },
    { "ack_wait",           DRIFT_OURS,      is_long_enough,       NULL },
    { "max_deliver",        DRIFT_OURS,      is_for_ever,          NULL },
    { "backoff",            DRIFT_OURS,      NULL,                 NULL },
    { "filter_subject",     DRIFT_OURS,      NULL,                 NULL },
    { "filter_subjects",    DRIFT_OURS,      NULL,                 NULL },
    { "replay_policy",      DRIFT_OURS,      is_default,           NULL },
    { "rate_limit_bps",     DRIFT_OURS,      NULL,                 NULL },
    { "sample_freq",        DRIFT_OPERATORS, NULL,                 NULL },
    { "max_waiting",        DRIFT_OURS,      holds_our_pulls,      NULL },
    { "max_ack_pending",    DRIFT_OURS,      holds_our_deliveries, NULL },
    { "flow_control",       DRIFT_OURS,      NULL,                 NULL },
    { "headers_only",       DRIFT_OURS,      NULL,                 NULL },
    { "max_batch",          DRIFT_OURS,      allows_our_batch,     NULL },
    { "max_expires",        DRIFT_OURS,      allows_our_wait,      NULL },
    { "max_bytes",          DRIFT_OURS,      is_limit_wished,      NULL },
    { "deliver_subject",    DRIFT_OURS,      NULL,                 NULL },
    { "deliver_group",      DRIFT_OURS,      NULL,                 NULL },
    { "idle_heartbeat",     DRIFT_OURS,      NULL,                 NULL },
    { "inactive_threshold", DRIFT_OURS,      is_limit_wished,      NULL },
    { "num_replicas",       DRIFT_OPERATORS, NULL,                 NULL },
    { "mem_storage",        DRIFT_OPERATORS, NULL,                 NULL },
    { "direct",             DRIFT_OURS,      NULL,                 NULL },
    { "sourcing",           DRIFT_OURS,      NULL,                 NULL },
    { "metadata",           DRIFT_OPERATORS, is_no_operators,      NULL },
    { "pause_until",        DRIFT_OURS,      is_over,              NULL },
    { "priority_groups",    DRIFT_OURS,      NULL,                 NULL },
    { "priority_policy",    DRIFT_OURS,      is_default,           NULL },
    { "priority_timeout",   DRIFT_OURS,      NULL,                 NULL },
    { 0 }
    // clang-format on
};

/* ---- Comparing ------------------------------------------------------------------------------ */

static enum drift_class judge(const struct drift_field *field, struct json_text value,
                              struct json_text config, struct json_text wish,
                              const struct drift_use *use)
{
    const struct json_text wished = json_text_find(wish, field->name);
    const _Bool fine = field->is_fine ? field->is_fine(value, wished, use)
                                      : is_wished(value, wished, use);
    if (fine)
        return DRIFT_NONE;
    return field->is_unbearable && field->is_unbearable(value, config, use) ? DRIFT_UNBEARABLE
                                                                            : field->class;
}

static void note(struct drift *drift, enum drift_class class, const char *of, const char *field,
                 struct json_text value)
{
    static const enum notice_kind kinds[] = {
        [DRIFT_OURS] = NOTICE_MENDED,
        [DRIFT_OPERATORS] = NOTICE_BORNE,
        [DRIFT_UNBEARABLE] = NOTICE_HELD,
    };
    assert(class != DRIFT_NONE);
    drift->mends |= class == DRIFT_OURS;
    drift->holds |= class == DRIFT_UNBEARABLE;
    char plain[NOTICE_VALUE_SIZE];
    const size_t length = json_text_plain(value, plain, sizeof(plain));
    if (drift->count < DRIFT_MAX)
        notice_set(&drift->found[drift->count++], kinds[class], of, field,
                   length > 0 ? plain : "none", length > 0 ? length : 4);
}

static const struct drift_field *find_field(const struct drift_field *fields, struct json_text name)
{
    for (const struct drift_field *field = fields; field->name; field++)
        if (strlen(field->name) == name.length && memcmp(field->name, name.text, name.length) == 0)
            return field;
    return NULL;
}

/* Of a newer server: an operator's, when it says anything. */
static void note_unknown(struct drift *drift, const struct drift_field *fields, const char *of,
                         struct json_text config)
{
    struct json_members members;
    struct json_text name, value;
    json_text_members_begin(&members, config);
    while (json_text_members_next(&members, &name, &value)) {
        char field[NOTICE_FIELD_SIZE];
        if (find_field(fields, name) || json_text_is_empty(value))
            continue;
        snprintf(field, sizeof(field), "%.*s", (int)name.length, name.text);
        note(drift, DRIFT_OPERATORS, of, field, value);
    }
}

void drift_compare(const struct drift_field *fields, const char *of, struct json_text config,
                   struct json_text wish, const struct drift_use *use, struct drift *ret_drift)
{
    *ret_drift = (struct drift){ 0 };
    for (const struct drift_field *field = fields; field->name; field++) {
        const struct json_text value = json_text_find(config, field->name);
        const enum drift_class class = judge(field, value, config, wish, use);
        if (class != DRIFT_NONE)
            note(ret_drift, class, of, field->name, value);
    }
    note_unknown(ret_drift, fields, of, config);
}

/* ---- What is made anew ---------------------------------------------------------------------- */

static void put_member(struct buf *out, size_t begin, struct json_text name, struct json_text value)
{
    buf_put_text(out, out->length > begin + 1 ? ",\"" : "\"");
    buf_put(out, name.text, name.length);
    buf_put_text(out, "\":");
    buf_put(out, value.text, value.length);
}

void drift_keep(const struct drift_field *fields, struct json_text kept, struct json_text wish,
                struct buf *out)
{
    static const struct drift_use empty = { 0 }; /* it begins without a message */
    struct json_members members;
    struct json_text name, value;
    const size_t begin = out->length;
    buf_put_char(out, '{');
    json_text_members_begin(&members, wish);
    while (json_text_members_next(&members, &name, &value)) {
        const struct drift_field *field = find_field(fields, name);
        char key[NOTICE_FIELD_SIZE];
        snprintf(key, sizeof(key), "%.*s", (int)name.length, name.text);
        const struct json_text there = json_text_find(kept, key);
        const _Bool is_kept = there.text && field && field->class == DRIFT_OPERATORS &&
                              judge(field, there, kept, wish, &empty) != DRIFT_UNBEARABLE;
        put_member(out, begin, name, is_kept ? there : value);
    }
    json_text_members_begin(&members, kept);
    while (json_text_members_next(&members, &name, &value)) {
        const struct drift_field *field = find_field(fields, name);
        char key[NOTICE_FIELD_SIZE];
        snprintf(key, sizeof(key), "%.*s", (int)name.length, name.text);
        if (json_text_find(wish, key).text)
            continue;
        const enum drift_class class = field ? judge(field, value, kept, wish, &empty)
                                             : DRIFT_OPERATORS;
        if (class == DRIFT_NONE || class == DRIFT_OPERATORS)
            put_member(out, begin, name, value);
    }
    buf_put_char(out, '}');
}

static void put_metadata(struct json_text metadata, const struct stream_fill *fill, struct buf *out)
{
    struct json_members members;
    struct json_text name, value;
    const size_t begin = out->length;
    buf_put_char(out, '{');
    json_text_members_begin(&members, metadata);
    while (json_text_members_next(&members, &name, &value))
        if (!begins_with(name, OUR_PREFIX))
            put_member(out, begin, name, value);
    buf_put_format(out, "%s\"" FILL_TERM "\":\"%lld\",\"" FILL_HEAD "\":\"%lld\"}",
                   out->length > begin + 1 ? "," : "", (long long)fill->term,
                   (long long)fill->head);
}

/* A configuration up to its metadata, which comes last. */
static void begin_with_metadata(struct json_text config, struct buf *out)
{
    struct json_members members;
    struct json_text name, value;
    const size_t begin = out->length;
    buf_put_char(out, '{');
    json_text_members_begin(&members, config);
    while (json_text_members_next(&members, &name, &value))
        if (name.length != strlen(METADATA) || memcmp(name.text, METADATA, name.length) != 0)
            put_member(out, begin, name, value);
    buf_put_text(out, out->length > begin + 1 ? ",\"" METADATA "\":" : "\"" METADATA "\":");
}

void drift_put_fill(struct json_text config, const struct stream_fill *fill, struct buf *out)
{
    begin_with_metadata(config, out);
    put_metadata(json_text_find(config, METADATA), fill, out);
    buf_put_char(out, '}');
}

/* Values of metadata are texts. */
static int64_t number_in(struct json_text metadata, const char *name)
{
    char text[32];
    json_text_plain(json_text_find(metadata, name), text, sizeof(text));
    const int64_t number = strtoll(text + (*text == '"'), NULL, 10);
    return number > 0 ? number : 0;
}

struct stream_fill drift_fill_of(struct json_text config)
{
    const struct json_text metadata = json_text_find(config, METADATA);
    return (struct stream_fill){ .term = number_in(metadata, FILL_TERM),
                                 .head = number_in(metadata, FILL_HEAD) };
}

int drift_durable_wish(const char *reader, int64_t sequence, int64_t ack_pending,
                       int64_t inactive_s, struct buf *out)
{
    const struct js_consumer_config config = {
        .name = reader,
        .start_sequence = sequence,
        .max_ack_pending = (int)ack_pending,
        .inactive_ms = inactive_s * 1000,
    };
    if (inactive_s == 0)
        return trace(js_consumer_config_put(&config, out));
    _deinit_(buf) struct buf plain = { 0 };
    int r = js_consumer_config_put(&config, &plain);
    if (r < 0)
        return trace(r);
    begin_with_metadata(json_text_of(plain.data, plain.length), out);
    buf_put_text(out, "{\"" STANDBY "\":\"true\"}}");
    return trace(buf_status(out));
}

_Bool drift_is_standbys(struct json_text config)
{
    return json_text_find(json_text_find(config, METADATA), STANDBY).text != NULL;
}

_Bool drift_durable_at(struct json_text config, int64_t sequence, struct buf *out)
{
    static const char *const left_out[] = { "deliver_policy", "opt_start_seq", "opt_start_time" };
    struct json_members members;
    struct json_text name, value;
    const size_t begin = out->length;
    assert(sequence >= 0);
    if (json_text_is_empty(json_text_find(config, "durable_name")) ||
        json_text_is(json_text_find(config, "direct"), "true") ||
        json_text_is(json_text_find(config, "sourcing"), "true"))
        return 0;
    buf_put_char(out, '{');
    json_text_members_begin(&members, config);
    while (json_text_members_next(&members, &name, &value)) {
        _Bool is_left_out = 0;
        for (size_t i = 0; i < sizeof(left_out) / sizeof(*left_out); i++)
            is_left_out |= name.length == strlen(left_out[i]) &&
                           memcmp(name.text, left_out[i], name.length) == 0;
        if (!is_left_out)
            put_member(out, begin, name, value);
    }
    buf_put_format(out, ",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%lld}",
                   (long long)sequence + 1);
    return 1;
}

void drift_text(const struct drift *drift, enum notice_kind kind, char *ret_text, size_t size)
{
    size_t length = 0;
    assert(size > 0);
    ret_text[0] = '\0';
    for (int i = 0; i < drift->count && length + 1 < size; i++) {
        if (drift->found[i].kind != kind)
            continue;
        const int put = snprintf(ret_text + length, size - length, "%s%s=%s", length ? ", " : "",
                                 drift->found[i].field, drift->found[i].value);
        length += put > 0 ? (size_t)put : 0;
    }
}
