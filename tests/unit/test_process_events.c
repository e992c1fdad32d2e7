/* Process events: what a process has to write cannot be refused, so an event that is larger than a
 * message of the server is written and named. */
#include "base/clock.h"
#include "runtime/writer/loop.h"
#include "add_product.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_LENGTH 6000

static char name[NAME_LENGTH + 1];
static _Bool is_due;

static int start(struct journey *j, void **ret_state)
{
    (void)j;
    *ret_state = NULL;
    return 0;
}

static int observe(void *state, struct journey *j, const struct event *event)
{
    (void)state;
    (void)j;
    (void)event;
    return 0;
}

static int step(void *state, struct journey *j, int64_t *ret_due_ms)
{
    (void)state;
    struct product_added added = { .sku = "tea", .name = name, .price = { 1, "EUR" }, .stock = 1 };
    *ret_due_ms = INT64_MAX;
    if (!is_due)
        return 0;
    is_due = 0;
    return trace(journey_emit(j, &product_added_schema, "tea", &added));
}

static const struct process process = { .start = start, .observe = observe, .step = step };
static const struct event_type events[] = {
    { &product_added_schema, "ProductAdded", apply_product_added, NULL }, { 0 }
};
static const struct service service = {
    .name = "test-svc",
    .log = "TEST",
    .prefix = "test",
    .tables_version = 1,
    .events = events,
    .process = &process,
    .tables = "CREATE TABLE IF NOT EXISTS products (sku TEXT PRIMARY KEY, stock INTEGER) STRICT;",
};

/* One turn of the loop; what it says on stderr. */
static const char *turn(struct loop *loop)
{
    static char said[4000];
    FILE *file = tmpfile();
    _free_(batch) struct batch *batch = batch_new();
    const int kept = dup(STDERR_FILENO);
    cr_assert(file && batch && kept >= 0);
    dup2(fileno(file), STDERR_FILENO);
    int r = loop_run(loop, NULL, 0, clock_wall_ms(), batch);
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(file);
    said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
    fclose(file);
    cr_assert_eq(r, 0, "%s", failure_text());
    return said;
}

Test(process_events, one_that_is_larger_than_a_message_is_written_and_named)
{
    struct loop loop;
    struct db *db;
    struct db_options options = { .path = ":memory:" };
    memset(name, 'x', NAME_LENGTH);
    cr_assert(db_open(&options, &db) == 0 && loop_open(&loop, &service, NULL, db, 1) == 0);
    owner_take(&loop.owner);
    loop_start_process(&loop);
    turn(&loop);
    for (int i = 0; i < 2; i++) {
        loop.message_bytes_max = i == 0 ? 5000 : 50000;
        loop.process.due_ms = 0;
        is_due = 1;
        db_script(db, "DELETE FROM products");
        const char *said = turn(&loop);
        cr_expect_eq(loop.at.head.position, i + 1, "it is in the log");
        cr_expect(loop.at.largest_event > NAME_LENGTH, "by which the service is held");
        cr_expect((strstr(said, "event=event_too_large") != NULL) == (i == 0), "%d: %s", i, said);
        cr_expect(i || (strstr(said, "ProductAdded") && strstr(said, "5000")), "%s", said);
    }
    owner_release(&loop.owner);
    loop_close(&loop);
    db_free(db);
}
