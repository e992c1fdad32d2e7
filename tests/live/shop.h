/* Shop: a nats-server with both shipped services, one shop for each test, and its first
 * customer. */
#pragma once
#include "service.h"

extern struct server server;
extern struct process account_svc, order_svc;

void shop_init(void);  /* folders, ports, and a customer's connection; nothing runs yet */
void shop_up(void);    /* the server and both services; returns when they are ready */
void shop_open(void);  /* both */
void shop_close(void); /* both services must end well */

/* The body of account.register; printf's %s is the e-mail address. */
#define SHOP_PERSON                                                                        \
    "{\"name\":\"Ada Lovelace\",\"email\":\"%s\",\"birthday\":\"1815-12-10\",\"address\":" \
    "{\"street\":\"1 Rue\",\"city\":\"Paris\",\"postal_code\":\"75002\",\"country\":\"FR\"}}"

/* Makes a customer with a card, and a product; returns when order-svc has the customer: the id of
 * the account, valid until the next call. */
const char *shop_customer(const char *token);

/* The answer to an order of one tea; key NULL: no key. */
const char *shop_place(const char *account, const char *key);
