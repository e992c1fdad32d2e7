/* Bus on nats.c: see bus.h. The only file that includes nats.h; facts about the library are
 * collected in CONVENTIONS.md. Connecting and publishing stand here, receiving in bus_receive.c. */
#include "bus/bus_nats.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/result.h"
#include "bus/nkey.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define URL_DEFAULT "nats://127.0.0.1:4222"
#define NAME_DEFAULT "journey"
#define CONNECT_TIMEOUT_MS 2000
#define RECONNECT_WAIT_MS 250
#define NKEY_TRIES 3 /* libnats 3.4.1 signs one nonce of some 256 wrongly (6 of 1500 connects) */
#define PING_INTERVAL_MS 5000
#define PINGS_MAX 2
#define WRITE_DEADLINE_MS 3000
#define DELIVERY_THREADS 2
/* what waits in it is stale; not 0, which nats.c does not take */
#define RECONNECT_BUFFER_BYTES 1024
#define CLOSE_WAIT_S 5
#define LONG_KEY_BYTES 1500 /* enough for an event's headers */

int bus_fail(natsStatus status, const char *what)
{
    const char *text = natsStatus_GetText(status);
    switch (status) {
    case NATS_NO_MEMORY:       return fail(ERR_MEMORY, "no memory to %s", what);
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT:
    case NATS_MAX_PAYLOAD:
    case NATS_PROTOCOL_ERROR:  return fail(ERR_INVALID, "cannot %s: %s", what, text);
    default:                   return fail(ERR_NETWORK, "cannot %s: %s", what, text);
    }
}

/* ---- Connected, or not ---------------------------------------------------------------------- */

/* nats.c tells of all changes on one thread, in order; only the first connect is told by the thread
 * that makes it, which holds the lock meanwhile. So handlers are called one at a time. */
static void set_up(struct link *link, _Bool up)
{
    struct bus *bus = link->bus;
    link->up = up;
    _Bool both = bus->links[BUS_URGENT].up && bus->links[BUS_BULK].up;
    if (both == atomic_load(&bus->connected))
        return;
    atomic_store(&bus->connected, both);
    void (*handler)(void *) = both ? bus->handlers.connected : bus->handlers.disconnected;
    if (both)
        atomic_fetch_add(&bus->connects, 1);
    if (handler && !bus->closing)
        handler(bus->handlers.context);
}

static void on_connected(natsConnection *connection, void *closure)
{
    struct link *link = closure;
    (void)connection;
    pthread_mutex_lock(&link->bus->lock);
    set_up(link, 1);
    pthread_mutex_unlock(&link->bus->lock);
}

static void on_disconnected(natsConnection *connection, void *closure)
{
    struct link *link = closure;
    (void)connection;
    pthread_mutex_lock(&link->bus->lock);
    set_up(link, 0);
    pthread_mutex_unlock(&link->bus->lock);
}

static void on_closed(natsConnection *connection, void *closure)
{
    struct link *link = closure;
    struct bus *bus = link->bus;
    const char *reason = NULL;
    natsConnection_GetLastError(connection, &reason);
    pthread_mutex_lock(&bus->lock);
    set_up(link, 0);
    link->closed = 1;
    if (bus->handlers.closed && !bus->closing)
        bus->handlers.closed(bus->handlers.context, reason ? reason : "");
    pthread_cond_broadcast(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
}

static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
                     void *closure)
{
    struct link *link = closure;
    const char *text = NULL;
    natsConnection_GetLastError(connection, &text);
    if (status == NATS_SLOW_CONSUMER) {
        atomic_fetch_add(&link->bus->dropped, 1);
        log_error("bus_messages_dropped",
                  LOG_TEXT("subject", natsSubscription_GetSubject(subscription)));
        return;
    }
    log_warn("bus_error", LOG_TEXT("status", natsStatus_GetText(status)),
             LOG_TEXT("reason", text ? text : ""));
}

/* ---- Options -------------------------------------------------------------------------------- */

#define OR_DEFAULT(value, otherwise) ((value) > 0 ? (value) : (otherwise))

static natsStatus set_manners(natsOptions *to, const struct bus_options *options,
                              enum bus_urgency urgency)
{
    int wait_ms = OR_DEFAULT(options->reconnect_wait_ms, RECONNECT_WAIT_MS);
    natsStatus s =
        natsOptions_SetTimeout(to, OR_DEFAULT(options->connect_timeout_ms, CONNECT_TIMEOUT_MS));
    if (s == NATS_OK)
        s = natsOptions_SetMaxReconnect(to, -1);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectWait(to, wait_ms);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectJitter(to, wait_ms, wait_ms);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectBufSize(to, RECONNECT_BUFFER_BYTES);
    if (s == NATS_OK)
        s = natsOptions_SetPingInterval(to,
                                        OR_DEFAULT(options->ping_interval_ms, PING_INTERVAL_MS));
    if (s == NATS_OK)
        s = natsOptions_SetMaxPingsOut(to, PINGS_MAX);
    if (s == NATS_OK)
        s = natsOptions_SetWriteDeadline(to,
                                         OR_DEFAULT(options->write_deadline_ms, WRITE_DEADLINE_MS));
    if (s == NATS_OK)
        s = natsOptions_SetMaxPendingMsgs(to, BUS_PENDING_MAX);
    if (s == NATS_OK)
        s = natsOptions_SetFailRequestsOnDisconnect(to, true);
    if (s == NATS_OK)
        s = natsOptions_UseGlobalMessageDelivery(to, true);
    if (s == NATS_OK)
        s = natsOptions_SetSendAsap(to, urgency == BUS_URGENT);
    return s;
}

static natsStatus set_handlers(natsOptions *to, struct link *link)
{
    natsStatus s = natsOptions_SetDisconnectedCB(to, on_disconnected, link);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectedCB(to, on_connected, link);
    if (s == NATS_OK)
        s = natsOptions_SetClosedCB(to, on_closed, link);
    if (s == NATS_OK)
        s = natsOptions_SetErrorHandler(to, on_error, link);
    return s;
}

static int check_readable(const char *path)
{
    if (path && access(path, R_OK) < 0)
        return fail(ERR_CONFIG, "cannot read %s: %s", path, errno_text(errno));
    return 0;
}

static int set_login(natsOptions *to, const struct bus_options *options)
{
    char nkey[NKEY_PUBLIC_SIZE];
    int r = check_readable(options->credentials_file);
    if (r == 0 && options->nkey_file)
        r = nkey_public_of_file(options->nkey_file, nkey);
    if (r < 0)
        return trace(r);
    natsStatus s = NATS_OK;
    if (options->user)
        s = natsOptions_SetUserInfo(to, options->user, options->password ? options->password : "");
    if (s == NATS_OK && options->token)
        s = natsOptions_SetToken(to, options->token);
    if (s == NATS_OK && options->credentials_file)
        s = natsOptions_SetUserCredentialsFromFiles(to, options->credentials_file, NULL);
    if (s == NATS_OK && options->nkey_file)
        s = natsOptions_SetNKeyFromSeed(to, nkey, options->nkey_file);
    return s == NATS_OK ? 0 : fail(ERR_CONFIG, "the login for NATS: %s", natsStatus_GetText(s));
}

static int set_tls(natsOptions *to, const struct bus_options *options, const char *url)
{
    const char *certificate = options->tls_certificate_file, *key = options->tls_key_file,
               *ca = options->tls_ca_file;
    if (!certificate && !ca && !strstr(url, "tls://"))
        return 0;
    if (!certificate != !key)
        return fail(ERR_CONFIG, "a TLS certificate and its key go together");
    int r = check_readable(certificate);
    if (r == 0)
        r = check_readable(key);
    if (r == 0)
        r = check_readable(ca);
    if (r < 0)
        return trace(r);
    if (natsOptions_SetSecure(to, true) != NATS_OK)
        return fail(ERR_CONFIG, "this libnats was built without TLS");
    if (ca && natsOptions_LoadCATrustedCertificates(to, ca) != NATS_OK)
        return fail(ERR_CONFIG, "%s is not a file of CA certificates in PEM", ca);
    if (certificate && natsOptions_LoadCertificatesChain(to, certificate, key) != NATS_OK)
        return fail(ERR_CONFIG, "%s and %s are not a certificate and its key in PEM", certificate,
                    key);
    return 0;
}

static int make_options(const struct bus_options *options, struct link *link,
                        natsOptions **ret_options)
{
    const struct bus *bus = link->bus;
    const char *url = options->url ? options->url : URL_DEFAULT;
    natsOptions *to = NULL;
    natsStatus s = natsOptions_Create(&to);
    if (s == NATS_OK)
        s = natsOptions_SetURL(to, url);
    if (s == NATS_OK)
        s = natsOptions_SetName(to, bus->name);
    if (s == NATS_OK)
        s = natsOptions_SetCustomInboxPrefix(to, bus->inbox_prefix);
    if (s == NATS_OK)
        s = set_manners(to, options, link == &bus->links[BUS_URGENT] ? BUS_URGENT : BUS_BULK);
    if (s == NATS_OK)
        s = set_handlers(to, link);
    int r = s == NATS_OK ? 0 : bus_fail(s, "set the options of NATS");
    if (r == 0)
        r = set_login(to, options);
    if (r == 0)
        r = set_tls(to, options, url);
    if (r == 0)
        *ret_options = to;
    else
        natsOptions_Destroy(to);
    return trace(r);
}

/* ---- Opening and closing -------------------------------------------------------------------- */

/* Goes on trying in the background. There nats.c does not say why an attempt failed, so the first
 * one, which was made in the foreground, says it. */
static natsStatus connect_later(struct link *link, natsOptions *to, natsStatus why)
{
    if (link == &link->bus->links[BUS_URGENT])
        log_warn("no_server", LOG_TEXT("reason", natsStatus_GetText(why)),
                 LOG_TEXT("detail", nats_GetLastError(NULL)));
    natsStatus s = natsOptions_SetRetryOnFailedConnect(to, true, on_connected, link);
    return s == NATS_OK ? natsConnection_Connect(&link->connection, to) : s;
}

static int connect_link(struct link *link, const struct bus_options *options)
{
    natsOptions *to = NULL;
    int r = make_options(options, link, &to);
    if (r < 0)
        return trace(r);
    /* Under the lock: a loss right after the connect is told after it. */
    pthread_mutex_lock(&link->bus->lock);
    natsStatus s = natsConnection_Connect(&link->connection, to);
    for (int i = 1; s == NATS_CONNECTION_AUTH_FAILED && options->nkey_file && i < NKEY_TRIES; i++)
        s = natsConnection_Connect(&link->connection, to);
    if (s != NATS_OK && s != NATS_INVALID_ARG && !options->must_connect)
        s = connect_later(link, to, s);
    if (s == NATS_OK) /* also when it is there at the second look: nobody calls back then */
        set_up(link, 1);
    pthread_mutex_unlock(&link->bus->lock);
    natsOptions_Destroy(to);
    /* nats.c reads the address only now; it may hold a password: no echo */
    if (s == NATS_INVALID_ARG)
        return fail(ERR_CONFIG, "not the address of a NATS server");
    if (s != NATS_OK && s != NATS_NOT_YET_CONNECTED)
        return bus_fail(s, "connect to NATS");
    return 0;
}

/* nats.c's own threads, which free messages and keep time, inherit their policy from who opens it.
 * They are woken thousands of times a second, and nobody waits for them: as batch threads they
 * don't take a core from those who woke them. */
static void open_library(void)
{
    static const struct sched_param none;
    int policy = sched_getscheduler(0);
    sched_setscheduler(0, SCHED_BATCH, &none);
    nats_Open(-1);
    sched_setscheduler(0, policy, &none);
}

int bus_open(const struct bus_options *options, struct bus **ret_bus)
{
    const char *name = options->name ? options->name : NAME_DEFAULT;
    if (!bus_header_key_is_safe(name))
        return fail(ERR_CONFIG,
                    "the name of the connection may only have letters, digits, _ and -");
    open_library();
    nats_SetMessageDeliveryPoolSize(OR_DEFAULT(options->delivery_threads, DELIVERY_THREADS));
    _free_(bus) struct bus *bus = calloc(1, sizeof(*bus));
    if (!bus)
        return fail(ERR_MEMORY, "no memory for the bus");
    pthread_mutex_init(&bus->lock, NULL);
    pthread_cond_init(&bus->changed, NULL);
    snprintf(bus->name, sizeof(bus->name), "%s", name);
    snprintf(bus->inbox_prefix, sizeof(bus->inbox_prefix), "_INBOX.%s", name);
    bus->handlers = options->handlers;
    for (int i = 0; i < LANES; i++)
        bus->links[i].bus = bus;
    for (int i = 0; i < LANES; i++) {
        int r = connect_link(&bus->links[i], options);
        if (r < 0)
            return trace(r);
    }
    *ret_bus = take(bus);
    return 0;
}

/* True when nats.c will not call back any more. */
static _Bool wait_closed(struct bus *bus)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += CLOSE_WAIT_S;
    _Bool closed = 1;
    pthread_mutex_lock(&bus->lock);
    for (int i = 0; i < LANES && closed; i++)
        while (bus->links[i].connection && !bus->links[i].closed && closed)
            closed = pthread_cond_timedwait(&bus->changed, &bus->lock, &deadline) == 0;
    pthread_mutex_unlock(&bus->lock);
    return closed;
}

void bus_free(struct bus *bus)
{
    if (!bus)
        return;
    pthread_mutex_lock(&bus->lock);
    bus->closing = 1;
    pthread_mutex_unlock(&bus->lock);
    for (int i = 0; i < LANES; i++)
        if (bus->links[i].connection)
            natsConnection_Close(bus->links[i].connection);
    if (!wait_closed(bus)) {
        log_error("bus_not_closed");
        return; /* rather lost memory than a callback into freed memory */
    }
    bus_discard_all();
    for (int i = 0; i < LANES; i++)
        natsConnection_Destroy(bus->links[i].connection);
    pthread_cond_destroy(&bus->changed);
    pthread_mutex_destroy(&bus->lock);
    free(bus);
}

void bus_library_close(void)
{
    nats_CloseAndWait(CLOSE_WAIT_S * INT64_C(1000));
}

/* ---- What it says of itself ----------------------------------------------------------------- */

_Bool bus_is_connected(const struct bus *bus)
{
    return atomic_load(&bus->connected);
}

const char *bus_library_version(void)
{
    return nats_GetVersion();
}

_Bool bus_library_is_old(void)
{
    return nats_GetVersionNumber() < 0x030900;
}

int64_t bus_max_payload_bytes(const struct bus *bus)
{
    return natsConnection_GetMaxPayload(bus->links[BUS_URGENT].connection);
}

static void add_statistics(const struct link *link, struct bus_stats *stats)
{
    natsStatistics *numbers = NULL;
    uint64_t in, in_bytes, out, out_bytes, reconnects;
    if (natsStatistics_Create(&numbers) == NATS_OK &&
        natsConnection_GetStats(link->connection, numbers) == NATS_OK &&
        natsStatistics_GetCounts(numbers, &in, &in_bytes, &out, &out_bytes, &reconnects) ==
            NATS_OK) {
        stats->messages_in += in;
        stats->bytes_in += in_bytes;
        stats->messages_out += out;
        stats->bytes_out += out_bytes;
    }
    natsStatistics_Destroy(numbers);
}

void bus_stats(const struct bus *bus, struct bus_stats *ret_stats)
{
    *ret_stats = (struct bus_stats){ .connects = atomic_load(&bus->connects),
                                     .dropped = atomic_load(&bus->dropped) };
    for (int i = 0; i < LANES; i++)
        add_statistics(&bus->links[i], ret_stats);
}

/* ---- Publishing ----------------------------------------------------------------------------- */

static int check_outgoing(const struct bus_outgoing *message)
{
    if (!bus_subject_is_safe(message->subject, 0))
        return fail(ERR_INVALID, "not a subject to publish on");
    if (message->reply && !bus_subject_is_safe(message->reply, 0))
        return fail(ERR_INVALID, "not a subject for answers");
    for (int i = 0; i < message->header_count; i++)
        if (!bus_header_key_is_safe(message->headers[i].key) || !*message->headers[i].value)
            return fail(ERR_INVALID, "a header without a proper key and a value");
    return 0;
}

/* Without headers there is a way that allocates nothing. A natsMsg is freed by another thread of
 * nats.c, which then contends for malloc with this one: it costs several times the publishing. */
static natsStatus publish_plain(natsConnection *connection, const struct bus_outgoing *message)
{
    if (message->reply)
        return natsConnection_PublishRequest(connection, message->subject, message->reply,
                                             message->data, (int)message->length);
    return natsConnection_Publish(connection, message->subject, message->data,
                                  (int)message->length);
}

/* CR and LF become blanks. */
static void put_value(struct buf *key, const char *value)
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

/* "a: 1\r\nb: 2\r\nc": everything of a header block but its first line, the last value, and what
 * follows it. */
static int make_long_key(const struct bus_outgoing *message, struct buf *key)
{
    for (int i = 0; i < message->header_count; i++) {
        if (i > 0) {
            buf_put(key, ": ", 2);
            put_value(key, message->headers[i - 1].value);
            buf_put(key, "\r\n", 2);
        }
        buf_put_text(key, message->headers[i].key);
    }
    return buf_status(key);
}

/* nats.c keeps each header in a table, at some five allocations apiece, and writes what is there as
 * it stands: key, ": ", value. It looks into values only, so all headers can go as one with a long
 * key. (Read up to 3.14; what arrives is a test of test_bus_live.) */
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
    if (!bus_is_connected(bus))
        return fail(ERR_NETWORK, "not connected to NATS");
    int r = check_outgoing(message);
    if (r < 0)
        return trace(r);
    natsConnection *connection = bus->links[urgency].connection;
    natsStatus s = message->header_count > 0 ? publish_with_headers(connection, message)
                                             : publish_plain(connection, message);
    return s == NATS_OK ? 0 : bus_fail(s, "publish");
}

int bus_flush(struct bus *bus, int timeout_ms)
{
    if (!bus_is_connected(bus))
        return fail(ERR_NETWORK, "not connected to NATS");
    for (int i = 0; i < LANES; i++) {
        natsStatus s = natsConnection_FlushTimeout(bus->links[i].connection, timeout_ms);
        if (s != NATS_OK)
            return bus_fail(s, "flush");
    }
    return 0;
}

int bus_new_inbox(const struct bus *bus, char ret_inbox[BUS_INBOX_SIZE])
{
    natsInbox *inbox = NULL; /* "_INBOX.<unique>": nats.c does not tell the unique part alone */
    natsStatus s = natsInbox_Create(&inbox);
    if (s != NATS_OK)
        return bus_fail(s, "make an inbox");
    snprintf(ret_inbox, BUS_INBOX_SIZE, "%s.%s", bus->inbox_prefix, strrchr(inbox, '.') + 1);
    natsInbox_Destroy(inbox);
    return 0;
}
