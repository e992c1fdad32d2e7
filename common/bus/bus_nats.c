/* Bus over nats.c: see bus.h. Written for libnats 3.4.1 and later. */
#include "bus/bus.h"
#include "base/log.h"
#include "base/result.h"
#include <nats.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define IFOK(s, call) do { if ((s) == NATS_OK) (s) = (call); } while (0)

#define RECONNECT_WAIT_MS 250
#define RECONNECT_JITTER_MS 250
#define PING_INTERVAL_MS 5000
#define PINGS_OUT_MAX 2
#define WRITE_DEADLINE_MS 4000
#define RECONNECT_BUFFER_BYTES (64 * 1024)    /* what waits in it is stale: relay and clients send again */
#define PENDING_MESSAGES_MAX 65536            /* a subscription's; beyond it the library drops: see courier.c */
#define PENDING_BYTES_MAX (64 * 1024 * 1024)

struct bus {
    struct bus_options options;
    natsOptions *settings[2];                 /* by enum bus_urgency */
    natsConnection *connections[2];
    char *inbox_prefix;
};

struct bus_subscription {
    natsSubscription *native;
    bus_handler *handler;
    void *context;
};

static int bus_fail(natsStatus status, const char *what)
{
    switch (status) {
    case NATS_NO_MEMORY: return fail(ERR_MEMORY, "%s: %s", what, natsStatus_GetText(status));
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT: return fail(ERR_INVALID, "%s: %s", what, natsStatus_GetText(status));
    default: return fail(ERR_NETWORK, "%s: %s", what, natsStatus_GetText(status));
    }
}

/* ---- Connecting ----------------------------------------------------------------------------- */

static void on_connected(natsConnection *connection, void *closure)
{
    struct bus *bus = closure;
    (void)connection;
    bus->options.connected(bus->options.context);
}

static void on_disconnected(natsConnection *connection, void *closure)
{
    struct bus *bus = closure;
    (void)connection;
    bus->options.disconnected(bus->options.context);
}

static void on_closed(natsConnection *connection, void *closure)
{
    struct bus *bus = closure;
    (void)connection;
    bus->options.closed(bus->options.context);
}

static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus error, void *closure)
{
    (void)connection;
    (void)subscription;
    (void)closure;
    log_warn("bus_error", LOG_TEXT("reason", natsStatus_GetText(error)));
}

static natsStatus set_credentials(natsOptions *settings, const struct bus_options *options)
{
    natsStatus s = NATS_OK;
    if (options->user)
        s = natsOptions_SetUserInfo(settings, options->user, options->password ? options->password : "");
    if (s == NATS_OK && options->token)
        s = natsOptions_SetToken(settings, options->token);
    if (s == NATS_OK && options->credentials_file)
        s = natsOptions_SetUserCredentialsFromFiles(settings, options->credentials_file, NULL);
    if (s == NATS_OK && options->nkey_seed_file)
        s = natsOptions_SetNKeyFromSeed(settings, NULL, options->nkey_seed_file);
    if (s == NATS_OK && options->ca_file)
        s = natsOptions_LoadCATrustedCertificates(settings, options->ca_file);
    if (s == NATS_OK && options->certificate_file)
        s = natsOptions_LoadCertificatesChain(settings, options->certificate_file, options->key_file);
    if (s == NATS_OK && options->ca_file)
        s = natsOptions_SetSecure(settings, true);
    return s;
}

static natsStatus set_servers(natsOptions *settings, const char *urls)
{
    char copy[2048];
    const char *servers[16];
    int count = 0;
    char *rest = copy, *url;
    if ((size_t)snprintf(copy, sizeof(copy), "%s", urls) >= sizeof(copy))
        return NATS_INVALID_ARG;
    while ((url = strsep(&rest, ",")) && count < 16)
        servers[count++] = url;
    return natsOptions_SetServers(settings, servers, count);
}

static natsStatus set_behaviour(natsOptions *settings, struct bus *bus, enum bus_urgency urgency)
{
    const struct bus_options *options = &bus->options;
    natsStatus s = set_servers(settings, options->urls);
    IFOK(s, natsOptions_SetName(settings, options->name));
    IFOK(s, natsOptions_SetMaxReconnect(settings, -1));
    IFOK(s, natsOptions_SetReconnectWait(settings, RECONNECT_WAIT_MS));
    IFOK(s, natsOptions_SetReconnectJitter(settings, RECONNECT_JITTER_MS, RECONNECT_JITTER_MS));
    IFOK(s, natsOptions_SetPingInterval(settings, PING_INTERVAL_MS));
    IFOK(s, natsOptions_SetMaxPingsOut(settings, PINGS_OUT_MAX));
    IFOK(s, natsOptions_SetWriteDeadline(settings, WRITE_DEADLINE_MS));
    IFOK(s, natsOptions_SetReconnectBufSize(settings, RECONNECT_BUFFER_BYTES));
    IFOK(s, natsOptions_SetFailRequestsOnDisconnect(settings, true));
    IFOK(s, natsOptions_SetCustomInboxPrefix(settings, options->inbox_prefix));
    IFOK(s, natsOptions_SetMaxPendingMsgs(settings, PENDING_MESSAGES_MAX));
    IFOK(s, natsOptions_SetErrorHandler(settings, on_error, bus));
    IFOK(s, natsOptions_SetSendAsap(settings, urgency == BUS_URGENT));
    IFOK(s, natsOptions_UseGlobalMessageDelivery(settings, true));
    if (urgency == BUS_URGENT) {
        IFOK(s, natsOptions_SetRetryOnFailedConnect(settings, true, on_connected, bus));
        IFOK(s, natsOptions_SetReconnectedCB(settings, on_connected, bus));
        IFOK(s, natsOptions_SetDisconnectedCB(settings, on_disconnected, bus));
    } else {
        IFOK(s, natsOptions_SetRetryOnFailedConnect(settings, true, NULL, NULL));
    }
    IFOK(s, natsOptions_SetClosedCB(settings, on_closed, bus));
    return s;
}

/* Returns 1 when the connection is there at once: then no callback tells of it. */
static int connect_one(struct bus *bus, enum bus_urgency urgency)
{
    natsStatus s = natsOptions_Create(&bus->settings[urgency]);
    if (s == NATS_OK)
        s = set_behaviour(bus->settings[urgency], bus, urgency);
    if (s != NATS_OK)
        return bus_fail(s, "connection options");
    s = set_credentials(bus->settings[urgency], &bus->options);
    if (s != NATS_OK)
        return fail(ERR_CONFIG, "credentials of the connection: %s", nats_GetLastError(NULL));
    s = natsConnection_Connect(&bus->connections[urgency], bus->settings[urgency]);
    if (s == NATS_NOT_YET_CONNECTED)
        return 0;
    return s == NATS_OK ? 1 : bus_fail(s, "connect");
}

int bus_open(const struct bus_options *options, struct bus **ret_bus)
{
    _free_(bus) struct bus *bus = calloc(1, sizeof(*bus));
    if (!bus || !(bus->inbox_prefix = strdup(options->inbox_prefix)))
        return fail(ERR_MEMORY, "no memory for a connection");
    bus->options = *options;
    bus->options.inbox_prefix = bus->inbox_prefix;
    nats_Open(-1);
    nats_SetMessageDeliveryPoolSize(2);
    int bulk = connect_one(bus, BUS_BULK);
    if (bulk < 0)
        return trace(bulk);
    int urgent = connect_one(bus, BUS_URGENT);
    if (urgent < 0)
        return trace(urgent);
    struct bus *opened = *ret_bus = take(bus);
    if (urgent > 0)
        opened->options.connected(opened->options.context);
    return 0;
}

static void ignore(void *context)
{
    (void)context;
}

void bus_free(struct bus *bus)
{
    if (!bus)
        return;
    bus->options.closed = ignore;         /* it is we who close */
    bus->options.disconnected = ignore;
    bus->options.connected = ignore;
    for (int i = 0; i < 2; i++) {
        natsConnection_Destroy(bus->connections[i]);
        natsOptions_Destroy(bus->settings[i]);
    }
    free(bus->inbox_prefix);
    free(bus);
}

_Bool bus_is_connected(const struct bus *bus)
{
    return natsConnection_Status(bus->connections[BUS_URGENT]) == NATS_CONN_STATUS_CONNECTED &&
           natsConnection_Status(bus->connections[BUS_BULK]) == NATS_CONN_STATUS_CONNECTED;
}

/* ---- Publishing ----------------------------------------------------------------------------- */

_Bool bus_subject_is_safe(const char *subject)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$.-";
    size_t length = strspn(subject, safe);
    return length > 0 && subject[length] == '\0';
}

static natsStatus set_headers(natsMsg *native, const struct bus_header *headers)
{
    natsStatus s = NATS_OK;
    for (; headers && headers->key && s == NATS_OK; headers++)
        if (headers->value)
            s = natsMsgHeader_Set(native, headers->key, headers->value);
    return s;
}

int bus_publish(struct bus *bus, enum bus_urgency urgency, const struct bus_outgoing *message)
{
    natsMsg *native = NULL;
    if (!bus_subject_is_safe(message->subject) || (message->reply_to && !bus_subject_is_safe(message->reply_to)))
        return fail(ERR_INVALID, "a subject with characters that are not allowed");
    if (natsConnection_Status(bus->connections[urgency]) != NATS_CONN_STATUS_CONNECTED)
        return fail(ERR_NETWORK, "not connected");
    natsStatus s = natsMsg_Create(&native, message->subject, message->reply_to, message->data, (int)message->length);
    if (s == NATS_OK)
        s = set_headers(native, message->headers);
    if (s == NATS_OK)
        s = natsConnection_PublishMsg(bus->connections[urgency], native);
    natsMsg_Destroy(native);
    return s == NATS_OK ? 0 : bus_fail(s, message->subject);
}

int bus_flush(struct bus *bus, int timeout_ms)
{
    for (int i = 0; i < 2; i++) {
        natsStatus s = natsConnection_FlushTimeout(bus->connections[i], timeout_ms);
        if (s != NATS_OK)
            return bus_fail(s, "flush");
    }
    return 0;
}

/* ---- Subscribing ---------------------------------------------------------------------------- */

static void on_message(natsConnection *connection, natsSubscription *native_subscription, natsMsg *native, void *closure)
{
    struct bus_subscription *subscription = closure;
    (void)connection;
    (void)native_subscription;
    subscription->handler(subscription->context, (struct bus_message *)native);
}

int bus_subscribe(struct bus *bus, const char *subject, const char *queue, bus_handler *handler, void *context,
                  struct bus_subscription **ret_subscription)
{
    _free_(bus_subscription) struct bus_subscription *subscription = calloc(1, sizeof(*subscription));
    if (!subscription)
        return fail(ERR_MEMORY, "no memory for a subscription");
    subscription->handler = handler;
    subscription->context = context;
    natsConnection *connection = bus->connections[BUS_URGENT];
    natsStatus s = queue ? natsConnection_QueueSubscribe(&subscription->native, connection, subject, queue, on_message, subscription)
                         : natsConnection_Subscribe(&subscription->native, connection, subject, on_message, subscription);
    if (s == NATS_OK)
        s = natsSubscription_SetPendingLimits(subscription->native, PENDING_MESSAGES_MAX, PENDING_BYTES_MAX);
    if (s != NATS_OK)
        return bus_fail(s, subject);
    *ret_subscription = take(subscription);
    return 0;
}

void bus_subscription_drain(struct bus_subscription *subscription)
{
    if (natsSubscription_Drain(subscription->native) == NATS_OK)
        natsSubscription_WaitForDrainCompletion(subscription->native, 2000);
}

void bus_subscription_free(struct bus_subscription *subscription)
{
    if (!subscription)
        return;
    natsSubscription_Destroy(subscription->native);
    free(subscription);
}

/* ---- Messages ------------------------------------------------------------------------------- */

static natsMsg *native_of(const struct bus_message *message)
{
    return (natsMsg *)message;
}

const char *bus_message_subject(const struct bus_message *message)
{
    return natsMsg_GetSubject(native_of(message));
}

const char *bus_message_reply_to(const struct bus_message *message)
{
    return natsMsg_GetReply(native_of(message));
}

const char *bus_message_data(const struct bus_message *message, size_t *ret_length)
{
    *ret_length = (size_t)natsMsg_GetDataLength(native_of(message));
    return natsMsg_GetData(native_of(message));
}

const char *bus_message_header(struct bus_message *message, const char *key)
{
    const char *value = NULL;
    natsMsg *native = native_of(message);
    if (natsMsgHeader_Get(native, key, &value) == NATS_OK)
        return value;
    const char **keys = NULL;             /* the library compares case-sensitively: look at all keys */
    int count = 0;
    if (natsMsgHeader_Keys(native, &keys, &count) != NATS_OK)
        return NULL;
    for (int i = 0; i < count && !value; i++)
        if (strcasecmp(keys[i], key) == 0)
            natsMsgHeader_Get(native, keys[i], &value);
    free(keys);
    return value;
}

int bus_message_status(const struct bus_message *message)
{
    const char *status = NULL;
    if (natsMsg_GetDataLength(native_of(message)) > 0 ||
        natsMsgHeader_Get(native_of(message), "Status", &status) != NATS_OK || !status)
        return 0;
    return atoi(status);
}

void bus_message_free(struct bus_message *message)
{
    natsMsg_Destroy(native_of(message));
}

int bus_unique(struct bus *bus, char *ret_text, size_t size)
{
    natsInbox *inbox = NULL;
    (void)bus;
    natsStatus s = natsInbox_Create(&inbox);
    if (s != NATS_OK)
        return bus_fail(s, "inbox");
    const char *dot = strrchr(inbox, '.');
    snprintf(ret_text, size, "%s", dot ? dot + 1 : inbox);
    natsInbox_Destroy(inbox);
    return 0;
}

const char *bus_library_version(void)
{
    return nats_GetVersion();
}
