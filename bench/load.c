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
#include "requests.h"
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
#define LISTS_MAX 4
#define WINDOW (1 << 20) /* requests, and positions, that are remembered by number */
#define IN_FLIGHT_MAX 65536
#define PATIENCE_NS INT64_C(30000000000) /* for an answer */
#define LAG_EVERY 10                     /* orders per query of the lag */

struct part { /* of the load: one kind of request, with its share by weight */
    struct request request;
    const char *file;
    int weight;
    struct part *first; /* of the same subject; counts the latencies of all of them */
    struct histogram latency;
};

static struct load {
    const char *server, *lag_file, *events;
    struct part parts[REQUESTS_MAX];
    struct request question;
    struct words lists[LISTS_MAX];
    int part_count, list_count, weight, in_flight;
    double rate, seconds;    /* rate 0: closed */
    int64_t count, pause_ns; /* count 0: until the time is over */
    struct wire wire;
    char inbox[64];
    uint64_t run;              /* differs from run to run */
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

/* ---- Requests -------------------------------------------------------------------------------- */

static void prepare(struct request *request, char kind, const char *subject, const char *path)
{
    const char *why = request_prepare(request, kind, subject, path, load.inbox, load.run,
                                      load.lists, load.list_count);
    if (why)
        die(path, why);
}

static void send_number(struct request *request, int64_t number)
{
    request_write(request, number, load.run);
    must(wire_put(&load.wire, request->bytes, request->length), "send");
}

/* Chooses by weight: most look, many order, some register. */
static struct part *part_of(int64_t number)
{
    int turn = (int)(number % load.weight), i = 0;
    for (; turn >= load.parts[i].weight; i++)
        turn -= load.parts[i].weight;
    return &load.parts[i];
}

static void send_next(void)
{
    send_number(&part_of(load.sent)->request, load.sent);
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

/* Whether the question is an order's answer itself, of services that wait for an order. */
static _Bool asks_with_answers(void)
{
    return load.lag_file && strcmp(load.lag_file, "-") == 0;
}

static void ask_with(int64_t number, const struct wire_message *answer)
{
    char line[128];
    const int length = snprintf(line, sizeof(line), "PUB account.get %s.l%010" PRId64 " %zu\r\n",
                                load.inbox, number, answer->length);
    must(wire_put(&load.wire, line, (size_t)length), "send");
    must(wire_put(&load.wire, answer->data, answer->length), "send");
    must(wire_put(&load.wire, "\r\n", 2), "send");
}

/* Asks when the other service has the order that was just answered: the query waits there for the
 * position, or for the order. */
static void follow_order(int64_t number, const struct wire_message *message, int64_t now_ns)
{
    int64_t position = asks_with_answers()
                           ? number
                           : number_after("\"position\":", message->data, message->length);
    if (position < 0)
        return;
    load.answered_ns[position % WINDOW] = now_ns;
    if (load.events) {
        compare_relay(position);
    } else if (number % LAG_EVERY == 0) {
        load.asked++;
        if (asks_with_answers())
            ask_with(number, message);
        else
            send_number(&load.question, position);
    }
}

static void take_answer(int64_t number, const struct wire_message *message, int64_t now_ns)
{
    struct part *part = part_of(number);
    int64_t from_ns = load.rate > 0 ? planned_ns(number) : load.sent_ns[number % WINDOW];
    load.answered++;
    load.last_ns = now_ns;
    if (is_refusal(message)) {
        note_refusal(message);
        return;
    }
    histogram_add(&load.latency, now_ns - from_ns);
    histogram_add(&part->first->latency, now_ns - from_ns);
    if (load.lag_file || load.events)
        follow_order(number, message, now_ns);
}

static void take_message(const struct wire_message *message, int64_t now_ns)
{
    size_t prefix = strlen(load.inbox) + 1;
    const char *subject = message->subject;
    if (message->subject_length != prefix + 1 + REQUEST_DIGITS ||
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
        take_message(&message, now_ns);
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
    fputs(",\"requests\":{", stdout);
    for (struct part *part = load.parts; part < load.parts + load.part_count; part++) {
        if (part->first != part)
            continue;
        printf("%s\"%s\":", part == load.parts ? "" : ",", part->request.subject);
        print_histogram("", &part->latency);
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
        "empty line and a body; bench/requests.h says what stands in it for numbers, keys and "
        "words. With several, each\n"
        "has its share by weight.\n\n"
        "  --words C,uniform|tail,FILE  words, a line each, all of one length, which take the "
        "place of as many C\n"
        "  --in-flight N     closed: so many under way; 1\n"
        "  --count N         closed: so many in all\n"
        "  --pause-us N      closed: waits before each\n"
        "  --rate N          open: so many a second, at planned times, from which latencies count\n"
        "  --seconds N       open, or closed without --count: how long\n"
        "  --lag FILE        asks account.get with this body (ten ~ become a position) for each "
        "tenth order: when has it\n"
        "                    the other service; -: with the order's answer itself\n"
        "  --events SUBJECT  listens to an order's events: when are they published\n\n"
        "Exit codes: 0 all answered, 1 something was refused or not answered, 2 usage\n");
}

/* Splits "A,B,C" at its commas; NULL when there are not so many. */
static char *split(char *argument, char **ret_second)
{
    char *second = strchr(argument, ','), *third = second ? strchr(second + 1, ',') : NULL;
    if (third) {
        *second++ = *third++ = '\0';
        *ret_second = second;
    }
    return third;
}

static void add_part(char *argument)
{
    char *subject, *file = split(argument, &subject);
    if (!file || load.part_count == REQUESTS_MAX || atoi(argument) < 1) {
        usage(stderr);
        exit(2);
    }
    struct part *part = &load.parts[load.part_count++];
    part->weight = atoi(argument);
    part->file = file;
    part->request.subject = subject;
    for (part->first = load.parts; strcmp(part->first->request.subject, subject) != 0;)
        part->first++;
    load.weight += part->weight;
}

static void add_words(char *argument)
{
    char *choice, *file = split(argument, &choice);
    const _Bool is_tail = file && strcmp(choice, "tail") == 0;
    if (!file || load.list_count == LISTS_MAX || strlen(argument) != 1 ||
        (!is_tail && strcmp(choice, "uniform") != 0)) {
        usage(stderr);
        exit(2);
    }
    const char *why = words_read(&load.lists[load.list_count++], *argument,
                                 is_tail ? CHOICE_TAIL : CHOICE_UNIFORM, file);
    if (why)
        die(file, why);
}

static void read_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        { "server", 1, NULL, 's' },    { "request", 1, NULL, 'q' }, { "words", 1, NULL, 'w' },
        { "in-flight", 1, NULL, 'f' }, { "count", 1, NULL, 'n' },   { "pause-us", 1, NULL, 'p' },
        { "rate", 1, NULL, 'r' },      { "seconds", 1, NULL, 't' }, { "lag", 1, NULL, 'l' },
        { "events", 1, NULL, 'e' },    { "help", 0, NULL, 'h' },    { 0 },
    };
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 's': load.server = optarg; break;
        case 'q': add_part(optarg); break;
        case 'w': add_words(optarg); break;
        case 'f': load.in_flight = atoi(optarg); break;
        case 'n': load.count = atoll(optarg); break;
        case 'p': load.pause_ns = atoll(optarg) * 1000; break;
        case 'r': load.rate = atof(optarg); break;
        case 't': load.seconds = atof(optarg); break;
        case 'l': load.lag_file = optarg; break;
        case 'e': load.events = optarg; break;
        case 'h': usage(stdout); exit(0);
        default:  usage(stderr); exit(2);
        }
    }
    if (!load.server || !load.part_count || load.in_flight < 1 || load.in_flight > IN_FLIGHT_MAX ||
        load.rate < 0 ||
        (load.rate > 0 ? load.rate * load.seconds < 1 : load.seconds <= 0 && load.count < 1)) {
        usage(stderr);
        exit(2);
    }
}

static void prepare_all(void)
{
    for (struct part *part = load.parts; part < load.parts + load.part_count; part++)
        prepare(&part->request, 'r', part->request.subject, part->file);
    if (load.lag_file && !asks_with_answers())
        prepare(&load.question, 'l', "account.get", load.lag_file);
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
    if (getrandom(&load.run, sizeof(load.run), 0) != sizeof(load.run))
        die("random", "no number");
    snprintf(load.inbox, sizeof(load.inbox), "_INBOX.bench.%016" PRIx64, load.run);
    read_arguments(argc, argv);
    prepare_all();
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
