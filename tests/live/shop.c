/* Shop: see shop.h. */
#include "shop.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct server server;
struct process account_svc, order_svc;

void shop_init(void)
{
    server_init(&server, NULL);
    process_init(&account_svc, &server, "ACCOUNT_SVC", "account");
    process_init(&order_svc, &server, "ORDER_SVC", "order");
    customer_open(&server);
}

void shop_up(void)
{
    server_start(&server);
    process_start(&account_svc, &server);
    process_start(&order_svc, &server);
    wait_for_stats("account-svc", "\"state\":\"ready\"");
    wait_for_stats("order-svc", "\"state\":\"ready\"");
}

void shop_open(void)
{
    shop_init();
    shop_up();
}

void shop_close(void)
{
    customer_close();
    processes_finish(&account_svc, &order_svc);
    server_deinit(&server);
}

const char *shop_customer(const char *token)
{
    static char account[64];
    char body[400];
    snprintf(body, sizeof(body), SHOP_PERSON, "ada@example.org");
    snprintf(account, sizeof(account), "%s",
             field(ask_text("account.register", body), "account_id"));
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"card_token\":\"%s\",\"brand\":\"visa\",\"last4\":\"4242\","
             "\"expires\":\"2099-01\"}",
             account, token);
    cr_assert(says(ask_text("account.add-card", body), "card_id"));
    cr_assert(
        says(ask_text("order.add-product", "{\"sku\":\"tea\",\"name\":\"Tea\",\"price\":{"
                                           "\"amount\":450,\"currency\":\"EUR\"},\"stock\":1000}"),
             "position"));
    wait_for_stats("order-svc", "\"cursor\":{ACCOUNT:2},\"lag\":0");
    return account;
}

const char *shop_place(const char *account, const char *key)
{
    char body[200];
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}", account);
    return ask("order.place", body, strlen(body), key);
}
