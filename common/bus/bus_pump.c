/* Bus on nats.c, the lane that one thread of its user reads and writes. See bus.h.
 *
 * nats.c lets an event loop of the application read and write a connection. Here that is an epoll
 * with one socket, which the user's thread looks at with whatever else it waits for, and
 * subscriptions without a handler of nats.c, whose messages are taken when they have been read. So
 * a message wakes one thread; else it wakes nats.c's reader, that one a delivery thread, and the
 * handler the thread that waits for it.
 *
 *   P1  only the pumping thread ends the connection, before bus_free: 3.4.1 reads the socket
 *       without a lock, and another socket may have its number when someone else closes it. So
 *       nats.c's timer sends pings and counts none; whether something was heard is counted here
 *   P2  the socket is in the epoll exactly while nats.c is done with connecting
 *   P3  nats.c asks for a write once, until ProcessWriteEvent has written, which cannot be called
 *       with nothing to write. When it asks while it writes by itself, at the end of connecting, a
 *       later ping asks no more: so in a silence the pump looks whether one waits
 *
 * nats.c calls on_… with its lock of the connection: they call nothing of nats.c. */
#include "bus/bus_nats.h"
#include "base/log.h"
#include "base/result.h"
#include "base/smaller.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define GATHERED_MAX ((size_t)64 * 1024)
#define SILENCE_PARTS 16 /* of a silence: the first may be usual */
#define TICK_MAX_MS 2000 /* longer than that between two looks was our own silence */

/* The pumping thread is in nats.c: what it has to write there, it writes itself. */
static _Thread_local _Bool is_pumping;

static void look_for(struct pump *pump, int socket, _Bool room)
{
    struct epoll_event event = { .events = EPOLLIN | (room ? EPOLLOUT : 0) };
    atomic_store(&pump->is_armed, room);
    epoll_ctl(pump->fd, EPOLL_CTL_MOD, socket, &event);
}

/* ---- Called by nats.c ------------------------------------------------------------------------ */

/* TLS waits in the middle of a record for the rest of it: the kernel ends a connection whose other
 * side is gone. */
static void keep_alive(int socket, int64_t silent_max_ms)
{
    const int on = 1, idle_s = (int)(silent_max_ms / 1000) + 1, count = 3, interval_s = 1;
    const unsigned timeout_ms = (unsigned)silent_max_ms;
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

static natsStatus on_attach(void **ret_user, void *loop, natsConnection *connection,
                            natsSock socket)
{
    struct pump *pump = loop;
    struct epoll_event event = { .events = EPOLLIN };
    (void)connection;
    *ret_user = pump;
    keep_alive(socket, pump->silent_max_ms);
    atomic_store(&pump->is_armed, 0);
    atomic_store(&pump->is_new, 1);
    if (epoll_ctl(pump->fd, EPOLL_CTL_ADD, socket, &event) < 0)
        return NATS_SYS_ERROR;
    atomic_store(&pump->socket, socket); /* P2 */
    return NATS_OK;
}

static natsStatus on_read(void *user, bool add)
{
    struct pump *pump = user;
    if (add)
        return NATS_OK;
    int socket = atomic_exchange(&pump->socket, -1);
    if (socket >= 0)
        epoll_ctl(pump->fd, EPOLL_CTL_DEL, socket, NULL);
    return NATS_OK;
}

/* A ping of the timer's thread: the pumping thread wakes up and writes it. */
static natsStatus on_write(void *user, bool add)
{
    struct pump *pump = user;
    int socket = atomic_load(&pump->socket);
    if (add && !is_pumping && socket >= 0)
        look_for(pump, socket, 1);
    return NATS_OK;
}

static natsStatus on_detach(void *user)
{
    return on_read(user, 0);
}

natsStatus bus_pump_set_options(natsOptions *to, const struct bus *bus)
{
    natsStatus s = natsOptions_SetMaxPingsOut(to, INT_MAX - 1); /* P1 */
    return s == NATS_OK ? natsOptions_SetEventLoop(to, (void *)&bus->pump, on_attach, on_read,
                                                   on_write, on_detach)
                        : s;
}

/* ---- Opening and closing -------------------------------------------------------------------- */

int bus_pump_open(struct bus *bus, int ping_ms)
{
    struct pump *pump = &bus->pump;
    atomic_store(&pump->socket, -1);
    pump->silent_max_ms = (int64_t)ping_ms * (PINGS_MAX + 1);
    pump->fd = epoll_create1(EPOLL_CLOEXEC);
    return pump->fd < 0 ? fail(ERR_MEMORY, "epoll_create: %s", errno_text(errno)) : 0;
}

void bus_pump_close(struct bus *bus)
{
    if (bus->pump.fd >= 0)
        close(bus->pump.fd);
    bus->pump.fd = -1;
}

int bus_pump_fd(const struct bus *bus)
{
    return bus->pump.fd;
}

/* ---- Reading and writing -------------------------------------------------------------------- */

void bus_pump_out(struct bus *bus)
{
    struct pump *pump = &bus->pump;
    natsConnection *connection = bus->lanes[BUS_PUMPED].connection;
    int socket = atomic_load(&pump->socket);
    pump->gathered_bytes = 0;
    if (pump->fd < 0 || socket < 0)
        return;
    if (atomic_load(&pump->is_armed)) /* first: a ping that comes meanwhile arms it again */
        look_for(pump, socket, 0);
    is_pumping = 1;
    if (natsConnection_Buffered(connection) > 0)
        natsConnection_ProcessWriteEvent(connection);
    is_pumping = 0;
    if (natsConnection_Buffered(connection) > 0 && atomic_load(&pump->socket) == socket)
        look_for(pump, socket, 1);
}

void bus_pump_enter(void)
{
    is_pumping = 1; /* what is published leaves with bus_pump_out */
}

void bus_pump_leave(struct bus *bus, size_t bytes)
{
    is_pumping = 0;
    bus->pump.gathered_bytes += bytes;
    if (bus->pump.gathered_bytes >= GATHERED_MAX)
        bus_pump_out(bus);
}

static void deliver(struct bus *bus)
{
    struct pump *pump = &bus->pump;
    for (int i = 0; i < pump->subscription_count; i++) {
        natsMsg *message;
        while ((message = bus_subscription_next(pump->subscriptions[i])))
            bus_subscription_handle(pump->subscriptions[i], message);
    }
}

static void take_in(struct bus *bus)
{
    is_pumping = 1;
    natsConnection_ProcessReadEvent(bus->lanes[BUS_PUMPED].connection);
    is_pumping = 0;
    deliver(bus);
}

/* By turns, not by the clock: who was frozen has not listened. */
static void end_silence(struct bus *bus, int64_t now_ms)
{
    struct pump *pump = &bus->pump;
    int socket = atomic_load(&pump->socket);
    pump->silent_ms += smaller(now_ms - pump->pumped_ms, TICK_MAX_MS);
    if (socket < 0 || atomic_exchange(&pump->is_new, 0))
        pump->silent_ms = 0;
    /* P3: a ping that waits */
    if (pump->silent_ms > pump->silent_max_ms / SILENCE_PARTS)
        bus_pump_out(bus);
    if (pump->silent_ms <= pump->silent_max_ms)
        return;
    log_warn("bus_silent", LOG_INT("ms", pump->silent_ms));
    pump->silent_ms = 0;
    shutdown(socket, SHUT_RDWR); /* it is read next, and found closed */
}

void bus_pump(struct bus *bus, int64_t now_ms)
{
    struct pump *pump = &bus->pump;
    struct epoll_event event;
    if (pump->fd < 0)
        return;
    if (epoll_wait(pump->fd, &event, 1, 0) == 1) {
        pump->silent_ms = 0;
        if (event.events & ~(unsigned)EPOLLOUT)
            take_in(bus);
        if (event.events & EPOLLOUT)
            bus_pump_out(bus);
    }
    end_silence(bus, now_ms);
    pump->pumped_ms = now_ms;
}
