/* Open-loop load: requests leave at the times of a plan, whether or not the ones before were answered, and a latency counts
 * from the planned time. A service that stands still is charged for all that should have come meanwhile (Gil Tene's
 * "coordinated omission"). One line of JSON on stdout; scripts/bench reads it. */
#include "base/clock.h"
#include "base/result.h"
#include "bus/bus.h"
#include "histogram.h"
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WINDOW (1 << 20)                  /* requests in the air at most: by number, their planned times */
#define PATIENCE_NS 30000000000           /* for the last answers */
#define LAG_EVERY 10                      /* so many orders to a question when the other service has it */

static struct {
    const char *server, *account_id, *other_account_id, *kind, *order_id;
    double rate;
    int seconds;
    struct bus *bus;
    char inbox[BUS_INBOX_SIZE];
    pthread_mutex_t lock;                 /* of the histograms and the counts */
    struct histogram latency, lag;
    atomic_llong planned_ns[WINDOW];      /* of a question: when the order was answered */
    int64_t sent, answered, refused, lost;
    int64_t asked, told;                  /* questions for the lag */
    char run_id[64];
} load;

static void die(const char *what)
{
    fprintf(stderr, "bench_open: %s: %s\n", what, failure_text());
    exit(1);
}

static void publish(const char *subject, char kind, int64_t number, const char *body, _Bool with_key)
{
    char reply[BUS_SUBJECT_MAX + 1], key[96];
    snprintf(reply, sizeof(reply), "%s.%c.%" PRId64, load.inbox, kind, number);
    snprintf(key, sizeof(key), "%s-%" PRId64, load.run_id, number);
    struct bus_header header = { "Idempotency-Key", key };
    if (bus_publish(load.bus, BUS_URGENT, &(struct bus_outgoing){ .subject = subject, .reply = reply, .headers = &header,
                                                                  .header_count = with_key, .data = body, .length = strlen(body) }) < 0)
        die("send");
}

/* ---- Requests ------------------------------------------------------------------------------- */

static void send_place(int64_t number)
{
    char body[200];
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"bench\",\"quantity\":1}]}", load.account_id);
    publish("order.place", 'p', number, body, 1);
}

static void send_get(int64_t number)
{
    char body[200];
    snprintf(body, sizeof(body), "{\"order_id\":\"%s\"}", load.order_id);
    publish("order.get", 'r', number, body, 0);
}

static void send_register(int64_t number)
{
    char body[300];
    snprintf(body, sizeof(body), "{\"name\":\"Bench\",\"email\":\"%s-%" PRId64 "@example.org\",\"address\":{\"street\":\"1\",\"city\":\"B\","
             "\"postal_code\":\"1\",\"country\":\"DE\"}}", load.run_id, number);
    publish("account.register", 'r', number, body, 1);
}

/* As customers do: most look, many order, some come. */
static void send_mixed(int64_t number)
{
    int64_t turn = number % 10;
    if (turn < 5)
        send_get(number);
    else if (turn < 9)
        send_place(number);
    else
        send_register(number);
}

static const struct { const char *name; void (*send)(int64_t number); } kinds[] = {
    { "place", send_place }, { "get", send_get }, { "register", send_register }, { "mixed", send_mixed },
};

/* When has the other service what this one has just answered? Asked of an account without purchases, so that the answer
 * is short; the question waits there for the position. */
static void ask_for_lag(int64_t number, const char *reply, int64_t now_ns)
{
    const char *position = strstr(reply, "\"position\":");
    char body[200];
    if (!load.other_account_id || number % LAG_EVERY != 0 || !position)
        return;
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\",\"min_position\":{\"ORDER\":%lld}}", load.other_account_id,
             strtoll(position + strlen("\"position\":"), NULL, 10));
    atomic_store(&load.planned_ns[number % WINDOW], now_ns);
    load.asked++;
    publish("account.get", 'l', number, body, 0);
}

static void on_answer(void *context, struct bus_message *message)
{
    (void)context;
    int64_t now_ns = clock_monotonic_ns();
    const char *at = bus_message_subject(message) + strlen(load.inbox) + 1;
    int64_t number = strtoll(at + 2, NULL, 10), took_ns = now_ns - atomic_load(&load.planned_ns[number % WINDOW]);
    const char *text = bus_message_data(message);
    _Bool refused = bus_message_status(message) || strncmp(text, "{\"error\"", 8) == 0;
    pthread_mutex_lock(&load.lock);
    if (*at == 'l') {
        load.told++;
        if (!refused)
            histogram_add(&load.lag, took_ns);
    } else {
        load.answered++;
        if (refused && load.refused++ == 0)
            fprintf(stderr, "bench_open: first refusal: %s\n", text);
        if (!refused)
            histogram_add(&load.latency, took_ns);
        if (!refused && *at == 'p')
            ask_for_lag(number, text, now_ns);
    }
    pthread_mutex_unlock(&load.lock);
    bus_message_free(message);
}

/* ---- The plan ------------------------------------------------------------------------------- */

static void sleep_until(int64_t at_ns)
{
    struct timespec at = { .tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000 };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
        ;
}

static _Bool is_answered(void)
{
    pthread_mutex_lock(&load.lock);
    _Bool done = load.answered == load.sent && load.told == load.asked;
    pthread_mutex_unlock(&load.lock);
    return done;
}

static void run_plan(void (*send)(int64_t number))
{
    const int64_t start_ns = clock_monotonic_ns() + 1000000, all = (int64_t)(load.rate * load.seconds);
    for (int64_t i = 0; i < all; i++) {
        int64_t planned_ns = start_ns + (int64_t)((double)i * 1e9 / load.rate);
        if (planned_ns > clock_monotonic_ns())
            sleep_until(planned_ns);
        atomic_store(&load.planned_ns[i % WINDOW], planned_ns);
        pthread_mutex_lock(&load.lock);
        load.sent++;
        pthread_mutex_unlock(&load.lock);
        send(i);
    }
    int64_t until_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (!is_answered() && clock_monotonic_ns() < until_ns)
        sleep_until(clock_monotonic_ns() + 1000000);
}

static void print_histogram(const char *name, const struct histogram *h)
{
    printf(",\"%s\":{\"count\":%" PRId64 ",\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f}", name, h->total,
           (double)histogram_percentile(h, 0.5) / 1e6, (double)histogram_percentile(h, 0.9) / 1e6, (double)histogram_percentile(h, 0.99) / 1e6,
           (double)histogram_percentile(h, 0.999) / 1e6, (double)h->max / 1e6);
}

/* ---- The program ---------------------------------------------------------------------------- */

static void usage(void)
{
    printf("Usage: bench_open --server URL --account ID --kind place|get|register|mixed --rate N --seconds N\n"
           "                  [--order ID] [--lag ACCOUNT_ID]\n\n"
           "Sends so many requests a second at planned times to a running mesh, and prints the latencies from those times.\n"
           "--order is what get asks for; --lag is an account without purchases: of each tenth order it is measured when\n"
           "account-svc has it. Exit code 1: something was refused or not answered.\n");
}

static void read_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        { "server", 1, NULL, 's' }, { "account", 1, NULL, 'a' }, { "kind", 1, NULL, 'k' }, { "rate", 1, NULL, 'r' },
        { "seconds", 1, NULL, 't' }, { "order", 1, NULL, 'o' }, { "lag", 1, NULL, 'l' }, { "help", 0, NULL, 'h' }, { 0 },
    };
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 's': load.server = optarg; break;
        case 'a': load.account_id = optarg; break;
        case 'k': load.kind = optarg; break;
        case 'r': load.rate = atof(optarg); break;
        case 't': load.seconds = atoi(optarg); break;
        case 'o': load.order_id = optarg; break;
        case 'l': load.other_account_id = optarg; break;
        case 'h': usage(); exit(0);
        default:  usage(); exit(2);
        }
    }
    if (!load.server || !load.account_id || !load.kind || load.rate <= 0 || load.seconds <= 0 || load.rate * load.seconds < 1) {
        usage();
        exit(2);
    }
}

static void nothing(void *context) { (void)context; }

static void on_closed(void *context, const char *reason)
{
    (void)context;
    fprintf(stderr, "bench_open: connection closed: %s\n", reason);
    exit(1);
}

int main(int argc, char **argv)
{
    static struct bus_subscription *answers;
    char subject[BUS_SUBJECT_MAX + 1];
    void (*send)(int64_t number) = NULL;
    read_arguments(argc, argv);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (strcmp(kinds[i].name, load.kind) == 0)
            send = kinds[i].send;
    if (!send || ((send == send_get || send == send_mixed) && !load.order_id)) {
        usage();
        return 2;
    }
    pthread_mutex_init(&load.lock, NULL);
    snprintf(load.run_id, sizeof(load.run_id), "open-%d-%" PRId64, (int)getpid(), clock_wall_ms());
    struct bus_options options = { .url = load.server, .name = "bench", .must_connect = 1,
                                   .handlers = { .connected = nothing, .disconnected = nothing, .closed = on_closed } };
    if (bus_open(&options, &load.bus) < 0 || bus_new_inbox(load.bus, load.inbox) < 0)
        die("connect");
    snprintf(subject, sizeof(subject), "%s.>", load.inbox);
    if (bus_subscribe(load.bus, subject, NULL, on_answer, NULL, &answers) < 0 || bus_flush(load.bus, 2000) < 0)
        die("subscribe");
    run_plan(send);
    pthread_mutex_lock(&load.lock);
    load.lost = load.sent - load.answered;
    printf("{\"kind\":\"%s\",\"rate\":%.0f,\"seconds\":%d,\"sent\":%" PRId64 ",\"refused\":%" PRId64 ",\"unanswered\":%" PRId64, load.kind, load.rate,
           load.seconds, load.sent, load.refused, load.lost);
    print_histogram("latency", &load.latency);
    if (load.other_account_id)
        print_histogram("lag", &load.lag);
    printf("}\n");
    pthread_mutex_unlock(&load.lock);
    return load.refused || load.lost ? 1 : 0;
}
