/* Bench of catching up, its floor: the very statements of account-svc's projection of orders in a bare loop, 256
 * events a durable commit, without a stream, decoding, cursor or chain. scripts/bench sets a service's catch-up
 * against it. Needs no server; the database is made in the folder that is given. */
#include "base/clock.h"
#include "base/id.h"
#include "base/result.h"
#include "journeys.h"
#include "store/migrate.h"
#include "tables.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUP 256                     /* events in a commit: the first half places orders, the other half pays them */
#define ACCOUNT_ID "acc_019abc12-3456-7def-8123-456789abcdef"

static const struct money amount = { .amount = 450, .currency = "EUR" };

static void die(const char *what)
{
    fprintf(stderr, "bench_upserts: %s: %s\n", what, failure_text());
    exit(1);
}

static void apply(struct db *db, const char *type, const void *value)
{
    const struct event event = { .type = type, .entity = ACCOUNT_ID, .time_ms = 1, .value = (void *)value };
    for (const struct event_type *known = project_purchases; known->name; known++)
        if (strcmp(known->name, type) == 0 && known->apply(db, &event) < 0)
            die(type);
}

static void commit_group(struct db *db, struct id_source *ids)
{
    char order_ids[GROUP / 2][UUID_SIZE];
    if (db_begin(db) < 0)
        die("begin");
    for (int i = 0; i < GROUP / 2; i++) {
        uuid_make(ids, clock_wall_ms(), order_ids[i]);
        apply(db, "OrderPlaced", &(struct order_placed){ .order_id = order_ids[i], .account_id = ACCOUNT_ID, .total = amount });
    }
    for (int i = 0; i < GROUP / 2; i++)
        apply(db, "OrderPaid", &(struct order_paid){ .order_id = order_ids[i], .account_id = ACCOUNT_ID, .amount = amount });
    if (db_commit(db) < 0)
        die("commit");
    if (db_wal_bytes(db) > 32 * 1024 * 1024 && db_checkpoint(db, 0, NULL) < 0)
        die("checkpoint");
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "Usage: bench_upserts FOLDER EVENTS\n\nPrints how many events a second the bare statements take.\n");
        return 2;
    }
    char path[4200];
    snprintf(path, sizeof(path), "%s/upserts-floor.db", argv[1]);
    unlink(path);
    struct db_options options = { .path = path };
    struct id_source ids;
    struct db *db;
    id_source_init(&ids, 0);
    if (db_open(&options, &db) < 0 || store_migrate(db) < 0 || db_script(db, account_tables) < 0)
        die("database");
    int64_t events = 0, start = clock_monotonic_ns();
    for (; events < atoll(argv[2]); events += GROUP)
        commit_group(db, &ids);
    printf("%" PRId64 "\n", events * 1000000000 / (clock_monotonic_ns() - start));
    db_free(db);
    return 0;
}
