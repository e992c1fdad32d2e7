/* Customers on a real nats-server with permissions: whoever may publish `*.*.<account>` and nothing
 * else acts for that account, and neither reads, cancels nor pays for another. */
#include "shop.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONE_TEA "{\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}"
#define TEXT_SIZE 400
#define NO_ORDER "ord_00000000-0000-0000-0000-000000000000"
#define NO_CARD "crd_00000000-0000-0000-0000-000000000000"

static char anna[64], bert[64], annas_card[64], annas_order[64], config[2000];

TestSuite(customers_live, .init = shop_init, .fini = shop_close);

/* A text with up to two parts; the newest eight are valid. */
static const char *text(const char *format, const char *a, const char *b)
{
    static char kept[8][TEXT_SIZE];
    static int next;
    next = (next + 1) % 8;
    // NOLINTNEXTLINE(clang-diagnostic-format-nonliteral): the formats stand below
    snprintf(kept[next], TEXT_SIZE, format, a, b);
    return kept[next];
}

static const char *ask_key(const char *subject, const char *body, const char *key)
{
    return ask(subject, body, strlen(body), key);
}

static void be_known(const char *name, char ret_account[64])
{
    char body[TEXT_SIZE];
    snprintf(body, sizeof(body), SHOP_PERSON, name);
    snprintf(ret_account, 64, "%s", field(ask_text("account.register", body), "account_id"));
    snprintf(body, sizeof(body),
             "{\"card_token\":\"tok_ok\",\"brand\":\"visa\",\"last4\":\"4242\",\"expires\":"
             "\"2099-01\"}");
    cr_assert(says(ask_text(text("account.add-card.%s", ret_account, ""), body), "card_id"));
}

/* The services and the shop need no name here; each customer has one, and an inbox of its own. */
static void give_rights(void)
{
    snprintf(config, sizeof(config),
             "no_auth_user: shop\n"
             "authorization { users: [\n"
             "  { user: shop, password: shop }\n"
             "  { user: anna, password: anna, permissions: {\n"
             "    publish: { allow: [\"*.*.%s\", \"order.products\"] }\n"
             "    subscribe: { allow: [\"_INBOX.anna.>\"] } } }\n"
             "  { user: bert, password: bert, permissions: {\n"
             "    publish: { allow: [\"*.*.%s\", \"order.products\"] }\n"
             "    subscribe: { allow: [\"_INBOX.bert.>\"] } } }\n"
             "] }\n",
             anna, bert);
    server_kill(&server);
    server.config = config;
    server_start(&server);
    wait_for_stats("account-svc", "\"state\":\"ready\"");
    wait_for_stats("order-svc", "\"state\":\"ready\"");
}

static void begin(void)
{
    setenv("JOURNEY_LOG_LEVEL", "debug", 1);
    shop_up();
    be_known("anna@example.org", anna);
    be_known("bert@example.org", bert);
    const char *account = ask_text(text("account.get.%s", anna, ""), "");
    snprintf(annas_card, sizeof(annas_card), "%s", field(account, "card_id"));
    cr_assert(
        says(ask_text("order.add-product", "{\"sku\":\"tea\",\"name\":\"Tea\",\"price\":{"
                                           "\"amount\":450,\"currency\":\"EUR\"},\"stock\":100}"),
             "position"));
    wait_for_stats("order-svc", "\"cursor\":{ACCOUNT:4},\"lag\":0");
    snprintf(annas_order, sizeof(annas_order), "%s", field(shop_place(anna, "k"), "order_id"));
    give_rights();
}

static _Bool order_is(const char *status)
{
    return says(ask_text("order.get", text("{\"order_id\":\"%s\"}", annas_order, "")),
                text("\"status\":\"%s\"", status, ""));
}

static _Bool order_is_paid(void *context)
{
    (void)context;
    return order_is("paid");
}

Test(customers_live, a_customer_acts_for_its_own_account)
{
    begin();
    customer_become(&server, "bert");
    const char *answer = ask_key(text("order.place.%s", bert, ""), ONE_TEA, "k");
    cr_assert(says(answer, "\"status\":\"placed\""), "%s", answer);
    char own[64];
    snprintf(own, sizeof(own), "%s", field(answer, "order_id"));
    cr_expect_str_neq(own, annas_order, "the key of another name space");
    answer = ask_key(text("order.place.%s", bert, ""), ONE_TEA, "k");
    cr_expect(says(answer, own), "the same key again: %s", answer);
    answer = ask_text(text("order.get.%s", bert, ""), text("{\"order_id\":\"%s\"}", own, ""));
    cr_expect(says(answer, own), "%s", answer);
    answer = ask_text(text("order.list.%s", bert, ""), "");
    cr_expect(says(answer, own) && !says(answer, annas_order), "%s", answer);
    answer = ask_text(text("account.get.%s", bert, ""), "{}");
    cr_expect(says(answer, bert) && says(answer, "bert@example.org"), "%s", answer);
    answer = ask_text("order.products", "");
    cr_expect(says(answer, "\"sku\":\"tea\""), "%s", answer);
}

Test(customers_live, what_is_anothers_is_not_found)
{
    begin();
    customer_become(&server, "bert");
    const struct {
        const char *subject, *member, *of_another, *of_nobody, *message;
    } cases[] = {
        { "order.get.%s", "order_id", annas_order, NO_ORDER, "order_id: no such order" },
        { "order.cancel.%s", "order_id", annas_order, NO_ORDER, "order_id: no such order" },
        { "account.remove-card.%s", "card_id", annas_card, NO_CARD, "card_id: the account has no" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char of_another[TEXT_SIZE];
        const char *subject = text(cases[i].subject, bert, "");
        snprintf(of_another, sizeof(of_another), "%s",
                 ask_text(subject, text("{\"%s\":\"%s\"}", cases[i].member, cases[i].of_another)));
        cr_expect(says(of_another, "\"not_found\"") && says(of_another, cases[i].message), "%s",
                  of_another);
        cr_expect_str_eq(of_another, ask_text(subject, text("{\"%s\":\"%s\"}", cases[i].member,
                                                            cases[i].of_nobody)));
    }
    const char *answer = ask_text(
        text("order.place.%s", bert, ""),
        text("{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}", anna, ""));
    cr_expect(says(answer, "\"not_found\"") && says(answer, "account_id: no such account"), "%s",
              answer);
    customer_become(&server, NULL);
    cr_assert(wait_until(order_is_paid, NULL, FAR_MS));
    cr_expect(says(ask_text("account.get", text("{\"account_id\":\"%s\"}", anna, "")),
                   "\"status\":\"usable\""));
}

Test(customers_live, the_server_lets_no_other_request_pass)
{
    begin();
    customer_become(&server, "bert");
    cr_assert(says(ask_text("order.products", ""), "tea"));
    int before = customer_answers();
    static const char *const of_anna[] = {
        "order.place.%s", "order.get.%s",        "order.list.%s",    "order.cancel.%s",
        "account.get.%s", "account.add-card.%s", "account.close.%s", "account.change-profile.%s",
    };
    for (size_t i = 0; i < sizeof(of_anna) / sizeof(*of_anna); i++)
        customer_send(text(of_anna[i], anna, ""), "{}");
    static const char *const of_the_shop[] = {
        "order.place",         "order.get",         "order.list",         "order.cancel",
        "order.ship",          "order.add-product", "order.change-price", "order.correct-stock",
        "order.receive-stock", "order.refund",      "account.get",        "account.close",
        "account.find",        "account.register",  "order.events",       "order.rebuild",
        "evt.order.OrderPaid", "$SRV.STATS",        "psp.charge",         "order.retire-product",
    };
    for (size_t i = 0; i < sizeof(of_the_shop) / sizeof(*of_the_shop); i++)
        customer_send(of_the_shop[i],
                      text("{\"account_id\":\"%s\",\"order_id\":\"%s\"}", anna, annas_order));
    cr_assert(says(ask_text("order.products", ""), "tea")); /* the server has seen all before it */
    cr_expect_eq(customer_answers(), before + 1);
    customer_become(&server, NULL);
    cr_assert(wait_until(order_is_paid, NULL, FAR_MS));
    cr_expect(says(ask_text("account.get", text("{\"account_id\":\"%s\"}", anna, "")),
                   "\"status\":\"open\""));
}

static _Bool log_says(void *context)
{
    const char *const *parts = context;
    char path[128], line[4096];
    snprintf(path, sizeof(path), "%s.log", order_svc.folder);
    FILE *file = fopen(path, "r");
    _Bool found = 0;
    while (file && !found && fgets(line, sizeof(line), file)) {
        found = 1;
        for (const char *const *part = parts; *part && found; part++)
            found = strstr(line, *part) != NULL;
    }
    if (file)
        fclose(file);
    return found;
}

/* A server names the client with `share: true` between accounts; here the client does it. */
Test(customers_live, lines_about_a_decision_say_who_asked)
{
    begin();
    const struct bus_header info = { "Nats-Request-Info", "{\"acc\":\"CLIENTS\",\"user\":\"UB\"}" };
    const char *body = text("{\"order_id\":\"%s\"}", annas_order, "");
    struct bus_outgoing message = { .subject = text("order.cancel.%s", bert, ""),
                                    .headers = &info,
                                    .header_count = 1,
                                    .data = body,
                                    .length = strlen(body) };
    cr_assert_eq(bus_publish(customer_bus(), BUS_URGENT, &message), 0);
    const char *refused[] = { "event=refused", "code=not_found", text("account=%s", bert, ""),
                              "client=CLIENTS/UB", NULL };
    cr_expect(wait_until(log_says, refused, FAR_MS));
    message.subject = text("order.place.%s", bert, "");
    message.data = ONE_TEA;
    message.length = strlen(ONE_TEA);
    cr_assert_eq(bus_publish(customer_bus(), BUS_URGENT, &message), 0);
    const char *accepted[] = { "event=accepted", "subject=order.place",
                               text("account=%s", bert, ""), "client=CLIENTS/UB", NULL };
    cr_expect(wait_until(log_says, accepted, FAR_MS));
}
