/* Bench of ordering, its floor: the very statements of an order in a bare loop: OrderPlaced and OrderPaid appended to the
 * log and applied to order-svc's tables, so many orders a durable commit; no server, no requests, no JSON, no chain.
 * scripts/bench sets the throughput of the mesh against it. The database is made in the folder that is given. */
#include "base/clock.h"
#include "base/id.h"
#include "base/result.h"
#include "service.h"
#include "store/event_log.h"
#include "store/migrate.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "contracts.h"

#define GROUP_MAX 4096
#define ACCOUNT_ID "acc_019abc12-3456-7def-8123-456789abcdef"
#define CARD_ID "card_019abc12-3456-7def-8123-456789abcdef"

static const struct money price = { .amount = 450, .currency = "EUR" };
static const char data[] =
    "{\"order_id\":\"ord_019abc12-3456-7def-8123-456789abcdef\",\"account_id\":\"" ACCOUNT_ID "\",\"lines\":[{\"sku\":\"bench\",\"name\":\"Bench\","
    "\"unit_price\":{\"amount\":450,\"currency\":\"EUR\"},\"quantity\":1}],\"total\":{\"amount\":450,\"currency\":\"EUR\"},\"card_id\":\"" CARD_ID "\","
    "\"ship_to\":{\"name\":\"Bench\",\"address\":{\"street\":\"1\",\"city\":\"B\",\"postal_code\":\"1\",\"country\":\"DE\"}},"
    "\"pay_until\":\"2026-11-26T00:00:00.000Z\"}";

static struct { struct db *db; struct id_source ids; int64_t position; } floor_;

static void die(const char *what)
{
    fprintf(stderr, "bench_orders: %s: %s\n", what, failure_text());
    exit(1);
}

/* Appended and applied, as the loop does with what a decision has emitted. */
static void happen(const char *type, const char *entity, const void *value)
{
    char id[UUID_SIZE], cause[80];
    uuid_make(&floor_.ids, clock_wall_ms(), id);
    snprintf(cause, sizeof(cause), CAUSE_REQUEST "bench-%s", id);
    struct event event = {
        .log = "ORDER", .position = ++floor_.position, .id = id, .type = type, .entity = entity, .time_ms = clock_wall_ms(), .correlation = id,
        .causation = id, .cause = cause, .cause_digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        .data = data, .data_length = sizeof(data) - 1, .value = value,
    };
    for (const struct event_type *known = order_service.events; known->name; known++)
        if (strcmp(known->name, type) == 0 && (event_log_append(floor_.db, &event) < 0 || known->apply(floor_.db, &event) < 0))
            die(type);
}

static void place(char *order_id)
{
    uuid_make(&floor_.ids, clock_wall_ms(), order_id);
    const struct order_line line = { .sku = "bench", .name = "Bench", .unit_price = price, .quantity = 1 };
    happen("OrderPlaced", order_id, &(struct order_placed){
        .order_id = order_id, .account_id = ACCOUNT_ID, .lines = &line, .lines_count = 1, .total = price, .card_id = CARD_ID,
        .ship_to = { .name = "Bench", .address = { .street = "1", .city = "B", .postal_code = "1", .country = "DE" } },
        .pay_until = "2099-01-01T00:00:00.000Z" });
}

static void commit_group(int group)
{
    static char order_ids[GROUP_MAX][UUID_SIZE];
    if (db_begin(floor_.db) < 0)
        die("begin");
    for (int i = 0; i < group; i++)
        place(order_ids[i]);
    for (int i = 0; i < group; i++)
        happen("OrderPaid", order_ids[i], &(struct order_paid){ .order_id = order_ids[i], .account_id = ACCOUNT_ID, .card_id = CARD_ID,
                                                               .amount = price, .attempt = 1 });
    if (db_commit(floor_.db) < 0)
        die("commit");
    if (db_wal_bytes(floor_.db) > 32 * 1024 * 1024 && db_checkpoint(floor_.db, 0, NULL) < 0)
        die("checkpoint");
}

int main(int argc, char **argv)
{
    int group = argc == 4 ? atoi(argv[3]) : 0;
    if (group < 1 || group > GROUP_MAX) {
        fprintf(stderr, "Usage: bench_orders FOLDER ORDERS GROUP\n\nPrints how many orders a second the bare statements take, GROUP orders a commit.\n");
        return 2;
    }
    char path[4200];
    snprintf(path, sizeof(path), "%s/orders-floor.db", argv[1]);
    unlink(path);
    id_source_init(&floor_.ids, 0);
    if (db_open(&(struct db_options){ .path = path }, &floor_.db) < 0 || store_migrate(floor_.db) < 0 ||
        db_script(floor_.db, order_service.tables) < 0)
        die("database");
    happen("ProductAdded", "bench", &(struct product_added){ .sku = "bench", .name = "Bench", .price = price, .stock = INT64_C(1000000000) });
    int64_t orders = 0, start = clock_monotonic_ns();
    for (; orders < atoll(argv[2]); orders += group)
        commit_group(group);
    printf("%" PRId64 "\n", orders * 1000000000 / (clock_monotonic_ns() - start));
    db_free(floor_.db);
    unlink(path);
    return 0;
}
