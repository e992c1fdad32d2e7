/* Open-load: customers who come at intended times, however slow the shop is. A latency counts from
 * the intended time, and a shop that stands still for a second gets no fewer orders in that second
 * (no coordinated omission). With --in-flight, open-load keeps that many orders in flight instead,
 * which measures the capacity of the shop.
 *
 * Prints one line per order: intended time and latency in microseconds (-1: no answer within
 * --patience-ms), and the answer: ok, a status such as 503, or none. The first line has the start
 * on the monotonic clock. */
#include "base/clock.h"
#include "base/condition.h"
#include "base/result.h"
#include "bus/bus.h"
#include "shared/caller.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ORDERS_MAX 4000000
#define ACCOUNTS_MAX 10000
#define STAGES_MAX 16
#define BODY_SIZE 512

enum { NO_ANSWER, OK }; /* else the status of a refusal */

struct order {
    int64_t intended_ns;
    atomic_llong latency_ns; /* -1: none yet */
    atomic_int answer;
};

struct stage {
    double seconds, rate;
};

static struct load {
    const char *server, *subject, *accounts_file;
    struct stage stages[STAGES_MAX];
    int stage_count, in_flight, skus, account_count;
    double seconds;
    int64_t patience_ms;
    char *accounts[ACCOUNTS_MAX];
    struct bus *bus;
    char inbox[BUS_INBOX_SIZE], run_id[48];
    struct order *orders;
    int total;
    atomic_int sent, answered;
    int64_t end_ns; /* of --in-flight */
    pthread_mutex_t lock;
    pthread_cond_t changed;
} load;

static void die(const char *what)
{
    fprintf(stderr, "open-load: %s: %s\n", what, failure_text());
    exit(1);
}

/* ---- One order ------------------------------------------------------------------------------- */

static void send_order(int n)
{
    char body[BODY_SIZE], reply[BUS_SUBJECT_MAX + 1], key[96];
    snprintf(reply, sizeof(reply), "%s.%d", load.inbox, n);
    snprintf(key, sizeof(key), "%s-%d", load.run_id, n);
    int length = snprintf(body, sizeof(body),
                          "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"sku-%d\",\"quantity\":1},"
                          "{\"sku\":\"sku-%d\",\"quantity\":2}]}",
                          load.accounts[n % load.account_count], n % load.skus,
                          (n + 1) % load.skus);
    struct bus_header header = { "Idempotency-Key", key };
    struct bus_outgoing message = {
        .subject = load.subject,
        .reply = reply,
        .headers = &header,
        .header_count = 1,
        .data = body,
        .length = (size_t)length,
    };
    if (bus_publish(load.bus, BUS_URGENT, &message) < 0)
        atomic_store(&load.orders[n].answer, 503);
}

/* Sends the next order of --in-flight, whose intended time is now. */
static void send_next(void)
{
    int64_t now_ns = clock_monotonic_ns();
    int n = now_ns < load.end_ns ? atomic_fetch_add(&load.sent, 1) : ORDERS_MAX;
    if (n >= load.total)
        return;
    load.orders[n].intended_ns = now_ns;
    send_order(n);
}

static void on_answer(void *context, struct bus_message *received)
{
    (void)context;
    int64_t now_ns = clock_monotonic_ns();
    _free_(bus_message) struct bus_message *message = received;
    int n = atoi(strrchr(bus_message_subject(message), '.') + 1);
    if (n < 0 || n >= load.total || atomic_load(&load.orders[n].answer) != NO_ANSWER)
        return;
    const char *error = bus_message_header(message, "Nats-Service-Error-Code");
    int answer = bus_message_status(message) ? bus_message_status(message)
                 : error                     ? atoi(error)
                                             : OK;
    atomic_store(&load.orders[n].latency_ns, now_ns - load.orders[n].intended_ns);
    atomic_store(&load.orders[n].answer, answer);
    atomic_fetch_add(&load.answered, 1);
    if (load.in_flight > 0)
        send_next();
    pthread_mutex_lock(&load.lock);
    pthread_cond_signal(&load.changed);
    pthread_mutex_unlock(&load.lock);
}

/* ---- The run --------------------------------------------------------------------------------- */

static void sleep_until(int64_t at_ns)
{
    struct timespec at = { .tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000 };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static void plan(int64_t start_ns)
{
    double at_s = 0;
    int n = 0;
    for (int s = 0; s < load.stage_count; s++) {
        int count = (int)(load.stages[s].seconds * load.stages[s].rate);
        for (int i = 0; i < count && n < load.total; i++, n++)
            load.orders[n].intended_ns = start_ns +
                                         (int64_t)((at_s + i / load.stages[s].rate) * 1e9);
        at_s += load.stages[s].seconds;
    }
    load.total = n;
}

static void await_answers(int64_t deadline_ms)
{
    pthread_mutex_lock(&load.lock);
    while (atomic_load(&load.answered) < atomic_load(&load.sent) &&
           clock_monotonic_ms() < deadline_ms)
        condition_wait(&load.changed, &load.lock, deadline_ms);
    pthread_mutex_unlock(&load.lock);
}

static int64_t drive(void)
{
    int64_t start_ns = clock_monotonic_ns() + 1000000;
    if (load.in_flight > 0) {
        load.end_ns = start_ns + (int64_t)(load.seconds * 1e9);
        for (int i = 0; i < load.in_flight; i++)
            send_next();
        sleep_until(load.end_ns);
    } else {
        plan(start_ns);
        for (int n = 0; n < load.total; n++) {
            if (clock_monotonic_ns() < load.orders[n].intended_ns)
                sleep_until(load.orders[n].intended_ns);
            atomic_fetch_add(&load.sent, 1);
            send_order(n);
        }
    }
    await_answers(clock_monotonic_ms() + load.patience_ms);
    return start_ns;
}

static void report(int64_t start_ns)
{
    int64_t patience_ns = load.patience_ms * 1000000;
    int count = atomic_load(&load.sent) < load.total ? atomic_load(&load.sent) : load.total;
    printf("start_ns %" PRId64 "\n", start_ns);
    for (int n = 0; n < count; n++) {
        int64_t latency_ns = atomic_load(&load.orders[n].latency_ns);
        int answer = atomic_load(&load.orders[n].answer);
        if (latency_ns > patience_ns)
            answer = NO_ANSWER;
        printf("%" PRId64 " %" PRId64, (load.orders[n].intended_ns - start_ns) / 1000,
               answer == NO_ANSWER || latency_ns < 0 ? -1 : latency_ns / 1000);
        if (answer > OK)
            printf(" %d\n", answer);
        else
            printf(answer == OK ? " ok\n" : " none\n");
    }
}

/* ---- Arguments ------------------------------------------------------------------------------- */

static void read_accounts(void)
{
    char line[128];
    FILE *file = fopen(load.accounts_file, "r");
    while (file && load.account_count < ACCOUNTS_MAX && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        load.accounts[load.account_count++] = strdup(line);
    }
    if (file)
        (void)fclose(file);
    if (load.account_count == 0) {
        fprintf(stderr, "open-load: %s has no account\n", load.accounts_file);
        exit(2);
    }
}

static void read_stages(char *text)
{
    char *rest = NULL;
    for (char *part = strtok_r(text, ",", &rest); part && load.stage_count < STAGES_MAX;
         part = strtok_r(NULL, ",", &rest)) {
        struct stage *stage = &load.stages[load.stage_count++];
        if (sscanf(part, "%lf:%lf", &stage->seconds, &stage->rate) != 2 || stage->seconds < 0 ||
            stage->rate <= 0) {
            fprintf(stderr, "open-load: --plan is SECONDS:RATE,SECONDS:RATE…\n");
            exit(2);
        }
    }
}

static void read_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        { "server", 1, NULL, 's' },   { "subject", 1, NULL, 'u' },
        { "accounts", 1, NULL, 'a' }, { "skus", 1, NULL, 'k' },
        { "plan", 1, NULL, 'p' },     { "in-flight", 1, NULL, 'f' },
        { "seconds", 1, NULL, 't' },  { "patience-ms", 1, NULL, 'w' },
        { "help", 0, NULL, 'h' },     { 0 },
    };
    load.subject = "order.place";
    load.skus = 1;
    load.seconds = 5;
    load.patience_ms = 5000;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        switch (c) {
        case 's': load.server = optarg; break;
        case 'u': load.subject = optarg; break;
        case 'a': load.accounts_file = optarg; break;
        case 'k': load.skus = atoi(optarg); break;
        case 'p': read_stages(optarg); break;
        case 'f': load.in_flight = atoi(optarg); break;
        case 't': load.seconds = atof(optarg); break;
        case 'w': load.patience_ms = atoll(optarg); break;
        default:
            printf("Usage: open-load --server URL --accounts FILE --skus N (--plan SECONDS:RATE,… "
                   "| --in-flight N --seconds N)\n"
                   "                 [--subject order.place] [--patience-ms 5000]\n\n"
                   "Sends orders and prints one line for each; see scripts/compare.\n");
            exit(c == 'h' ? 0 : 2);
        }
    if (!load.server || !load.accounts_file || load.skus < 1 ||
        (load.stage_count == 0) == (load.in_flight <= 0)) {
        fprintf(stderr, "open-load: see --help\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    read_arguments(argc, argv);
    read_accounts();
    double total = load.in_flight > 0 ? ORDERS_MAX : 1;
    for (int s = 0; s < load.stage_count; s++)
        total += load.stages[s].seconds * load.stages[s].rate;
    load.total = total < ORDERS_MAX ? (int)total : ORDERS_MAX;
    load.orders = calloc((size_t)load.total, sizeof(*load.orders));
    if (!load.orders)
        die("no memory");
    for (int n = 0; n < load.total && load.in_flight == 0; n++)
        atomic_store(&load.orders[n].latency_ns, -1);
    pthread_mutex_init(&load.lock, NULL);
    condition_init(&load.changed);
    snprintf(load.run_id, sizeof(load.run_id), "load-%d-%" PRId64, (int)getpid(), clock_wall_ms());
    struct bus_subscription *answers = NULL;
    char subject[BUS_SUBJECT_MAX + 1];
    if (caller_connect(load.server, "open-load", &load.bus) < 0 ||
        bus_new_inbox(load.bus, load.inbox) < 0)
        die("connect");
    snprintf(subject, sizeof(subject), "%s.*", load.inbox);
    if (bus_subscribe(load.bus, subject, NULL, on_answer, NULL, &answers) < 0 ||
        bus_flush(load.bus, 5000) < 0)
        die("subscribe");
    report(drive());
    bus_subscription_free(answers);
    bus_free(load.bus);
    return 0;
}
