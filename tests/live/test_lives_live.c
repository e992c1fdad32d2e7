/* Starts and ends of the shipped services on a real nats-server: starts in any order, kills, lost
 * files and streams, foreign messages, and SIGTERM. */
#include "shop.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"

TestSuite(lives_live, .init = shop_init, .fini = shop_close);

Test(lives_live, services_start_before_their_server_in_any_order)
{
    process_start(&order_svc, &server);
    process_start(&account_svc, &server);
    server_start(&server);
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    wait_for_stats("account-svc", "\"state\":\"ready\"");
    const char *account = shop_customer("tok_ok");
    cr_assert(says(shop_place(account, NULL), "placed"));
}

Test(lives_live, a_key_outlives_kill_9_of_service_and_server)
{
    shop_up();
    char account[64], order[64];
    snprintf(account, sizeof(account), "%s", shop_customer("tok_ok"));
    snprintf(order, sizeof(order), "%s", field(shop_place(account, "k1"), "order_id"));
    process_kill(&order_svc);
    server_kill(&server);
    server_start(&server);
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    cr_assert(says(shop_place(account, "k1"), order));
    wait_for_stats("order-svc", "\"position\":{ORDER:3},\"published\":{ORDER:3},\"outbox\":0");
}

Test(lives_live, a_lost_database_comes_back_from_the_streams)
{
    shop_up();
    char account[64], order[64], command[300];
    snprintf(account, sizeof(account), "%s", shop_customer("tok_declined"));
    snprintf(order, sizeof(order), "%s", field(shop_place(account, "k1"), "order_id"));
    wait_for_stats("account-svc", "\"position\":{ACCOUNT:3},"); /* the reaction: CardDeclined */
    process_kill(&order_svc);
    process_kill(&account_svc);
    snprintf(command, sizeof(command), "rm -r '%s' '%s'", order_svc.folder, account_svc.folder);
    cr_assert_eq(system(command), 0);
    process_start(&order_svc, &server);
    process_start(&account_svc, &server);
    wait_for_stats("order-svc", "\"cursor\":{ACCOUNT:3},\"lag\":0");
    wait_for_stats("account-svc", "\"cursor\":{ORDER:3},\"lag\":0");
    /* until then requests are refused: replaying */
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    cr_assert(says(shop_place(account, "k1"), order), "the key is known again");
    wait_for_stats("account-svc",
                   "\"position\":{ACCOUNT:3},"); /* and there was no second reaction */
}

/* Some hundred events, and the database is lost with the service. */
static void lose_database_of_a_hundred(void)
{
    char command[200];
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    cr_assert(says(ask_text("order.add-product",
                            "{\"sku\":\"tea\",\"name\":\"Tea\",\"price\":{\"amount\":450,"
                            "\"currency\":\"EUR\"},\"stock\":0}"),
                   "position"));
    for (int i = 0; i < 99; i++)
        cr_assert(
            says(ask_text("order.receive-stock", "{\"sku\":\"tea\",\"quantity\":1}"), "position"));
    cr_assert_eq(process_stop(&order_svc), 0);
    snprintf(command, sizeof(command), "rm -r '%s'", order_svc.folder);
    cr_assert_eq(system(command), 0);
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    cr_assert(says(ask_text("order.products", "{}"), "\"stock\":99"));
}

Test(lives_live, a_long_stream_is_read_message_by_message_where_pulls_are_forbidden)
{
    static const char denied[] =
        "authorization { users: [ { user: all, password: all, permissions: { publish: { deny: "
        "[\"$JS.API.CONSUMER.MSG.NEXT.ORDER.*\"] } } } ] }\nno_auth_user: all\n";
    server.config = denied;
    server_start(&server);
    lose_database_of_a_hundred();
    cr_assert(says(ask_text("$SRV.STATS.order-svc", ""), "one by one: no message comes"));
}

Test(lives_live, a_long_stream_is_read_in_bulk)
{
    server_start(&server);
    lose_database_of_a_hundred();
    cr_assert_not(says(ask_text("$SRV.STATS.order-svc", ""), "one by one"));
}

/* The service replays its own log first and the logs of others after that. A request between the
 * two must not be refused for a customer who is not yet known, because the key would remember the
 * refusal. */
Test(lives_live, a_lost_database_refuses_no_account_before_its_replay_ends)
{
    shop_up();
    char account[64], body[300], key[16];
    snprintf(account, sizeof(account), "%s", shop_customer("tok_ok"));
    cr_assert(says(shop_place(account, NULL), "placed"));
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"address\":{\"street\":\"2\",\"city\":\"Lyon\",\"postal_"
             "code\":\"1\",\"country\":\"FR\"}}",
             account);
    for (int i = 0; i < 300; i++)
        cr_assert(says(ask_text("account.change-address", body), "position"));
    wait_for_stats("order-svc", "\"position\":{ORDER:3},\"published\":{ORDER:3},\"outbox\":0");
    process_kill(&order_svc);
    snprintf(body, sizeof(body), "rm -r '%s'", order_svc.folder);
    cr_assert_eq(system(body), 0);
    process_start(&order_svc, &server);
    const char *answer = "";
    for (int i = 0; !says(answer, "placed"); i++) {
        snprintf(key, sizeof(key), "k%d", i);
        answer = shop_place(account, key);
        cr_assert(says(answer, "placed") || says(answer, "replaying") ||
                      says(answer, "nobody listens"),
                  "%s", answer);
    }
}

Test(lives_live, a_deleted_stream_heals_with_the_same_sequences)
{
    shop_up();
    char account[64];
    snprintf(account, sizeof(account), "%s", shop_customer("tok_ok"));
    for (int i = 0; i < 5; i++)
        cr_assert(says(shop_place(account, NULL), "placed"));
    wait_for_stats("order-svc", "\"position\":{ORDER:11},\"published\":{ORDER:11},\"outbox\":0");
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    cr_assert(says(shop_place(account, NULL), "placed"));
    wait_for_stats("order-svc", "\"position\":{ORDER:13},\"published\":{ORDER:13},\"outbox\":0");
    const char *info = ask_text("$JS.API.STREAM.INFO.ORDER", "");
    cr_assert(says(info, "\"messages\":{ORDER:13}") &&
                  number(info, "last_seq") == head_of("ORDER", 13) &&
                  number(info, "first_seq") == 1,
              "%s", info);
    wait_for_stats("account-svc", "\"cursor\":{ORDER:13},\"lag\":0");
    /* the statistics name what was repaired */
    wait_for_stats("order-svc", "\"republished\":{ORDER:11},");
}

/* These events are lost. But their readers know that they existed, and their leader asks them
 * before it begins at position 1. */
Test(lives_live, a_log_lost_with_its_stream_is_noticed_by_its_readers)
{
    shop_up();
    char account[64], command[200];
    snprintf(account, sizeof(account), "%s", shop_customer("tok_ok"));
    cr_assert(says(shop_place(account, NULL), "placed"));
    wait_for_stats("account-svc", "\"cursor\":{ORDER:3},\"lag\":0");
    process_kill(&order_svc);
    snprintf(command, sizeof(command), "rm -r '%s'", order_svc.folder);
    cr_assert_eq(system(command), 0);
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "a reader has read further than our log and our stream go");
    snprintf(command, sizeof(command), "{\"account_id\":\"%s\"}", account);
    cr_assert(says(ask_text("account.get", command), "Ada"), "queries go on");
}

/* Both have lost the last events, and then the stream goes altogether: the positions were used. */
static _Bool adds_product(const char *sku, const char *part)
{
    char body[200];
    snprintf(body, sizeof(body),
             "{\"sku\":\"%s\",\"name\":\"Tea\",\"price\":{\"amount\":450,\"currency\":\"EUR\"},"
             "\"stock\":1000}",
             sku);
    return says(ask_text("order.add-product", body), part);
}

static int tool(const char *name, const char *first, const char *second)
{
    return process_tool(&order_svc, &server, name, first, second);
}

#define assert_says(part) cr_assert(says(tool_output(), part), "%s", tool_output())

Test(lives_live, fault_56_a_fork_outlives_its_stream_until_a_person_has_chosen)
{
    char path[160], older[200];
    shop_up();
    process_kill(&account_svc); /* it would know better */
    cr_assert(adds_product("pot", "\"position\""));
    wait_for_stats("order-svc", "\"position\":{ORDER:1},\"published\":{ORDER:1},");
    snprintf(path, sizeof(path), "%s/order-svc.db", order_svc.folder);
    snprintf(older, sizeof(older), "%s/older", order_svc.folder);
    cr_assert_eq(tool("backup", older, NULL), 0, "%s", tool_output());
    cr_assert(adds_product("mug", "\"position\":{ORDER:2}"));
    cr_assert(adds_product("jug", "\"position\":{ORDER:3}"));
    wait_for_stats("order-svc", "\"position\":{ORDER:3},\"published\":{ORDER:3},");
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert_eq(rename(older, path), 0);
    cr_assert(says(ask_text("$JS.API.STREAM.PURGE.ORDER", ""), "\"success\":true"));
    cr_assert_eq(tool("resolve", NULL, NULL), 0, "%s", tool_output());
    assert_says("lost    the stream was once seen to go up to");
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"forked\"");

    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    cr_assert_eq(process_stop(&order_svc), 0);
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"forked\"");
    cr_assert_eq(tool("resolve", NULL, NULL), 0, "%s", tool_output());
    assert_says("lost    the stream was once seen to go up to");
    assert_says("resolve --keep log");
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert_eq(tool("resolve", "--keep", "log"), 0, "%s", tool_output());
    process_start(&order_svc, &server);
    wait_for_stats(
        "order-svc",
        "\"state\":\"ready\",\"relay\":\"publishing\",\"position\":{ORDER:1},\"published\":"
        "{ORDER:1},");
}

Test(lives_live, a_foreign_message_in_a_stream_is_healed_from_the_log)
{
    shop_up();
    char account[64], body[200];
    snprintf(account, sizeof(account), "%s", shop_customer("tok_ok"));
    cr_assert(says(shop_place(account, NULL), "placed"));
    wait_for_stats("order-svc", "\"position\":{ORDER:3},\"published\":{ORDER:3},");
    cr_assert(says(ask_text("evt.order.Nonsense", "{}"), "\"seq\":{ORDER:4}"));
    /* the first of its events is refused by the stream */
    cr_assert(says(shop_place(account, NULL), "placed"));
    wait_for_stats("order-svc", "\"stream_remade\":1,");
    wait_for_stats("order-svc", "\"position\":{ORDER:5},\"published\":{ORDER:5},");
    cr_assert(says(shop_place(account, NULL), "placed"));
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\"}", account);
    cr_assert(says(ask_text("order.list", body), "order_id"));
    wait_for_stats("account-svc", "\"cursor\":{ORDER:7},\"lag\":0");
    cr_assert(says(ask_text("account.get", body), "Ada"), "the reader lives");
    cr_assert_eq(process_stop(&account_svc), 0);
}

Test(lives_live, sigterm_stops_in_order_and_keeps_all_that_was_answered)
{
    shop_up();
    char account[64];
    snprintf(account, sizeof(account), "%s", shop_customer("tok_ok"));
    for (int i = 0; i < 20; i++)
        cr_assert(says(shop_place(account, NULL), "placed"));
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert_eq(process_stop(&account_svc), 0);
    process_start(&order_svc, &server);
    /* a product, 20 orders, 20 payments */
    wait_for_stats("order-svc", "\"position\":{ORDER:41},\"published\":{ORDER:41},\"outbox\":0");
}

#define STOP_MAX_MS 15000

Test(lives_live, sigterm_stops_a_service_whose_server_is_gone_or_paused)
{
    shop_up();
    kill(server.pid, SIGSTOP);
    int64_t start_ms = clock_monotonic_ms();
    cr_assert_eq(process_stop(&order_svc), 0);
    kill(server.pid, SIGCONT);
    cr_assert_lt(clock_monotonic_ms() - start_ms, slower_ms(STOP_MAX_MS));
    server_kill(&server);
    start_ms = clock_monotonic_ms();
    cr_assert_eq(process_stop(&account_svc), 0);
    cr_assert_lt(clock_monotonic_ms() - start_ms, slower_ms(STOP_MAX_MS));
}

/* Exit code 78 without a crash at the end; 69 with --no-retry and no server. */
Test(lives_live, each_reason_not_to_start_has_its_exit_code)
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
