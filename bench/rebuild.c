/* Rebuild: measures how fast order-svc's tables are rebuilt from the log in a given file, which is
 * not changed, and compared; without a server, so other services' events are not folded. Its floor
 * is the trace `rebuild` of record.c. Prints one line of JSON. */
#include "base/clock.h"
#include "base/result.h"
#include "runtime/repair/rebuild.h"
#include "service.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int r, const char *why)
{
    if (r == 0)
        return;
    fprintf(stderr, "bench_rebuild: %s\n", r < 0 ? failure_text() : why);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "--help") == 0) {
        fprintf(stderr, "Usage: bench_rebuild FILE\n\nFILE is an order-svc.db. Prints how long it "
                        "takes to fold and to compare it.\n");
        return 2;
    }
    struct service alone = order_service;
    alone.sources = NULL;
    struct rebuild rebuild = { .service = &alone, .served_path = argv[1], .key_limit = 1 };
    int64_t start_ns = clock_monotonic_ns();
    must(rebuild_open(&rebuild), rebuild.why);
    must(rebuild_catch_up(&rebuild), rebuild.why);
    int64_t folded_ns = clock_monotonic_ns();
    must(rebuild_compare(&rebuild), rebuild.why);
    printf("{\"events\":%" PRId64 ",\"fold_s\":%.4f,\"compare_s\":%.4f}\n", rebuild.events,
           (double)(folded_ns - start_ns) / 1e9, (double)(clock_monotonic_ns() - folded_ns) / 1e9);
    rebuild_deinit(&rebuild);
    return 0;
}
