/* Commit: the first floor: one durable commit of one small event, alone, with the services'
 * connection settings and log. A pause precedes each commit, as it precedes each unloaded request:
 * an idle disk answers otherwise than a busy one. Prints one line of JSON. */
#include "base/clock.h"
#include "base/id.h"
#include "base/result.h"
#include "histogram.h"
#include "store/event_log.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char data[] =
    "{\"order_id\":\"ord_019abc12-3456-7def-8123-456789abcdef\",\"account_id\":\"acc_019abc12-3456-"
    "7def-8123-456789abcdef\",\"lines\":[{\"sku\":"
    "\"bench\",\"name\":\"Bench\",\"unit_price\":{\"amount\":450,\"currency\":\"EUR\"},"
    "\"quantity\":1}],\"total\":{\"amount\":450,\"currency\":\"EUR\"}}";

static void must(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "bench_commit: %s: %s\n", what, failure_text());
    exit(1);
}

static int64_t commit_one(struct db *db, struct id_source *ids, int64_t position)
{
    char id[UUID_SIZE];
    uuid_make(ids, clock_wall_ms(), id);
    const struct event event = { .log = "BENCH",
                                 .position = position,
                                 .id = id,
                                 .type = "OrderPlaced",
                                 .entity = id,
                                 .time_ms = clock_wall_ms(),
                                 .data = data,
                                 .data_length = sizeof(data) - 1 };
    int64_t start_ns = clock_monotonic_ns();
    must(db_begin(db), "begin");
    must(event_log_append(db, &event), "append");
    must(db_commit(db), "commit");
    return clock_monotonic_ns() - start_ns;
}

int main(int argc, char **argv)
{
    static struct histogram histogram;
    struct id_source ids;
    struct db *db;
    if (argc != 4 || atoi(argv[2]) < 1) {
        fprintf(stderr, "Usage: bench_commit NEW_DATABASE COMMITS PAUSE_US\n\nPrints how long a "
                        "durable commit of one event takes.\n");
        return 2;
    }
    const long pause_us = atol(argv[3]);
    id_source_init(&ids, 0);
    must(db_open(&(struct db_options){ .path = argv[1] }, &db), argv[1]);
    must(event_log_create(db), "tables");
    for (int i = 1; i <= atoi(argv[2]); i++) {
        nanosleep(&(struct timespec){ .tv_sec = pause_us / 1000000,
                                      .tv_nsec = pause_us % 1000000 * 1000 },
                  NULL);
        histogram_add(&histogram, commit_one(db, &ids, i));
    }
    printf("{\"p50_ms\":%.4f,\"p99_ms\":%.4f}\n",
           (double)histogram_percentile(&histogram, 0.5) / 1e6,
           (double)histogram_percentile(&histogram, 0.99) / 1e6);
    db_free(db);
    return 0;
}
