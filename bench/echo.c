/* Echo: the responder of the second floor: a process that answers bench.echo at once, with the
 * services' library and connection settings. It prints when it listens, and runs until SIGTERM. */
#include "base/result.h"
#include "bus/bus.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct bus *bus;

static void on_request(void *context, struct bus_message *message)
{
    (void)context;
    bus_publish(
        bus, BUS_URGENT,
        &(struct bus_outgoing){ .subject = bus_message_reply(message), .data = "{}", .length = 2 });
    bus_message_free(message);
}

static void nothing(void *context)
{
    (void)context;
}

static void on_closed(void *context, const char *reason)
{
    (void)context;
    fprintf(stderr, "bench_echo: connection closed: %s\n", reason);
    exit(1);
}

int main(int argc, char **argv)
{
    struct bus_options options = {
        .url = argv[1],
        .name = "bench",
        .must_connect = 1,
        .handlers = { .connected = nothing, .disconnected = nothing, .closed = on_closed }
    };
    struct bus_subscription *subscription;
    sigset_t ends;
    int number;
    if (argc != 2) {
        fprintf(stderr, "Usage: bench_echo URL\n\nAnswers requests to bench.echo.\n");
        return 2;
    }
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    if (bus_open(&options, &bus) < 0 ||
        bus_subscribe(bus, "bench.echo", NULL, on_request, NULL, &subscription) < 0 ||
        bus_flush(bus, 2000) < 0) {
        fprintf(stderr, "bench_echo: %s\n", failure_text());
        return 1;
    }
    printf("listens\n");
    fflush(stdout);
    sigwait(&ends, &number);
    bus_subscription_free(subscription);
    bus_free(bus);
    return 0;
}
