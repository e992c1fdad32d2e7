/* Fill: fills databases with many orders, quickly: by the services' own loops, without a server
 * (shop.h). Log, chain, tables and cursors are those that the services would have written; each
 * order is paid, and read by account-svc. Existing databases of a folder are filled further. */
#include "base/clock.h"
#include "shop.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void open_in(struct side *side, const char *folder)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/%s", folder, side->service->name);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/%s/%s.db", folder, side->service->name, side->service->name);
    side_open(side, path);
}

/* Keeps the WAL short: no writer thread checkpoints it here. */
static void settle(void)
{
    while (shop_accounts.loop.at.cursors[0].position < shop_orders.loop.at.head.position)
        shop_project(&shop_accounts,
                     shop_publish(&shop_orders, shop_accounts.loop.at.cursors[0].position),
                     clock_wall_ms());
    must(db_checkpoint(shop_orders.db, 0, NULL), "checkpoint");
    must(db_checkpoint(shop_accounts.db, 0, NULL), "checkpoint");
}

int main(int argc, char **argv)
{
    const _Bool alone = argc == 4 && strcmp(argv[3], "order-svc-only") == 0,
                is_crowded = argc == 4 && strcmp(argv[3], "crowd") == 0;
    int64_t orders = argc == 3 || alone || is_crowded ? atoll(argv[2]) : 0;
    if (orders < 1) {
        fprintf(stderr,
                "Usage: bench_fill FOLDER ORDERS [order-svc-only|crowd]\n\nFills order-svc/ and "
                "account-svc/ in the folder until there are so many orders of one\n"
                "customer; with order-svc-only account-svc has read none of them, with "
                "crowd there are 10,000\n"
                "more customers and 1,000 more products. Prints how many orders there "
                "were before.\n");
        return 2;
    }
    open_in(&shop_orders, argv[1]);
    open_in(&shop_accounts, argv[1]);
    loop_start_process(&shop_orders.loop);
    shop_furnish(clock_wall_ms());
    const int64_t before = shop_orders.loop.at.head.position / 2;
    for (int64_t placed = before, round = 0; placed < orders; placed += SHOP_GROUP, round++) {
        shop_place(orders - placed < SHOP_GROUP ? (int)(orders - placed) : SHOP_GROUP, 1,
                   clock_wall_ms());
        if (!alone && round % 16 == 15)
            settle();
    }
    while (shop_orders.loop.at.head.position < 2 * orders)
        side_run(&shop_orders, NULL, 0, clock_wall_ms());
    if (is_crowded)
        shop_furnish_crowd(10000, 1000, clock_wall_ms());
    if (!alone)
        settle();
    side_close(&shop_orders);
    side_close(&shop_accounts);
    printf("%" PRId64 "\n", before);
    return 0;
}
