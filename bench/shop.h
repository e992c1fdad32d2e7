/* Shop: order-svc and account-svc in one process and on one thread, without a server: their loops,
 * stepped by hand, and events carried from one log to the other as relay and feed would. For
 * programs that need the services' own work alone: recording the floors, filling databases,
 * counting instructions. A failure ends the process. */
#pragma once
#include "runtime/core/config.h"
#include "runtime/writer/loop.h"

#define SHOP_GROUP 256 /* orders a commit, as many as scripts/bench has in flight */
#define SHOP_CARRY_MAX (2 * SHOP_GROUP) /* events carried at a time: an order has two */

struct side {
    const struct service *service;
    const char *options[SERVICE_OPTIONS_MAX];
    struct db *db;
    struct loop loop;
};
extern struct side shop_orders, shop_accounts;

void must(int r, const char *what); /* r is 0, or the process ends with the failure */

/* Opens a service's database, a new or an existing one. */
void side_open(struct side *side, const char *path);
void side_close(struct side *side);

/* Runs one batch in one commit, with all steps that are due. Takes the items. */
void side_run(struct side *side, struct item **items, int count, int64_t now_ms);

/* A request as its endpoint would push it; key NULL: without a key. */
struct item *side_request(struct side *side, const char *subject, const char *body,
                          const char *key);

/* Makes a customer with a card, and a product whose stock never ends, known to both services; does
 * nothing when they exist. */
void shop_furnish(int64_t now_ms);

/* Makes so many more customers, each with a card, and so many more products, known to both
 * services, as shops have them. Not more than once. */
void shop_furnish_crowd(int customers, int products, int64_t now_ms);

/* Places so many orders of the customer in one batch, each with a new key or without a key. Later
 * batches answer the charges. */
void shop_place(int count, _Bool with_keys, int64_t now_ms);

/* Encodes the events after a position of one log, at most SHOP_CARRY_MAX, as the relay does; then
 * decodes and applies them in the other service as its feed does, in one batch. */
int shop_publish(struct side *from, int64_t after_position);
void shop_project(struct side *to, int count, int64_t now_ms);
