/* Bench of the store: the cost of a durable commit beside the disk's own floor, the gain of many
 * appends in one commit, and the parts of an append. Needs no server; works in its own folder. */
#include "base/clock.h"
#include "base/id.h"
#include "base/result.h"
#include "store/event_log.h"
#include "store/migrate.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES 4096
#define GROUP 256
#define RUN_NS INT64_C(1500000000) /* the duration of each measurement */
#define SAMPLES_MAX 100000

static char folder[] = "/var/tmp/journey-bench-XXXXXX";
static int64_t samples_ns[SAMPLES_MAX];
static struct id_source ids;

static const char data[] =
    "{\"order_id\":\"ord_019abc12-3456-7def-8123-456789abcdef\",\"account_id\":"
    "\"acc_019abc12-3456-7def-8123-456789abcdef\",\"lines\":[{\"sku\":\"tea-500\",\"quantity\":2,"
    "\"price\":{\"amount\":450,"
    "\"currency\":\"EUR\"}}],\"total\":{\"amount\":900,\"currency\":\"EUR\"}}";

struct figure {
    int64_t count, took_ns;
    double p50_us, p99_us;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_store: %s: %s\n", what, failure_text());
    exit(1);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Repeats a step until the time is over. */
static struct figure measure(void (*step)(void *), void *context)
{
    struct figure figure = { 0 };
    int64_t start = clock_monotonic_ns(), before = start;
    while (figure.took_ns < RUN_NS && figure.count < SAMPLES_MAX) {
        step(context);
        int64_t now = clock_monotonic_ns();
        samples_ns[figure.count++] = now - before;
        before = now;
        figure.took_ns = now - start;
    }
    qsort(samples_ns, (size_t)figure.count, sizeof(*samples_ns), compare);
    figure.p50_us = (double)samples_ns[figure.count / 2] / 1e3;
    figure.p99_us = (double)samples_ns[figure.count * 99 / 100] / 1e3;
    return figure;
}

static double rate(const struct figure *figure)
{
    return (double)figure->count * 1e9 / (double)figure->took_ns;
}

/* ---- The disk's floor ----------------------------------------------------------------------- */

struct disk {
    int file;
    /* wraps_at 0: the file grows; else its pages are rewritten, as a WAL's are */
    off_t place, wraps_at;
};

static void sync_page(void *context)
{
    static char page[PAGE_BYTES];
    struct disk *disk = context;
    page[0]++;
    if (pwrite(disk->file, page, sizeof(page), disk->place) != sizeof(page) ||
        fdatasync(disk->file) != 0) {
        perror("bench_store: fdatasync");
        exit(1);
    }
    disk->place += PAGE_BYTES;
    if (disk->wraps_at && disk->place == disk->wraps_at)
        disk->place = 0;
}

static struct figure measure_disk(off_t wraps_at)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/floor", folder);
    struct disk disk = { .file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600),
                         .wraps_at = wraps_at };
    for (off_t i = 0; i < wraps_at / PAGE_BYTES; i++)
        sync_page(&disk);
    struct figure figure = measure(sync_page, &disk);
    close(disk.file);
    unlink(path);
    return figure;
}

/* ---- The log -------------------------------------------------------------------------------- */

struct store {
    struct db *db;
    struct log_head head;
    int per_commit;
    int64_t append_ns, appended; /* without begin and commit */
};

static struct event next_event(const struct log_head *head)
{
    static char id[UUID_SIZE], cause[16 + UUID_SIZE];
    uuid_make(&ids, clock_wall_ms(), id);
    snprintf(cause, sizeof(cause), "%s%s", CAUSE_REQUEST, id);
    return (struct event){
        .log = "BENCH",
        .position = head->position + 1,
        .id = id,
        .type = "OrderPlaced",
        .entity = "ord_019abc12-3456-7def-8123-456789abcdef",
        .time_ms = clock_wall_ms(),
        .correlation = id,
        .causation = id,
        .cause = cause,
        .cause_digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        .data = data,
        .data_length = sizeof(data) - 1,
    };
}

static void append_one(struct store *store)
{
    struct event event = next_event(&store->head);
    struct digest digest;
    if (event_digest(&event, &digest) < 0 ||
        event_chain(&store->head.chain, &digest, &event.chain) < 0 ||
        event_log_append(store->db, &event) < 0)
        die("append");
    store->head = (struct log_head){ event.position, event.chain };
}

static void commit_group(void *context)
{
    struct store *store = context;
    if (db_begin(store->db) < 0)
        die("begin");
    int64_t start = clock_monotonic_ns();
    for (int i = 0; i < store->per_commit; i++)
        append_one(store);
    store->append_ns += clock_monotonic_ns() - start;
    store->appended += store->per_commit;
    if (db_commit(store->db) < 0)
        die("commit");
    if (db_wal_pending_bytes(store->db) > 8 * 1024 * 1024 && db_checkpoint(store->db, 0, NULL) < 0)
        die("checkpoint");
}

static struct figure measure_log(int per_commit, struct store *store)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/%d.db", folder, per_commit);
    struct db_options options = { .path = path };
    *store = (struct store){ .per_commit = per_commit };
    if (db_open(&options, &store->db) < 0 || store_migrate(store->db) < 0)
        die("open");
    struct figure figure = measure(commit_group, store);
    db_free(store->db);
    return figure;
}

/* ---- Parts of an append --------------------------------------------------------------------- */

enum part { PART_ID, PART_SHA256, PART_DIGEST, PART_CHAIN };

static double measure_part(enum part part)
{
    enum { ROUNDS = 200000 };
    struct log_head head = { 0 };
    struct event event = next_event(&head);
    struct digest digest = { 0 };
    char id[UUID_SIZE];
    int r = 0;
    int64_t start = clock_monotonic_ns();
    for (int i = 0; i < ROUNDS && r == 0; i++) {
        switch (part) {
        case PART_ID:     uuid_make(&ids, event.time_ms, id); break;
        case PART_SHA256: r = digest_of(data, sizeof(data) - 1, &digest); break;
        case PART_DIGEST: r = event_digest(&event, &digest); break;
        case PART_CHAIN:  r = event_chain(&head.chain, &digest, &head.chain); break;
        }
    }
    if (r < 0)
        die("digest");
    return (double)(clock_monotonic_ns() - start) / ROUNDS;
}

/* ---- The run -------------------------------------------------------------------------------- */

static void print_row(const char *name, const struct figure *figure, double each)
{
    printf("%-50s %10.0f a second   p50 %8.0f us   p99 %8.0f us\n", name, rate(figure) * each,
           figure->p50_us, figure->p99_us);
}

int main(void)
{
    if (!mkdtemp(folder)) {
        perror("bench_store: no folder");
        return 1;
    }
    id_source_init(&ids, 0);
    struct store single, grouped;
    struct figure growing = measure_disk(0), again = measure_disk(1024 * PAGE_BYTES);
    struct figure one = measure_log(1, &single), many = measure_log(GROUP, &grouped);
    printf("%-50s %10.2f\n", "a durable commit / a bare fdatasync (growing)",
           one.p50_us / growing.p50_us);
    printf("%-50s %10.1f\n", "appends: 256 a commit / 1 a commit",
           rate(&many) * GROUP / rate(&one));
    print_row("fdatasync of a page, growing file", &growing, 1);
    print_row("fdatasync of a page, written again", &again, 1);
    print_row("append + commit, 1 a commit", &one, 1);
    print_row("append + commit, 256 a commit (per commit: p50)", &many, GROUP);
    printf("%-50s %10.0f ns\n", "an append with id, digest, chain and INSERT",
           (double)grouped.append_ns / (double)grouped.appended);
    printf("%-50s %10.0f ns\n", "  a uuid", measure_part(PART_ID));
    printf("  SHA-256 of %3zu bytes %39.0f ns\n", sizeof(data) - 1, measure_part(PART_SHA256));
    printf("%-50s %10.0f ns\n", "  event_digest", measure_part(PART_DIGEST));
    printf("%-50s %10.0f ns\n", "  event_chain", measure_part(PART_CHAIN));
    char command[64];
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    return system(command) == 0 ? 0 : 1;
}
