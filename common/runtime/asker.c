/* Asker: see asker.h. */
#include "runtime/asker.h"
#include "base/clock.h"
#include "base/condition.h"
#include "runtime/context.h"
#include "runtime/envelope.h"
#include <stdlib.h>
#include <string.h>

#define STATUS_NO_RESPONDERS 503

struct asker {
    struct bus *bus;
    struct bus_subscription *subscription;
    struct source self; /* our own log, as others see it */
    char inbox[BUS_INBOX_SIZE + 2];
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct bus_message *answer; /* not taken yet */
    int64_t number;             /* of the newest question; an older one's answer is late */
};

static void on_answer(void *context, struct bus_message *message)
{
    struct asker *asker = context;
    const char *number = strrchr(bus_message_subject(message), '.') + 1;
    pthread_mutex_lock(&asker->lock);
    if (!asker->answer && strtoll(number, NULL, 10) == asker->number)
        asker->answer = take(message);
    pthread_mutex_unlock(&asker->lock);
    pthread_cond_signal(&asker->answered);
    bus_message_free(message);
}

int asker_open(const struct config *config, const struct service *service, struct asker **ret_asker)
{
    struct bus_options options;
    char subject[BUS_INBOX_SIZE + 4];
    _free_(asker) struct asker *asker = calloc(1, sizeof(*asker));
    if (!asker)
        return fail(ERR_MEMORY, "no memory to ask the server");
    pthread_mutex_init(&asker->lock, NULL);
    condition_init(&asker->answered);
    asker->self = service_as_source(service);
    config_bus_options(config, service->name, &options);
    options.must_connect = 1;
    int r = bus_open(&options, &asker->bus);
    if (r == 0)
        r = bus_new_inbox(asker->bus, asker->inbox);
    if (r < 0)
        /* cppcheck-suppress memleak ; _free_ frees it */
        return trace(r);
    snprintf(subject, sizeof(subject), "%s.*", asker->inbox);
    r = bus_subscribe(asker->bus, subject, NULL, on_answer, asker, &asker->subscription);
    if (r < 0)
        return trace(r);
    *ret_asker = take(asker);
    return 0;
}

void asker_free(struct asker *asker)
{
    if (!asker)
        return;
    if (asker->subscription)
        bus_subscription_drain(asker->subscription, ASKER_TIMEOUT_MS);
    bus_message_free(asker->answer);
    bus_subscription_free(asker->subscription);
    bus_free(asker->bus);
    pthread_cond_destroy(&asker->answered);
    pthread_mutex_destroy(&asker->lock);
    free(asker);
}

int asker_ask(struct asker *asker, const char *subject, const void *body, size_t length,
              struct bus_message **ret_answer)
{
    char reply[BUS_SUBJECT_MAX + 1];
    pthread_mutex_lock(&asker->lock);
    bus_message_free(asker->answer);
    asker->answer = NULL;
    snprintf(reply, sizeof(reply), "%s.%lld", asker->inbox, (long long)++asker->number);
    pthread_mutex_unlock(&asker->lock);
    int r = bus_publish(asker->bus, BUS_URGENT,
                        &(struct bus_outgoing){
                            .subject = subject, .reply = reply, .data = body, .length = length });
    if (r < 0)
        return trace(r);
    int64_t deadline_ms = clock_monotonic_ms() + ASKER_TIMEOUT_MS;
    pthread_mutex_lock(&asker->lock);
    while (!asker->answer && condition_wait(&asker->answered, &asker->lock, deadline_ms) == 0)
        ;
    _free_(bus_message) struct bus_message *answer = asker->answer;
    asker->answer = NULL;
    pthread_mutex_unlock(&asker->lock);
    if (!answer)
        return fail(ERR_NETWORK, "%s: no answer within %d ms", subject, ASKER_TIMEOUT_MS);
    if (bus_message_status(answer) == STATUS_NO_RESPONDERS)
        return fail(ERR_NETWORK, "%s: nobody answers there", subject);
    *ret_answer = take(answer);
    return 0;
}

/* ---- Our stream ----------------------------------------------------------------------------- */

static int ask_api(struct asker *asker, int built, const struct js_request *request,
                   struct bus_message **ret_answer)
{
    return built < 0 ? trace(built)
                     : trace(asker_ask(asker, request->subject, request->body.data,
                                       request->body.length, ret_answer));
}

int asker_stream_state(struct asker *asker, struct arena *arena, struct js_stream_state *ret_state)
{
    _deinit_(js_request) struct js_request request;
    _free_(bus_message) struct bus_message *answer = NULL;
    js_request_init(&request, NULL);
    int r = ask_api(asker, js_stream_info(&request, asker->self.log), &request, &answer);
    return r < 0 ? trace(r)
                 : trace(js_parse_stream_info(bus_message_data(answer), bus_message_length(answer),
                                              arena, ret_state));
}

int asker_stream_delete(struct asker *asker)
{
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(js_request) struct js_request request;
    _free_(bus_message) struct bus_message *answer = NULL;
    struct js_error error = { 0 };
    js_request_init(&request, NULL);
    int r = ask_api(asker, js_stream_delete(&request, asker->self.log), &request, &answer);
    if (r == 0)
        r = js_parse_success(bus_message_data(answer), bus_message_length(answer), &arena, &error);
    return r == JS_REFUSED
               ? fail(ERR_NETWORK, "the server does not delete the stream: %s", error.description)
               : trace(r);
}

int asker_stream_message(struct asker *asker, int64_t sequence, struct arena *arena,
                         struct stream_message *ret_message)
{
    _deinit_(js_request) struct js_request request;
    _free_(bus_message) struct bus_message *answer = NULL;
    struct js_stored_message stored;
    struct stream_message message = { .place = STREAM_EVENT };
    js_request_init(&request, NULL);
    int r = ask_api(asker, js_message_get(&request, asker->self.log, sequence), &request, &answer);
    if (r >= 0)
        r = js_parse_message(bus_message_data(answer), bus_message_length(answer), arena, &stored);
    if (r == JS_REFUSED) {
        if (stored.error.error_code != JS_ERR_MESSAGE_NOT_FOUND)
            return fail(ERR_NETWORK, "the stream's message %lld: %s", (long long)sequence,
                        stored.error.description);
        *ret_message = (struct stream_message){ .place = STREAM_HOLE };
        return 0;
    }
    if (r == 0)
        r = envelope_decode(&stored.view, &asker->self, arena, &message.event, &message.digest,
                            &message.reason);
    if (r < 0)
        return trace(r);
    if (r > 0)
        message.place = STREAM_FOREIGN;
    *ret_message = message;
    return 0;
}
