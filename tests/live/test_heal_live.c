/* Repairs by an operator's commands, with the shipped services on a real nats-server. */
#include "shop.h"
#include "other_way.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/result.h"
#include "store/db.h"

TestSuite(heal_live, .init = shop_open, .fini = shop_close);

#define ADDRESS \
    "{\"street\":\"1 Rue\",\"city\":\"%s\",\"postal_code\":\"75002\",\"country\":\"FR\"}"

static const char *register_account(const char *email)
{
    char body[300];
    snprintf(body, sizeof(body),
             "{\"name\":\"Ada Lovelace\",\"email\":\"%s\",\"address\":" ADDRESS "}", email,
             "Paris");
    return field(ask_text("account.register", body), "account_id");
}

static void move_to(const char *account, const char *city)
{
    char body[300];
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\",\"address\":" ADDRESS "}", account, city);
    cr_assert(says(ask_text("account.change-address", body), "position"));
}

/* Writes to order-svc's file while the service runs, to make a fault and to end it. */
static void change_order_tables(const char *sql)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/order-svc.db", order_svc.folder);
    struct db_options options = { .path = path, .lock_timeout_ms = FAR_MS };
    _free_(db) struct db *db = NULL;
    cr_assert(db_open(&options, &db) == 0 && db_script(db, sql) == 0, "%s", failure_text());
}

struct question {
    const char *subject, *body, *answer;
};

static _Bool somebody_listens(void *context)
{
    struct question *question = context;
    question->answer = ask_text(question->subject, question->body);
    return !says(question->answer, "nobody listens");
}

/* A service tells its state a moment before it takes requests. */
static _Bool asks_and_hears(const char *subject, const char *body, const char *part)
{
    struct question question = { subject, body, NULL };
    wait_until(somebody_listens, &question, FAR_MS);
    const char *answer = question.answer;
    if (!says(answer, part))
        fprintf(stderr, "%s %s: %s\n", subject, body, answer ? answer : "no answer");
    return says(answer, part);
}

/* Row 41: an event that cannot be applied is parked, the others go on, and the reason can be
 * removed. */
Test(heal_live, fault_41_parked_events_are_redriven_in_order_and_answers_say_that_they_are_stale)
{
    char ada[64], bob[64], orders_of_ada[128], orders_of_bob[128];
    snprintf(ada, sizeof(ada), "%s", register_account("ada@example.org"));
    snprintf(bob, sizeof(bob), "%s", register_account("bob@example.org"));
    snprintf(orders_of_ada, sizeof(orders_of_ada), "{\"account_id\":\"%s\"}", ada);
    snprintf(orders_of_bob, sizeof(orders_of_bob), "{\"account_id\":\"%s\"}", bob);
    wait_for_stats("order-svc", "\"cursor\":{ACCOUNT:2},\"lag\":0");
    /* a number that is too large for one customer (triggers do nothing in the service) */
    change_order_tables(
        "CREATE INDEX poison ON customers (abs(-9223372036854775807 - (city = 'Nowhere')));");
    move_to(ada, "Nowhere");
    move_to(bob, "Lyon");
    move_to(ada, "Nice");
    wait_for_stats("order-svc", "\"parked\":2,");
    wait_for_stats("order-svc", "\"cursor\":{ACCOUNT:5},\"lag\":0");
    cr_assert(asks_and_hears("order.parked", "{}", "integer overflow"));
    cr_assert(asks_and_hears("order.list", orders_of_ada, "\"parked\":2"));
    cr_assert(asks_and_hears("order.list", orders_of_ada, "\"stale\":true"));
    cr_assert_not(says(ask_text("order.list", orders_of_bob), "stale"));

    cr_assert(asks_and_hears("order.redrive", "{\"log\":\"ORDER\"}",
                             "{\"redriven\":0,\"still_parked\":0}"));
    cr_assert(asks_and_hears("order.redrive", "{}", "{\"redriven\":0,\"still_parked\":2}"));
    change_order_tables("DROP INDEX poison");
    process_kill(&account_svc);
    cr_assert(asks_and_hears("order.redrive", "{}", "\"busy\""));
    cr_assert(asks_and_hears("order.redrive", "{\"day\":1}", "invalid_request"));
    process_start(&account_svc, &server);
    wait_for_stats("account-svc", "\"state\":\"ready\"");
    cr_assert(asks_and_hears("order.redrive", "{}", "{\"redriven\":2,\"still_parked\":0}"));
    wait_for_stats("order-svc", "\"parked\":0,\"redriven\":2,");
    cr_assert(asks_and_hears("order.redrive", "{}", "{\"redriven\":0,\"still_parked\":0}"));
    cr_assert_not(says(ask_text("order.list", orders_of_ada), "stale"));

    char path[160], city[32] = "";
    snprintf(path, sizeof(path), "%s/order-svc.db", order_svc.folder);
    struct db_options options = { .path = path, .read_only = 1, .lock_timeout_ms = FAR_MS };
    _free_(db) struct db *db = NULL;
    _deinit_(query) struct query query = { 0 };
    cr_assert(db_open(&options, &db) == 0);
    cr_assert(
        query_find(&query, db, "SELECT city FROM customers WHERE account_id = ?1", "s", ada) == 0);
    snprintf(city, sizeof(city), "%s", query_text(&query, 0));
    cr_assert_str_eq(city, "Nice", "the later of the two came last");
}

/* ---- Forks, as docs/OPERATIONS.md resolves them --------------------------------------------- */

#define PRODUCT                                                                                   \
    "{\"sku\":\"%s\",\"name\":\"Tea\",\"price\":{\"amount\":450,\"currency\":\"EUR\"},\"stock\":" \
    "1000}"

static _Bool adds_product(const char *sku, const char *part)
{
    char body[200];
    snprintf(body, sizeof(body), PRODUCT, sku);
    return asks_and_hears("order.add-product", body, part);
}

static int tool(const struct process *process, const char *name, const char *first,
                const char *second)
{
    return process_tool(process, &server, name, first, second);
}

#define assert_says(part) cr_assert(says(tool_output(), part), "%s", tool_output())

/* Only the stream is wrong: it is healed from the log, and no person is asked. */
Test(heal_live, fault_45_a_foreign_message_behind_the_log_is_seen_by_all_and_healed)
{
    cr_assert(adds_product("tea", "\"position\":{ORDER:1}"));
    wait_for_stats("order-svc", "\"position\":{ORDER:1},\"published\":{ORDER:1},");
    process_kill(&order_svc);
    cr_assert(says(ask_text("evt.order.Nonsense", "{}"), "\"seq\":{ORDER:2}"));
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says("sequence {ORDER:2} is no event of ours");
    cr_assert_eq(tool(&order_svc, "verify", "--json", NULL), 1);
    assert_says(" is missing\",\"differs\":true}],\"agrees\":false,\"complete\":false}");
    cr_assert_eq(tool(&order_svc, "resolve", NULL, NULL), 0, "%s", tool_output());
    assert_says(
        "1 messages of the stream are no events of order-svc, the first at sequence {ORDER:2}");
    assert_says("no fork: only the stream is wrong");
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\",\"relay\":\"publishing\",\"position\":{ORDER:"
                                "1},\"published\":{ORDER:1},");
    wait_for_stats("order-svc", "\"stream_remade\":1,");
    cr_assert(says(ask_text("evt.order.Nonsense", "{}"), "\"seq\":{ORDER:2}"));
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1, "also of a service that runs");
    assert_says("sequence {ORDER:2} is no event of ours");
    cr_assert(adds_product("mug", "\"position\":{ORDER:2}"));
    wait_for_stats("order-svc", "\"stream_remade\":2,");
    wait_for_stats("order-svc", "\"state\":\"ready\",\"relay\":\"publishing\",\"position\":{ORDER:"
                                "2},\"published\":{ORDER:2},");
    wait_for_stats("account-svc", "\"cursor\":{ORDER:2},\"lag\":0");
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 0, "%s", tool_output());
}

#define STREAM                                                                                 \
    "{\"name\":\"ORDER\",\"subjects\":[\"evt.order.>\"],\"retention\":\"limits\",\"storage\":" \
    "\"file\",\"discard\":\"new\",\"num_replicas\":1}"

/* Log and stream have different events at one position, and no term began between them. */
static void fork_order_svc(void)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/order-svc.db", order_svc.folder);
    process_kill(&account_svc); /* it would be forked as their reader */
    cr_assert(adds_product("tea", "\"position\":{ORDER:1}"));
    cr_assert(adds_product("mug", "\"position\":{ORDER:2}"));
    wait_for_stats("order-svc", "\"position\":{ORDER:2},\"published\":{ORDER:2},");
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    cr_assert(says(ask_text("$JS.API.STREAM.CREATE.ORDER", STREAM), "\"created\""));
    publish_otherwise(customer_bus(), path, head_of("ORDER", 2));
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"forked\"");
}

static _Bool nobody_pulls(void *context)
{
    (void)context;
    return says(ask_text("$JS.API.CONSUMER.INFO.ACCOUNT.order-svc", ""), "\"num_waiting\":0,");
}

/* Another instance may need it, and whoever is forked writes nothing. */
Test(heal_live, who_forks_while_it_runs_reads_others_no_more)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/order-svc.db", order_svc.folder);
    cr_assert(adds_product("tea", "\"position\":{ORDER:1}"));
    wait_for_stats("order-svc", "\"published\":{ORDER:1},");
    process_kill(&account_svc);
    cr_assert_eq(kill(order_svc.pid, SIGSTOP), 0);
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    cr_assert(says(ask_text("$JS.API.STREAM.CREATE.ORDER", STREAM), "\"created\""));
    publish_otherwise(customer_bus(), path, head_of("ORDER", 1));
    cr_assert_eq(kill(order_svc.pid, SIGCONT), 0);
    cr_assert(adds_product("mug", "\"position\""));
    wait_for_stats("order-svc", "\"state\":\"forked\"");
    cr_assert(wait_until(nobody_pulls, NULL, FAR_MS), "it pulls from the durable");
}

Test(heal_live, fault_41_a_fork_is_resolved_for_the_log_by_a_command)
{
    fork_order_svc();
    cr_assert(adds_product("jug", "internal"));
    cr_assert(asks_and_hears("order.products", "{}", "mug"), "queries go on");
    cr_assert(asks_and_hears("order.events", "{\"after_position\":0}", "have forked"),
              "no reader takes what may be thrown away");
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says("sequence 3 is not the log's event at this position");
    cr_assert_eq(tool(&order_svc, "resolve", NULL, NULL), 0,
                 "looking is allowed beside the service: %s", tool_output());
    assert_says("after position 2");
    assert_says("resolve --keep log");
    cr_assert_eq(tool(&order_svc, "resolve", "--keep", "log"), 1, "doing is not");
    assert_says("another process works on this folder");
    process_kill(&order_svc);
    cr_assert_eq(tool(&order_svc, "resolve", "--keep", "log"), 0, "%s", tool_output());
    process_start(&order_svc, &server);
    process_start(&account_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\",\"relay\":\"publishing\",\"position\":{ORDER:"
                                "2},\"published\":{ORDER:2},");
    wait_for_stats("account-svc", "\"cursor\":{ORDER:2},\"lag\":0");
    cr_assert(adds_product("jug", "\"position\":{ORDER:3}"));
    wait_for_stats("account-svc", "\"cursor\":{ORDER:3},\"lag\":0");
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 0, "%s", tool_output());
}

Test(heal_live, fault_28_a_fork_is_resolved_for_the_stream_by_a_command)
{
    cr_assert(adds_product("tea", "\"position\":{ORDER:1}") &&
              adds_product("mug", "\"position\":{ORDER:2}"));
    wait_for_stats("order-svc", "\"position\":{ORDER:2},\"published\":{ORDER:2},");
    process_kill(&order_svc);
    change_order_tables("UPDATE event_log SET chain = (SELECT chain FROM event_log WHERE type = "
                        "'TermBegan') WHERE data LIKE '%mug%'");
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"forked\"");
    cr_assert(adds_product("pot", "internal"));
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says("position 3: the chain does not follow");
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert_eq(tool(&order_svc, "resolve", "--keep", "stream"), 0, "%s", tool_output());
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\",\"relay\":\"publishing\",\"position\":{ORDER:"
                                "2},\"published\":{ORDER:2},");
    cr_assert(adds_product("pot", "\"position\":{ORDER:3}"));
    wait_for_stats("account-svc", "\"cursor\":{ORDER:3},\"lag\":0");
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 0, "%s", tool_output());
}

/* The discarded side had been read: its reader has a chain that the leader no longer has. */
Test(heal_live, fault_41_a_reader_of_the_discarded_side_is_folded_anew)
{
    char path[160], older[200];
    cr_assert(adds_product("tea", "\"position\":{ORDER:1}"));
    wait_for_stats("account-svc", "\"cursor\":{ORDER:1},\"lag\":0");
    snprintf(path, sizeof(path), "%s/order-svc.db", order_svc.folder);
    snprintf(older, sizeof(older), "%s/older", order_svc.folder);
    cr_assert_eq(tool(&order_svc, "backup", older, NULL), 0, "%s", tool_output());
    cr_assert(adds_product("mug", "\"position\":{ORDER:2}"));
    wait_for_stats("account-svc", "\"cursor\":{ORDER:2},\"lag\":0");
    process_kill(&account_svc);
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert_eq(rename(older, path), 0);
    cr_assert_eq(tool(&order_svc, "resolve", "--keep", "log"), 0, "%s", tool_output());
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\",\"relay\":\"publishing\",\"position\":{ORDER:"
                                "1},\"published\":{ORDER:1},");
    cr_assert(adds_product("pot", "\"position\":{ORDER:2}"));
    wait_for_stats("order-svc", "\"published\":{ORDER:2},");
    process_start(&account_svc, &server);
    wait_for_stats("account-svc", "\"state\":\"forked\",\"remade\"");
    cr_assert_eq(tool(&account_svc, "verify", NULL, NULL), 1);
    assert_says("at our cursor, position 3, the leader's log has another chain");
    const char *ada = register_account("ada@example.org");
    cr_assert_not_null(ada, "its own journey goes on");
    wait_for_stats("account-svc", "\"position\":{ACCOUNT:1},\"published\":{ACCOUNT:1},");
    cr_assert_eq(process_stop(&account_svc), 0);
    cr_assert_eq(tool(&account_svc, "resolve", "--keep", "stream"), 0, "%s", tool_output());
    process_start(&account_svc, &server);
    wait_for_stats("account-svc", "\"cursor\":{ORDER:2},\"lag\":0");
    cr_assert(says(ask_text("account.get", "{}"), "error"));
    cr_assert_eq(tool(&account_svc, "verify", NULL, NULL), 0, "%s", tool_output());
}

Test(heal_live, resolve_keeps_no_stream_that_has_lost_messages)
{
    cr_assert(adds_product("tea", "\"position\":{ORDER:1}") &&
              adds_product("mug", "\"position\":{ORDER:2}"));
    wait_for_stats("order-svc", "\"position\":{ORDER:2},\"published\":{ORDER:2},");
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert_eq(tool(&order_svc, "resolve", "--keep", "both"), 2);
    assert_says("usage: order-svc [OPTIONS] resolve");
    cr_assert_eq(tool(&order_svc, "settle", NULL, NULL), 2);
    assert_says("settle is not a command");
    cr_assert_eq(tool(&order_svc, "backup", NULL, NULL), 2);

    cr_assert_eq(tool(&order_svc, "resolve", NULL, NULL), 0, "%s", tool_output());
    assert_says("no fork: the stream is the beginning of the log");
    cr_assert(says(ask_text("$JS.API.STREAM.MSG.DELETE.ORDER", "{\"seq\":1}"), "\"success\":true"));
    cr_assert_neq(tool(&order_svc, "resolve", "--keep", "stream"), 0);
    assert_says("the stream ORDER has lost messages (2 of the sequences 2 to 3)");
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    cr_assert_eq(tool(&order_svc, "resolve", NULL, NULL), 0, "%s", tool_output());
    assert_says("ORDER is not there");
    cr_assert_neq(tool(&order_svc, "resolve", "--keep", "stream"), 0);
    assert_says("nothing could be folded from it");

    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\",\"relay\":\"publishing\",\"position\":{ORDER:"
                                "2},\"published\":{ORDER:2},");
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 0, "%s", tool_output());
}

/* ---- A file that is lost, a stream that has expired ----------------------------------------- */

static void lose_file(const struct process *process, const char *name)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    char path[200];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s.db%s", process->folder, name, suffixes[i]);
        cr_assert(unlink(path) == 0 || i > 0, "%s", path);
    }
}

Test(heal_live, fault_28_a_request_during_a_replay_is_told_the_progress)
{
    cr_assert(adds_product("tea", "\"position\":{ORDER:1}"));
    for (int i = 2; i <= 800; i++)
        cr_assert(
            says(ask_text("order.receive-stock", "{\"sku\":\"tea\",\"quantity\":1}"), "position"));
    wait_for_stats("order-svc", "\"published\":{ORDER:800},");
    cr_assert_eq(process_stop(&order_svc), 0);
    lose_file(&order_svc, "order-svc");
    process_start(&order_svc, &server);
    _Bool told = 0;
    for (;;) {
        const char *answer = ask_text("order.products", "{}");
        if (answer && says(answer, "\"products\""))
            break;
        told |= answer && says(answer, "replaying") && says(answer, "of 801 events");
    }
    cr_assert(told, "somebody asked while it was catching up");
    cr_assert(asks_and_hears("order.products", "{}", "\"stock\":1799"), "%s",
              ask_text("order.products", "{}"));
}

#define EXPIRING                                                                               \
    "{\"name\":\"ORDER\",\"subjects\":[\"evt.order.>\"],\"retention\":\"limits\",\"storage\":" \
    "\"file\",\"discard\":\"new\","                                                            \
    "\"num_replicas\":1,\"duplicate_window\":100000000,\"max_age\":200000000}"

static _Bool stream_is_empty(void *context)
{
    (void)context;
    return says(ask_text("$JS.API.STREAM.INFO.ORDER", ""), "\"messages\":0,");
}

Test(heal_live, a_new_service_boots_from_the_leader_after_the_stream_has_expired)
{
    process_kill(&account_svc);
    lose_file(&account_svc, "account-svc");
    cr_assert(adds_product("tea", "\"position\":{ORDER:1}") &&
              adds_product("mug", "\"position\":{ORDER:2}") &&
              adds_product("pot", "\"position\":{ORDER:3}"));
    wait_for_stats("order-svc", "\"published\":{ORDER:3},");
    cr_assert(says(ask_text("$JS.API.STREAM.UPDATE.ORDER", EXPIRING), "\"max_age\":200000000"));
    cr_assert(wait_until(stream_is_empty, NULL, FAR_MS));
    process_start(&account_svc, &server);
    wait_for_stats("account-svc", "\"cursor\":{ORDER:3},\"lag\":0");
    cr_assert(adds_product("cup", "\"position\":{ORDER:4}"), "and goes on from the stream");
    wait_for_stats("account-svc", "\"cursor\":{ORDER:4},\"lag\":0");
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    cr_assert_eq(tool(&account_svc, "verify", NULL, NULL), 0, "%s", tool_output());
}

/* ---- verify --------------------------------------------------------------------------------- */

Test(heal_live, verify_finds_what_differs_in_each_kind_of_table_and_in_the_stream)
{
    const char *ada = register_account("ada@example.org");
    cr_assert(adds_product("tea", "\"position\":{ORDER:1}") &&
              adds_product("mug", "\"position\":{ORDER:2}"));
    wait_for_stats("order-svc", "\"cursor\":{ACCOUNT:1},\"lag\":0");
    wait_for_stats("order-svc", "\"published\":{ORDER:2},");
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 0, "%s", tool_output());
    assert_says("all as the logs say: customer_cards customers failed_cards late_payments "
                "order_lines orders payment_failures products refunds unsettled");

    change_order_tables("UPDATE products SET stock = 999, name = 'Coffee' WHERE sku = 'tea'");
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says("products: the row tea differs in name stock ; 1 rows differ in all");
    change_order_tables("UPDATE products SET stock = 1000, name = 'Tea' WHERE sku = 'tea'; DELETE "
                        "FROM products WHERE sku = 'mug'");
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says("products: the row mug is missing");
    change_order_tables("INSERT INTO products (sku, name, amount, currency, stock) VALUES ('mug', "
                        "'Tea', 450, 'EUR', 1000)");

    change_order_tables("UPDATE customers SET city = 'Rome'");
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says(ada);
    assert_says("differs in city");
    cr_assert_not(says(tool_output(), "Rome") || says(tool_output(), "Paris"), "no personal data");
    process_kill(&account_svc);
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 0, "%s", tool_output());
    assert_says("not compared, because it needs the others' logs: customers");
    assert_says("what was compared agrees");
    change_order_tables("UPDATE customers SET city = 'Paris'");

    process_kill(&order_svc);
    cr_assert(says(ask_text("$JS.API.STREAM.MSG.DELETE.ORDER", "{\"seq\":2}"), "\"success\":true"));
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says("sequence 2 is not there");
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says("ORDER is not there, and the log has {ORDER:2} events");
    server_kill(&server);
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 0, "%s", tool_output());
    assert_says("server   not asked");
}

static void copy_of(const char *name, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s", order_svc.folder, name);
    cr_assert_eq(tool(&order_svc, "backup", ret_path, NULL), 0, "%s", tool_output());
}

static void put_back(const char *copy)
{
    char path[160];
    lose_file(&order_svc, "order-svc");
    snprintf(path, sizeof(path), "%s/order-svc.db", order_svc.folder);
    cr_assert_eq(link(copy, path), 0);
}

/* Wrong bytes in the middle of the file, as from a disk that has lost the right ones. */
static void damage(const char *copy)
{
    FILE *file = fopen(copy, "r+");
    cr_assert(file && fseek(file, 5 * 4096 + 100, SEEK_SET) == 0);
    for (int i = 0; i < 8192; i++)
        fputc(0xa5, file);
    cr_assert_eq(fclose(file), 0);
}

Test(heal_live, verify_finds_a_stream_that_goes_further_or_another_way_and_a_damaged_file)
{
    char shorter[160], one_way[160];
    cr_assert(adds_product("tea", "\"position\":{ORDER:1}"));
    copy_of("shorter", shorter, sizeof(shorter));
    cr_assert(adds_product("mug", "\"position\":{ORDER:2}"));
    wait_for_stats("order-svc", "\"position\":{ORDER:2},\"published\":{ORDER:2},");
    copy_of("one-way", one_way, sizeof(one_way));
    cr_assert_eq(process_stop(&order_svc), 0);
    put_back(shorter);
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says("it goes up to 3, the log up to {ORDER:1}");

    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\",\"relay\":\"publishing\",\"position\":{ORDER:"
                                "1},\"published\":{ORDER:1},");
    cr_assert(adds_product("pot", "\"position\":{ORDER:2}"), "another way than to the mug");
    wait_for_stats("order-svc", "\"position\":{ORDER:2},\"published\":{ORDER:2},");
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 0, "%s", tool_output());
    put_back(one_way);
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says("sequence 3 is not the log's event at this position");

    damage(one_way);
    cr_assert_eq(tool(&order_svc, "verify", NULL, NULL), 1);
    assert_says("file     DIFFERENT");
    put_back(shorter);
}
