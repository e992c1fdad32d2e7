/* The shipped services on a real nats-server: what a customer, an operator and an attacker see. */
#include "service.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "store/db.h"

static struct server server;
static struct process account_svc, order_svc;

static void setup(void)
{
    server_init(&server, NULL);
    process_init(&account_svc, &server, "ACCOUNT_SVC", "account");
    process_init(&order_svc, &server, "ORDER_SVC", "order");
    customer_open(&server);
}

static void teardown(void)
{
    customer_close();
    processes_finish(&account_svc, &order_svc);
    server_deinit(&server);
}

TestSuite(service_live, .init = setup, .fini = teardown, .timeout = 120);

static void up(void)
{
    server_start(&server);
    process_start(&account_svc, &server);
    process_start(&order_svc, &server);
    wait_for_stats("account-svc", "\"state\":\"ready\"");
    wait_for_stats("order-svc", "\"state\":\"ready\"");
}

#define PERSON                                                                             \
    "{\"name\":\"Ada Lovelace\",\"email\":\"%s\",\"birthday\":\"1815-12-10\",\"address\":" \
    "{\"street\":\"1 Rue\",\"city\":\"Paris\",\"postal_code\":\"75002\",\"country\":\"FR\"}}"

/* A customer with a card, and a product; order-svc has heard of both. */
static const char *customer(const char *token)
{
    static char account[64];
    char body[400];
    snprintf(body, sizeof(body), PERSON, "ada@example.org");
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
    wait_for_stats("order-svc", "\"cursor\":2,\"lag\":0");
    return account;
}

static const char *place(const char *account, const char *key)
{
    char body[200];
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}", account);
    return ask("order.place", body, strlen(body), key);
}

Test(service_live, broken_requests_are_refused_by_name_and_store_nothing)
{
    up();
    const char *account = customer("tok_ok");
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
    snprintf(sql, sizeof(sql), PERSON, "bob@example.org");
    memcpy(strstr(sql, "Ada Lovelace"), "a'); DROP --", 12);
    cr_expect(says(ask_text("account.register", sql), "account_id"), "SQL in a name is a name");
    cr_expect(says(place(account, NULL), "placed"), "and all goes on");
    /* the product, the order, its payment: nothing else */
    wait_for_stats("order-svc", "\"position\":3,");
    wait_for_stats("account-svc", "\"position\":3,");
}

Test(service_live, an_order_goes_its_way_through_both_services)
{
    up();
    const char *account = customer("tok_ok");
    char body[200], order[64];
    snprintf(order, sizeof(order), "%s", field(place(account, "k1"), "order_id"));
    cr_assert(says(place(account, "k1"), order), "the same key, the same answer");
    wait_for_stats("account-svc", "\"cursor\":3,\"lag\":0");
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

/* ---- Limits
 * -------------------------------------------------------------------------------------- */

/* What came to an inbox of its own, for requests that are sent without waiting for their
 * answers. */
struct heard {
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
              bus_flush(customer_bus(), 5000) == 0);
    return subscription;
}

#define RECEIVE "{\"sku\":\"tea\",\"quantity\":1}"
#define SENT_AT_ONCE 20

static _Bool all_are_heard(void *context)
{
    struct heard *heard = context;
    return atomic_load(&heard->done) + atomic_load(&heard->busy) + atomic_load(&heard->invalid) ==
           SENT_AT_ONCE;
}

Test(service_live, a_full_queue_says_so_at_once_and_what_it_took_is_done)
{
    char inbox[BUS_INBOX_SIZE], path[160], stock[32];
    struct heard heard = { 0 };
    setenv("JOURNEY_QUEUE_MAX", "2", 1);
    setenv("JOURNEY_BATCH_MAX", "1", 1);
    up();
    customer("tok_ok");
    _free_(bus_subscription) struct bus_subscription *subscription = hear(&heard, inbox);
    snprintf(path, sizeof(path), "%s/order-svc.db", order_svc.folder);
    struct db_options options = { .path = path, .lock_timeout_ms = 5000 };
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
    cr_assert(wait_until(all_are_heard, &heard, 10000));
    cr_assert(atomic_load(&heard.done) <= 3 && atomic_load(&heard.invalid) == 0,
              "%d done, %d invalid", heard.done, heard.invalid);
    snprintf(stock, sizeof(stock), "\"stock\":%d", 1000 + atomic_load(&heard.done));
    cr_assert(says(ask_text("order.products", "{}"), stock), "%s", stock);
    cr_assert(says(ask_text("order.receive-stock", RECEIVE), "position"), "and all goes on");
}

Test(service_live, more_headers_than_a_message_may_have_are_refused)
{
    struct bus_header headers[70];
    char names[70][8], inbox[BUS_INBOX_SIZE];
    struct heard heard = { 0 };
    up();
    customer("tok_ok");
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
    /* the one with 64 was taken */
    cr_assert(says(ask_text("order.receive-stock", RECEIVE), "\"stock\":1002"));
    cr_assert(atomic_load(&heard.done) == 1 && atomic_load(&heard.invalid) == 2,
              "%d done, %d invalid", heard.done, heard.invalid);
}

/* ---- A provider of payments that has gone wrong
 * ---------------------------------------------------- */

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

Test(service_live, a_provider_that_answers_nonsense_is_asked_again_under_the_same_key)
{
    static struct provider provider;
    char order[100], account[64];
    setenv("ORDER_PAYMENT", "nats", 1);
    up();
    snprintf(account, sizeof(account), "%s", customer("tok_ok"));
    struct bus_subscription *subscription;
    cr_assert(bus_subscribe(customer_bus(), "psp.charge", NULL, on_charge, &provider,
                            &subscription) == 0 &&
              bus_flush(customer_bus(), 5000) == 0);
    snprintf(order, sizeof(order), "{\"order_id\":\"%s\"}",
             field(place(account, NULL), "order_id"));
    wait_for_stats("order-svc", "\"position\":3,\"published\":3,");
    cr_assert(says(ask_text("order.get", order), "\"status\":\"paid\""));
    cr_assert_eq(atomic_load(&provider.asked), 3);
    const char *key = field(provider.asks[0], "key");
    cr_assert(key && strcmp(key, field(provider.asks[1], "key")) == 0 &&
              strcmp(key, field(provider.asks[2], "key")) == 0);
    bus_subscription_free(subscription);
}

/* ---- Lives and deaths
 * ------------------------------------------------------------------------------ */

Test(service_live, services_start_before_their_server_and_in_any_order)
{
    process_start(&order_svc, &server);
    process_start(&account_svc, &server);
    server_start(&server);
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    wait_for_stats("account-svc", "\"state\":\"ready\"");
    const char *account = customer("tok_ok");
    cr_assert(says(place(account, NULL), "placed"));
}

Test(service_live, a_key_outlives_kill_9_of_service_and_server)
{
    up();
    char account[64], order[64];
    snprintf(account, sizeof(account), "%s", customer("tok_ok"));
    snprintf(order, sizeof(order), "%s", field(place(account, "k1"), "order_id"));
    process_kill(&order_svc);
    server_kill(&server);
    server_start(&server);
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    cr_assert(says(place(account, "k1"), order));
    wait_for_stats("order-svc", "\"position\":3,\"published\":3,\"outbox\":0");
}

Test(service_live, a_lost_database_comes_back_from_the_streams)
{
    up();
    char account[64], order[64], command[300];
    snprintf(account, sizeof(account), "%s", customer("tok_declined"));
    snprintf(order, sizeof(order), "%s", field(place(account, "k1"), "order_id"));
    wait_for_stats("account-svc", "\"position\":3,"); /* it has reacted: CardDeclined */
    process_kill(&order_svc);
    process_kill(&account_svc);
    snprintf(command, sizeof(command), "rm -r '%s' '%s'", order_svc.folder, account_svc.folder);
    cr_assert_eq(system(command), 0);
    process_start(&order_svc, &server);
    process_start(&account_svc, &server);
    wait_for_stats("order-svc", "\"cursor\":3,\"lag\":0");
    wait_for_stats("account-svc", "\"cursor\":3,\"lag\":0");
    wait_for_stats("order-svc", "\"state\":\"ready\""); /* until then it refuses: replaying */
    cr_assert(says(place(account, "k1"), order), "the key is known again");
    wait_for_stats("account-svc", "\"position\":3,"); /* and it has not reacted twice */
}

/* Its own log is read back first; the others' come after, and until then it would refuse for want
 * of knowledge, and remember that under the key. */
Test(service_live, a_lost_database_refuses_nobody_whom_it_does_not_know_yet)
{
    up();
    char account[64], body[300], key[16];
    snprintf(account, sizeof(account), "%s", customer("tok_ok"));
    cr_assert(says(place(account, NULL), "placed"));
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"address\":{\"street\":\"2\",\"city\":\"Lyon\",\"postal_"
             "code\":\"1\",\"country\":\"FR\"}}",
             account);
    for (int i = 0; i < 300; i++)
        cr_assert(says(ask_text("account.change-address", body), "position"));
    wait_for_stats("order-svc", "\"position\":3,\"published\":3,\"outbox\":0");
    process_kill(&order_svc);
    snprintf(body, sizeof(body), "rm -r '%s'", order_svc.folder);
    cr_assert_eq(system(body), 0);
    process_start(&order_svc, &server);
    const char *answer = "";
    for (int i = 0; !says(answer, "placed"); i++) {
        snprintf(key, sizeof(key), "k%d", i);
        answer = place(account, key);
        cr_assert(says(answer, "placed") || says(answer, "replaying") ||
                      says(answer, "nobody listens"),
                  "%s", answer);
    }
}

Test(service_live, a_deleted_stream_heals_with_the_same_sequences)
{
    up();
    char account[64];
    snprintf(account, sizeof(account), "%s", customer("tok_ok"));
    for (int i = 0; i < 5; i++)
        cr_assert(says(place(account, NULL), "placed"));
    wait_for_stats("order-svc", "\"position\":11,\"published\":11,\"outbox\":0");
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    cr_assert(says(place(account, NULL), "placed"));
    wait_for_stats("order-svc", "\"position\":13,\"published\":13,\"outbox\":0");
    const char *info = ask_text("$JS.API.STREAM.INFO.ORDER", "");
    cr_assert(says(info, "\"messages\":13") && number(info, "last_seq") == 13 &&
                  number(info, "first_seq") == 1,
              "%s", info);
    wait_for_stats("account-svc", "\"cursor\":13,\"lag\":0");
    /* the statistics name what was healed */
    wait_for_stats("order-svc", "\"republished\":11,");
}

/* Nothing can bring those events back. But those who have read them know that they were there, and
 * say so. */
Test(service_live, a_log_lost_with_its_stream_is_noticed_by_its_readers)
{
    up();
    char account[64], command[200];
    snprintf(account, sizeof(account), "%s", customer("tok_ok"));
    cr_assert(says(place(account, NULL), "placed"));
    wait_for_stats("account-svc", "\"cursor\":3,\"lag\":0");
    process_kill(&order_svc);
    snprintf(command, sizeof(command), "rm -r '%s'", order_svc.folder);
    cr_assert_eq(system(command), 0);
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    process_start(&order_svc, &server);
    wait_for_stats("account-svc", "\"cursor\":3,\"lag\":0,\"state\":\"forked\"");
    snprintf(command, sizeof(command), "{\"account_id\":\"%s\"}", account);
    cr_assert(says(ask_text("account.get", command), "Ada"), "queries go on");
}

Test(service_live, a_foreign_message_in_a_stream_is_named_and_nobody_writes_on)
{
    up();
    char account[64], body[200];
    snprintf(account, sizeof(account), "%s", customer("tok_ok"));
    cr_assert(says(place(account, NULL), "placed"));
    wait_for_stats("order-svc", "\"position\":3,\"published\":3,");
    cr_assert(says(ask_text("evt.order.Nonsense", "{}"), "\"seq\":4"));
    /* its events are refused by the stream */
    cr_assert(says(place(account, NULL), "placed"));
    wait_for_stats("order-svc", "\"state\":\"forked\"");
    cr_assert(says(place(account, NULL), "internal"));
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\"}", account);
    cr_assert(says(ask_text("order.list", body), "order_id"), "queries go on");
    wait_for_stats("account-svc", "\"state\":\"ready\"");
    cr_assert(says(ask_text("account.get", body), "Ada"), "the reader lives");
    cr_assert_eq(process_stop(&account_svc), 0);
}

Test(service_live, nobody_makes_a_service_publish_elsewhere)
{
    up();
    const char *account = customer("tok_ok");
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
    cr_assert(says(place(account, NULL), "placed"));
    wait_for_stats("order-svc", "\"position\":3,\"published\":3,\"outbox\":0");
    cr_assert(says(ask_text("$JS.API.STREAM.INFO.ORDER", ""), "\"messages\":3"));
}

Test(service_live, an_answer_may_demand_a_position)
{
    up();
    const char *account = customer("tok_ok");
    char body[200];
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"min_position\":{\"ORDER\":1,\"ACCOUNT\":2}}", account);
    cr_assert(says(ask_text("order.list", body), "\"orders\":[]"));
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\",\"min_position\":{\"ORDER\":99}}",
             account);
    cr_assert(says(ask_text("order.list", body), "replaying"));
}

Test(service_live, the_micro_protocol_answers)
{
    up();
    cr_assert(
        says(ask_text("$SRV.PING.order-svc", ""), "\"type\":\"io.nats.micro.v1.ping_response\""));
    cr_assert(says(ask_text("$SRV.INFO.order-svc", ""), "\"subject\":\"order.place\""));
    const char *stats = ask_text("$SRV.STATS.account-svc", "");
    static const char *const parts[] = { "\"num_requests\"", "\"outbox\"", "\"queue\"",
                                         "\"last_commit\"",  "\"state\"",  "\"lag\"" };
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        cr_assert(says(stats, parts[i]), "no %s in %s", parts[i], stats);
}

Test(service_live, sigterm_ends_in_order_and_all_that_was_answered_is_there)
{
    up();
    char account[64];
    snprintf(account, sizeof(account), "%s", customer("tok_ok"));
    for (int i = 0; i < 20; i++)
        cr_assert(says(place(account, NULL), "placed"));
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert_eq(process_stop(&account_svc), 0);
    process_start(&order_svc, &server);
    /* a product, 20 orders, 20 payments */
    wait_for_stats("order-svc", "\"position\":41,\"published\":41,\"outbox\":0");
}

#define STOP_MAX_MS 15000

Test(service_live, sigterm_ends_it_also_when_the_server_is_away_or_paused)
{
    up();
    kill(server.pid, SIGSTOP);
    int64_t start_ms = clock_monotonic_ms();
    cr_assert_eq(process_stop(&order_svc), 0);
    kill(server.pid, SIGCONT);
    cr_assert_lt(clock_monotonic_ms() - start_ms, STOP_MAX_MS);
    server_kill(&server);
    start_ms = clock_monotonic_ms();
    cr_assert_eq(process_stop(&account_svc), 0);
    cr_assert_lt(clock_monotonic_ms() - start_ms, STOP_MAX_MS);
}

/* Exit code 78, and not a crash on the way out; 69 for those who do not want to wait for a
 * server. */
Test(service_live, what_it_cannot_start_with_it_says_by_its_exit_code)
{
    setenv("NATS_CA", getenv("ORDER_SVC"), 1); /* a file, but not of certificates */
    process_start(&order_svc, &server);
    cr_assert_eq(process_end(&order_svc), 78);
    unsetenv("NATS_CA");
    setenv("JOURNEY_NO_RETRY", "1", 1);
    process_start(&order_svc, &server);
    cr_assert_eq(process_end(&order_svc), 69);
    unsetenv("JOURNEY_NO_RETRY");
    setenv("ORDER_PAYMENT", "barter", 1);
    process_start(&order_svc, &server);
    cr_assert_eq(process_end(&order_svc), 78);
    unsetenv("ORDER_PAYMENT");
    char folder[sizeof(order_svc.folder)];
    snprintf(folder, sizeof(folder), "%s", order_svc.folder);
    snprintf(order_svc.folder, sizeof(order_svc.folder), "/dev/null/order");
    cr_assert_eq(process_tool(&order_svc, &server, NULL, NULL, NULL), 78);
    cr_assert(says(tool_output(), "cannot make the data folder"), "%s", tool_output());
    snprintf(order_svc.folder, sizeof(order_svc.folder), "%s", folder);
}
