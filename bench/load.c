/* Load: sends requests to a running mesh over one connection and measures the answers. Two modes:
 *
 *   closed   a fixed number in flight: each answer triggers the next request. Measures capacity.
 *   open     a fixed rate, at planned times, whether or not earlier requests were answered. A
 *            latency counts from the planned time: a service that stands still is charged for all
 *            requests of that time (Gil Tene's "coordinated omission").
 *
 * The load shares the machine with the services, so a request is a copy of prepared bytes with its
 * number in it, and the requests that follow the answers of one read leave by one write (wire.h).
 * Prints one line of JSON. */
#include "base/clock.h"
#include "base/result.h"
#include "histogram.h"
#include "wire.h"
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#define REQUESTS_MAX 8
#define TEXT_SIZE 8192 /* of a request's headers and body */
#define LINE_SIZE 512  /* of the protocol line before them */
#define DIGITS 10      /* of a request's number */
#define SLOTS_MAX 8
#define WINDOW (1 << 20) /* requests, and positions, that are remembered by number */
#define IN_FLIGHT_MAX 65536
#define PATIENCE_NS INT64_C(30000000000) /* for an answer */
#define LAG_EVERY 10                     /* orders per query of the lag */
#define SLOT "##########"                /* place of a request's number */
#define BLANK_SLOT "~~~~~~~~~~"          /* the same, padded with blanks for JSON */
/* place of the run's id, which makes the idempotency keys unique */
#define RUN_SLOT "@@@@@@@@@@@@@@@@"

struct request { /* the bytes of a request, with places for its number */
    char bytes[LINE_SIZE + TEXT_SIZE];
    size_t length, slots[SLOTS_MAX];
    char paddings[SLOTS_MAX];
    int slot_count, weight;
    const char *subject;
    struct histogram latency;
};

static struct load {
    const char *server, *lag_file, *events;
    struct request requests[REQUESTS_MAX], question;
    int request_count, weight, in_flight;
    double rate, seconds;    /* rate 0: closed */
    int64_t count, pause_ns; /* count 0: until the time is over */
    struct wire wire;
    char inbox[64], run_id[sizeof(RUN_SLOT)];
    int64_t start_ns, last_ns; /* of the load, and of the last answer */
    int64_t sent, answered, refused, asked, told;
    int64_t sent_ns[WINDOW];                      /* by request; not used in open mode */
    int64_t answered_ns[WINDOW], seen_ns[WINDOW]; /* by position: answer of the order, event */
    struct histogram latency, lag, relay;
    char first_refusal[512];
} load = { .in_flight = 1 };

static volatile sig_atomic_t is_interrupted;

static void must(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "load: %s: %s\n", what, failure_reason());
    exit(1);
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

/* ---- Requests: prepared once, then copied --------------------------------------------------- */

static void write_number(char *at, int64_t number, char padding)
{
    for (int i = DIGITS - 1; i >= 0; i--, number /= 10)
        at[i] = number || i == DIGITS - 1 ? (char)('0' + number % 10) : padding;
}

static size_t read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        die(path, "cannot be read");
    size_t length = fread(text, 1, size - 1, file);
    fclose(file);
    text[length] = '\0';
    if (length == size - 1)
        die(path, "is too large");
    return length;
}

static void find_slots(struct request *request, const char *slot, char padding)
{
    for (char *at = request->bytes; (at = strstr(at, slot)) && request->slot_count < SLOTS_MAX;
         at += DIGITS) {
        request->paddings[request->slot_count] = padding;
        request->slots[request->slot_count++] = (size_t)(at - request->bytes);
    }
}

/* The file is a body, or NATS/1.0 headers, an empty line and a body. */
static void prepare(struct request *request, char kind, const char *subject, const char *path)
{
    char text[TEXT_SIZE - 2];
    size_t length = read_file(path, text, sizeof(text)), headers = 0;
    if (strncmp(text, "NATS/1.0\r\n", 10) == 0) {
        const char *end = strstr(text, "\r\n\r\n");
        if (!end)
            die(path, "its headers do not end");
        headers = (size_t)(end - text) + 4;
    }
    int line = headers ? snprintf(request->bytes, LINE_SIZE, "HPUB %s %s.%c" SLOT " %zu %zu\r\n",
                                  subject, load.inbox, kind, headers, length)
                       : snprintf(request->bytes, LINE_SIZE, "PUB %s %s.%c" SLOT " %zu\r\n",
                                  subject, load.inbox, kind, length);
    if (line >= LINE_SIZE)
        die(subject, "is too long");
    request->subject = subject;
    request->length = (size_t)snprintf(request->bytes + line, sizeof(request->bytes) - (size_t)line,
                                       "%s\r\n", text) +
                      (size_t)line;
    for (char *at = request->bytes; (at = strstr(at, RUN_SLOT)); at += strlen(RUN_SLOT))
        memcpy(at, load.run_id, strlen(RUN_SLOT));
    find_slots(request, SLOT, '0');
    find_slots(request, BLANK_SLOT, ' ');
}

static void send_number(struct request *request, int64_t number)
{
    for (int i = 0; i < request->slot_count; i++)
        write_number(request->bytes + request->slots[i], number, request->paddings[i]);
    must(wire_put(&load.wire, request->bytes, request->length), "send");
}

/* Chooses a request by weight: most look, many order, some register. */
static struct request *request_of(int64_t number)
{
    int turn = (int)(number % load.weight), i = 0;
    for (; turn >= load.requests[i].weight; i++)
        turn -= load.requests[i].weight;
    return &load.requests[i];
}

static void send_next(void)
{
    send_number(request_of(load.sent), load.sent);
    load.sent++;
}

/* ---- Answers -------------------------------------------------------------------------------- */

static int64_t number_in(const char *text, const char *end)
{
    int64_t number = 0;
    for (; text < end && *text == ' '; text++)
        ;
    for (; text < end && *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (*text - '0');
    return number;
}

static int64_t number_after(const char *key, const char *text, size_t length)
{
    const char *found = memmem(text, length, key, strlen(key));
    return found ? number_in(found + strlen(key), text + length) : -1;
}

static int64_t planned_ns(int64_t number)
{
    return load.start_ns + (int64_t)((double)number * 1e9 / load.rate);
}

static _Bool is_refusal(const struct wire_message *message)
{
    return (message->length >= 8 && memcmp(message->data, "{\"error\"", 8) == 0) ||
           (message->length == 0 && message->headers_length > 0);
}

static void note_refusal(const struct wire_message *message)
{
    const _Bool is_status = message->length == 0;
    if (load.refused++ == 0)
        snprintf(load.first_refusal, sizeof(load.first_refusal), "%.*s",
                 (int)(is_status ? message->headers_length : message->length),
                 is_status ? message->headers : message->data);
}

/* Records the relay's lag of a position, when both its event and its order's answer have come. */
static void compare_relay(int64_t position)
{
    int64_t *answered = &load.answered_ns[position % WINDOW],
            *seen = &load.seen_ns[position % WINDOW];
    if (!*answered || !*seen)
        return;
    histogram_add(&load.relay, *seen > *answered ? *seen - *answered : 0);
    *answered = *seen = 0;
}

/* Asks when the other service has the order that was just answered: the query waits there for the
 * position. */
static void follow_order(int64_t number, const struct wire_message *message, int64_t now_ns)
{
    int64_t position = number_after("\"position\":", message->data, message->length);
    if (position < 0)
        return;
    load.answered_ns[position % WINDOW] = now_ns;
    if (load.events)
        compare_relay(position);
    else if (number % LAG_EVERY == 0) {
        load.asked++;
        send_number(&load.question, position);
    }
}

static void take_answer(int64_t number, const struct wire_message *message, int64_t now_ns)
{
    struct request *request = request_of(number);
    int64_t from_ns = load.rate > 0 ? planned_ns(number) : load.sent_ns[number % WINDOW];
    load.answered++;
    load.last_ns = now_ns;
    if (is_refusal(message)) {
        note_refusal(message);
        return;
    }
    histogram_add(&load.latency, now_ns - from_ns);
    histogram_add(&request->latency, now_ns - from_ns);
    if (load.lag_file || load.events)
        follow_order(number, message, now_ns);
}

static void take(const struct wire_message *message, int64_t now_ns)
{
    size_t prefix = strlen(load.inbox) + 1;
    const char *subject = message->subject;
    if (message->subject_length != prefix + 1 + DIGITS ||
        memcmp(subject, load.inbox, prefix - 1) != 0) {
        int64_t position = number_after("Journey-Position:", message->headers,
                                        message->headers_length);
        if (position >= 0) {
            load.seen_ns[position % WINDOW] = now_ns;
            compare_relay(position);
        }
        return;
    }
    int64_t number = number_in(subject + prefix + 1, subject + message->subject_length);
    if (subject[prefix] == 'r') {
        take_answer(number, message, now_ns);
    } else {
        load.told++;
        if (is_refusal(message))
            note_refusal(message);
        else
            histogram_add(&load.lag, now_ns - load.answered_ns[number % WINDOW]);
    }
}

/* Reads once, after a wait of at most timeout_ns, and handles all messages. 0: a timeout. */
static int take_all(int64_t timeout_ns)
{
    struct wire_message message;
    int r = wire_read(&load.wire, timeout_ns), more;
    must(r, "read");
    int64_t now_ns = r > 0 ? clock_monotonic_ns() : 0;
    while (r > 0 && (more = wire_next(&load.wire, &message)) != 0) {
        must(more, "server");
        take(&message, now_ns);
    }
    return r;
}

/* ---- The two modes -------------------------------------------------------------------------- */

static _Bool wants_more(int64_t now_ns)
{
    return !is_interrupted && (!load.count || load.sent < load.count) &&
           (load.seconds <= 0 || (double)(now_ns - load.start_ns) < load.seconds * 1e9);
}

static _Bool is_waiting(void)
{
    return load.answered < load.sent || load.told < load.asked ||
           (load.events && load.relay.total < load.latency.total);
}

/* Waits for the last answers; only queries of the lag are still sent. */
static void await_rest(void)
{
    int64_t until_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (is_waiting() && clock_monotonic_ns() < until_ns && is_interrupted < 2) {
        must(wire_flush(&load.wire), "write");
        take_all(PATIENCE_NS / 100);
    }
}

static void run_closed(void)
{
    int64_t heard_ns = load.start_ns;
    for (;;) {
        int64_t now_ns = clock_monotonic_ns();
        while (load.sent - load.answered < load.in_flight && wants_more(now_ns)) {
            if (load.pause_ns) {
                nanosleep(&(struct timespec){ .tv_sec = load.pause_ns / 1000000000,
                                              .tv_nsec = load.pause_ns % 1000000000 },
                          NULL);
                now_ns = clock_monotonic_ns();
            }
            load.sent_ns[load.sent % WINDOW] = now_ns;
            send_next();
        }
        must(wire_flush(&load.wire), "write");
        if (!wants_more(now_ns) || now_ns - heard_ns > PATIENCE_NS)
            return;
        if (take_all(PATIENCE_NS / 100) > 0)
            heard_ns = clock_monotonic_ns();
    }
}

static void run_open(void)
{
    load.count = (int64_t)(load.rate * load.seconds);
    while (load.sent < load.count && !is_interrupted) {
        int64_t now_ns = clock_monotonic_ns();
        while (load.sent < load.count && planned_ns(load.sent) <= now_ns)
            send_next();
        must(wire_flush(&load.wire), "write");
        int64_t wait_ns = load.sent < load.count ? planned_ns(load.sent) - clock_monotonic_ns() : 0;
        take_all(wait_ns > 0 ? wait_ns : 0);
    }
}

/* ---- The program ---------------------------------------------------------------------------- */

static void print_histogram(const char *before, const struct histogram *h)
{
    printf("%s{\"count\":%" PRId64
           ",\"p50_ms\":%.4f,\"p90_ms\":%.4f,\"p99_ms\":%.4f,\"p999_ms\":%.4f,\"max_ms\":%.4f}",
           before, h->total, (double)histogram_percentile(h, 0.5) / 1e6,
           (double)histogram_percentile(h, 0.9) / 1e6, (double)histogram_percentile(h, 0.99) / 1e6,
           (double)histogram_percentile(h, 0.999) / 1e6, (double)h->max / 1e6);
}

static void print_result(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_us = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
                    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    double seconds = (double)(load.last_ns - load.start_ns) / 1e9;
    printf("{\"sent\":%" PRId64 ",\"answered\":%" PRId64 ",\"refused\":%" PRId64
           ",\"unanswered\":%" PRId64 ",\"seconds\":%.3f,\"rate\":%.1f,\"cpu_us\":%.0f",
           load.sent, load.answered, load.refused,
           load.sent - load.answered + load.asked - load.told, seconds,
           load.answered ? (double)load.answered / seconds : 0, cpu_us);
    print_histogram(",\"latency\":", &load.latency);
    for (int i = 0; i < load.request_count; i++) {
        printf("%s\"%s\":", i ? "," : ",\"requests\":{", load.requests[i].subject);
        print_histogram("", &load.requests[i].latency);
    }
    printf("}");
    if (load.lag_file)
        print_histogram(",\"lag\":", &load.lag);
    if (load.events)
        print_histogram(",\"relay\":", &load.relay);
    fputs(",\"first_refusal\":\"", stdout);
    for (const char *at = load.first_refusal; *at; at++)
        putchar(*at == '"' || *at == '\\' ? '\'' : *at < ' ' ? ' ' : *at);
    printf("\"}\n");
}

static void usage(FILE *to)
{
    fprintf(
        to,
        "Usage: load --server nats://HOST:PORT --request WEIGHT,SUBJECT,FILE … [OPTION…]\n\n"
        "Sends requests and prints how they were answered, as JSON. FILE is a body, or headers "
        "(from NATS/1.0 on), an\n"
        "empty line and a body; ten # in it become the request's number (ten ~ likewise, with "
        "blanks before it), sixteen @\n"
        "a number of this run. With several, each has its share by weight.\n\n"
        "  --in-flight N     closed: so many under way; 1\n"
        "  --count N         closed: so many in all\n"
        "  --pause-us N      closed: waits before each\n"
        "  --rate N          open: so many a second, at planned times, from which latencies count\n"
        "  --seconds N       open, or closed without --count: how long\n"
        "  --lag FILE        asks account.get with this body (ten ~ become a position) for each "
        "tenth order: when has it\n"
        "                    the other service\n"
        "  --events SUBJECT  listens to an order's events: when are they published\n\n"
        "Exit codes: 0 all answered, 1 something was refused or not answered, 2 usage\n");
}

static void add_request(char *argument)
{
    char *subject = strchr(argument, ','), *file = subject ? strchr(subject + 1, ',') : NULL;
    if (!file || load.request_count == REQUESTS_MAX || atoi(argument) < 1) {
        usage(stderr);
        exit(2);
    }
    *subject++ = *file++ = '\0';
    struct request *request = &load.requests[load.request_count++];
    request->weight = atoi(argument);
    load.weight += request->weight;
    prepare(request, 'r', subject, file);
}

static void read_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        { "server", 1, NULL, 's' },
        { "request", 1, NULL, 'q' },
        { "in-flight", 1, NULL, 'f' },
        { "count", 1, NULL, 'n' },
        { "pause-us", 1, NULL, 'p' },
        { "rate", 1, NULL, 'r' },
        { "seconds", 1, NULL, 't' },
        { "lag", 1, NULL, 'l' },
        { "events", 1, NULL, 'e' },
        { "help", 0, NULL, 'h' },
        { 0 },
    };
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 's': load.server = optarg; break;
        case 'q': add_request(optarg); break;
        case 'f': load.in_flight = atoi(optarg); break;
        case 'n': load.count = atoll(optarg); break;
        case 'p': load.pause_ns = atoll(optarg) * 1000; break;
        case 'r': load.rate = atof(optarg); break;
        case 't': load.seconds = atof(optarg); break;
        case 'l': prepare(&load.question, 'l', "account.get", load.lag_file = optarg); break;
        case 'e': load.events = optarg; break;
        case 'h': usage(stdout); exit(0);
        default:  usage(stderr); exit(2);
        }
    }
    if (!load.server || !load.request_count || load.in_flight < 1 ||
        load.in_flight > IN_FLIGHT_MAX || load.rate < 0 ||
        (load.rate > 0 ? load.rate * load.seconds < 1 : load.seconds <= 0 && load.count < 1)) {
        usage(stderr);
        exit(2);
    }
}

static void interrupt(int number)
{
    (void)number;
    is_interrupted++;
}

static void open_wire(void)
{
    char line[256];
    must(wire_open(&load.wire, load.server), "connect");
    int length = snprintf(line, sizeof(line), "SUB %s.* 1\r\n", load.inbox);
    if (load.events)
        length += snprintf(line + length, sizeof(line) - (size_t)length, "SUB %s 2\r\n",
                           load.events);
    must(wire_put(&load.wire, line, (size_t)length), "subscribe");
    must(wire_settle(&load.wire), "subscribe");
}

int main(int argc, char **argv)
{
    uint64_t unique = 0;
    if (getrandom(&unique, sizeof(unique), 0) != sizeof(unique))
        die("random", "no number");
    snprintf(load.run_id, sizeof(load.run_id), "%016" PRIx64, unique);
    snprintf(load.inbox, sizeof(load.inbox), "_INBOX.bench.%s", load.run_id);
    read_arguments(argc, argv);
    struct sigaction action = { .sa_handler = interrupt };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1000); /* ns, so that planned times are kept */
    open_wire();
    load.start_ns = load.last_ns = clock_monotonic_ns();
    if (load.rate > 0)
        run_open();
    else
        run_closed();
    await_rest();
    print_result();
    wire_close(&load.wire);
    return load.refused || is_waiting() ? 1 : 0;
}
