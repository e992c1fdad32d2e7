/* Events: whatever a journey or a requester got into an event's texts, on its way out.
 *
 * Input: position and time (8 bytes each, least first), then, each behind a NUL but the first: id,
 * type, entity, correlation, causation, cause, cause digest, trace parent; and the data, which is
 * the rest. An empty text is an absent one.
 *
 * What must hold: the event is refused, or goes out clean and comes back the same. */
#include "fuzz.h"
#include "round_trip.h"
#include "runtime/core/event_text.h"
#include <string.h>

#define TEXT_COUNT 8

static int64_t read_number(const uint8_t *data)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | data[i];
    return (int64_t)value;
}

/* What only comes from code of ours is not checked when it goes out: the digest of a cause is
 * always hex. */
static _Bool is_digest(const char *text)
{
    struct digest ignored;
    return !text || digest_parse(text, &ignored) == 0;
}

int fuzz_one(const uint8_t *data, size_t size)
{
    if (size < 16)
        return 0;
    _deinit_(arena) struct arena arena = { 0 };
    char *at = arena_copy(&arena, (const char *)data + 16, size - 16), *end = at + (size - 16);
    const char *texts[TEXT_COUNT] = { NULL };
    for (int i = 0; i < TEXT_COUNT; i++) {
        char *nul = memchr(at, '\0', (size_t)(end - at));
        if (!nul)
            return 0;
        texts[i] = *at ? at : NULL;
        at = nul + 1;
    }
    struct event event = {
        .log = order_leader.log,
        .position = read_number(data),
        .time_ms = read_number(data + 8),
        .id = texts[0],
        .type = texts[1],
        .entity = texts[2],
        .correlation = texts[3],
        .causation = texts[4],
        .cause = texts[5],
        .cause_digest = texts[6],
        .traceparent = texts[7],
        .data = at,
        .data_length = (size_t)(end - at),
    };
    expect(digest_of(data, size, &event.chain) == 0);
    for (int i = 0; i < TEXT_COUNT; i++)
        if (texts[i] && event_text_is_safe(texts[i]))
            expect(strlen(texts[i]) <= EVENT_TEXT_FROM_OUTSIDE_MAX);
    return round_trip(&event, &order_leader, !is_digest(event.cause_digest));
}
