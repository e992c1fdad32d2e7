/* Event size: see event_size.h. */
#include "runtime/writer/event_size.h"
#include "base/smaller.h"
#include <string.h>

/* Of the stream's message (sync/envelope.c): keys, numbers, time, chain, and what JetStream may
 * want beside them. Of a page (schemas/runtime.events.reply.json): names, numbers, chain. */
#define HEADERS_BYTES 1024
#define PAGE_BYTES 640
#define AS_OF_BYTES 128   /* of each log */
#define PERCENT_MAX 3     /* a byte as %XX */
#define ESCAPE_MAX 6      /* a byte as \u00XX */
#define DATA_ESCAPE_MAX 2 /* JSON text has no control characters left: quotes and backslashes */

struct texts {
    const char *at[6];
    size_t fixed; /* of names that need no escape, in a message and in a page alike */
};

static struct texts texts_of(const struct event *event, const struct service *service)
{
    return (struct texts){
        .at = { event->entity, event->correlation, event->causation, event->cause,
                event->cause_digest, event->traceparent },
        .fixed = strlen(service->name) + 2 * strlen(service->prefix) + 2 * strlen(event->type),
    };
}

static size_t percent_encoded_bytes(const char *text)
{
    size_t bytes = 0;
    for (; *text; text++)
        bytes += *text <= ' ' || *text >= 0x7f || *text == '"' || *text == '%' ? PERCENT_MAX : 1;
    return bytes;
}

static size_t escaped_bytes(const char *text, size_t length)
{
    size_t bytes = 0;
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)text[i];
        bytes += c < 0x20 || c == 0x7f ? ESCAPE_MAX : c == '"' || c == '\\' ? 2 : 1;
    }
    return bytes;
}

static size_t page_bytes(const struct service *service)
{
    size_t bytes = PAGE_BYTES + AS_OF_BYTES;
    for (const struct source *source = service->sources; source && source->log; source++)
        bytes += AS_OF_BYTES;
    return bytes;
}

int64_t event_size(const struct event *event, const struct service *service, int64_t enough)
{
    const struct texts texts = texts_of(event, service);
    size_t length = 0;
    for (size_t i = 0; i < sizeof(texts.at) / sizeof(*texts.at); i++)
        length += texts.at[i] ? strlen(texts.at[i]) : 0;
    size_t message = HEADERS_BYTES + texts.fixed + PERCENT_MAX * length + event->data_length;
    size_t page = page_bytes(service) + texts.fixed + ESCAPE_MAX * length +
                  DATA_ESCAPE_MAX * event->data_length;
    int64_t at_most = larger((int64_t)message, (int64_t)page);
    if (at_most <= enough || at_most <= EVENT_SIZE_MIN)
        return EVENT_SIZE_MIN;
    message = HEADERS_BYTES + texts.fixed + event->data_length;
    page = page_bytes(service) + texts.fixed + escaped_bytes(event->data, event->data_length);
    for (size_t i = 0; i < sizeof(texts.at) / sizeof(*texts.at); i++) {
        if (!texts.at[i])
            continue;
        message += percent_encoded_bytes(texts.at[i]);
        page += escaped_bytes(texts.at[i], strlen(texts.at[i]));
    }
    return larger(larger((int64_t)message, (int64_t)page), EVENT_SIZE_MIN);
}
