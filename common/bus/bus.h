/* Bus: the only door to NATS. One struct bus is one service's place on it.
 *
 * Inside are two connections to the same server, because nats.c lets one connection either write
 * each message at once or gather them for a millisecond:
 *
 *   BUS_URGENT   each message is written at once. All subscriptions live here, and all that is small
 *                and waited for: a reply, an acknowledgement, a pull, a JetStream API request.
 *   BUS_BULK     messages are gathered. Events for the stream, and the replies of a big batch.
 *
 * What two connections mean for order:
 *   - messages of one lane stay in order; messages of different lanes may overtake each other. So
 *   all
 *     events go by BUS_BULK, always: their expected sequences depend on their order. Replies may
 *     take
 *     either: nothing orders the replies of two requests.
 *   - acknowledgements of events come back on the urgent connection, in the order in which the
 *   server
 *     gave them; a subscription must be known to the server before the first message that asks for
 *     an answer leaves by the other lane. bus_flush after subscribing sees to it; after a reconnect
 *     the subscriptions are sent again first, so any answered BUS_URGENT request (the relay's
 *     reading
 *     of the stream) proves that they are there.
 *   - the bus counts as connected only while both are; each loss of either is a disconnect.
 *
 * Nothing is kept for later: publishing while the bus is not connected is refused with ERR_NETWORK
 * at once, because what waits in a reconnect buffer is stale. While connected a publish blocks only
 * when the socket is full, and at most for the write deadline.
 *
 * Threads: all functions may be called from any thread, but a message and a subscription belong to
 * one thread at a time. Handlers run on library threads: they only push, and never call bus_free.
 *
 * libnats 3.4.1 or later.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "bus/headers.h"

struct bus;              /* opaque: two nats.c connections */
struct bus_message;      /* opaque: a nats.c message; owned by whoever was handed it */
struct bus_subscription; /* opaque */

/* ---- Connecting ----------------------------------------------------------------------------- */

/* Called one at a time, on library threads; the first connected may come on the thread in bus_open,
 * before that returns. connected: at the first connect and after each disconnected. closed: for
 * good (an error that nats.c does not retry, such as a refused login twice); the process should end
 * and be started again. None is called by bus_free. They must not call the bus, but to publish. */
struct bus_handlers {
    void *context;
    void (*connected)(void *context);
    void (*disconnected)(void *context);
    void (*closed)(void *context, const char *reason);
};

struct bus_options { /* NULL and 0 leave things at their default */
    const char *url; /* one, or several with commas; default nats://127.0.0.1:4222 */
    /* "order-svc": name of the connections, and the inbox prefix `_INBOX.order-svc` */
    const char *name;
    const char *user, *password;
    const char *token;
    const char *credentials_file; /* as nsc makes them: JWT and seed */
    const char *nkey_file;        /* a user seed, "SU…" */
    const char *tls_certificate_file, *tls_key_file, *tls_ca_file;
    int connect_timeout_ms; /* of one attempt; 2000 */
    int reconnect_wait_ms;  /* between attempts, for ever; 250, and as much jitter */
    int ping_interval_ms;   /* two without an answer are a disconnect; 5000 */
    int write_deadline_ms;  /* 3000 */
    int delivery_threads;   /* that call handlers, for all subscriptions of the process; 2 */
    _Bool must_connect;     /* no server at the start is a failure instead of a wait */
    struct bus_handlers handlers;
};

/* Connects, or goes on trying in the background. When nobody listens it returns at once; where
 * packets vanish it takes up to connect_timeout_ms per address. -ERR_CONFIG (credentials, TLS
 * files, URL),
 * -ERR_NETWORK (only with must_connect), -ERR_MEMORY. The options are copied. */
int bus_open(const struct bus_options *options, struct bus **ret_bus);

/* Closes both connections, after a last attempt to write what is buffered; no handler runs
 * afterwards. Free all subscriptions and messages before. */
void bus_free(struct bus *bus);
DEFINE_FREE(bus)

/* Ends the library's own threads; the last thing a process does with the bus. */
void bus_library_close(void);

_Bool bus_is_connected(const struct bus *bus);
const char *bus_library_version(void); /* "3.4.1" */
_Bool bus_library_is_old(void);        /* under 3.9: warn, see CONVENTIONS */
/* headers and data; 0 before the first connect */
int64_t bus_max_payload_bytes(const struct bus *bus);

struct bus_stats {
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t connects; /* how often the bus became connected */
    uint64_t dropped;  /* how often nats.c dropped messages, because a handler was too slow */
};
void bus_stats(const struct bus *bus, struct bus_stats *ret_stats);

/* ---- Publishing ----------------------------------------------------------------------------- */

enum bus_urgency { BUS_URGENT, BUS_BULK };

struct bus_outgoing {    /* all borrowed for the call */
    const char *subject; /* must be safe, see bus_subject_is_safe */
    const char *reply;   /* where the answer shall go; NULL: none is wanted */
    /* keys must be safe and values not empty; CR and LF become blanks */
    const struct bus_header *headers;
    int header_count;
    const void *data;
    size_t length;
};

/* 0: handed to the connection, which says nothing about its arrival. -ERR_NETWORK: not connected,
 * or the write failed. -ERR_INVALID: unsafe, or larger than the server takes. -ERR_MEMORY. */
int bus_publish(struct bus *bus, enum bus_urgency urgency, const struct bus_outgoing *message);

/* Waits until the server has seen all that was published and subscribed on both connections. */
int bus_flush(struct bus *bus, int timeout_ms);

#define BUS_INBOX_SIZE 128
/* A subject of our own that nobody guesses, `_INBOX.order-svc.<unique>`. 0, -ERR_MEMORY. */
int bus_new_inbox(const struct bus *bus, char ret_inbox[BUS_INBOX_SIZE]);

/* ---- Receiving ------------------------------------------------------------------------------ */

/* Runs on a delivery thread; the messages of one subscription come in order. The handler owns the
 * message, and may hand it on to be freed later on another thread, but before the subscription
 * is. */
typedef void (*bus_handler)(void *context, struct bus_message *message);

/* May be called before the first connect. queue NULL: no queue group. At most BUS_PENDING_MAX
 * messages and BUS_PENDING_BYTES_MAX wait for the handler; beyond that nats.c drops them, which is
 * counted and logged. -ERR_INVALID, -ERR_MEMORY, -ERR_NETWORK (the bus is closed). */
#define BUS_PENDING_MAX 32768
#define BUS_PENDING_BYTES_MAX (32 * 1024 * 1024)
int bus_subscribe(struct bus *bus, const char *subject, const char *queue, bus_handler handler,
                  void *context, struct bus_subscription **ret_subscription);

/* Takes no more messages, and waits until the handler has seen all that had arrived. Other
 * subscriptions and publishing go on. Not from a handler. -ERR_NETWORK when it takes longer. */
int bus_subscription_drain(struct bus_subscription *subscription, int timeout_ms);

/* Unsubscribes; what has arrived and not been handled is dropped. The handler may still be in its
 * last call: drain first where that matters. */
void bus_subscription_free(struct bus_subscription *subscription);
DEFINE_FREE(bus_subscription)

void bus_message_free(struct bus_message *message);
DEFINE_FREE(bus_message)

const char *bus_message_subject(const struct bus_message *message);
const char *bus_message_reply(const struct bus_message *message); /* NULL: none */
const char *bus_message_data(const struct bus_message *message);  /* never NULL; a NUL follows */
size_t bus_message_length(const struct bus_message *message);

/* All of it, borrowed until the message is freed. 0, -ERR_INVALID (malformed or too many headers;
 * subject and data are fine then, and there are no headers), -ERR_MEMORY. */
int bus_message_view(struct bus_message *message, struct bus_view *ret_view);

/* The first value of a header, in any case of letters; NULL: none. Borrowed likewise. */
const char *bus_message_header(struct bus_message *message, const char *key);

/* The code of a message that is only a status of the server: 503 no responders, 404 no messages,
 * 408 the pull's time is up, 409 consumer deleted or a limit, 100 heartbeat. 0: an ordinary
 * message. */
int bus_message_status(struct bus_message *message);
const char *bus_message_status_text(struct bus_message *message); /* "Consumer Deleted"; "" */
