/* Micro: see micro.h. Answers are written as text: the shapes are few, fixed by ADR-32, and made on
 * a library thread that should not wait. */
#include "runtime/request/micro.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MICRO_DRAIN_MS 1000

/* ---- Endpoints ------------------------------------------------------------------------------ */

void micro_endpoint_init(struct micro_endpoint *endpoint, const char *name, const char *subject,
                         const char *queue_group)
{
    *endpoint =
        (struct micro_endpoint){ .name = name, .subject = subject, .queue_group = queue_group };
    pthread_mutex_init(&endpoint->error_lock, NULL);
}

void micro_endpoint_deinit(struct micro_endpoint *endpoint)
{
    pthread_mutex_destroy(&endpoint->error_lock);
}

const int64_t micro_bucket_ns[MICRO_BUCKETS - 1] = {
    500000,    1000000,   2500000,   5000000,    10000000,   25000000,    50000000,
    100000000, 250000000, 500000000, 1000000000, 2500000000, 10000000000,
};

void micro_endpoint_count(struct micro_endpoint *endpoint, int64_t processing_time_ns,
                          const char *error)
{
    assert(processing_time_ns >= 0);
    atomic_fetch_add_explicit(&endpoint->num_requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&endpoint->processing_time_ns, processing_time_ns,
                              memory_order_relaxed);
    int bucket = 0;
    while (bucket < MICRO_BUCKETS - 1 && processing_time_ns > micro_bucket_ns[bucket])
        bucket++;
    atomic_fetch_add_explicit(&endpoint->durations[bucket], 1, memory_order_relaxed);
    if (!error)
        return;
    atomic_fetch_add_explicit(&endpoint->num_errors, 1, memory_order_relaxed);
    pthread_mutex_lock(&endpoint->error_lock);
    snprintf(endpoint->last_error, sizeof(endpoint->last_error), "%s", error);
    pthread_mutex_unlock(&endpoint->error_lock);
}

/* ---- What is checked once ------------------------------------------------------------------- */

/* MAJOR.MINOR.PATCH, and perhaps -… or +… of [0-9A-Za-z.+-]. */
static _Bool is_version(const char *version)
{
    int numbers = 0;
    const char *at = version;
    for (; numbers < 3; numbers++) {
        size_t digits = strspn(at, "0123456789");
        if (digits == 0 || digits > 9 || (numbers < 2 && at[digits] != '.'))
            return 0;
        at += digits + (numbers < 2);
    }
    if (*at == '\0')
        return 1;
    return (*at == '-' || *at == '+') && at[1] &&
           at[strspn(at, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-")] ==
               '\0';
}

int micro_check(const struct micro *micro)
{
    if (!bus_header_key_is_safe(micro->name)) /* the same characters */
        return fail(ERR_CONFIG, "the service's name %s would vanish from `nats micro ls`",
                    micro->name);
    if (!is_version(micro->version))
        return fail(ERR_CONFIG, "the version %s is not SemVer", micro->version);
    for (int i = 0; i < micro->endpoint_count; i++)
        if (!bus_header_key_is_safe(micro->endpoints[i].name))
            return fail(ERR_CONFIG,
                        "the endpoint's name %s would make the service vanish from `nats micro ls`",
                        micro->endpoints[i].name);
    return 0;
}

int micro_make_id(const struct bus *bus, char ret_id[MICRO_ID_SIZE])
{
    char inbox[BUS_INBOX_SIZE];
    int r = bus_new_inbox(bus, inbox);
    if (r < 0)
        return trace(r);
    snprintf(ret_id, MICRO_ID_SIZE, "%.*s", MICRO_ID_SIZE - 1, strrchr(inbox, '.') + 1);
    return 0;
}

/* ---- Answers -------------------------------------------------------------------------------- */

static void put_member(struct buf *out, const char *key, const char *value)
{
    buf_put_format(out, "\"%s\":", key);
    buf_put_json(out, value, strlen(value));
}

static void put_endpoint_metadata(const struct micro_endpoint *endpoint, struct buf *out)
{
    const struct {
        const char *key, *value;
    } members[] = {
        { "kind", endpoint->kind },
        { "description", endpoint->description },
        { "request_schema", endpoint->request_schema },
        { "response_schema", endpoint->response_schema },
    };
    const char *before = "";
    buf_put_text(out, ",\"metadata\":{");
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
        if (members[i].value) {
            buf_put_text(out, before);
            put_member(out, members[i].key, members[i].value);
            before = ",";
        }
    buf_put_char(out, '}');
}

static void put_metadata(const struct micro *micro, struct buf *out)
{
    buf_put_text(out, "\"metadata\":{");
    for (int i = 0; micro->metadata && micro->metadata[i].key; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        buf_put_json(out, micro->metadata[i].key, strlen(micro->metadata[i].key));
        buf_put_char(out, ':');
        buf_put_json(out, micro->metadata[i].value, strlen(micro->metadata[i].value));
    }
    if (micro->write_metadata) {
        if (micro->metadata && micro->metadata[0].key)
            buf_put_char(out, ',');
        micro->write_metadata(micro->metadata_context, out);
    }
    buf_put_char(out, '}');
}

static void put_description(const struct micro *micro, struct buf *out)
{
    _deinit_(buf) struct buf text = { 0 };
    buf_put_text(&text, micro->description);
    if (micro->write_standing)
        micro->write_standing(micro->metadata_context, &text);
    buf_put_text(out, "\"description\":");
    if (buf_status(&text) == 0)
        buf_put_json(out, text.data, text.length);
    else
        buf_put_json(out, micro->description, strlen(micro->description));
}

static void put_names(const struct micro_endpoint *endpoint, struct buf *out)
{
    put_member(out, "name", endpoint->name);
    buf_put_char(out, ',');
    put_member(out, "subject", endpoint->subject);
    buf_put_char(out, ',');
    put_member(out, "queue_group", endpoint->queue_group);
}

static void put_statistics(struct micro_endpoint *endpoint, const struct buf *data, struct buf *out)
{
    int64_t requests = atomic_load(&endpoint->num_requests),
            time_ns = atomic_load(&endpoint->processing_time_ns);
    char last_error[MICRO_ERROR_SIZE];
    pthread_mutex_lock(&endpoint->error_lock);
    memcpy(last_error, endpoint->last_error, sizeof(last_error));
    pthread_mutex_unlock(&endpoint->error_lock);
    buf_put_text(out, ",\"num_requests\":");
    buf_put_int(out, requests);
    buf_put_text(out, ",\"num_errors\":");
    buf_put_int(out, atomic_load(&endpoint->num_errors));
    buf_put_char(out, ',');
    put_member(out, "last_error", last_error);
    buf_put_text(out, ",\"processing_time\":");
    buf_put_int(out, time_ns);
    buf_put_text(out, ",\"average_processing_time\":");
    buf_put_int(out, requests > 0 ? time_ns / requests : 0);
    if (data && data->length > 0) {
        buf_put_text(out, ",\"data\":");
        buf_put(out, data->data, data->length);
    }
}

static void put_endpoints(const struct micro *micro, enum micro_verb verb, const struct buf *data,
                          struct buf *out)
{
    buf_put_text(out, ",\"endpoints\":[");
    for (int i = 0; i < micro->endpoint_count; i++) {
        buf_put_text(out, i > 0 ? ",{" : "{");
        put_names(&micro->endpoints[i], out);
        if (verb == MICRO_STATS)
            put_statistics(&micro->endpoints[i], i == 0 ? data : NULL, out);
        else
            put_endpoint_metadata(&micro->endpoints[i], out);
        buf_put_char(out, '}');
    }
    buf_put_char(out, ']');
}

int micro_write(const struct micro *micro, enum micro_verb verb, struct buf *out)
{
    static const char *const types[] = { "ping", "info", "stats" };
    _deinit_(buf) struct buf data = { 0 };
    buf_put_format(out, "{\"type\":\"io.nats.micro.v1.%s_response\",", types[verb]);
    put_member(out, "name", micro->name);
    buf_put_char(out, ',');
    put_member(out, "id", micro->id);
    buf_put_char(out, ',');
    put_member(out, "version", micro->version);
    buf_put_char(out, ',');
    put_metadata(micro, out);
    if (verb == MICRO_INFO) {
        buf_put_char(out, ',');
        put_description(micro, out);
    }
    if (verb == MICRO_STATS) {
        char started[RFC3339_SIZE];
        rfc3339_format(micro->started_ms, started);
        buf_put_char(out, ',');
        put_member(out, "started", started);
        if (micro->data)
            micro->data(micro->context, &data);
    }
    if (verb != MICRO_PING)
        put_endpoints(micro, verb, &data, out);
    buf_put_char(out, '}');
    int r = buf_status(&data);
    return r < 0 ? trace(r) : trace(buf_status(out));
}

/* ---- On the bus ----------------------------------------------------------------------------- */

static const char *const verbs[] = { "PING", "INFO", "STATS" };

int micro_subject(const struct micro *micro, int i, char ret_subject[BUS_SUBJECT_MAX + 1])
{
    assert(i >= 0 && i < MICRO_SUBJECTS);
    int depth = i % 3; /* all services, this service, this instance */
    int length = snprintf(ret_subject, BUS_SUBJECT_MAX + 1, "$SRV.%s%s%s%s%s", verbs[i / 3],
                          depth > 0 ? "." : "", depth > 0 ? micro->name : "", depth > 1 ? "." : "",
                          depth > 1 ? micro->id : "");
    return length > 0 && length <= BUS_SUBJECT_MAX
               ? 0
               : fail(ERR_CONFIG, "the service's name is too long");
}

static enum micro_verb verb_of(const char *subject)
{
    assert(strncmp(subject, "$SRV.", strlen("$SRV.")) == 0); /* we subscribe to no other */
    const char *verb = subject + strlen("$SRV.");
    return *verb == 'P' ? MICRO_PING : *verb == 'I' ? MICRO_INFO : MICRO_STATS;
}

static int send_answer(const struct micro *micro, enum micro_verb verb, const char *reply)
{
    _deinit_(buf) struct buf body = { 0 };
    int r = micro_write(micro, verb, &body);
    if (r == 0)
        r = bus_publish(
            micro->bus, BUS_URGENT,
            &(struct bus_outgoing){ .subject = reply, .data = body.data, .length = body.length });
    return trace(r);
}

/* A server whose messages are too small for the list of all endpoints gets the first one, with the
 * data about the service: that says how it is. */
static int send_less(const struct micro *micro, enum micro_verb verb, const char *reply)
{
    struct micro less = *micro;
    log_warn("reply_too_large", LOG_TEXT("subject", "$SRV"),
             LOG_INT("max_payload", bus_max_payload_bytes(micro->bus)),
             LOG_TEXT("help", "only the first endpoint is listed"));
    less.endpoint_count = micro->endpoint_count > 0;
    return trace(send_answer(&less, verb, reply));
}

static void on_srv_request(void *context, struct bus_message *received)
{
    const struct micro *micro = context;
    _free_(bus_message) struct bus_message *message = received;
    const char *reply = bus_message_reply(message);
    if (!reply || !bus_subject_is_inbox(reply))
        return; /* never publish where a stranger says */
    const enum micro_verb verb = verb_of(bus_message_subject(message));
    int r = send_answer(micro, verb, reply);
    if (r == -ERR_INVALID)
        r = send_less(micro, verb, reply);
    if (r < 0)
        log_debug("micro_answer_lost", LOG_TEXT("reason", failure_text()));
}

static void unsubscribe(struct micro *micro)
{
    for (int i = 0; i < MICRO_SUBJECTS; i++) {
        bus_subscription_free(micro->subscriptions[i]);
        micro->subscriptions[i] = NULL;
    }
}

int micro_start(struct micro *micro, struct bus *bus)
{
    char subject[BUS_SUBJECT_MAX + 1];
    assert(bus && !micro->subscriptions[0]);
    int r = micro_check(micro);
    micro->bus = bus;
    for (int i = 0; r == 0 && i < MICRO_SUBJECTS; i++) {
        r = micro_subject(micro, i, subject);
        if (r == 0)
            r = bus_subscribe(bus, subject, NULL, on_srv_request, micro, &micro->subscriptions[i]);
    }
    if (r < 0)
        unsubscribe(micro);
    return trace(r);
}

void micro_stop(struct micro *micro)
{
    /* one bound for all: the server may be paused */
    int64_t deadline_ms = clock_monotonic_ms() + MICRO_DRAIN_MS;
    for (int i = 0; i < MICRO_SUBJECTS; i++) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (micro->subscriptions[i] && left_ms > 0 && bus_is_connected(micro->bus) &&
            bus_subscription_drain(micro->subscriptions[i], (int)left_ms) < 0)
            log_debug("micro_not_drained", LOG_TEXT("reason", failure_text()));
    }
    unsubscribe(micro);
}
