/* Bench: the floors and what stands on them, side by side in one run, ratios first. It drives a mesh that is
 * running (scripts/bench starts one) over its own connection, with a bounded number of requests.
 *
 *   floor 1   one durable SQLite commit of one small event, same settings as the services
 *   floor 2   one bare NATS round trip to an echo in this process
 *   ours      order.place unloaded, one at a time; and with many in flight, against a service that may
 *             put only one request in a commit
 */
#include "base/clock.h"
#include "base/id.h"
#include "base/result.h"
#include "bus/bus.h"
#include "store/migrate.h"
#include "store/event_log.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 2000000

struct bench {
    const char *server, *folder, *account_id, *place_subject;
    int unloaded, loaded, in_flight;
    _Bool json;
    struct bus *bus;
    char inbox[BUS_INBOX_SIZE];
    pthread_mutex_t lock;
    pthread_cond_t answered;
    int64_t sent_at[SAMPLES_MAX / 100];   /* by request number modulo the window */
    int64_t *samples_ns;
    int answers, refused, wanted, next;
    char run_id[64];
    struct id_source ids;
};

static struct bench bench;

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t percentile(int64_t *samples, int count, double p)
{
    qsort(samples, (size_t)count, sizeof(*samples), compare);
    return samples[(int)((count - 1) * p)];
}

static void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, failure_text());
    exit(1);
}

/* What is measured unloaded has room around it, floors and ours alike: the payment of the order before, and the
 * other service's reading of it, are not part of it. */
#define PAUSE_NS 4000000

static void pause_between(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
}

/* ---- Floor 1: a durable commit -------------------------------------------------------------- */

static int64_t measure_commits(struct db *db, int count, int64_t *samples)
{
    static const char data[] = "{\"order_id\":\"ord_019abc12-3456-7def-8123-456789abcdef\",\"account_id\":\"acc_x\",\"total\":900}";
    struct log_head head;
    if (event_log_head(db, &head) < 0)
        die("event_log");
    for (int i = 0; i < count; i++) {
        pause_between();
        int64_t start = clock_monotonic_ns();
        char id[UUID_SIZE];
        uuid_make(&bench.ids, clock_wall_ms(), id);
        struct event event = {
            .log = "BENCH", .position = head.position + 1, .id = id, .type = "OrderPlaced", .entity = "ord_bench",
            .time_ms = clock_wall_ms(), .data = data, .data_length = sizeof(data) - 1,
        };
        struct digest digest;
        if (event_digest(&event, &digest) < 0 || event_chain(&head.chain, &digest, &event.chain) < 0 || db_begin(db) < 0 ||
            event_log_append(db, &event) < 0 || db_commit(db) < 0)
            die("commit");
        head = (struct log_head){ event.position, event.chain };
        samples[i] = clock_monotonic_ns() - start;
    }
    return percentile(samples, count, 0.5);
}

static int64_t floor_commit(void)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/bench-floor.db", bench.folder);
    unlink(path);
    struct db_options options = { .path = path };
    struct db *db;
    if (db_open(&options, &db) < 0 || store_migrate(db) < 0)
        die("floor database");
    int64_t p50 = measure_commits(db, bench.unloaded, bench.samples_ns);
    db_free(db);
    return p50;
}

/* ---- Requests ------------------------------------------------------------------------------- */

static void send_request(const char *subject, const void *body, size_t length, int number, _Bool with_key)
{
    char reply[BUS_SUBJECT_MAX + 1], key[96];
    snprintf(reply, sizeof(reply), "%s.%d", bench.inbox, number);
    snprintf(key, sizeof(key), "%s-%d", bench.run_id, number);
    struct bus_header header = { "Idempotency-Key", key };
    bench.sent_at[number % (SAMPLES_MAX / 100)] = clock_monotonic_ns();
    struct bus_outgoing message = {
        .subject = subject, .reply = reply, .headers = &header, .header_count = with_key, .data = body, .length = length,
    };
    if (bus_publish(bench.bus, bench.in_flight > 8 ? BUS_BULK : BUS_URGENT, &message) < 0)
        die("send");
}

static const char *subject_now;
static const char *body_now;
static _Bool key_now;

static void on_answer(void *context, struct bus_message *message)
{
    (void)context;
    int64_t now = clock_monotonic_ns();
    const char *subject = bus_message_subject(message);
    int number = atoi(strrchr(subject, '.') + 1);
    _Bool refused = bus_message_status(message) || strncmp(bus_message_data(message), "{\"error\"", 8) == 0;
    if (refused && bench.refused == 0)
        fprintf(stderr, "bench: first refusal: %s\n", bus_message_data(message));
    bus_message_free(message);
    pthread_mutex_lock(&bench.lock);
    if (bench.answers < SAMPLES_MAX)
        bench.samples_ns[bench.answers] = now - bench.sent_at[number % (SAMPLES_MAX / 100)];
    bench.answers++;
    bench.refused += refused;
    int next = bench.next < bench.wanted ? bench.next++ : -1;
    _Bool done = bench.answers == bench.wanted;
    if (done)
        pthread_cond_signal(&bench.answered);
    pthread_mutex_unlock(&bench.lock);
    if (next >= 0)
        send_request(subject_now, body_now, strlen(body_now), next, key_now);
}

/* Keeps in_flight requests in the air until count are answered. Returns nanoseconds in all. */
static int64_t drive(const char *subject, const char *body, int count, int in_flight, _Bool with_key)
{
    static int base;
    subject_now = subject;
    body_now = body;
    key_now = with_key;
    bench.in_flight = in_flight;
    bench.answers = bench.refused = 0;
    snprintf(bench.run_id, sizeof(bench.run_id), "bench-%d-%d-%" PRId64, (int)getpid(), base++, clock_wall_ms());
    bench.wanted = count;
    bench.next = in_flight < count ? in_flight : count;
    int first = bench.next;
    int64_t start = clock_monotonic_ns();
    for (int i = 0; i < first; i++)
        send_request(subject, body, strlen(body), i, with_key);
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 120;
    pthread_mutex_lock(&bench.lock);
    while (bench.answers < bench.wanted)
        if (pthread_cond_timedwait(&bench.answered, &bench.lock, &deadline) == ETIMEDOUT) {
            fprintf(stderr, "bench: %d of %d requests to %s were answered in 120 s\n", bench.answers, bench.wanted, subject);
            exit(1);
        }
    pthread_mutex_unlock(&bench.lock);
    return clock_monotonic_ns() - start;
}

/* One at a time, with a pause before each. Returns the median; *ret_p99 may be NULL. */
static double drive_unloaded(const char *subject, const char *body, _Bool with_key, double *ret_p99_us)
{
    int64_t *kept = malloc((size_t)bench.unloaded * sizeof(*kept));
    for (int i = 0; i < bench.unloaded; i++) {
        pause_between();
        drive(subject, body, 1, 1, with_key);
        kept[i] = bench.samples_ns[0];
    }
    double p50 = (double)percentile(kept, bench.unloaded, 0.5) / 1e3;
    if (ret_p99_us)
        *ret_p99_us = (double)percentile(kept, bench.unloaded, 0.99) / 1e3;
    free(kept);
    return p50;
}

static void on_echo(void *context, struct bus_message *message)
{
    (void)context;
    bus_publish(bench.bus, BUS_URGENT, &(struct bus_outgoing){ .subject = bus_message_reply(message), .data = "{}", .length = 2 });
    bus_message_free(message);
}

static void nothing(void *context)
{
    (void)context;
}

static void on_closed(void *context, const char *reason)
{
    (void)context;
    fprintf(stderr, "bench: connection closed: %s\n", reason);
    exit(1);
}

static void connect_bus(void)
{
    struct bus_options options = {
        .url = bench.server, .name = "bench", .must_connect = 1,
        .handlers = { .connected = nothing, .disconnected = nothing, .closed = on_closed },
    };
    static struct bus_subscription *answers, *echo;
    char subject[BUS_SUBJECT_MAX + 1];
    if (bus_open(&options, &bench.bus) < 0 || bus_new_inbox(bench.bus, bench.inbox) < 0)
        die("connect");
    snprintf(subject, sizeof(subject), "%s.*", bench.inbox);
    if (bus_subscribe(bench.bus, subject, NULL, on_answer, NULL, &answers) < 0 ||
        bus_subscribe(bench.bus, "bench.echo", NULL, on_echo, NULL, &echo) < 0 || bus_flush(bench.bus, 2000) < 0)
        die("subscribe");
}

/* ---- The run -------------------------------------------------------------------------------- */

static void usage(void)
{
    printf("Usage: bench --server URL --folder DIR --account ACCOUNT_ID [--unloaded N] [--loaded N] [--in-flight N] [--subject S]\n\n"
           "Measures the floors and order.place on a running mesh; see scripts/bench. The account must have a usable card\n"
           "and the product `bench` enough stock.\n");
}

static void read_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        { "server", 1, NULL, 's' }, { "folder", 1, NULL, 'd' }, { "account", 1, NULL, 'a' }, { "unloaded", 1, NULL, 'u' },
        { "loaded", 1, NULL, 'l' }, { "in-flight", 1, NULL, 'f' }, { "subject", 1, NULL, 'p' }, { "help", 0, NULL, 'h' }, { 0 },
    };
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 's': bench.server = optarg; break;
        case 'd': bench.folder = optarg; break;
        case 'a': bench.account_id = optarg; break;
        case 'u': bench.unloaded = atoi(optarg); break;
        case 'l': bench.loaded = atoi(optarg); break;
        case 'f': bench.in_flight = atoi(optarg); break;
        case 'p': bench.place_subject = optarg; break;
        case 'h': usage(); exit(0);
        default:  usage(); exit(2);
        }
    }
    if (!bench.server || !bench.folder || !bench.account_id || bench.unloaded < 1 || bench.loaded > SAMPLES_MAX) {
        usage();
        exit(2);
    }
}

int main(int argc, char **argv)
{
    bench = (struct bench){ .unloaded = 1000, .loaded = 50000, .in_flight = 256, .place_subject = "order.place" };
    read_arguments(argc, argv);
    int in_flight = bench.in_flight;
    bench.samples_ns = malloc(SAMPLES_MAX * sizeof(*bench.samples_ns));
    pthread_mutex_init(&bench.lock, NULL);
    pthread_cond_init(&bench.answered, NULL);
    id_source_init(&bench.ids, 0);
    connect_bus();
    char body[256];
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"bench\",\"quantity\":1}]}", bench.account_id);

    fprintf(stderr, "bench: floors …\n");
    double rtt_us = drive_unloaded("bench.echo", "{}", 0, NULL), p99_us;
    double commit_us = (double)floor_commit() / 1e3;
    fprintf(stderr, "bench: %s unloaded …\n", bench.place_subject);
    double p50_us = drive_unloaded(bench.place_subject, body, 1, &p99_us);
    int refused = bench.refused;
    printf("%-58s %10.2f\n", "order.place unloaded p50 / (commit + round trip)", p50_us / (commit_us + rtt_us));
    printf("%-58s %10.0f us\n%-58s %10.0f us\n%-58s %10.0f us\n%-58s %10.0f us\n", "  one durable commit, p50", commit_us,
           "  one bare round trip, p50", rtt_us, "  order.place unloaded, p50", p50_us, "  order.place unloaded, p99", p99_us);
    if (bench.loaded > 0) {
        fprintf(stderr, "bench: %s, %d in flight …\n", bench.place_subject, in_flight);
        int64_t took_ns = drive(bench.place_subject, body, bench.loaded, in_flight, 1);
        double rate = bench.loaded / ((double)took_ns / 1e9);
        refused += bench.refused;
        printf("%-58s %10.1f\n", "throughput in flight / one durable commit each", rate * commit_us / 1e6);
        printf("  order.place, %3d in flight %41.0f a second\n", in_flight, rate);
        printf("%-58s %10.1f ms\n%-58s %10.1f ms\n", "    p50", (double)percentile(bench.samples_ns, bench.loaded, 0.5) / 1e6, "    p99",
               (double)percentile(bench.samples_ns, bench.loaded, 0.99) / 1e6);
    }
    printf("%-58s %10d\n", "refused", refused);
    return refused ? 1 : 0;
}
