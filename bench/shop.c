/* Shop: see shop.h. */
#include "shop.h"
#include "runtime/sync/event_item.h"
#include "store/event_log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCT "bench"

extern const struct service order_service, account_service;
struct side shop_orders = { .service = &order_service },
            shop_accounts = { .service = &account_service };
static char account_id[64]; /* the customer */

void must(int r, const char *what)
{
    if (r == 0)
        return;
    fprintf(stderr, "%s: %d %s\n", what, r, failure_text());
    exit(1);
}

void side_open(struct side *side, const char *path)
{
    for (int i = 0; side->service->options && side->service->options[i].name; i++)
        side->options[i] = side->service->options[i].value;
    must(db_open(&(struct db_options){ .path = path }, &side->db), path);
    must(loop_open(&side->loop, side->service, side->options, side->db, 0), path);
}

void side_close(struct side *side)
{
    loop_close(&side->loop);
    db_free(side->db);
    side->db = NULL;
}

static struct batch *run(struct side *side, struct item **items, int count, int64_t now_ms)
{
    struct batch *batch = batch_new();
    must(batch ? 0 : -ERR_MEMORY, "batch");
    must(loop_run(&side->loop, items, count, now_ms, batch), "loop_run");
    return batch;
}

void side_run(struct side *side, struct item **items, int count, int64_t now_ms)
{
    struct batch *batch = run(side, items, count, now_ms);
    for (struct item *item = batch->items; item; item = item->next)
        must(item->outcome == OUTCOME_DONE || item->kind == ITEM_ANSWER ? 0 : 1,
             item->message ? item->message : "an item was not done");
    batch_free(batch);
}

/* ---- Requests ------------------------------------------------------------------------------- */

struct item *side_request(struct side *side, const char *subject, const char *body, const char *key)
{
    static const char digest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const struct command *command = side->service->commands;
    struct item *item = item_new(ITEM_COMMAND);
    struct invalid invalid;
    void *value = NULL;
    while (command->subject && strcmp(command->subject, subject) != 0)
        command++;
    must(schema_decode(command->request, body, strlen(body), &item->arena, &value, &invalid),
         subject);
    item->command = command;
    item->request = value;
    if (key) {
        char cause[128];
        snprintf(cause, sizeof(cause), CAUSE_REQUEST "%s", key);
        item->key = arena_copy(&item->arena, key, strlen(key));
        item->origin = (struct origin){ .causation = item->key,
                                        .cause = arena_copy(&item->arena, cause, strlen(cause)),
                                        .cause_digest = digest };
    }
    return item;
}

static void ask(struct side *side, const char *subject, const char *body, int64_t now_ms)
{
    struct item *item = side_request(side, subject, body, NULL);
    side_run(side, &item, 1, now_ms);
}

/* The customer is the first account of account-svc. */
static _Bool find_customer(void)
{
    _deinit_(query) struct query query = { 0 };
    must(query_open(&query, shop_accounts.db,
                    "SELECT entity FROM event_log WHERE type = 'AccountRegistered' ORDER BY "
                    "position LIMIT 1",
                    ""),
         "log");
    if (!query_has_row(&query))
        return 0;
    snprintf(account_id, sizeof(account_id), "%s", query_text(&query, 0));
    return 1;
}

void shop_furnish(int64_t now_ms)
{
    char body[300];
    if (find_customer())
        return;
    ask(&shop_accounts, "account.register",
        "{\"name\":\"Customer\",\"email\":\"bench@example.org\",\"address\":{\"street\":\"1 Market "
        "Street\","
        "\"city\":\"Bremen\",\"postal_code\":\"28195\",\"country\":\"DE\"}}",
        now_ms);
    find_customer();
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"card_token\":\"tok_ok\",\"brand\":\"visa\",\"last4\":"
             "\"4242\",\"expires\":\"2099-12\"}",
             account_id);
    ask(&shop_accounts, "account.add-card", body, now_ms);
    ask(&shop_orders, "order.add-product",
        "{\"sku\":\"" PRODUCT "\",\"name\":\"Product\",\"price\":{\"amount\":450,\"currency\":"
        "\"EUR\"},\"stock\":1000000000}",
        now_ms);
    shop_project(&shop_orders, shop_publish(&shop_accounts, 0), now_ms);
    shop_project(&shop_accounts, shop_publish(&shop_orders, 0), now_ms);
}

void shop_place(int count, _Bool with_keys, int64_t now_ms)
{
    struct item *items[SHOP_GROUP];
    char body[200], key[64];
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"" PRODUCT "\",\"quantity\":1}]}",
             account_id);
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "bench-%016" PRIx64 "-%010d",
                 (uint64_t)shop_orders.loop.at.head.position, i);
        items[i] = side_request(&shop_orders, "order.place", body, with_keys ? key : NULL);
    }
    side_run(&shop_orders, items, count, now_ms);
}

/* ---- Events --------------------------------------------------------------------------------- */

/* published, not projected */
static struct {
    struct arena arena;
    struct bus_view view;
} messages[SHOP_CARRY_MAX];

static const char *keep(struct arena *arena, const char *text)
{
    return arena_copy(arena, text, strlen(text));
}

int shop_publish(struct side *from, int64_t after_position)
{
    static struct envelope envelope;
    _deinit_(event_reader) struct event_reader reader = { 0 };
    const struct source self = service_as_source(from->service);
    envelope.schema_base = from->service->schema_base;
    struct event event;
    int count = 0;
    must(event_reader_open(&reader, from->db, self.log, after_position, SHOP_CARRY_MAX), "log");
    while (count < SHOP_CARRY_MAX && event_reader_has_next(&reader, &event)) {
        must(envelope_encode(&envelope, &event, &self, event.position - 1), "envelope");
        const struct bus_outgoing *message = &envelope.message;
        struct arena *arena = &messages[count].arena;
        struct bus_header *headers = arena_alloc(arena,
                                                 sizeof(*headers) * (size_t)message->header_count);
        for (int i = 0; i < message->header_count; i++)
            headers[i] = (struct bus_header){ message->headers[i].key,
                                              keep(arena, message->headers[i].value) };
        messages[count++].view =
            (struct bus_view){ .subject = keep(arena, envelope.subject),
                               .headers = headers,
                               .header_count = message->header_count,
                               .data = arena_copy(arena, event.data, event.data_length),
                               .data_length = event.data_length };
    }
    return count;
}

void shop_project(struct side *to, int count, int64_t now_ms)
{
    struct item *items[SHOP_CARRY_MAX];
    const char *reason;
    for (int i = 0; i < count; i++) {
        items[i] = item_new(ITEM_EVENT);
        items[i]->source = to->service->sources;
        must(event_item_read(items[i], &messages[i].view, items[i]->source, &reason), "delivery");
    }
    batch_free(run(to, items, count, now_ms));
    for (int i = 0; i < count; i++)
        arena_deinit(&messages[i].arena);
}
