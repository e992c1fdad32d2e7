/* A leader that was frozen with a full pipeline, and thawed when another leads: the log is the
 * judge (docs/ARCHITECTURE.md, How it heals). */
#include "shop.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "store/db.h"

#define STREAM                                                                                 \
    "{\"name\":\"ORDER\",\"subjects\":[\"evt.order.>\"],\"retention\":\"limits\",\"storage\":" \
    "\"file\",\"discard\":\"new\",\"num_replicas\":1,\"duplicate_window\":100000000,"          \
    "\"max_msgs\":%lld}"
#define PRODUCT                                                                                   \
    "{\"sku\":\"%s\",\"name\":\"Tea\",\"price\":{\"amount\":450,\"currency\":\"EUR\"},\"stock\":" \
    "1000}"

static struct process standby;

static void open_both(void)
{
    shop_init();
    setenv("JOURNEY_TAKE_OVER", "auto", 1);
    process_init(&standby, &server, "ORDER_SVC", "order-standby");
    shop_up();
}

static void close_both(void)
{
    if (order_svc.pid > 0)
        kill(order_svc.pid, SIGCONT);
    if (standby.pid > 0)
        process_kill(&standby);
    shop_close();
}

TestSuite(fence_live, .init = open_both, .fini = close_both);

struct wanted_line {
    const struct process *process;
    const char *text;
};

static _Bool has_line(void *context)
{
    const struct wanted_line *wanted = context;
    char path[160], line[2000];
    snprintf(path, sizeof(path), "%s.log", wanted->process->folder);
    FILE *file = fopen(path, "r");
    _Bool found = 0;
    while (file && !found && fgets(line, sizeof(line), file))
        found = strstr(line, wanted->text) != NULL;
    if (file)
        fclose(file);
    return found;
}

static void wait_for_line(const struct process *process, const char *text)
{
    struct wanted_line wanted = { process, text };
    cr_assert(wait_until(has_line, &wanted, FAR_MS), "%s never says %s", process->folder, text);
}

static _Bool says_line(const struct process *process, const char *text)
{
    struct wanted_line wanted = { process, text };
    return has_line(&wanted);
}

static const char *add(const char *sku)
{
    char body[200];
    snprintf(body, sizeof(body), PRODUCT, sku);
    return ask_text("order.add-product", body);
}

/* The frozen one is still given requests, which wait there until it is thawed: asked until the
 * other has had one. */
static _Bool is_added(void *context)
{
    char body[200];
    snprintf(body, sizeof(body), PRODUCT, (const char *)context);
    customer_send("order.add-product", body);
    snprintf(body, sizeof(body), "%s/order-svc.db", standby.folder);
    struct db_options options = { .path = body, .read_only = 1, .lock_timeout_ms = FAR_MS };
    _free_(db) struct db *db = NULL;
    return db_open(&options, &db) == 0 &&
           db_has_row(db, "SELECT 1 FROM event_log WHERE entity = ?1", "s", context) > 0;
}

static void limit_stream(int64_t messages_max)
{
    char body[400];
    snprintf(body, sizeof(body), STREAM, (long long)messages_max);
    cr_assert(says(ask_text("$JS.API.STREAM.UPDATE.ORDER", body), "\"config\""));
}

/* The names of the files in the folder that begin so. */
static int count_files(const struct process *process, const char *begin)
{
    DIR *folder = opendir(process->folder);
    int count = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        count += strncmp(entry->d_name, begin, strlen(begin)) == 0;
    if (folder)
        closedir(folder);
    return count;
}

/* Row 47. */
Test(fence_live, fault_47_a_leader_thawed_after_the_take_over_is_fenced_and_names_its_orphans)
{
    cr_assert(says(add("tea"), "\"position\""));
    wait_for_stats("order-svc", "\"outbox\":0");
    process_start(&standby, &server);
    wait_for_line(&standby, "event=answers_queries");
    limit_stream(head_of("ORDER", 1)); /* full: what is committed from now on is not published */
    cr_assert(says(add("mug"), "\"position\""), "answered, as of the commit");
    cr_assert_eq(kill(order_svc.pid, SIGSTOP), 0);
    limit_stream(-1);
    wait_for_line(&standby, "event=leading");
    char sku[] = "pot";
    cr_assert(wait_until(is_added, sku, FAR_MS));
    cr_assert_eq(kill(order_svc.pid, SIGCONT), 0);
    wait_for_line(&order_svc, "event=fenced");
    wait_for_line(&order_svc, "event=orphans_set_aside");
    wait_for_line(&order_svc, "event=following");
    cr_assert_eq(count_files(&order_svc, "orphans-1-"), 1);
    cr_assert_eq(count_files(&standby, "orphans-"), 0);
    cr_assert_eq(process_stop(&standby), 0);
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    const char *products = ask_text("order.products", "{}");
    cr_assert(says(products, "tea") && says(products, "pot") && !says(products, "mug"), "%s",
              products);
    wait_for_stats("order-svc", "\"outbox\":0");
    cr_assert_eq(process_tool(&order_svc, &server, "verify", NULL, NULL), 0, "%s", tool_output());
}

/* A service that began with nothing asks for a while whether a reader has more of its log. What the
 * readers have of the one that led meanwhile is no loss. */
Test(fence_live, fault_47_a_thawed_leader_is_fenced_whatever_the_readers_have_read)
{
    cr_assert(says(add("tea"), "\"position\""));
    wait_for_stats("order-svc", "\"outbox\":0");
    process_start(&standby, &server);
    wait_for_line(&standby, "event=answers_queries");
    cr_assert_eq(kill(order_svc.pid, SIGSTOP), 0);
    const int64_t due_ms = clock_monotonic_ms() + 2100; /* it asks each 2 s: at once, when thawed */
    wait_for_line(&standby, "event=leading");
    char sku[16] = "";
    for (int i = 0; i < 10 || clock_monotonic_ms() < due_ms; i++) {
        snprintf(sku, sizeof(sku), "pot-%d", i);
        cr_assert(wait_until(is_added, sku, FAR_MS));
    }
    cr_assert_eq(kill(order_svc.pid, SIGCONT), 0);
    wait_for_line(&order_svc, "event=fenced");
    wait_for_line(&order_svc, "event=following");
    cr_assert_not(says_line(&order_svc, "state=forked"));
}

/* ---- Another instance has led -------------------------------------------------------------- */

/* Two histories of one service: the copy of its folder has led since, in a term of its own, with so
 * many events. */
static void let_a_copy_lead(char *ret_newer, size_t size, int count)
{
    char path[160], older[200], sku[20];
    snprintf(path, sizeof(path), "%s/order-svc.db", order_svc.folder);
    snprintf(older, sizeof(older), "%s/older", order_svc.folder);
    snprintf(ret_newer, size, "%s/newer", order_svc.folder);
    process_kill(&account_svc);
    cr_assert(says(add("tea"), "\"position\":{ORDER:1}"));
    cr_assert_eq(process_tool(&order_svc, &server, "backup", older, NULL), 0, "%s", tool_output());
    cr_assert(says(add("mug"), "\"position\":{ORDER:2}"));
    wait_for_stats("order-svc", "\"position\":{ORDER:2},\"published\":{ORDER:2},");
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert_eq(rename(path, ret_newer), 0);
    cr_assert_eq(rename(older, path), 0);
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ORDER", ""), "\"success\":true"));
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    cr_assert(says(add("pot"), "\"position\":{ORDER:2}"));
    for (int i = 1; i < count; i++) {
        snprintf(sku, sizeof(sku), "pot-%d", i);
        cr_assert(says(add(sku), "\"position\""));
    }
    wait_for_stats("order-svc", "\"outbox\":0");
    cr_assert_eq(process_stop(&order_svc), 0);
    cr_assert_eq(rename(ret_newer, path), 0);
}

/* Row 46: what it had answered and the stream has not is set aside by name, and it goes on with
 * what the stream has. */
Test(fence_live, fault_46_a_fenced_instance_sets_its_orphans_aside_and_starts_again)
{
    char newer[200], orphans[200], line[2000] = "";
    let_a_copy_lead(newer, sizeof(newer), 1);
    cr_assert_eq(process_tool(&order_svc, &server, "resolve", "--keep", "log"), 1, "%s",
                 tool_output());
    cr_assert(says(tool_output(), "the stream has the term 2"), "%s", tool_output());
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"orphans\":1,");
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    cr_assert(says(ask_text("order.products", "{}"), "pot"));
    cr_assert_not(says(ask_text("order.products", "{}"), "mug"));
    const char *listed = ask_text("order.orphans", "{}");
    cr_assert(says(listed, "\"file\":\"orphans-1-3-3.jsonl\",\"term\":1,\"first\":3,\"last\":3,"
                           "\"count\":1,") &&
                  says(listed, "\"position\":3,\"type\":\"ProductAdded\",\"entity\":\"mug\"") &&
                  says(listed, "\"more\":false") && !says(listed, "\"data\""),
              "%s", listed);
    cr_assert(says(ask_text("order.orphans", "{\"with_data\":true}"), "\\\"sku\\\":\\\"mug\\\""));
    cr_assert(says(ask_text("order.orphans", "{\"after_file\":\"orphans-1-3-3.jsonl\","
                                             "\"after_position\":3}"),
                   "\"events\":[],\"more\":false"));
    snprintf(orphans, sizeof(orphans), "%s/orphans-1-3-3.jsonl", order_svc.folder);
    struct stat state;
    cr_assert(stat(orphans, &state) == 0 && (state.st_mode & 0777) == 0600, "%s", orphans);
    FILE *file = fopen(orphans, "r");
    cr_assert(file && fgets(line, sizeof(line), file));
    fclose(file);
    cr_assert(says(line, "\"type\":\"ProductAdded\",\"entity\":\"mug\""), "%s", line);
    cr_assert(says(add("jug"), "\"position\":{ORDER:3}"));
    wait_for_stats("order-svc", "\"published\":{ORDER:3},");
    process_start(&account_svc, &server);
    wait_for_stats("account-svc", "\"cursor\":{ORDER:3},\"lag\":0");
    cr_assert_eq(process_tool(&order_svc, &server, "verify", NULL, NULL), 0, "%s", tool_output());
}

/* The newest of the stream that a start looks at are all ahead of its log: only what both have
 * tells that another has led. */
Test(fence_live, one_that_comes_back_alone_finds_the_term_that_is_far_behind_the_streams_end)
{
    char newer[200];
    let_a_copy_lead(newer, sizeof(newer), 1100);
    process_start(&order_svc, &server);
    wait_for_stats("order-svc", "\"orphans\":1,");
    wait_for_stats("order-svc", "\"state\":\"ready\"");
    cr_assert_not(says_line(&order_svc, "state=forked"));
    wait_for_stats("order-svc", "\"outbox\":0");
    cr_assert_eq(process_tool(&order_svc, &server, "verify", NULL, NULL), 0, "%s", tool_output());
}
