/* API client: see api_client.h. */
#include "runtime/repair/api_client.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "runtime/core/context.h"
#include "runtime/request/reply.h"
#include "runtime/sync/envelope.h"
#include "schemas/runtime.events.reply.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_NO_RESPONDERS 503
#define PAGE_LIMIT 500

struct api_client {
    struct bus *bus;
    struct bus_subscription *subscription;
    struct source self; /* our own log, as others see it */
    char inbox[BUS_INBOX_SIZE + 2];
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct bus_message *answer; /* not taken yet */
    int64_t number;             /* of the newest question; an older one's answer is late */
    int page_limit;             /* events that a page is asked for */
    _Bool timed_out;            /* the newest question had no answer in time */
};

static void on_answer(void *context, struct bus_message *message)
{
    struct api_client *api = context;
    const char *number = strrchr(bus_message_subject(message), '.') + 1;
    pthread_mutex_lock(&api->lock);
    if (!api->answer && strtoll(number, NULL, 10) == api->number)
        api->answer = take(message);
    pthread_mutex_unlock(&api->lock);
    pthread_cond_signal(&api->answered);
    bus_message_free(message);
}

int api_client_open(const struct config *config, const struct service *service,
                    struct api_client **ret_api)
{
    struct bus_options options;
    char subject[BUS_INBOX_SIZE + 4];
    _free_(api_client) struct api_client *api = calloc(1, sizeof(*api));
    if (!api)
        return fail(ERR_MEMORY, "no memory to ask the server");
    pthread_mutex_init(&api->lock, NULL);
    condition_init(&api->answered);
    api->page_limit = PAGE_LIMIT;
    api->self = service_as_source(service);
    config_bus_options(config, service->name, &options);
    options.must_connect = 1;
    int r = bus_open(&options, &api->bus);
    if (r == 0)
        r = bus_new_inbox(api->bus, api->inbox);
    if (r < 0)
        /* cppcheck-suppress memleak ; _free_ frees it */
        return trace(r);
    snprintf(subject, sizeof(subject), "%s.*", api->inbox);
    r = bus_subscribe(api->bus, subject, NULL, on_answer, api, &api->subscription);
    if (r < 0)
        return trace(r);
    *ret_api = take(api);
    return 0;
}

void api_client_free(struct api_client *api)
{
    if (!api)
        return;
    if (api->subscription)
        bus_subscription_drain(api->subscription, API_CLIENT_TIMEOUT_MS);
    bus_message_free(api->answer);
    bus_subscription_free(api->subscription);
    bus_free(api->bus);
    pthread_cond_destroy(&api->answered);
    pthread_mutex_destroy(&api->lock);
    free(api);
}

int api_client_ask(struct api_client *api, const char *subject, const void *body, size_t length,
                   struct bus_message **ret_answer)
{
    char reply[BUS_SUBJECT_MAX + 1];
    assert(subject && ret_answer);
    pthread_mutex_lock(&api->lock);
    bus_message_free(api->answer);
    api->answer = NULL;
    snprintf(reply, sizeof(reply), "%s.%lld", api->inbox, (long long)++api->number);
    pthread_mutex_unlock(&api->lock);
    int r = bus_publish(api->bus, BUS_URGENT,
                        &(struct bus_outgoing){
                            .subject = subject, .reply = reply, .data = body, .length = length });
    if (r < 0)
        return trace(r);
    int64_t deadline_ms = clock_monotonic_ms() + API_CLIENT_TIMEOUT_MS;
    pthread_mutex_lock(&api->lock);
    while (!api->answer && condition_wait(&api->answered, &api->lock, deadline_ms) == 0)
        ;
    _free_(bus_message) struct bus_message *answer = api->answer;
    api->answer = NULL;
    pthread_mutex_unlock(&api->lock);
    api->timed_out = !answer;
    if (!answer)
        return fail(ERR_NETWORK, "%s: no answer within %d ms", subject, API_CLIENT_TIMEOUT_MS);
    if (bus_message_status(answer) == STATUS_NO_RESPONDERS)
        return fail(ERR_NETWORK, "%s: nobody answers there", subject);
    *ret_answer = take(answer);
    return 0;
}

/* ---- Our stream ----------------------------------------------------------------------------- */

static int ask_api(struct api_client *api, int built, const struct js_request *request,
                   struct bus_message **ret_answer)
{
    return built < 0 ? trace(built)
                     : trace(api_client_ask(api, request->subject, request->body.data,
                                            request->body.length, ret_answer));
}

int api_client_stream_state(struct api_client *api, struct arena *arena,
                            struct js_stream_state *ret_state)
{
    _deinit_(js_request) struct js_request request;
    _free_(bus_message) struct bus_message *answer = NULL;
    js_request_init(&request, NULL);
    int r = ask_api(api, js_stream_info(&request, api->self.log), &request, &answer);
    return r < 0 ? trace(r)
                 : trace(js_parse_stream_info(bus_message_data(answer), bus_message_length(answer),
                                              arena, ret_state));
}

int api_client_stream_delete(struct api_client *api)
{
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(js_request) struct js_request request;
    _free_(bus_message) struct bus_message *answer = NULL;
    struct js_error error = { 0 };
    js_request_init(&request, NULL);
    int r = ask_api(api, js_stream_delete(&request, api->self.log), &request, &answer);
    if (r == 0)
        r = js_parse_success(bus_message_data(answer), bus_message_length(answer), &arena, &error);
    return r == JS_REFUSED
               ? fail(ERR_NETWORK, "the server does not delete the stream: %s", error.description)
               : trace(r);
}

int api_client_stream_message(struct api_client *api, int64_t sequence, struct arena *arena,
                              struct stream_message *ret_message)
{
    _deinit_(js_request) struct js_request request;
    _free_(bus_message) struct bus_message *answer = NULL;
    struct js_stored_message stored;
    struct stream_message message = { .place = STREAM_EVENT };
    assert(sequence > 0);
    js_request_init(&request, NULL);
    int r = ask_api(api, js_message_get(&request, api->self.log, sequence), &request, &answer);
    if (r >= 0)
        r = js_parse_message(bus_message_data(answer), bus_message_length(answer), arena, &stored);
    if (r == JS_REFUSED) {
        if (stored.error.error_code != JS_ERR_MESSAGE_NOT_FOUND)
            return fail(ERR_NETWORK, "the stream's message %lld: %s", (long long)sequence,
                        stored.error.description);
        *ret_message = (struct stream_message){ .place = STREAM_HOLE };
        return 0;
    }
    if (r == 0 && envelope_is_marker(&stored.view)) {
        *ret_message = (struct stream_message){ .place = STREAM_MARKER };
        return 0;
    }
    if (r == 0)
        r = envelope_decode(&stored.view, &api->self, arena, &message.event, &message.digest,
                            &message.reason);
    if (r < 0)
        return trace(r);
    if (r > 0)
        message.place = STREAM_FOREIGN;
    *ret_message = message;
    return 0;
}

/* ---- Others' logs --------------------------------------------------------------------------- */

/* 0; PAGE_TOO_LARGE: no answer came, as from a leader whose reply is larger than a message, or it
 * says so; < 0. */
enum { PAGE_TOO_LARGE = 1 };
static int ask_page(struct api_client *api, const struct source *source, int64_t after_position,
                    struct arena *arena, const struct runtime_events_reply **ret_page)
{
    _free_(bus_message) struct bus_message *answer = NULL;
    char subject[BUS_SUBJECT_MAX + 1], body[96];
    struct invalid invalid;
    void *value = NULL;
    snprintf(subject, sizeof(subject), "%s.events", source->prefix);
    int length = snprintf(body, sizeof(body), "{\"after_position\":%" PRId64 ",\"limit\":%d}",
                          after_position, api->page_limit);
    int r = api_client_ask(api, subject, body, (size_t)length, &answer);
    if (r < 0)
        return api->timed_out ? PAGE_TOO_LARGE : trace(r);
    if (reply_is_too_large(answer))
        return PAGE_TOO_LARGE;
    r = schema_decode(&runtime_events_reply_schema, bus_message_data(answer),
                      bus_message_length(answer), arena, &value, &invalid);
    if (r > 0)
        return fail(ERR_NETWORK, "%s does not give its events", source->service);
    *ret_page = value;
    return trace(r);
}

int api_client_events(struct api_client *api, const struct source *source, int64_t after_position,
                      struct arena *arena, const struct runtime_events_reply **ret_page)
{
    assert(after_position >= 0 && api->page_limit > 0);
    for (;;) {
        int r = ask_page(api, source, after_position, arena, ret_page);
        if (r < 0)
            return trace(r);
        if (r == 0) {
            int more = api->page_limit + api->page_limit / 4 + 1;
            api->page_limit = more < PAGE_LIMIT ? more : PAGE_LIMIT;
            return 0;
        }
        if (api->page_limit == 1)
            return fail(ERR_NETWORK,
                        "%s does not give its event %" PRId64
                        ": %s does not answer, or the event is larger than a message of its server",
                        source->service, after_position + 1, source->service);
        api->page_limit = api->page_limit > 4 ? api->page_limit / 4 : 1;
        log_warn("page_asked_smaller", LOG_TEXT("log", source->log),
                 LOG_INT("after_position", after_position), LOG_INT("limit", api->page_limit));
    }
}
