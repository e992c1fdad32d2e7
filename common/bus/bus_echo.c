/* Bus on nats.c: echo. nats.c notices by its pings that a connection is dead without being closed,
 * and waits for the time of a ping by the wall clock: when that is set back, as much longer. For so
 * long each lane sends messages to the bus itself instead. One that does not come back says what a
 * ping without an answer says. See bus_push. (bus_pump sees to its lane by itself.) */
#include "base/log.h"
#include "base/result.h"
#include "bus/bus_nats.h"
#include <stdio.h>
#include <string.h>

#define ECHO_MS 2000

/* The last letter of the subject is the lane's number. */
static void on_echo(void *context, struct bus_message *received)
{
    struct bus *bus = context;
    _free_(bus_message) struct bus_message *message = received;
    const char *subject = bus_message_subject(message);
    const int lane = subject[strlen(subject) - 1] - '0';
    if (lane >= 0 && lane < LANES_OF_LIBRARY)
        atomic_store(&bus->echo.is_back[lane], 1);
    atomic_fetch_add(&bus->echo.count, 1);
}

static int begin(struct bus *bus)
{
    struct bus_echo *echo = &bus->echo;
    char all[BUS_INBOX_SIZE + 2];
    snprintf(all, sizeof(all), "%s.*", echo->subject);
    return trace(bus_subscribe(bus, all, NULL, on_echo, bus, &echo->subscription));
}

static void send_echo(struct bus *bus, int lane, int64_t now_ms)
{
    struct bus_echo *echo = &bus->echo;
    char subject[BUS_INBOX_SIZE + 12];
    snprintf(subject, sizeof(subject), "%s.%d", echo->subject, lane);
    if (echo->waits_since_ms[lane] == 0)
        echo->waits_since_ms[lane] = now_ms;
    natsStatus s = natsConnection_Publish(bus->lanes[lane].connection, subject, NULL, 0);
    if (s != NATS_OK)
        log_debug("echo_not_sent", LOG_TEXT("reason", natsStatus_GetText(s)));
}

void bus_echo_forget(struct bus *bus)
{
    memset(bus->echo.waits_since_ms, 0, sizeof(bus->echo.waits_since_ms));
}

_Bool bus_echo_act(struct bus *bus, int64_t now_ms)
{
    struct bus_echo *echo = &bus->echo;
    if (atomic_load(&echo->is_denied) || (!echo->subscription && begin(bus) < 0))
        return 1;
    _Bool is_alive = 1;
    for (int lane = 0; lane < LANES_OF_LIBRARY; lane++) {
        if (atomic_exchange(&echo->is_back[lane], 0))
            echo->waits_since_ms[lane] = 0;
        is_alive &= echo->waits_since_ms[lane] == 0 ||
                    now_ms < echo->waits_since_ms[lane] + ECHO_LATE_MS;
    }
    for (int lane = 0; lane < LANES_OF_LIBRARY && now_ms >= echo->sent_ms + ECHO_MS; lane++)
        send_echo(bus, lane, now_ms);
    if (now_ms >= echo->sent_ms + ECHO_MS)
        echo->sent_ms = now_ms;
    return is_alive;
}
