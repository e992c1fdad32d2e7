/* Bus: the only interface to NATS. A struct bus is one client of a server, with two or three
 * connections, because nats.c lets a connection either write each message at once or gather
 * messages for a millisecond, and hands each message that comes from thread to thread:
 *
 *   BUS_URGENT   each message is written at once. Subscriptions live here, and small messages that
 *                somebody waits for are published here: a reply, an acknowledgement, a pull, a
 *                JetStream API request.
 *   BUS_BULK     messages are gathered: the replies of a big batch. Subscriptions that must not
 *                wait behind a flood of the others live here, each with a thread of its own
 *                (bus_subscribe_apart).
 *   BUS_PUMPED   read and written by one thread of its user (bus_pump), without a thread of the
 *                library between: events for the stream, and their acknowledgements. Only where
 *                bus_options.is_pumped asks for it.
 *
 * What several connections mean for the order of messages:
 *
 *   - Messages of one lane stay in order; messages of different lanes may overtake each other. So
 *     all events are published on BUS_PUMPED, because their expected sequences depend on their
 *     order. Replies may take either of the others, because nothing orders the replies of two
 *     requests.
 *   - Acknowledgements of events arrive on the connection that the events leave by, in the order in
 *     which the server gave them; the server knows the subscription before it sees the events.
 *     Answers to what leaves on BUS_BULK arrive on the urgent one: the server must know the
 *     subscription before the first message that asks for an answer leaves on the other lane:
 *     bus_flush after bus_subscribe sees to that. After a reconnect nats.c sends the subscriptions
 *     first.
 *   - The bus is connected only while all its connections are; the loss of one is a disconnect.
 *
 * Nothing is kept for later: a publish on a bus that is not connected fails at once with
 * ERR_NETWORK, because what waits in a reconnect buffer is stale. On a connected bus a publish
 * blocks only when the socket is full, and at most for the write deadline; on BUS_PUMPED never.
 *
 * Threads: all functions may be called from any thread, but a message and a subscription belong to
 * one thread at a time. Handlers run on library threads: they only push, and never call bus_free.
 * What concerns BUS_PUMPED is called by one thread, and its handlers are, too.
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

/* Called one at a time, on library threads; the first connected may come on the thread that is in
 * bus_open, before bus_open returns. connected: at the first connect and after each disconnected.
 * closed: nats.c does not retry (a login was refused twice, for example); the process should end
 * and be started again. bus_free calls no handler. Of the bus's functions handlers may only call
 * bus_publish. */
struct bus_handlers {
    void *context;
    void (*connected)(void *context);
    void (*disconnected)(void *context);
    void (*closed)(void *context, const char *reason);
    /* the server does not permit to publish on this subject, or to subscribe to it */
    void (*denied)(void *context, _Bool publish, const char *subject);
};

struct bus_options { /* NULL and 0 leave things at their default */
    const char *url; /* one, or several with commas, tried in turn; default nats://127.0.0.1:4222 */
    /* "order-svc": name of the connections, and the inbox prefix `_INBOX.order-svc` */
    const char *name;
    const char *user, *password;
    const char *token;
    const char *credentials_file; /* as nsc makes them: JWT and seed */
    const char *nkey_file;        /* a user seed, "SU…" */
    const char *tls_certificate_file, *tls_key_file, *tls_ca_file;
    int connect_timeout_ms; /* of one attempt; 2000 */
    int reconnect_wait_ms;  /* between attempts, for ever; 250, and as much jitter */
    int ping_interval_ms;   /* two without an answer are a disconnect; 5000, of several 2000 */
    int write_deadline_ms;  /* 3000 */
    int delivery_threads;   /* that call handlers, for all subscriptions of the process; 2 */
    int check_interval_ms;  /* of the server's max_payload (bus_max_payload_bytes); 0: no check */
    _Bool must_connect;     /* no server at the start is a failure instead of a wait */
    _Bool is_pumped;        /* with BUS_PUMPED: some thread will call bus_pump */
    struct bus_handlers handlers;
};

#define BUS_SERVERS_MAX 16
#define BUS_SERVERS_SIZE 2048 /* of their list */
/* Can it be the url of struct bus_options? 0 or -ERR_CONFIG; nothing is looked up. */
int bus_check_servers(const char *list);

/* Connects, or goes on trying in the background. Returns at once when the connection is refused;
 * where packets are dropped, after up to connect_timeout_ms per address. -ERR_CONFIG (credentials,
 * TLS files, URL), -ERR_NETWORK (only with must_connect), -ERR_MEMORY. The options are copied. */
int bus_open(const struct bus_options *options, struct bus **ret_bus);

/* Closes both connections, after a last attempt to write what is buffered. No handler runs after
 * that. All subscriptions and messages must have been freed before. */
void bus_free(struct bus *bus);
DEFINE_FREE(bus)

/* Ends the library's own threads. The last call of a process to the bus. */
void bus_library_close(void);

_Bool bus_is_connected(const struct bus *bus);
const char *bus_library_version(void); /* "3.4.1" */
_Bool bus_library_is_old(void);        /* under 3.9, with known faults: warn */
/* For headers and data together; 0 before the first connect. The server says it with a connect, and
 * tells nobody when it loads another configuration later (nats-server 2.15.3). So a thread asks the
 * same server every check_interval_ms, with a connection of its own. What it takes less counts from
 * then on; what it takes more (bus_takes_more) counts with the next connect, because nats.c sends
 * nothing larger before. */
int64_t bus_max_payload_bytes(const struct bus *bus);
_Bool bus_takes_more(const struct bus *bus);
/* Ends both connections for good (handlers.closed). */
void bus_close(struct bus *bus);

struct bus_stats {
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t connects; /* how often the bus became connected */
    uint64_t echoes;   /* messages to itself that came back (bus_push) */
    uint64_t dropped;  /* how often nats.c dropped messages, because a handler was too slow */
};
void bus_read_stats(const struct bus *bus, struct bus_stats *ret_stats);

/* ---- Publishing ----------------------------------------------------------------------------- */

enum bus_urgency { BUS_URGENT, BUS_BULK, BUS_PUMPED };

struct bus_outgoing {    /* all borrowed for the call */
    const char *subject; /* must be safe, see bus_subject_is_safe */
    const char *reply;   /* where the answer shall go; NULL: no answer is wanted */
    /* keys must be safe, and no value empty; CR and LF become blanks */
    const struct bus_header *headers;
    int header_count;
    const void *data;
    size_t length;
};

/* 0: the message was handed to the connection; whether it arrives is not known. -ERR_NETWORK: not
 * connected, or the write failed. -ERR_INVALID: subject or headers are unsafe, or the message is
 * larger than the server takes. -ERR_MEMORY. */
int bus_publish(struct bus *bus, enum bus_urgency urgency, const struct bus_outgoing *message);

/* Waits until the server has seen all that was published and subscribed, but for BUS_PUMPED. */
int bus_flush(struct bus *bus, int timeout_ms);

/* After a turn that may have published. nats.c waits by the wall clock: the thread that sends what
 * BUS_BULK gathers sleeps a millisecond, and when the clock is set back meanwhile, as long as it
 * was set back by (seen with 3.4.1; fault 38). For that long, what waits is sent from here. The
 * wait before it connects again lasts as long, too: a bus that is away for 10 s of that time is
 * closed (handlers.closed). So is one whose connection is dead without being closed, which nats.c
 * would notice by its pings: messages to itself do not come back for 10 s. By one thread at a time;
 * wall_ms, now_ms: wall and monotonic time. */
void bus_push(struct bus *bus, int64_t wall_ms, int64_t now_ms);

/* ---- BUS_PUMPED, by its one thread ----------------------------------------------------------- */

/* Readable in the sense of poll() when bus_pump has something to do; -1: there is no such lane. It
 * stays the same over reconnects. */
int bus_pump_fd(const struct bus *bus);

/* Takes what has come, which calls the handlers of bus_subscribe_pumped on this thread, and writes
 * what the socket did not take before. Does not wait. At least once a second, for it also sees to a
 * connection that has fallen silent; now_ms is monotonic. */
void bus_pump(struct bus *bus, int64_t now_ms);

/* Writes what was published on BUS_PUMPED since the last time; without it, it leaves when 64 KiB
 * have gathered. */
void bus_pump_out(struct bus *bus);

#define BUS_INBOX_SIZE 128
/* A subject of our own that cannot be guessed, `_INBOX.order-svc.<unique>`. 0 or -ERR_MEMORY. */
int bus_new_inbox(const struct bus *bus, char ret_inbox[BUS_INBOX_SIZE]);

/* ---- Receiving ------------------------------------------------------------------------------ */

/* Runs on a delivery thread; the messages of one subscription come in order. The handler owns the
 * message. Another thread may free the message later, but before the subscription is freed. */
typedef void (*bus_handler)(void *context, struct bus_message *message);

/* May be called before the first connect. queue NULL: no queue group. At most BUS_PENDING_MAX
 * messages and BUS_PENDING_BYTES_MAX bytes wait for the handler; nats.c drops what comes beyond
 * that, and each drop is counted and logged. -ERR_INVALID, -ERR_MEMORY, -ERR_NETWORK (the bus is
 * closed). */
#define BUS_PENDING_MAX 32768
#define BUS_PENDING_BYTES_MAX (32 * 1024 * 1024)
int bus_subscribe(struct bus *bus, const char *subject, const char *queue, bus_handler handler,
                  void *context, struct bus_subscription **ret_subscription);

/* The same, on a connection and a thread that no flood of messages to another subscription reaches.
 * For requests that come seldom, not for answers (see above). */
int bus_subscribe_apart(struct bus *bus, const char *subject, const char *queue,
                        bus_handler handler, void *context,
                        struct bus_subscription **ret_subscription);

/* The same, on BUS_PUMPED: the handler runs in bus_pump. Made before its first call, freed after
 * the last; it is not drained. */
#define BUS_PUMPED_SUBSCRIPTIONS_MAX 4
int bus_subscribe_pumped(struct bus *bus, const char *subject, bus_handler handler, void *context,
                         struct bus_subscription **ret_subscription);

/* Takes no more messages, and waits until the handler has seen all messages that had arrived. Other
 * subscriptions and publishing go on. Not from a handler. -ERR_NETWORK after the timeout. */
int bus_subscription_drain(struct bus_subscription *subscription, int timeout_ms);

/* The same in two halves, of which the first does not wait: several are drained at a time. */
int bus_subscription_begin_drain(struct bus_subscription *subscription, int timeout_ms);
int bus_subscription_end_drain(struct bus_subscription *subscription, int timeout_ms);

/* Unsubscribes; messages that have arrived and not been handled are dropped. The handler may still
 * be in its last call: drain the subscription first where that matters. */
void bus_subscription_free(struct bus_subscription *subscription);
DEFINE_FREE(bus_subscription)

void bus_message_free(struct bus_message *message);
DEFINE_FREE(bus_message)

const char *bus_message_subject(const struct bus_message *message);
const char *bus_message_reply(const struct bus_message *message); /* NULL: none */
const char *bus_message_data(const struct bus_message *message);  /* never NULL; a NUL follows */
size_t bus_message_length(const struct bus_message *message);

/* The whole message, borrowed until the message is freed. 0, -ERR_INVALID (what stands in the place
 * of its headers is none: the view has subject and data and no headers), -ERR_MEMORY. */
int bus_message_view(struct bus_message *message, struct bus_view *ret_view);

/* The first value of a header, in any case of letters; NULL: none. Borrowed as the view is. */
const char *bus_message_header(struct bus_message *message, const char *key);

/* The code of a message that is a status of the server: 503 no responders, 404 no messages, 408 the
 * pull has expired, 409 consumer deleted or a limit reached, 100 heartbeat. 0: an ordinary
 * message. */
int bus_message_status(struct bus_message *message);
const char *bus_message_status_text(struct bus_message *message); /* "Consumer Deleted"; "" */
