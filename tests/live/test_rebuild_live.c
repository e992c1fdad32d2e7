/* Rebuild, with the shipped services on a real nats-server. A paused leader (SIGSTOP) holds a
 * rebuild in its middle for as long as a test needs. */
#include "shop.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/result.h"
#include "store/db.h"

static char account[64], database[128], scratch[136];

#define ADDRESS \
    "{\"street\":\"1 Rue\",\"city\":\"Paris\",\"postal_code\":\"75002\",\"country\":\"FR\"}"

static void up(struct process *process, const char *name)
{
    process_start(process, &server);
    wait_for_stats(name, "\"state\":\"ready\"");
}

static void setup(void)
{
    shop_open();
    snprintf(database, sizeof(database), "%s/order-svc.db", order_svc.folder);
    snprintf(scratch, sizeof(scratch), "%s.rebuild", database);
    snprintf(account, sizeof(account), "%s", shop_customer("tok_ok"));
}

TestSuite(rebuild_live, .init = setup, .fini = shop_close);

/* ---- Asking without waiting ----------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char late_answer[4096];
static _Bool has_late_answer;
static struct bus_subscription *late;

static void on_late_answer(void *context, struct bus_message *message)
{
    (void)context;
    pthread_mutex_lock(&lock);
    snprintf(late_answer, sizeof(late_answer), "%s", bus_message_data(message));
    has_late_answer = 1;
    pthread_mutex_unlock(&lock);
    bus_message_free(message);
}

static _Bool is_answered(void *context)
{
    (void)context;
    pthread_mutex_lock(&lock);
    _Bool answered = has_late_answer;
    pthread_mutex_unlock(&lock);
    return answered;
}

static _Bool is_there(void *context)
{
    return access(context, F_OK) == 0;
}

/* Returns when the rebuild waits in its middle for the paused leader. */
static void begin_and_hold(void)
{
    static char inbox[BUS_INBOX_SIZE];
    cr_assert_eq(kill(account_svc.pid, SIGSTOP), 0);
    if (!late) {
        cr_assert_eq(bus_new_inbox(customer_bus(), inbox), 0);
        cr_assert_eq(bus_subscribe(customer_bus(), inbox, NULL, on_late_answer, NULL, &late), 0);
    }
    has_late_answer = 0;
    struct bus_outgoing message = {
        .subject = "order.rebuild", .reply = inbox, .data = "{}", .length = 2
    };
    cr_assert_eq(bus_publish(customer_bus(), BUS_URGENT, &message), 0);
    cr_assert(wait_until(is_there, scratch, FAR_MS), "no scratch file");
}

static const char *wait_for_its_answer(void)
{
    cr_assert(wait_until(is_answered, NULL, FAR_MS), "no answer");
    bus_subscription_free(late);
    late = NULL;
    return late_answer;
}

static const char *let_it_end(void)
{
    cr_assert_eq(kill(account_svc.pid, SIGCONT), 0);
    return wait_for_its_answer();
}

/* ---- Looking and planting ------------------------------------------------------------------- */

static void plant_in(const char *path, const char *sql)
{
    struct db_options options = { .path = path, .lock_timeout_ms = FAR_MS };
    _free_(db) struct db *db = NULL;
    cr_assert(db_open(&options, &db) == 0 && db_script(db, sql) == 0, "%s", failure_text());
}

static void plant(const char *sql)
{
    plant_in(database, sql);
}

static int64_t count(const char *sql)
{
    struct db_options options = { .path = database, .read_only = 1, .lock_timeout_ms = FAR_MS };
    _free_(db) struct db *db = NULL;
    int64_t value = -1;
    cr_assert(db_open(&options, &db) == 0 && db_find_number(db, &value, sql, "") == 0, "%s",
              failure_text());
    return value;
}

static _Bool places(void)
{
    char body[200];
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}", account);
    return says(ask_text("order.place", body), "placed");
}

static void rebuilds_and_says(const char *part)
{
    const char *answer = ask_text("order.rebuild", "{}");
    cr_assert(says(answer, part), "%s instead of %s", answer ? answer : "no answer", part);
}

/* In a table of our own log, in one of another's log, and in one that the next orders change. */
#define PLANTED                                                                                    \
    "DELETE FROM order_lines; UPDATE customers SET city = 'Elsewhere'; UPDATE products SET stock " \
    "= 7; "                                                                                        \
    "INSERT INTO customers SELECT 'acc_ghost', is_open, name, street, city, postal_code, country " \
    "FROM customers"

static _Bool is_planted(void)
{
    return count("SELECT count(*) FROM products WHERE stock = 7") == 1;
}
static _Bool is_right(void)
{
    return count("SELECT count(*) FROM customers WHERE city = 'Paris'") == 1 &&
           count("SELECT count(*) FROM customers") == 1 &&
           count("SELECT count(*) FROM order_lines") == count("SELECT count(*) FROM orders") &&
           count("SELECT stock FROM products") == 1000 - count("SELECT count(*) FROM orders");
}

/* ---- The tests ------------------------------------------------------------------------------ */

Test(rebuild_live, a_service_answers_during_a_rebuild_and_rows_are_repaired)
{
    cr_assert(places());
    rebuilds_and_says("\"tables\":[]");
    plant(PLANTED);
    begin_and_hold();
    cr_assert(places() && places(), "orders are taken in the middle");
    rebuilds_and_says("a rebuild is under way");
    cr_assert(says(ask_text("order.redrive", "{}"), "a rebuild is under way"));
    const char *answer = let_it_end();
    cr_assert(
        says(answer,
             "{\"table\":\"order_lines\",\"missing\":1,\"extra\":0,\"changed\":0,\"keys\":[\"ord_"),
        "%s", answer);
    cr_assert(
        says(answer,
             "{\"table\":\"customers\",\"missing\":0,\"extra\":1,\"changed\":1,\"keys\":[\"acc_"),
        "%s", answer);
    cr_assert(
        says(answer,
             "{\"table\":\"products\",\"missing\":0,\"extra\":0,\"changed\":1,\"keys\":[\"tea\"]}"),
        "%s", answer);
    cr_assert_not(says(answer, "Elsewhere") || says(answer, "Ada"), "%s", answer);
    cr_assert(is_right());
    cr_assert(access(scratch, F_OK) != 0, "the scratch file is gone");
    wait_for_stats("order-svc", "\"rebuilds\":2,\"rebuilt_rows\":4,\"rebuild_events\":0,");
    cr_assert(places());
    rebuilds_and_says("\"tables\":[]");
    cr_assert_eq(process_tool(&order_svc, &server, "verify", NULL, NULL), 0, "%s", tool_output());
}

Test(rebuild_live, open_orders_are_paid_after_the_process_restarts)
{
    plant("UPDATE products SET stock = 7");
    for (int i = 0; i < 5; i++)
        cr_assert(places());
    rebuilds_and_says("\"changed\":1");
    /* the product, five orders, five payments */
    wait_for_stats("order-svc", "\"position\":{ORDER:11},");
    cr_assert(count("SELECT stock FROM products") == 995);
}

/* Orders arrive all the time, so that the cursor of account-svc hardly ever rests by itself. */
Test(rebuild_live, events_of_others_wait_for_the_swap_and_go_on_in_order)
{
    char path[128], body[200];
    cr_assert(places());
    wait_for_stats("account-svc", "\"cursor\":{ORDER:3},\"lag\":0");
    snprintf(path, sizeof(path), "%s/account-svc.db", account_svc.folder);
    plant_in(path, "UPDATE purchases SET amount = 7");
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}", account);
    struct bus_outgoing order = { .subject = "order.place", .data = body, .length = strlen(body) };
    for (int i = 0; i < 500; i++)
        cr_assert_eq(bus_publish(customer_bus(), BUS_BULK, &order), 0);
    const char *answer = ask_text("account.rebuild", "{}");
    cr_assert(says(answer, "{\"table\":\"purchases\",\"missing\":0,\"extra\":0,\"changed\":1,"),
              "%s", answer);
    wait_for_stats("account-svc", "\"gaps\":0");
    cr_assert_eq(process_tool(&account_svc, &server, "verify", NULL, NULL), 0, "%s", tool_output());
}

Test(rebuild_live, an_unreachable_leader_is_named_and_nothing_is_changed)
{
    cr_assert(places());
    plant(PLANTED);
    process_kill(&account_svc);
    rebuilds_and_says("account.events");
    cr_assert(is_planted() && access(scratch, F_OK) != 0);
    cr_assert(places());
    up(&account_svc, "account-svc");
    rebuilds_and_says("\"changed\":1");
    cr_assert(is_right());
    rebuilds_and_says("\"tables\":[]");
}

Test(rebuild_live, a_kill_in_the_middle_leaves_nothing_behind)
{
    cr_assert(places());
    plant(PLANTED);
    begin_and_hold();
    process_kill(&order_svc);
    cr_assert_eq(kill(account_svc.pid, SIGCONT), 0);
    cr_assert(access(scratch, F_OK) == 0 && is_planted());
    up(&order_svc, "order-svc");
    cr_assert(access(scratch, F_OK) != 0 && is_planted());
    rebuilds_and_says("\"changed\":1");
    cr_assert(is_right());
}

Test(rebuild_live, a_stop_in_the_middle_is_answered_and_leaves_nothing_behind)
{
    plant(PLANTED);
    begin_and_hold();
    kill(order_svc.pid, SIGTERM);
    /* a stop ends its wait for the leader */
    cr_assert(says(wait_for_its_answer(), "busy"), "%s", late_answer);
    cr_assert_eq(process_end(&order_svc), 0);
    cr_assert(access(scratch, F_OK) != 0 && is_planted());
}

#ifdef JOURNEY_CRASH_POINTS
/* Before and after the commit of the swap. */
Test(rebuild_live, after_a_kill_at_the_swap_the_tables_are_the_old_or_the_new_ones)
{
    static const struct {
        const char *at;
        _Bool done;
    } cases[] = { { "before_swap_commit", 0 }, { "after_swap_commit", 1 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        process_stop(&order_svc);
        plant("UPDATE products SET stock = 7");
        setenv("JOURNEY_CRASH_AT", cases[i].at, 1);
        up(&order_svc, "order-svc");
        unsetenv("JOURNEY_CRASH_AT");
        struct bus_outgoing message = { .subject = "order.rebuild", .data = "{}", .length = 2 };
        cr_assert_eq(bus_publish(customer_bus(), BUS_URGENT, &message), 0);
        cr_assert_neq(process_end(&order_svc), 0);
        cr_assert_eq(count("SELECT stock FROM products"), cases[i].done ? 1000 : 7, "%s",
                     cases[i].at);
        up(&order_svc, "order-svc");
        rebuilds_and_says(cases[i].done ? "\"tables\":[]" : "\"changed\":1");
    }
}
#endif
