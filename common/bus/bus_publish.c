/* Bus on nats.c, publishing. See bus.h. */
#include "bus/bus_nats.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/result.h"
#include "base/smaller.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LONG_KEY_BYTES 1500   /* enough for the headers of an event */
#define CLOCK_BACK_MIN_MS 100 /* less is a clock that is corrected slowly */
#define PUSH_WAIT_MS 10       /* for an answer that nobody needs */
#define RECONNECT_LATE_MS 10000

/* nats.c looks at what the server has said with the connect. A message that is larger than what it
 * takes now would cost the connection. */
static int check_size(const struct bus *bus, const struct bus_outgoing *message)
{
    const int64_t bytes_max = atomic_load_explicit(&bus->check.payload_bytes, memory_order_relaxed);
    if (bytes_max == 0 || (int64_t)message->length <= bytes_max)
        return 0;
    return fail(ERR_INVALID, "the message has %zu bytes, and the server takes %lld now",
                message->length, (long long)bytes_max);
}

static int check_outgoing(const struct bus_outgoing *message)
{
    assert(message->data || message->length == 0);
    assert(message->headers || message->header_count == 0);
    if (!bus_subject_is_safe(message->subject, 0))
        return fail(ERR_INVALID, "not a subject to publish on");
    if (message->reply && !bus_subject_is_safe(message->reply, 0))
        return fail(ERR_INVALID, "not a subject for answers");
    for (int i = 0; i < message->header_count; i++)
        if (!bus_header_key_is_safe(message->headers[i].key) || !*message->headers[i].value)
            return fail(ERR_INVALID, "a header without a proper key and a value");
    return 0;
}

/* A message without headers is published without an allocation. With a natsMsg, another thread of
 * nats.c would free the message and contend for malloc with this thread, which costs several times
 * the publishing. */
static natsStatus publish_plain(natsConnection *connection, const struct bus_outgoing *message)
{
    if (message->reply)
        return natsConnection_PublishRequest(connection, message->subject, message->reply,
                                             message->data, (int)message->length);
    return natsConnection_Publish(connection, message->subject, message->data,
                                  (int)message->length);
}

/* CR and LF become blanks. */
static void put_clean_value(struct buf *key, const char *value)
{
    for (;;) {
        size_t length = strcspn(value, "\r\n");
        buf_put(key, value, length);
        if (!value[length])
            return;
        buf_put_char(key, ' ');
        value += length + 1;
    }
}

/* "a: 1\r\nb: 2\r\nc": a header block without its first line, the last value, and what follows the
 * last value. */
static int make_long_key(const struct bus_outgoing *message, struct buf *key)
{
    for (int i = 0; i < message->header_count; i++) {
        if (i > 0) {
            buf_put(key, ": ", 2);
            put_clean_value(key, message->headers[i - 1].value);
            buf_put(key, "\r\n", 2);
        }
        buf_put_text(key, message->headers[i].key);
    }
    return buf_status(key);
}

/* nats.c keeps each header in a table, with some five allocations for each, and writes a header as
 * key, ": ", value. Only values are looked into, so all headers can go as one header with a long
 * key. (Read in nats.c up to 3.14; test_bus_live tests what arrives.) */
static natsStatus publish_with_headers(natsConnection *connection,
                                       const struct bus_outgoing *message)
{
    _deinit_(buf) struct buf key = { 0 };
    buf_reserve(&key, LONG_KEY_BYTES);
    if (make_long_key(message, &key) < 0)
        return NATS_NO_MEMORY;
    natsMsg *out = NULL;
    natsStatus s = natsMsg_Create(&out, message->subject, message->reply, message->data,
                                  (int)message->length);
    if (s == NATS_OK)
        s = natsMsgHeader_Add(out, key.data, message->headers[message->header_count - 1].value);
    if (s == NATS_OK)
        s = natsConnection_PublishMsg(connection, out);
    bus_discard(out);
    return s;
}

int bus_publish(struct bus *bus, enum bus_urgency urgency, const struct bus_outgoing *message)
{
    assert(urgency < (enum bus_urgency)bus->lane_count);
    if (!bus_is_connected(bus))
        return fail(ERR_NETWORK, "not connected to NATS");
    int r = check_outgoing(message);
    if (r == 0)
        r = check_size(bus, message);
    if (r < 0)
        return trace(r);
    natsConnection *connection = bus->lanes[urgency].connection;
    if (urgency == BUS_PUMPED)
        bus_pump_enter();
    natsStatus s = message->header_count > 0 ? publish_with_headers(connection, message)
                                             : publish_plain(connection, message);
    if (urgency == BUS_PUMPED)
        bus_pump_leave(bus, message->length);
    return s == NATS_OK ? 0 : bus_fail(s, "publish");
}

int bus_flush(struct bus *bus, int timeout_ms)
{
    assert(timeout_ms > 0);
    if (!bus_is_connected(bus))
        return fail(ERR_NETWORK, "not connected to NATS");
    for (int i = 0; i < LANES_OF_LIBRARY; i++) {
        natsStatus s = natsConnection_FlushTimeout(bus->lanes[i].connection, timeout_ms);
        if (s != NATS_OK)
            return bus_fail(s, "flush");
    }
    return 0;
}

/* Only once: what nats.c has still to do comes late, too. */
static void end_connections(struct bus *bus, const char *event, const char *reason)
{
    bus->push_until_ms = 0;
    log_warn(event, LOG_TEXT("reason", reason));
    bus_close(bus);
}

/* The clock was set back, and nats.c waits by it before it connects again. Nothing but the end of
 * the connection ends that wait. */
static void end_late_wait(struct bus *bus, int64_t now_ms)
{
    if (bus->away_since_ms == 0)
        bus->away_since_ms = now_ms;
    if (now_ms < bus->away_since_ms + RECONNECT_LATE_MS)
        return;
    end_connections(bus, "reconnect_late",
                    "the clock was set back, and the client library waits by it");
}

void bus_push(struct bus *bus, int64_t wall_ms, int64_t now_ms)
{
    const int64_t offset_ms = wall_ms - now_ms, back_ms = bus->clock_offset_ms - offset_ms;
    bus->clock_offset_ms = offset_ms;
    if (back_ms > CLOCK_BACK_MIN_MS)
        bus->push_until_ms = larger(bus->push_until_ms, now_ms) + back_ms + CLOCK_BACK_MIN_MS;
    if (now_ms >= bus->push_until_ms)
        return;
    if (!bus_is_connected(bus)) {
        bus_echo_forget(bus);
        end_late_wait(bus, now_ms);
        return;
    }
    bus->away_since_ms = 0;
    if (!bus_echo_act(bus, now_ms)) {
        end_connections(bus, "connection_dead",
                        "the clock was set back, and nothing comes back from the server");
        return;
    }
    natsConnection *connection = bus->lanes[BUS_BULK].connection;
    if (natsConnection_Buffered(connection) > 0)
        natsConnection_FlushTimeout(connection, PUSH_WAIT_MS); /* sends first, then waits */
}
