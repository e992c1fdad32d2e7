/* The hot path of an order without its server, threads and disk: what order-svc does with a
 * request, what its relay makes of the events, and what account-svc does with them. Run under
 * callgrind by test_instructions, which counts the instructions of the three hot_… functions; alone
 * it only has to do its work. */
#include "shop.h"
#include <stdio.h>

#define GROUP 50 /* orders in a batch */
#define GROUPS 8
#if __has_attribute(noipa)
#define HOT __attribute__((noipa)) /* a function of its own, by its own name */
#else
#define HOT __attribute__((noinline))
#endif

static int64_t now_ms = 1795412400000;

/* ---- What is counted ------------------------------------------------------------------------ */

/* Requests decoded, decided, applied, paid by the sandbox. */
static HOT void hot_order(int count)
{
    shop_place(count, 0, now_ms);
    for (int i = 0; i < 4; i++) /* charges leave, answers come, OrderPaid is said */
        side_run(&shop_orders, NULL, 0, ++now_ms);
}

/* The relay's part: read from the log, made a message. */
static HOT int hot_publish(int64_t after)
{
    return shop_publish(&shop_orders, after);
}

/* The reader's part: decoded, checked against the chain, applied. */
static HOT void hot_project(int count)
{
    shop_project(&shop_accounts, count, now_ms);
}

/* ---- The run -------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    side_open(&shop_orders, ":memory:");
    side_open(&shop_accounts, ":memory:");
    loop_start_process(&shop_orders.loop);
    shop_furnish(now_ms);
    for (int i = 0; i < GROUPS; i++) {
        int64_t before = shop_orders.loop.at.head.position;
        hot_order(GROUP);
        hot_project(hot_publish(before));
        must(shop_accounts.loop.at.cursors[0].position == shop_orders.loop.at.head.position ? 0 : 1,
             "the reader has not read all");
    }
    must(shop_orders.loop.at.head.position == 1 + 2 * GROUP * GROUPS ? 0 : 1,
         "not all orders are paid");
    printf("%d orders\n", GROUP * GROUPS);
    side_close(&shop_orders);
    side_close(&shop_accounts);
    return 0;
}
