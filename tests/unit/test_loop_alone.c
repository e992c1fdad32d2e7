/* Loop alone: a command from request to reply, and a fold of the log, in a program that is linked
 * without bus and network (meson.build). That the program links is half of the test. */
#include "runtime/writer/fold.h"
#include "runtime/writer/loop.h"
#include "add_product.h"
#include <criterion/criterion.h>
#include <dlfcn.h>

static const struct event_type events[] = {
    { .schema = &product_added_schema, .name = "ProductAdded", .apply = apply_product_added }, { 0 }
};
static const struct command commands[] = { { .subject = "test.add",
                                             .request = &order_add_product_schema,
                                             .reply = &order_add_product_reply_schema,
                                             .decide = decide_add_product,
                                             .answer = answer_add_product },
                                           { 0 } };
static const struct service service = {
    .name = "test-svc",
    .log = "TEST",
    .prefix = "test",
    .tables_version = 1,
    .events = events,
    .commands = commands,
    .tables = "CREATE TABLE IF NOT EXISTS products (sku TEXT PRIMARY KEY, stock INTEGER) STRICT",
};

Test(loop_alone, a_command_is_committed_and_folded_without_a_bus)
{
    struct db *db = NULL, *folded = NULL;
    struct loop loop;
    int64_t position = 0, stock = 0;
    _Bool more = 1;
    cr_assert_eq(db_open(&(struct db_options){ .path = ":memory:" }, &db), 0);
    cr_assert_eq(loop_open(&loop, &service, NULL, db, 1), 0, "%s", failure_text());
    struct item *item = item_new(ITEM_COMMAND);
    struct order_add_product request = {
        .sku = "sku_1", .name = "A", .price = { .amount = 1, .currency = "EUR" }, .stock = 7
    };
    item->command = &commands[0];
    item->request = &request;
    struct batch *batch = batch_new();
    cr_assert_eq(loop_run(&loop, &item, 1, 1, batch), 0, "%s", failure_text());
    cr_assert_eq(batch->items->outcome, OUTCOME_DONE);
    cr_assert_str_eq(batch->items->body.data, "{\"sku\":\"sku_1\",\"position\":1}");
    batch_free(batch);
    cr_assert_eq(db_open(&(struct db_options){ .path = ":memory:" }, &folded), 0);
    cr_assert_eq(db_script(folded, service.tables), 0);
    cr_assert_eq(fold_own_log(&service, db, folded, &position, 10, &more), 0, "%s", failure_text());
    cr_assert(position == 1 && !more);
    cr_assert_eq(db_find_number(folded, &stock, "SELECT stock FROM products", ""), 0);
    cr_assert_eq(stock, 7);
    loop_close(&loop);
    db_free(db);
    db_free(folded);
}

Test(loop_alone, the_library_of_the_network_is_not_in_this_program)
{
    cr_assert_null(dlsym(RTLD_DEFAULT, "natsConnection_Connect"));
    cr_assert_not_null(dlsym(RTLD_DEFAULT, "sqlite3_open_v2"), "what is linked can be found");
}
