/* The shipped services on a real nats-server: what a customer, an operator and an attacker see. */
#include "shop.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "store/db.h"

static int times(const char *text, const char *part)
{
    int count = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        count++;
    return count;
}

TestSuite(service_live, .init = shop_init, .fini = shop_close);

Test(service_live, invalid_requests_are_refused_and_store_nothing)
{
    shop_up();
    const char *account = shop_customer("tok_ok");
    static const struct {
        const char *subject, *body, *code, *message;
    } cases[] = {
        { "order.place", "nonsense", "invalid_request", "not valid JSON" },
        { "order.place", "{\"account_id\":1,\"lines\":[]}", "invalid_request",
          "account_id must be a string" },
        { "order.place", "{\"lines\":[],\"lines\":[]}", "invalid_request", "lines appears twice" },
        { "order.place",
          "{\"account_id\":\"acc_019abc12-3456-7def-8123-456789abcdef\",\"lines\":[{\"sku\":"
          "\"tea\",\"quantity\":-1}]}",
          "invalid_request", "lines[0].quantity" },
        { "order.place",
          "{\"account_id\":\"acc_019abc12-3456-7def-8123-456789abcdef\",\"lines\":[{\"sku\":"
          "\"tea\",\"quantity\":9000000000000000000}]}",
          "invalid_request", "lines[0].quantity" },
        { "order.place",
          "{\"account_id\":\"acc_019abc12-3456-7def-8123-456789abcdef\",\"lines\":[{\"sku\":"
          "\"tea\",\"quantity\":1}],\"discount\":100}",
          "invalid_request", "discount" },
        { "account.register", "{\"name\":\"a\xff\",\"email\":\"a@b\"}", "invalid_request",
          "UTF-8" },
        { "account.register",
          "{\"name\":\"a\\r\\nb\",\"email\":\"a@b\",\"address\":{\"street\":\"s\",\"city\":\"c\","
          "\"postal_code\":\"1\",\"country\":\"FR\"}}",
          "invalid_request", "name" },
        { "account.get", "{}", "invalid_request", "account_id is required" },
        { "order.cancel", "{\"order_id\":\"ord_019abc12-3456-7def-8123-456789abcdef\"}",
          "not_found", "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *answer = ask_text(cases[i].subject, cases[i].body);
        cr_expect(says(answer, cases[i].code) && says(answer, cases[i].message), "%s: %s",
                  cases[i].body, answer ? answer : "no answer");
    }
    static char large[512 * 1024], deep[2000];
    memset(large, 'x', sizeof(large));
    memset(deep, '[', 1000);
    memset(deep + 1000, ']', 1000);
    cr_expect(says(ask("order.place", large, sizeof(large), NULL), "too_large"));
    cr_expect(says(ask("order.place", deep, sizeof(deep), NULL), "invalid_request"));
    cr_expect(says(ask("order.place", "{}", 2, "a\x01key"), "Idempotency-Key"));
    char sql[400];
    snprintf(sql, sizeof(sql), SHOP_PERSON, "bob@example.org");
    memcpy(strstr(sql, "Ada Lovelace"), "a'); DROP --", 12);
    cr_expect(says(ask_text("account.register", sql), "account_id"), "SQL in a name is a name");
    cr_expect(says(shop_place(account, NULL), "placed"), "and all goes on");
    /* the product, the order, its payment: nothing else */
    wait_for_stats("order-svc", "\"position\":{ORDER:3},");
    wait_for_stats("account-svc", "\"position\":{ACCOUNT:3},");
}

Test(service_live, an_order_passes_through_both_services)
{
    shop_up();
    const char *account = shop_customer("tok_ok");
    char body[200], order[64];
    snprintf(order, sizeof(order), "%s", field(shop_place(account, "k1"), "order_id"));
    cr_assert(says(shop_place(account, "k1"), order), "the same key, the same answer");
    wait_for_stats("account-svc", "\"cursor\":{ORDER:3},\"lag\":0");
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\"}", account);
    const char *answer = ask_text("account.get", body);
    cr_assert(says(answer, order) && says(answer, "\"status\":\"paid\"") &&
                  says(answer, "\"as_of\":{"),
              "%s", answer);
    snprintf(body, sizeof(body), "{\"order_id\":\"%s\"}", order);
    cr_assert(says(ask_text("order.ship", body), "shipped"));
    cr_assert(says(ask_text("order.cancel", body), "wrong_state"));
    char command[200];
    snprintf(command, sizeof(command), "! grep -rqa '1815-12-10' '%s'", order_svc.folder);
    cr_assert(system(command) == 0, "the birthday is in order-svc's files");
}

/* ---- Limits ------------------------------------------------------------------------------- */

/* The answers that came to an inbox, for requests that are sent without waiting for each answer. */
struct heard {
    int sent; /* so many answers are waited for */
    atomic_int done, busy, invalid;
};

static void on_answer(void *context, struct bus_message *message)
{
    struct heard *heard = context;
    const char *answer = bus_message_data(message);
    atomic_fetch_add(says(answer, "\"position\"")        ? &heard->done
                     : says(answer, "the queue is full") ? &heard->busy
                                                         : &heard->invalid,
                     1);
    bus_message_free(message);
}

static struct bus_subscription *hear(struct heard *heard, char *ret_inbox)
{
    struct bus_subscription *subscription;
    cr_assert(bus_new_inbox(customer_bus(), ret_inbox) == 0 &&
              bus_subscribe(customer_bus(), ret_inbox, NULL, on_answer, heard, &subscription) ==
                  0 &&
              bus_flush(customer_bus(), FAR_MS) == 0);
    return subscription;
}

#define RECEIVE "{\"sku\":\"tea\",\"quantity\":1}"
#define SENT_AT_ONCE 20

static _Bool all_are_heard(void *context)
{
    struct heard *heard = context;
    return atomic_load(&heard->done) + atomic_load(&heard->busy) + atomic_load(&heard->invalid) ==
           heard->sent;
}

Test(service_live, a_full_queue_refuses_at_once_and_does_what_it_accepted)
{
    char inbox[BUS_INBOX_SIZE], path[160], stock[32];
    struct heard heard = { .sent = SENT_AT_ONCE };
    setenv("JOURNEY_QUEUE_MAX", "2", 1);
    setenv("JOURNEY_BATCH_MAX", "1", 1);
    shop_up();
    shop_customer("tok_ok");
    _free_(bus_subscription) struct bus_subscription *subscription = hear(&heard, inbox);
    snprintf(path, sizeof(path), "%s/order-svc.db", order_svc.folder);
    struct db_options options = { .path = path, .lock_timeout_ms = FAR_MS };
    _free_(db) struct db *db = NULL;
    cr_assert(db_open(&options, &db) == 0 && db_script(db, "BEGIN IMMEDIATE") == 0);
    struct bus_outgoing receive = {
        .subject = "order.receive-stock", .reply = inbox, .data = RECEIVE, .length = strlen(RECEIVE)
    };
    for (int i = 0; i < SENT_AT_ONCE; i++)
        cr_assert_eq(bus_publish(customer_bus(), BUS_URGENT, &receive), 0);
    cr_assert(says(ask_text("order.receive-stock", RECEIVE), "the queue is full"),
              "one is being written, two wait");
    cr_assert(says(ask_text("order.products", "{}"), "\"stock\":1000"),
              "who only reads does not wait");
    cr_assert_eq(db_script(db, "ROLLBACK"), 0);
    cr_assert(wait_until(all_are_heard, &heard, FAR_MS));
    cr_assert(atomic_load(&heard.done) <= 3 && atomic_load(&heard.invalid) == 0,
              "%d done, %d invalid", heard.done, heard.invalid);
    snprintf(stock, sizeof(stock), "\"stock\":%d", 1000 + atomic_load(&heard.done));
    cr_assert(says(ask_text("order.products", "{}"), stock), "%s", stock);
    cr_assert(says(ask_text("order.receive-stock", RECEIVE), "position"), "and all goes on");
}

Test(service_live, headers_that_nobody_reads_cannot_fail_a_request)
{
    struct bus_header headers[70];
    char names[70][8], inbox[BUS_INBOX_SIZE];
    struct heard heard = { .sent = 3 };
    shop_up();
    shop_customer("tok_ok");
    _free_(bus_subscription) struct bus_subscription *subscription = hear(&heard, inbox);
    for (int i = 0; i < 70; i++) {
        snprintf(names[i], sizeof(names[i]), "x-%d", i);
        headers[i] = (struct bus_header){ names[i], "y" };
    }
    static const int counts[] = { 64, 65, 70 };
    for (int i = 0; i < 3; i++)
        cr_assert_eq(bus_publish(customer_bus(), BUS_URGENT,
                                 &(struct bus_outgoing){ .subject = "order.receive-stock",
                                                         .reply = inbox,
                                                         .headers = headers,
                                                         .header_count = counts[i],
                                                         .data = RECEIVE,
                                                         .length = strlen(RECEIVE) }),
                     0);
    cr_assert(wait_until(all_are_heard, &heard, FAR_MS));
    cr_assert(says(ask_text("order.receive-stock", RECEIVE), "\"stock\":1004"));
    cr_assert(atomic_load(&heard.done) == 3 && atomic_load(&heard.invalid) == 0,
              "%d done, %d invalid", heard.done, heard.invalid);
}

/* ---- A provider of payments that has gone wrong ------------------------------------------- */

static const char *const provider_says[] = { "nonsense", "{\"status\":\"perhaps\"}",
                                             "{\"status\":\"paid\"}" };

struct provider {
    atomic_int asked;
    char asks[3][400];
};

static void on_charge(void *context, struct bus_message *message)
{
    struct provider *provider = context;
    int n = atomic_load(&provider->asked);
    if (n < 3) {
        snprintf(provider->asks[n], sizeof(provider->asks[n]), "%s", bus_message_data(message));
        bus_publish(customer_bus(), BUS_URGENT,
                    &(struct bus_outgoing){ .subject = bus_message_reply(message),
                                            .data = provider_says[n],
                                            .length = strlen(provider_says[n]) });
    }
    atomic_fetch_add(&provider->asked, 1);
    bus_message_free(message);
}

Test(service_live, a_provider_that_answers_nonsense_is_retried_with_the_same_key)
{
    static struct provider provider;
    char order[100], account[64];
    setenv("ORDER_PAYMENT", "nats", 1);
    setenv("ORDER_PAYMENT_TIMEOUT_MS", "120000", 1); /* each call is answered, if slowly */
    shop_up();
    snprintf(account, sizeof(account), "%s", shop_customer("tok_ok"));
    struct bus_subscription *subscription;
    cr_assert(bus_subscribe(customer_bus(), "psp.charge", NULL, on_charge, &provider,
                            &subscription) == 0 &&
              bus_flush(customer_bus(), FAR_MS) == 0);
    snprintf(order, sizeof(order), "{\"order_id\":\"%s\"}",
             field(shop_place(account, NULL), "order_id"));
    wait_for_stats("order-svc", "\"position\":{ORDER:3},\"published\":{ORDER:3},");
    cr_assert(says(ask_text("order.get", order), "\"status\":\"paid\""));
    cr_assert_eq(atomic_load(&provider.asked), 3);
    const char *key = field(provider.asks[0], "key");
    cr_assert(key && strcmp(key, field(provider.asks[1], "key")) == 0 &&
              strcmp(key, field(provider.asks[2], "key")) == 0);
    bus_subscription_free(subscription);
}

/* ---- Of what it says ----------------------------------------------------------------------- */

Test(service_live, a_reply_subject_that_is_no_inbox_is_refused)
{
    shop_up();
    const char *account = shop_customer("tok_ok");
    char body[200];
    static const char *const forged[] = { "evt.order.OrderPaid", "$JS.API.STREAM.DELETE.ORDER",
                                          "order.place" };
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}", account);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(bus_publish(customer_bus(), BUS_URGENT,
                                 &(struct bus_outgoing){ .subject = "order.place",
                                                         .reply = forged[i],
                                                         .data = body,
                                                         .length = strlen(body) }),
                     0);
    cr_assert(says(shop_place(account, NULL), "placed"));
    wait_for_stats("order-svc", "\"position\":{ORDER:3},\"published\":{ORDER:3},\"outbox\":0");
    cr_assert(says(ask_text("$JS.API.STREAM.INFO.ORDER", ""), "\"messages\":{ORDER:3}"));
}

Test(service_live, an_answer_may_demand_a_position)
{
    shop_up();
    const char *account = shop_customer("tok_ok");
    char body[200];
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"min_position\":{\"ORDER\":%d,\"ACCOUNT\":%d}}", account,
             (int)head_of("ORDER", 1), (int)head_of("ACCOUNT", 2));
    cr_assert(says(ask_text("order.list", body), "\"orders\":[]"));
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\",\"min_position\":{\"ORDER\":99}}",
             account);
    cr_assert(says(ask_text("order.list", body), "replaying"));
}

Test(service_live, a_service_answers_the_micro_protocol)
{
    shop_up();
    cr_assert(
        says(ask_text("$SRV.PING.order-svc", ""), "\"type\":\"io.nats.micro.v1.ping_response\""));
    const char *info = ask_text("$SRV.INFO.order-svc", "");
    const int endpoints = times(info, "\"subject\":\"");
    cr_assert(says(info, "\"subject\":\"order.place\""), "%s", info);
    cr_assert(says(info, "\"subject\":\"order.status\""), "%s", info);
    cr_assert(says(info, "\"request_schema\":\"order.place\""), "%s", info);
    cr_assert_eq(times(info, "\"kind\":\""), endpoints);
    cr_assert_eq(times(info, "\"description\":\""), endpoints + 1, "the service has one, too");
    cr_assert_eq(times(info, "\"request_schema\":\""), endpoints);
    cr_assert_eq(times(info, "\"response_schema\":\""), endpoints);
    const char *stats = ask_text("$SRV.STATS.account-svc", "");
    static const char *const parts[] = { "\"num_requests\"", "\"outbox\"", "\"queue\"",
                                         "\"last_commit\"",  "\"state\"",  "\"lag\"" };
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        cr_assert(says(stats, parts[i]), "no %s in %s", parts[i], stats);
}
