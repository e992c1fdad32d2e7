/* Turns: what the writer's and the readers' threads do between two waits, called by hand: nothing
 * waits, what is due says so, and whoever listens is told in order. A service of one table stands
 * in for the shipped ones, in a folder of its own. */
#include "base/clock.h"
#include "runtime/core/exit_codes.h"
#include "runtime/request/readers.h"
#include "runtime/writer/writer.h"
#include "store_folder.h"
#include "add_product.h"

/* ---- The service ----------------------------------------------------------------------------- */

static _Bool ask_says_no;

static int ask(struct journey *j, const void *request, void *ret_reply)
{
    struct order_add_product_reply *reply = ret_reply;
    (void)request;
    if (ask_says_no)
        return journey_refuse(j, REFUSED_NOT_FOUND, "there is none");
    reply->sku = "all";
    return trace(
        db_find_number(journey_db(j), &reply->position, "SELECT count(*) FROM products", ""));
}

static const struct event_type events[] = {
    { .schema = &product_added_schema, .name = "ProductAdded", .apply = apply_product_added }, { 0 }
};
static const struct source sources[] = {
    { .log = "OTHER", .service = "other-svc", .prefix = "other", .events = events }, { 0 }
};
static const struct command commands[] = { { .subject = "test.add",
                                             .request = &order_add_product_schema,
                                             .reply = &order_add_product_reply_schema,
                                             .decide = decide_add_product,
                                             .answer = answer_add_product },
                                           { 0 } };
static const struct query_type queries[] = { { .subject = "test.count",
                                               .request = &order_add_product_schema,
                                               .reply = &order_add_product_reply_schema,
                                               .ask = ask },
                                             { 0 } };
static const struct service service = {
    .name = "test-svc",
    .log = "TEST",
    .prefix = "test",
    .tables_version = 1,
    .events = events,
    .sources = sources,
    .commands = commands,
    .queries = queries,
    .tables = "CREATE TABLE IF NOT EXISTS products (sku TEXT PRIMARY KEY, stock INTEGER) STRICT",
};

/* ---- Who listens ----------------------------------------------------------------------------- */

static struct status status;
static struct inbox inbox;
static struct writer writer;
static struct readers readers;
static char told[256];        /* a letter for each call, in order */
static struct batch *settled; /* the newest batch */
static struct item *answered; /* the newest query */
static int died;              /* exit code */
static void (*between)(struct writer *writer);

static void tell(const char *what)
{
    cr_assert_lt(strlen(told) + strlen(what), sizeof(told));
    strcat(told, what);
}

static void on_settle(void *context, struct batch *batch)
{
    cr_assert_eq(context, told);
    tell(batch->aborted ? "a" : "s");
    batch_free(settled);
    settled = batch;
}

static void on_committed(void *context)
{
    (void)context;
    tell("c");
    readers_committed(&readers);
}

static void on_folded(void *context)
{
    (void)context;
    tell("f");
}

static void on_between(void *context, struct writer *turning)
{
    (void)context;
    if (between)
        between(turning);
}

static void on_die(void *context, int exit_code)
{
    (void)context;
    tell("d");
    died = exit_code;
}

static void on_reply(void *context, struct item *item)
{
    (void)context;
    item_free(answered);
    answered = item;
}

static void open_all(void)
{
    make_folder();
    inbox_init(&inbox, 100);
    const struct readers_options readers_options = {
        .service = &service,
        .database_path = path,
        .status = &status,
        .reply = on_reply,
        .queue_max = 2,
        .seed = 7,
    };
    readers_init(&readers, &readers_options);
    const struct writer_options options = {
        .service = &service,
        .database_path = path,
        .status = &status,
        .inbox = &inbox,
        .batch_max = 10,
        .seed = 7,
        .listener = { .context = told,
                      .settle = on_settle,
                      .committed = on_committed,
                      .folded = on_folded,
                      .between_batches = on_between,
                      .die = on_die },
    };
    cr_assert_eq(writer_open(&writer, &options), 0, "%s", failure_text());
}

static void close_all(void)
{
    batch_free(settled);
    item_free(answered);
    writer_deinit(&writer);
    readers_deinit(&readers);
    inbox_deinit(&inbox);
    remove_folder();
}
TestSuite(turns, .init = open_all, .fini = close_all);

static void push_command(const char *sku)
{
    static struct order_add_product requests[8];
    static int count;
    struct order_add_product *request = &requests[count++];
    *request = (struct order_add_product){
        .sku = sku, .name = "A", .price = { .amount = 1, .currency = "EUR" }, .stock = 1
    };
    struct item *item = item_new(ITEM_COMMAND);
    item->command = &commands[0];
    item->request = request;
    cr_assert_eq(inbox_push(&inbox, item), 0);
}

static void push_event(int64_t position)
{
    struct item *item = item_new(ITEM_EVENT);
    item->source = &sources[0];
    item->event = (struct event){ .log = "OTHER",
                                  .position = position,
                                  .id = "e",
                                  .type = "Unknown",
                                  .entity = "x",
                                  .correlation = "c",
                                  .data = "{}",
                                  .data_length = 2 };
    cr_assert_eq(event_digest(&item->event, &item->event_digest), 0);
    cr_assert_eq(
        event_chain(&writer.loop.at.cursors[0].chain, &item->event_digest, &item->event.chain), 0);
    cr_assert_eq(inbox_push(&inbox, item), 0);
}

/* ---- The writer ------------------------------------------------------------------------------ */

Test(turns, the_writer_commits_what_is_there_and_says_when_it_wants_to_go_on)
{
    int64_t now_ms = clock_monotonic_ms();
    cr_assert_gt(writer_due_ms(&writer, now_ms), now_ms, "nothing is there");
    cr_assert(writer_turn(&writer, now_ms));
    cr_assert_str_eq(told, "", "nothing was done");
    push_command("one");
    push_command("one more");
    cr_assert_eq(writer_due_ms(&writer, now_ms), now_ms);
    cr_assert(writer_turn(&writer, now_ms));
    cr_assert_str_eq(told, "sc", "settled, then those who wait for a position");
    cr_assert_eq(atomic_load(&status.position), 2);
    cr_assert_eq(settled->items->outcome, OUTCOME_DONE);
    cr_assert_gt(writer_due_ms(&writer, now_ms), now_ms, "nothing is left");
}

Test(turns, a_stopped_writer_runs_what_is_left_and_then_has_done)
{
    push_command("one");
    atomic_store(&writer.stopping, 1);
    inbox_close(&inbox);
    cr_assert(writer_turn(&writer, 1));
    cr_assert_not(writer_turn(&writer, 2));
    cr_assert_str_eq(told, "sc");
}

Test(turns, after_a_failure_the_writer_rests_and_probes_until_the_disk_is_fine)
{
    static char huge[100000]; /* more than the pages that the file has */
    int64_t pages = 0;
    memset(huge, 'x', sizeof(huge) - 1);
    cr_assert_eq(db_find_number(writer.db, &pages, "PRAGMA max_page_count = 1", ""), 0);
    push_command(huge);
    cr_assert(writer_turn(&writer, clock_monotonic_ms()));
    cr_assert_str_eq(told, "ac", "it was rolled back, and whoever asked is told");
    cr_assert_eq(atomic_load(&status.disk), DISK_DEGRADED);
    int64_t now_ms = clock_monotonic_ms(), due_ms = writer_due_ms(&writer, now_ms);
    push_command("one");
    cr_assert_eq(writer_due_ms(&writer, now_ms), due_ms, "it rests, whatever comes");
    cr_assert(writer_turn(&writer, due_ms - 1));
    cr_assert_str_eq(told, "ac");
    cr_assert_eq(db_find_number(writer.db, &pages, "PRAGMA max_page_count = 100000", ""), 0);
    cr_assert(writer_turn(&writer, due_ms));
    cr_assert_str_eq(told, "acsc");
    cr_assert_eq(atomic_load(&status.disk), DISK_FINE);
}

Test(turns, a_degraded_disk_is_probed_often_without_being_asked)
{
    int64_t now_ms = clock_monotonic_ms(), idle_ms = writer_due_ms(&writer, now_ms) - now_ms;
    atomic_store(&status.disk, DISK_DEGRADED);
    cr_assert_lt(writer_due_ms(&writer, now_ms) - now_ms, idle_ms);
    cr_assert(writer_turn(&writer, now_ms));
    cr_assert_eq(atomic_load(&status.disk), DISK_FINE);
}

static void hold(struct writer *turning)
{
    writer_hold_events(turning);
    between = NULL;
}

static void release(struct writer *turning)
{
    writer_release_events(turning);
    between = NULL;
}

Test(turns, held_events_are_put_aside_and_go_on_in_their_order)
{
    between = hold;
    push_event(1);
    push_command("one");
    cr_assert(writer_turn(&writer, 1));
    cr_assert_eq(atomic_load(&status.position), 1, "commands go on");
    cr_assert_eq(atomic_load(&status.sources[0].position), 0, "the cursor rests");
    between = release;
    cr_assert(writer_turn(&writer, 2));
    cr_assert(writer_turn(&writer, 3));
    cr_assert_eq(atomic_load(&status.sources[0].position), 1);
}

static void fail_unknown(struct writer *turning)
{
    writer_failed(turning, 1, fail(ERR_IO, "half way"));
}

Test(turns, after_an_unknown_outcome_nobody_hears_anything_more)
{
    between = fail_unknown;
    push_command("one");
    cr_assert_not(writer_turn(&writer, 1));
    cr_assert_str_eq(told, "d");
    cr_assert_eq(died, EXIT_IO);
    between = NULL;
    push_command("two");
    cr_assert_not(writer_turn(&writer, 2));
    cr_assert_str_eq(told, "d");
}

Test(turns, the_end_of_folding_is_written_and_told)
{
    cr_assert_eq(db_exec(writer.db, "INSERT OR REPLACE INTO meta VALUES ('folding', 1)", ""), 0);
    writer.loop.at.folding = 1;
    atomic_store(&status.folding, 1);
    writer_end_folding(&writer);
    cr_assert_eq(writer_due_ms(&writer, 5), 5, "it was woken");
    cr_assert(writer_turn(&writer, 5));
    cr_assert_str_eq(told, "f");
    cr_assert_not(atomic_load(&status.folding));
}

/* ---- The readers ----------------------------------------------------------------------------- */

static struct item *make_query(int64_t min_position, int64_t give_up_ms)
{
    static struct order_add_product request;
    struct item *item = item_new(ITEM_QUERY);
    item->query = &queries[0];
    item->request = &request;
    item->min_positions = arena_alloc(&item->arena, (1 + SOURCES_MAX) * sizeof(int64_t));
    item->min_positions[0] = min_position;
    item->give_up_ms = give_up_ms;
    return item;
}

static void push_query(int64_t min_position, int64_t give_up_ms)
{
    cr_assert_eq(readers_push(&readers, make_query(min_position, give_up_ms)), 0);
}

Test(turns, a_reader_answers_one_query_a_turn)
{
    struct reader reader;
    reader_init(&reader, &readers);
    cr_assert_not(readers_turn(&readers, &reader, 1), "none is there");
    push_query(0, 100);
    push_query(0, 100);
    cr_assert_eq(readers_due_ms(&readers, 1), 1);
    cr_assert(readers_turn(&readers, &reader, 1));
    cr_assert_eq(readers_length(&readers), 1);
    cr_assert_eq(answered->outcome, OUTCOME_DONE, "%s", answered->message);
    cr_assert(strstr(answered->body.data, "\"as_of\":{\"TEST\""));
    cr_assert(readers_turn(&readers, &reader, 1));
    cr_assert_not(readers_turn(&readers, &reader, 1));
    reader_deinit(&reader);
}

Test(turns, a_query_waits_for_its_position_and_not_for_ever)
{
    struct reader reader;
    reader_init(&reader, &readers);
    push_query(1, 100);
    cr_assert_not(readers_turn(&readers, &reader, 1));
    cr_assert_eq(readers_due_ms(&readers, 1), 100);
    push_command("one");
    cr_assert(writer_turn(&writer, 1));
    cr_assert(readers_turn(&readers, &reader, 1), "it is committed");
    cr_assert_eq(answered->outcome, OUTCOME_DONE);
    push_query(9, 100);
    cr_assert_not(readers_turn(&readers, &reader, 99));
    cr_assert(readers_turn(&readers, &reader, 100));
    cr_assert_eq(answered->outcome, OUTCOME_REFUSED);
    reader_deinit(&reader);
}

/* Whatever is answered rests on what the snapshot has, a refusal too. */
Test(turns, an_answer_says_on_which_position_it_rests)
{
    struct reader reader;
    reader_init(&reader, &readers);
    push_command("one");
    push_command("two");
    cr_assert(writer_turn(&writer, 1));
    push_query(0, 100);
    cr_assert(readers_turn(&readers, &reader, 1));
    cr_assert_eq(answered->depends_on, 0, "nobody waits for it");
    status.answers_wait = 1;
    push_query(0, 100);
    cr_assert(readers_turn(&readers, &reader, 1));
    cr_assert(answered->outcome == OUTCOME_DONE && answered->depends_on == 2);
    ask_says_no = 1;
    push_query(0, 100);
    cr_assert(readers_turn(&readers, &reader, 1));
    cr_assert(answered->outcome == OUTCOME_REFUSED && answered->depends_on == 2);
    reader_deinit(&reader);
}

static void use_readers(int queue_max)
{
    const struct readers_options options = {
        .service = &service,
        .database_path = path,
        .status = &status,
        .reply = on_reply,
        .queue_max = queue_max,
        .seed = 7,
    };
    readers_deinit(&readers);
    readers_init(&readers, &options);
}

static int push_as(struct item *item, uint32_t client, _Bool is_about_log)
{
    item->client = client;
    item->is_about_log = is_about_log;
    int r = readers_push(&readers, item);
    if (r != 0) {
        if (item->message)
            cr_assert_str_eq(item->message,
                             "too many queries wait for their min_position; try again");
        item_free(item);
    }
    return r;
}

/* 1,024 may wait, the last 128 of them by clients with less than 16. */
Test(turns, queries_that_wait_take_no_place_of_those_that_can_be_answered)
{
    struct reader reader;
    use_readers(8192);
    reader_init(&reader, &readers);
    for (int i = 0; i < 896; i++)
        cr_assert_eq(push_as(make_query(9, 100), 1, 0), 0);
    cr_assert_eq(push_as(make_query(9, 100), 1, 0), REFUSED_BUSY);
    for (int i = 0; i < 128; i++)
        cr_assert_eq(push_as(make_query(9, 100), 2 + i / 16, 0), 0);
    cr_assert_eq(push_as(make_query(9, 100), 99, 0), REFUSED_BUSY, "the bound of all");
    cr_assert_eq(readers_waiting(&readers), QUERIES_WAITING_MAX);
    cr_assert_eq(push_as(make_query(0, 100), 1, 0), 0, "this one need not wait");
    cr_assert_eq(push_as(make_query(0, 100), 1, 1), 0);
    cr_assert(readers_turn(&readers, &reader, 1) && readers_turn(&readers, &reader, 1));
    cr_assert_eq(answered->outcome, OUTCOME_DONE);
    cr_assert_not(readers_turn(&readers, &reader, 99));
    for (int i = 0; i < QUERIES_WAITING_MAX; i++)
        cr_assert(readers_turn(&readers, &reader, 100));
    cr_assert_eq(answered->outcome, OUTCOME_REFUSED);
    cr_assert_eq(readers_length(&readers), 0);
    reader_deinit(&reader);
}

Test(turns, a_flood_of_queries_stops_neither_healing_nor_other_clients)
{
    struct reader reader;
    use_readers(64);
    reader_init(&reader, &readers);
    while (push_as(make_query(0, 100), 1, 0) == 0)
        ;
    cr_assert_eq(push_as(make_query(0, 100), 1, 1), 0, "healing has places of its own");
    cr_assert_eq(push_as(make_query(0, 100), 1, 1), 0);
    const _Bool heals[] = { 1, 0, 1, 0, 0 };
    for (size_t i = 0; i < sizeof(heals) / sizeof(*heals); i++) {
        cr_assert(readers_turn(&readers, &reader, 1));
        cr_assert_eq(answered->is_about_log, heals[i], "%zu", i);
    }
    cr_assert_eq(push_as(make_query(0, 100), 2, 0), 0);
    cr_assert(readers_turn(&readers, &reader, 1));
    cr_assert_eq(answered->client, 2, "it is not behind those that came before it");
    reader_deinit(&reader);
}
