/* Shop: order-svc and account-svc in one process and on one thread, without a server: their loops,
 * stepped by hand, and events carried from one log to the other as relay and feed would. For what
 * has to look at the services' own work alone: the floors that are recorded from it, databases that
 * are filled quickly, instructions that are counted. A failure ends the process. */
#pragma once
#include "runtime/core/config.h"
#include "runtime/writer/loop.h"

#define SHOP_GROUP 256 /* orders in a commit, as many as scripts/bench has in flight */
#define SHOP_CARRY_MAX (2 * SHOP_GROUP) /* events that are carried at a time: an order is two */

struct side {
    const struct service *service;
    const char *options[SERVICE_OPTIONS_MAX];
    struct db *db;
    struct loop loop;
};
extern struct side shop_orders, shop_accounts;

void must(int r, const char *what); /* 0, or the process ends with what failed */

/* Opens a service's database, new or as a service or a shop has left it. */
void side_open(struct side *side, const char *path);
void side_close(struct side *side);

/* One batch, one commit; what was due by then runs too. The items pass to it. */
void side_run(struct side *side, struct item **items, int count, int64_t now_ms);

/* A request as its endpoint would push it; key NULL: without one. */
struct item *side_request(struct side *side, const char *subject, const char *body,
                          const char *key);

/* A customer with a card and a product without end, known to both; does nothing where they are
 * there. */
void shop_furnish(int64_t now_ms);

/* So many orders of the customer in one batch, with a key of its own each or without. Charges are
 * answered by later batches. */
void shop_place(int count, _Bool with_keys, int64_t now_ms);

/* Events after a position of one's log, at most SHOP_CARRY_MAX, made messages as the relay does;
 * then read and applied by the other as its feed does, in one batch. */
int shop_publish(struct side *from, int64_t after_position);
void shop_project(struct side *to, int count, int64_t now_ms);
