/* Shop: see shop.h. */
#include "shop.h"
#include "runtime/sync/event_item.h"
#include "store/event_log.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCT "bench"

extern const struct service order_service, account_service;
struct side shop_orders = { .service = &order_service },
            shop_accounts = { .service = &account_service };
static char account_id[64]; /* of the customer, the first account of account-svc */

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

/* ---- Customers and products ----------------------------------------------------------------- */

/* The id of the account that was registered first behind a position; its position, or 0 without
 * one. */
static int64_t account_behind(int64_t position, char ret_id[64])
{
    _deinit_(query) struct query query = { 0 };
    must(query_open(&query, shop_accounts.db,
                    "SELECT position, entity FROM event_log WHERE position > ?1 AND "
                    "type = 'AccountRegistered' ORDER BY position LIMIT 1",
                    "i", position),
         "log");
    if (!query_has_row(&query))
        return 0;
    snprintf(ret_id, 64, "%s", query_text(&query, 1));
    return query_int(&query, 0);
}

/* Without a key; the body as printf. */
__attribute__((format(printf, 3, 4))) static struct item *request_of(struct side *side,
                                                                     const char *subject,
                                                                     const char *format, ...)
{
    char body[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(body, sizeof(body), format, arguments);
    va_end(arguments);
    return side_request(side, subject, body, NULL);
}

static struct item *registration(const char *email)
{
    return request_of(&shop_accounts, "account.register",
                      "{\"name\":\"Customer\",\"email\":\"%s\",\"address\":{\"street\":\"1 Market "
                      "Street\",\"city\":\"Bremen\",\"postal_code\":\"28195\",\"country\":\"DE\"}}",
                      email);
}

static struct item *card_of(const char *account)
{
    return request_of(
        &shop_accounts, "account.add-card",
        "{\"account_id\":\"%s\",\"card_token\":\"tok_ok\",\"brand\":\"visa\",\"last4\":"
        "\"4242\",\"expires\":\"2099-12\"}",
        account);
}

static struct item *product(const char *sku)
{
    return request_of(&shop_orders, "order.add-product",
                      "{\"sku\":\"%s\",\"name\":\"Product\",\"price\":{\"amount\":450,\"currency\":"
                      "\"EUR\"},\"stock\":1000000000}",
                      sku);
}

static void ask(struct side *side, struct item *item, int64_t now_ms)
{
    side_run(side, &item, 1, now_ms);
}

/* Each reads what the other has published since. */
static void exchange(int64_t now_ms)
{
    int64_t *of_accounts = &shop_orders.loop.at.cursors[0].position,
            *of_orders = &shop_accounts.loop.at.cursors[0].position;
    while (*of_accounts < shop_accounts.loop.at.head.position)
        shop_project(&shop_orders, shop_publish(&shop_accounts, *of_accounts), now_ms);
    while (*of_orders < shop_orders.loop.at.head.position)
        shop_project(&shop_accounts, shop_publish(&shop_orders, *of_orders), now_ms);
}

void shop_furnish(int64_t now_ms)
{
    if (account_behind(0, account_id))
        return;
    ask(&shop_accounts, registration("bench@example.org"), now_ms);
    account_behind(0, account_id);
    ask(&shop_accounts, card_of(account_id), now_ms);
    ask(&shop_orders, product(PRODUCT), now_ms);
    exchange(now_ms);
}

static int group_of(int left)
{
    return left < SHOP_GROUP ? left : SHOP_GROUP;
}

void shop_furnish_crowd(int customers, int products, int64_t now_ms)
{
    struct item *items[SHOP_GROUP];
    char text[64];
    int64_t position = shop_accounts.loop.at.head.position;
    for (int done = 0, count; done < customers; done += count) {
        count = group_of(customers - done);
        for (int i = 0; i < count; i++) {
            snprintf(text, sizeof(text), "crowd-%07d@example.org", done + i);
            items[i] = registration(text);
        }
        side_run(&shop_accounts, items, count, now_ms);
        for (int i = 0; i < count; i++) {
            position = account_behind(position, text);
            items[i] = card_of(text);
        }
        side_run(&shop_accounts, items, count, now_ms);
    }
    for (int done = 0, count; done < products; done += count) {
        count = group_of(products - done);
        for (int i = 0; i < count; i++) {
            snprintf(text, sizeof(text), PRODUCT "-%05d", done + i);
            items[i] = product(text);
        }
        side_run(&shop_orders, items, count, now_ms);
    }
    exchange(now_ms);
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
