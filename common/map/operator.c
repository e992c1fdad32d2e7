/* Operator: see operator.h. */
#include "map/operator.h"
#include "base/json_text.h"
#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARKED_MS 5000
#define REDRIVE_MS 25000

static const char json_type[] = "application/json";

/* One that a person waits for; freed with its answer. */
struct errand {
    struct operator* operator;
    int64_t number; /* of the request */
};

static void say(struct http_server *server, int64_t number, int status, const char *why)
{
    char text[256];
    int length = snprintf(text, sizeof(text), "{\"error\":{\"message\":\"%s\"}}", why);
    http_server_answer(server, number, status, json_type, text, (size_t)length);
}

/* What a service says goes to the browser as it is, when it is JSON. */
static void on_answer(void *context, struct bus_message *message, const char *why)
{
    struct errand *errand = context;
    struct http_server *server = errand->operator->server;
    if (!message)
        say(server, errand->number, strcmp(why, "not permitted") == 0 ? 403 : 504, why);
    else if (bus_message_status(message) != 0)
        say(server, errand->number, 502, "the service does not answer");
    else if (!json_text_of(bus_message_data(message), bus_message_length(message)).text)
        say(server, errand->number, 502, "the service's answer is no JSON");
    else
        http_server_answer(server, errand->number, 200, json_type, bus_message_data(message),
                           bus_message_length(message));
    free(errand);
}

static void ask(struct operator* operator, int64_t number, const char *name, const char *verb,
                int64_t timeout_ms)
{
    char subject[BUS_SUBJECT_MAX + 1];
    const struct mesh_service *service = mesh_find(watcher_mesh(operator->watcher), name);
    struct errand *errand = service ? malloc(sizeof(*errand)) : NULL;
    if (!errand) {
        say(operator->server, number, service ? 503 : 404,
            service ? "no memory" : "no such service");
        return;
    }
    *errand = (struct errand){ operator, number };
    snprintf(subject, sizeof(subject), "%s.%s", service->prefix, verb);
    const struct watcher_question question = { .subject = subject,
                                               .body = "{}",
                                               .timeout_ms = timeout_ms,
                                               .answer = on_answer,
                                               .context = errand };
    if (watcher_ask(operator->watcher, &question) < 0)
        on_answer(errand, NULL, "the server is away, or too many questions wait");
}

void operator_show_parked(struct operator* operator, const struct http_request * request)
{
    char name[MESH_NAME_SIZE];
    if (http_request_parameter(request, "service", name, sizeof(name)))
        ask(operator, request->number, name, "parked", PARKED_MS);
    else
        say(operator->server, request->number, 400, "a service is wanted");
}

void operator_redrive(struct operator* operator, const struct http_request * request)
{
    char name[MESH_NAME_SIZE] = "";
    const struct json_text service =
        json_text_find(json_text_of(request->body, request->body_length), "service");
    if (service.length > 2 && *service.text == '"')
        json_text_plain((struct json_text){ service.text + 1, service.length - 2 }, name,
                        sizeof(name));
    log_info("map_redrive", LOG_TEXT("service", name));
    ask(operator, request->number, name, "redrive", REDRIVE_MS);
}
