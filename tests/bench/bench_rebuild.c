/* Bench of a rebuild: how fast order-svc's tables are folded anew from the log in a database that is given and not changed,
 * and compared; and its floor: the same events, decoded beforehand, applied by the same statements in a bare loop to a file
 * of the same kind. Needs no server, so others' events are not folded. scripts/bench fills a database. */
#include "base/result.h"
#include "runtime/context.h"
#include "runtime/rebuild.h"
#include "service.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define GROUP 1000                        /* events that are decoded, then applied in one transaction */

static void die(const char *what)
{
    fprintf(stderr, "bench_rebuild: %s: %s\n", what, failure_text());
    exit(1);
}

/* The processor's time of this thread: whatever else runs on the machine does not count, and nothing here waits for a disk. */
static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static double seconds_since(int64_t start_ns)
{
    return (double)(now_ns() - start_ns) / 1e9;
}

/* ---- The floor -------------------------------------------------------------------------------- */

static int read_group(struct db *db, int64_t after_position, struct arena *arena, struct event *events)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    struct invalid invalid;
    int count = 0, r = event_reader_open(&reader, db, order_service.log, after_position, GROUP);
    while (r >= 0 && (r = event_reader_next(&reader, &event)) > 0) {
        void *value = NULL;
        const struct event_type *type = event_type_of_name(order_service.events, event.type);
        if (event_copy(&event, arena, &events[count]) < 0 || !type ||
            schema_decode(type->schema, event.data, event.data_length, arena, &value, &invalid) != 0)
            die("an event");
        events[count++].value = value;
    }
    if (r < 0)
        die("log");
    return count;
}

static void apply_group(struct db *db, const struct event *events, int count)
{
    if (db_begin(db) < 0)
        die("begin");
    for (int i = 0; i < count; i++)
        if (event_type_of_name(order_service.events, events[i].type)->apply(db, &events[i]) < 0)
            die(events[i].type);
    if (db_commit(db) < 0)
        die("commit");
}

static double floor_rate(const char *served_path, const char *path)
{
    static struct event events[GROUP];
    _free_(db) struct db *db = NULL;
    int64_t position = 0;
    int count;
    double seconds = 0;
    if (fold_open(&order_service, path, served_path, &db) < 0)
        die("floor");
    do {
        _deinit_(arena) struct arena arena = { 0 };
        count = read_group(db, position, &arena, events);
        int64_t start_ns = now_ns();
        apply_group(db, events, count);
        seconds += seconds_since(start_ns);
        position += count;
    } while (count == GROUP);
    return (double)position / seconds;
}

/* ---- The rebuild ------------------------------------------------------------------------------ */

static double rebuild_rate(const char *served_path, double *ret_compare_seconds)
{
    struct service alone = order_service;
    alone.sources = NULL;
    _deinit_(rebuild) struct rebuild rebuild = { .service = &alone, .served_path = served_path };
    int64_t start_ns = now_ns();
    if (rebuild_open(&rebuild) < 0 || rebuild_catch_up(&rebuild) != 0)
        die(rebuild.why);
    double rate = (double)rebuild.events / seconds_since(start_ns);
    start_ns = now_ns();
    if (rebuild_compare(&rebuild) != 0)
        die(rebuild.why);
    *ret_compare_seconds = seconds_since(start_ns);
    printf("events                             %10" PRId64 "\n", rebuild.events);
    return rate;
}

int main(int argc, char **argv)
{
    char path[4200];
    double compare_seconds = 0;
    if (argc != 2 || strcmp(argv[1], "--help") == 0) {
        fprintf(stderr, "Usage: bench_rebuild FILE\n\nFILE is an order-svc.db that no service has open. Prints events a second.\n");
        return 2;
    }
    snprintf(path, sizeof(path), "%s.floor", argv[1]);
    double rate = rebuild_rate(argv[1], &compare_seconds), floor = floor_rate(argv[1], path);
    fold_remove(path);
    printf("folded, a second                   %10.0f\nthe bare statements, a second      %10.0f\n", rate, floor);
    printf("ratio                              %10.2f\ncompared, in seconds               %10.2f\n", rate / floor, compare_seconds);
    return 0;
}
