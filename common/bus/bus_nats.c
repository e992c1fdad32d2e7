/* Bus on nats.c: connecting, closing, statistics. See bus.h. Options stand in bus_options.c,
 * publishing in bus_publish.c, receiving in bus_receive.c.
 *
 *   U1  the bus is connected exactly while all its lanes are up
 *   U2  handlers are called under the lock, so one at a time, and not after bus_free was called
 */
#include "bus/bus_nats.h"
#include "base/log.h"
#include "base/result.h"
#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAME_DEFAULT "journey"
#define NKEY_TRIES 3 /* libnats 3.4.1 signs one nonce of some 256 wrongly (6 of 1500 connects) */
#define CLOSE_WAIT_S 5

/* ---- Connected, or not ---------------------------------------------------------------------- */

/* Called with the lock held. nats.c tells of all changes on one thread, in order. Only the first
 * connect is told by the thread that makes it, which holds the lock meanwhile. */
static void lane_set_up(struct lane *lane, _Bool up)
{
    struct bus *bus = lane->bus;
    assert(lane >= bus->lanes && lane < bus->lanes + bus->lane_count);
    lane->up = up;
    _Bool all = 1;
    for (int i = 0; i < bus->lane_count; i++)
        all = all && bus->lanes[i].up;
    if (all == atomic_load(&bus->connected))
        return;
    atomic_store(&bus->connected, all);
    void (*handler)(void *) = all ? bus->handlers.connected : bus->handlers.disconnected;
    if (all)
        atomic_fetch_add(&bus->connects, 1);
    atomic_store(&bus->check.payload_bytes, 0); /* it may be another server, and says it itself */
    if (handler && !bus->closing)               /* U2 */
        handler(bus->handlers.context);
    assert(atomic_load(&bus->connected) == all); /* U1: no handler changes it */
}

static void on_connected(natsConnection *connection, void *closure)
{
    struct lane *lane = closure;
    (void)connection;
    pthread_mutex_lock(&lane->bus->lock);
    lane_set_up(lane, 1);
    pthread_mutex_unlock(&lane->bus->lock);
}

static void on_disconnected(natsConnection *connection, void *closure)
{
    struct lane *lane = closure;
    (void)connection;
    pthread_mutex_lock(&lane->bus->lock);
    lane_set_up(lane, 0);
    pthread_mutex_unlock(&lane->bus->lock);
}

static void on_closed(natsConnection *connection, void *closure)
{
    struct lane *lane = closure;
    struct bus *bus = lane->bus;
    const char *reason = NULL;
    natsConnection_GetLastError(connection, &reason);
    pthread_mutex_lock(&bus->lock);
    lane_set_up(lane, 0);
    lane->closed = 1;
    if (bus->handlers.closed && !bus->closing)
        bus->handlers.closed(bus->handlers.context, reason ? reason : "");
    pthread_cond_broadcast(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
}

/* `Permissions Violation for Publish to "evt.order.X"`, `… for Subscription to "order.place" …`. */
static void tell_denied(struct bus *bus, const char *text)
{
    char subject[BUS_SUBJECT_MAX + 1];
    const char *begin = strchr(text, '"'), *end = begin ? strchr(begin + 1, '"') : NULL;
    if (!end || !bus->handlers.denied)
        return;
    snprintf(subject, sizeof(subject), "%.*s", (int)(end - begin - 1), begin + 1);
    const _Bool publish = strcasestr(text, "for publish") != NULL;
    if (strncmp(subject, bus->echo.subject, strlen(bus->echo.subject)) == 0) {
        atomic_store(&bus->echo.is_denied, 1);
        return;
    }
    pthread_mutex_lock(&bus->lock);
    if (!bus->closing)
        bus->handlers.denied(bus->handlers.context, publish, subject);
    pthread_mutex_unlock(&bus->lock);
}

static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
                     void *closure)
{
    struct lane *lane = closure;
    const char *text = NULL;
    natsConnection_GetLastError(connection, &text);
    if (status == NATS_SLOW_CONSUMER) {
        atomic_fetch_add(&lane->bus->dropped, 1);
        log_error("bus_messages_dropped",
                  LOG_TEXT("subject", natsSubscription_GetSubject(subscription)));
        return;
    }
    if (status == NATS_NOT_PERMITTED) { /* the text of this very error, if the library has it */
        const char *own = nats_GetLastError(NULL);
        if (own && strstr(own, "ermissions"))
            text = own;
        if (text)
            tell_denied(lane->bus, text);
    }
    log_warn("bus_error", LOG_TEXT("status", natsStatus_GetText(status)),
             LOG_TEXT("reason", text ? text : ""));
}

/* ---- Opening and closing -------------------------------------------------------------------- */

static natsStatus set_handlers(natsOptions *to, struct lane *lane)
{
    natsStatus s = natsOptions_SetDisconnectedCB(to, on_disconnected, lane);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectedCB(to, on_connected, lane);
    if (s == NATS_OK)
        s = natsOptions_SetClosedCB(to, on_closed, lane);
    if (s == NATS_OK)
        s = natsOptions_SetErrorHandler(to, on_error, lane);
    return s;
}

/* Goes on trying in the background. nats.c does not say why an attempt in the background failed, so
 * the reason of the first attempt, which was made in the foreground, is logged. */
static natsStatus connect_later(struct lane *lane, natsOptions *to, natsStatus why)
{
    if (lane == &lane->bus->lanes[BUS_URGENT])
        log_warn("no_server", LOG_TEXT("reason", natsStatus_GetText(why)),
                 LOG_TEXT("detail", nats_GetLastError(NULL)));
    natsStatus s = natsOptions_SetRetryOnFailedConnect(to, true, on_connected, lane);
    return s == NATS_OK ? natsConnection_Connect(&lane->connection, to) : s;
}

static int lane_connect(struct lane *lane, const struct bus_options *options)
{
    natsOptions *to = NULL;
    enum bus_urgency urgency = (enum bus_urgency)(lane - lane->bus->lanes);
    int r = bus_options_make(options, lane->bus, urgency, &to);
    if (r < 0)
        return trace(r);
    /* Under the lock, so that a disconnect right after the connect is told after the connect. */
    pthread_mutex_lock(&lane->bus->lock);
    natsStatus s = set_handlers(to, lane);
    if (s == NATS_OK)
        s = natsConnection_Connect(&lane->connection, to);
    for (int i = 1; s == NATS_CONNECTION_AUTH_FAILED && options->nkey_file && i < NKEY_TRIES; i++)
        s = natsConnection_Connect(&lane->connection, to);
    if (s != NATS_OK && s != NATS_INVALID_ARG && !options->must_connect)
        s = connect_later(lane, to, s);
    if (s == NATS_OK) /* no callback comes for a connect in the foreground, the second one, too */
        lane_set_up(lane, 1);
    pthread_mutex_unlock(&lane->bus->lock);
    natsOptions_Destroy(to);
    /* nats.c reads the address only now. An address may hold a password, so it is not repeated. */
    if (s == NATS_INVALID_ARG)
        return fail(ERR_CONFIG, "not the address of a NATS server");
    if (s != NATS_OK && s != NATS_NOT_YET_CONNECTED)
        return bus_fail(s, "connect to NATS");
    return 0;
}

/* nats.c's own threads free messages and keep time. They inherit the scheduling policy of the
 * thread that opens the library. They are woken thousands of times a second and nobody waits for
 * them; as batch threads they do not take a core from the threads that wake them. */
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
    assert(options && ret_bus);
    const char *name = options->name ? options->name : NAME_DEFAULT;
    if (!bus_header_key_is_safe(name))
        return fail(ERR_CONFIG,
                    "the name of the connection may only have letters, digits, _ and -");
    open_library();
    nats_SetMessageDeliveryPoolSize(bus_delivery_threads(options));
    _free_(bus) struct bus *bus = calloc(1, sizeof(*bus));
    if (!bus)
        return fail(ERR_MEMORY, "no memory for the bus");
    pthread_mutex_init(&bus->lock, NULL);
    pthread_cond_init(&bus->changed, NULL);
    snprintf(bus->name, sizeof(bus->name), "%s", name);
    snprintf(bus->inbox_prefix, sizeof(bus->inbox_prefix), "_INBOX.%s", name);
    bus->handlers = options->handlers;
    for (int i = 0; i < LANES; i++)
        bus->lanes[i].bus = bus;
    bus->lane_count = options->is_pumped ? LANES : LANES_OF_LIBRARY;
    bus->pump.fd = -1;
    int r = bus_new_inbox(bus, bus->echo.subject);
    if (r == 0 && options->is_pumped)
        r = bus_pump_open(bus, bus_ping_ms(options));
    for (int i = 0; i < bus->lane_count && r == 0; i++)
        r = lane_connect(&bus->lanes[i], options);
    if (r == 0)
        r = bus_check_start(bus, options);
    if (r < 0)
        return trace(r);
    *ret_bus = take(bus);
    return 0;
}

/* True: nats.c makes no more callbacks. */
static _Bool wait_closed(struct bus *bus)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += CLOSE_WAIT_S;
    _Bool closed = 1;
    pthread_mutex_lock(&bus->lock);
    for (int i = 0; i < LANES && closed; i++)
        while (bus->lanes[i].connection && !bus->lanes[i].closed && closed)
            closed = pthread_cond_timedwait(&bus->changed, &bus->lock, &deadline) == 0;
    pthread_mutex_unlock(&bus->lock);
    return closed;
}

void bus_close(struct bus *bus)
{
    for (int i = 0; i < LANES; i++)
        if (bus->lanes[i].connection)
            natsConnection_Close(bus->lanes[i].connection);
}

void bus_free(struct bus *bus)
{
    if (!bus)
        return;
    bus_check_stop(bus);
    bus_subscription_free(take(bus->echo.subscription));
    pthread_mutex_lock(&bus->lock);
    bus->closing = 1;
    pthread_mutex_unlock(&bus->lock);
    bus_close(bus);
    if (!wait_closed(bus)) {
        log_error("bus_not_closed");
        return; /* lost memory is better than a callback into freed memory */
    }
    bus_discard_all();
    for (int i = 0; i < LANES; i++)
        natsConnection_Destroy(bus->lanes[i].connection);
    bus_pump_close(bus);
    pthread_cond_destroy(&bus->changed);
    pthread_mutex_destroy(&bus->lock);
    free(bus);
}

void bus_library_close(void)
{
    nats_CloseAndWait(CLOSE_WAIT_S * INT64_C(1000));
}

/* ---- State and statistics ------------------------------------------------------------------- */

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

static void add_lane_stats(const struct lane *lane, struct bus_stats *stats)
{
    natsStatistics *numbers = NULL;
    uint64_t in, in_bytes, out, out_bytes, reconnects;
    if (natsStatistics_Create(&numbers) == NATS_OK &&
        natsConnection_GetStats(lane->connection, numbers) == NATS_OK &&
        natsStatistics_GetCounts(numbers, &in, &in_bytes, &out, &out_bytes, &reconnects) ==
            NATS_OK) {
        stats->messages_in += in;
        stats->bytes_in += in_bytes;
        stats->messages_out += out;
        stats->bytes_out += out_bytes;
    }
    natsStatistics_Destroy(numbers);
}

void bus_read_stats(const struct bus *bus, struct bus_stats *ret_stats)
{
    *ret_stats = (struct bus_stats){ .connects = atomic_load(&bus->connects),
                                     .echoes = atomic_load(&bus->echo.count),
                                     .dropped = atomic_load(&bus->dropped) };
    for (int i = 0; i < bus->lane_count; i++)
        add_lane_stats(&bus->lanes[i], ret_stats);
}
