/* The hot path of an order without its server, threads and disk: what order-svc does with a request, what its relay makes of
 * the events, and what account-svc does with them. Run under callgrind by test_instructions, which counts the instructions of
 * the three hot_… functions; alone it only has to do its work. */
#include "contracts.h"
#include "runtime/courier_parts.h"
#include "runtime/envelope.h"
#include "runtime/loop.h"
#include "store/migrate.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 50                          /* orders in a batch */
#define GROUPS 8
#if __has_attribute(noipa)
#define HOT __attribute__((noipa))         /* a function of its own, by its own name */
#else
#define HOT __attribute__((noinline))
#endif

extern const struct service order_service, account_service;

struct side {
    const struct service *service;
    const char *options[SERVICE_OPTIONS_MAX];
    struct db *db;
    struct loop loop;
};
static struct side orders = { .service = &order_service }, accounts = { .service = &account_service };
static int64_t now_ms = 1795412400000;
static char account_id[64];

static void must(int r, const char *what)
{
    if (r != 0) {
        fprintf(stderr, "hot_path: %s: %d %s\n", what, r, failure_text());
        exit(1);
    }
}

static void open_side(struct side *side)
{
    for (int i = 0; side->service->options && side->service->options[i].name; i++)
        side->options[i] = side->service->options[i].value;
    must(db_open(&(struct db_options){ .path = ":memory:" }, &side->db), "database");
    must(loop_open(&side->loop, side->service, side->options, side->db, 1), "loop");
    loop_start_process(&side->loop);
}

static struct batch *run(struct side *side, struct item **items, int count)
{
    struct batch *batch = batch_new();
    must(batch ? 0 : -1, "batch");
    must(loop_run(&side->loop, items, count, now_ms, batch), "loop_run");
    return batch;
}

static struct item *request(struct side *side, const char *subject, const char *body)
{
    const struct command *command = side->service->commands;
    struct item *item = item_new(ITEM_COMMAND);
    struct invalid invalid;
    void *value = NULL;
    while (command->subject && strcmp(command->subject, subject) != 0)
        command++;
    must(schema_decode(command->request, body, strlen(body), &item->arena, &value, &invalid), subject);
    item->command = command;
    item->request = value;
    return item;
}

static void ask_once(struct side *side, const char *subject, const char *body, char *ret_field, const char *field)
{
    struct item *item = request(side, subject, body);
    struct batch *batch = run(side, &item, 1);
    must(batch->items->outcome == OUTCOME_DONE ? 0 : 1, subject);
    const char *at = field ? strstr(batch->items->body.data, field) : NULL;
    if (at)
        sscanf(at + strlen(field) + 3, "%63[^\"]", ret_field);
    batch_free(batch);
}

/* ---- What is counted ------------------------------------------------------------------------ */

/* Requests decoded, decided, applied, paid by the sandbox. */
static HOT void hot_order(int count)
{
    struct item *items[GROUP];
    char body[200];
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}", account_id);
    for (int i = 0; i < count; i++)
        items[i] = request(&orders, "order.place", body);
    batch_free(run(&orders, items, count));
    for (int i = 0; i < 4; i++) {         /* charges leave, answers come, OrderPaid is said */
        now_ms++;
        batch_free(run(&orders, NULL, 0));
    }
}

/* The relay's part: read from the log, made a message. Kept for hot_project. */
static struct kept { struct arena arena; struct bus_view view; } messages[2 * GROUP];
static HOT int hot_publish(struct side *from, int64_t after)
{
    static struct envelope envelope;
    _deinit_(event_reader) struct event_reader reader = { 0 };
    const struct source self = service_as_source(from->service);
    struct event event;
    int count = 0;
    must(event_reader_open(&reader, from->db, self.log, after, 2 * GROUP), "log");
    while (count < 2 * GROUP && event_reader_next(&reader, &event) > 0) {
        must(envelope_encode(&envelope, &event, &self, event.position - 1), "envelope");
        struct kept *kept = &messages[count++];
        struct bus_header *headers = arena_alloc(&kept->arena, sizeof(*headers) * (size_t)envelope.message.header_count);
        for (int i = 0; i < envelope.message.header_count; i++)
            headers[i] = (struct bus_header){ envelope.message.headers[i].key,
                                              arena_copy(&kept->arena, envelope.message.headers[i].value, strlen(envelope.message.headers[i].value)) };
        kept->view = (struct bus_view){ .subject = arena_copy(&kept->arena, envelope.subject, strlen(envelope.subject)), .headers = headers,
                                        .header_count = envelope.message.header_count,
                                        .data = arena_copy(&kept->arena, event.data, event.data_length), .data_length = event.data_length };
    }
    return count;
}

/* The reader's part: decoded, checked against the chain, applied. */
static HOT void hot_project(struct side *to, int count)
{
    struct item *items[2 * GROUP];
    const char *reason;
    for (int i = 0; i < count; i++) {
        items[i] = item_new(ITEM_EVENT);
        items[i]->source = to->service->sources;
        must(courier_read_event(items[i], &messages[i].view, items[i]->source, &reason), "delivery");
    }
    batch_free(run(to, items, count));
    for (int i = 0; i < count; i++)
        arena_deinit(&messages[i].arena);
}

/* ---- The run -------------------------------------------------------------------------------- */

static void start(void)
{
    char ignored[64], body[300];
    open_side(&orders);
    open_side(&accounts);
    ask_once(&accounts, "account.register", "{\"name\":\"Ada\",\"email\":\"ada@example.org\",\"address\":{\"street\":\"1\",\"city\":\"P\",\"postal_code\":\"7\","
             "\"country\":\"FR\"}}", account_id, "account_id");
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\",\"card_token\":\"tok_ok\",\"brand\":\"visa\",\"last4\":\"4242\",\"expires\":\"2099-12\"}", account_id);
    ask_once(&accounts, "account.add-card", body, ignored, NULL);
    ask_once(&orders, "order.add-product", "{\"sku\":\"tea\",\"name\":\"Tea\",\"price\":{\"amount\":450,\"currency\":\"EUR\"},\"stock\":1000000}", ignored, NULL);
    hot_project(&orders, hot_publish(&accounts, 0));
    hot_project(&accounts, hot_publish(&orders, 0));
}

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    start();
    for (int i = 0; i < GROUPS; i++) {
        int64_t before = orders.loop.at.head.position;
        hot_order(GROUP);
        hot_project(&accounts, hot_publish(&orders, before));
        must(accounts.loop.at.cursors[0].position == orders.loop.at.head.position ? 0 : 1, "the reader has not read all");
    }
    must(orders.loop.at.head.position == 1 + 2 * GROUP * GROUPS ? 0 : 1, "not all orders are paid");
    printf("%d orders\n", GROUP * GROUPS);
    loop_close(&orders.loop);
    loop_close(&accounts.loop);
    db_free(orders.db);
    db_free(accounts.db);
    return 0;
}
