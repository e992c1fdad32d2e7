/* Envelope: messages as somebody may put them into a stream, or hand them to a reader.
 *
 * Input: a subject, a newline, a header block as on the wire, its empty line, the data.
 *
 * What must hold: headers that are read stand for themselves (written again they are read the
 * same); an event that is taken can travel on, and has the same digest and chain at the next
 * reader. */
#include "fuzz.h"
#include "round_trip.h"
#include "base/result.h"
#include <string.h>

static int decode_event(const struct bus_view *view, const struct source *leader)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct event event = { 0 };
    struct digest digest, again;
    const char *reason = NULL;
    int r = envelope_decode(view, leader, &arena, &event, &digest, &reason);
    if (r != 0) {
        expect(r == ENVELOPE_REFUSED && reason && reason[0] && !event.id);
        return 0;
    }
    expect(strcmp(event.log, leader->log) == 0 && event.position >= 1);
    expect(event_digest(&event, &again) == 0 && digest_equal(&digest, &again));
    expect(round_trip(&event, leader, 0) == 1);
    return 1;
}

int fuzz_one(const uint8_t *data, size_t size)
{
    _deinit_(arena) struct arena arena = { 0 };
    const char *text = arena_copy(&arena, (const char *)data, size),
               *newline = memchr(text, '\n', size);
    if (!newline)
        return 0;
    const char *block = newline + 1;
    size_t block_length = size - (size_t)(block - text);
    struct bus_header *headers = NULL;
    int count = 0, r = bus_headers_parse((const char *)data + (block - text), block_length, &arena,
                                         &headers, &count);
    if (r != 0) {
        expect(r == -ERR_INVALID && !headers && count == 0);
        return 0;
    }
    expect(count <= bus_headers_room((const char *)data + (block - text), block_length));
    expect_headers_come_back(headers, count);
    const char *body = memmem(block, block_length, "\r\n\r\n", 4);
    expect(body);
    body += 4;
    struct bus_view view = {
        .subject = arena_copy(&arena, text, (size_t)(newline - text)),
        .headers = headers,
        .header_count = count,
        .data = body,
        .data_length = size - (size_t)(body - text),
    };
    for (int i = 0; i < count; i++)
        expect(bus_header_count(&view, headers[i].key) >= 1 &&
               bus_header_find(&view, headers[i].key));
    return decode_event(&view, &order_leader) | decode_event(&view, &account_leader);
}
