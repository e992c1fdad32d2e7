/* Bus on nats.c: asks the server from time to time what it takes, with a connection of its own. See
 * bus_max_payload_bytes. On a thread of its own, because a connect waits. */
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "base/result.h"
#include "bus/bus_nats.h"
#include <stdio.h>
#include <string.h>

#define SERVER_ID_SIZE 128

int64_t bus_max_payload_bytes(const struct bus *bus)
{
    const int64_t known = natsConnection_GetMaxPayload(bus->lanes[BUS_URGENT].connection),
                  checked = atomic_load(&bus->check.payload_bytes);
    return checked > 0 && checked < known ? checked : known;
}

_Bool bus_takes_more(const struct bus *bus)
{
    return atomic_load(&bus->check.payload_bytes) >
           natsConnection_GetMaxPayload(bus->lanes[BUS_URGENT].connection);
}

/* Of the server that the bus is connected to, and of no other of a list or a name. */
static natsStatus connect_there(struct bus_check *check, natsConnection *to,
                                natsConnection **ret_connection)
{
    char url[BUS_SERVERS_SIZE], id[SERVER_ID_SIZE], own_id[SERVER_ID_SIZE];
    const char *const urls[] = { url };
    natsConnection *connection = NULL;
    natsStatus s = natsConnection_GetConnectedUrl(to, url, sizeof(url));
    if (s == NATS_OK)
        s = natsConnection_GetConnectedServerId(to, id, sizeof(id));
    if (s == NATS_OK && check->has_list)
        s = natsOptions_SetServers(check->options, (const char **)urls, 1);
    else if (s == NATS_OK)
        s = natsOptions_SetURL(check->options, url);
    if (s == NATS_OK)
        s = natsConnection_Connect(&connection, check->options);
    if (s == NATS_OK)
        s = natsConnection_GetConnectedServerId(connection, own_id, sizeof(own_id));
    if (s == NATS_OK && strcmp(id, own_id) != 0)
        s = NATS_MISMATCH;
    if (s == NATS_OK)
        *ret_connection = connection;
    else
        natsConnection_Destroy(connection);
    return s;
}

static void look(struct bus *bus)
{
    const uint64_t connects = atomic_load(&bus->connects);
    natsConnection *connection = NULL;
    if (!atomic_load(&bus->connected))
        return;
    natsStatus s = connect_there(&bus->check, bus->lanes[BUS_URGENT].connection, &connection);
    if (s != NATS_OK) { /* with the next look */
        log_debug("server_not_checked", LOG_TEXT("reason", natsStatus_GetText(s)));
        return;
    }
    const int64_t was = bus_max_payload_bytes(bus), now = natsConnection_GetMaxPayload(connection);
    natsConnection_Destroy(connection);
    pthread_mutex_lock(&bus->lock);
    const _Bool is_same = atomic_load(&bus->connected) && atomic_load(&bus->connects) == connects;
    const _Bool is_news = is_same && atomic_exchange(&bus->check.payload_bytes, now) != now;
    pthread_mutex_unlock(&bus->lock);
    if (is_news && now != was)
        log_warn("max_payload_changed", LOG_INT("was", was), LOG_INT("is", now));
}

static void *check_main(void *argument)
{
    struct bus *bus = argument;
    struct bus_check *check = &bus->check;
    pthread_mutex_lock(&check->lock);
    int64_t due_ms = clock_monotonic_ms() + check->interval_ms;
    while (!check->stopping) {
        condition_wait(&check->wake, &check->lock, due_ms);
        if (check->stopping || clock_monotonic_ms() < due_ms)
            continue;
        pthread_mutex_unlock(&check->lock);
        look(bus);
        pthread_mutex_lock(&check->lock);
        due_ms = clock_monotonic_ms() + check->interval_ms;
    }
    pthread_mutex_unlock(&check->lock);
    return NULL;
}

int bus_check_start(struct bus *bus, const struct bus_options *options)
{
    struct bus_check *check = &bus->check;
    char name[sizeof(bus->name) + 8];
    if (options->check_interval_ms <= 0)
        return 0;
    int r = bus_options_make(options, bus, BUS_URGENT, &check->options);
    if (r < 0)
        return trace(r);
    snprintf(name, sizeof(name), "%s-check", bus->name);
    natsStatus s = natsOptions_SetName(check->options, name);
    if (s == NATS_OK)
        s = natsOptions_SetAllowReconnect(check->options, false);
    if (s != NATS_OK)
        return bus_fail(s, "set the options of NATS");
    check->has_list = options->url && strchr(options->url, ',');
    check->interval_ms = options->check_interval_ms;
    pthread_mutex_init(&check->lock, NULL);
    condition_init(&check->wake);
    if (pthread_create(&check->thread, NULL, check_main, bus) != 0)
        return fail(ERR_MEMORY, "no thread for the check of the server");
    check->runs = 1;
    return 0;
}

void bus_check_stop(struct bus *bus)
{
    struct bus_check *check = &bus->check;
    if (check->runs) {
        pthread_mutex_lock(&check->lock);
        check->stopping = 1;
        pthread_mutex_unlock(&check->lock);
        pthread_cond_signal(&check->wake);
        pthread_join(check->thread, NULL);
        check->runs = 0;
    }
    natsOptions_Destroy(check->options);
    check->options = NULL;
}
