/* Event versions (journey.h, docs/CONTRACTS.md): a service that has gone on to version 2 of an
 * event publishes it beside version 1. Of its readers, one still reads the first and passes over
 * the version that it does not know, and one reads both. */
#include "evt.test.Made.h"
#include "evt.test.Made.v2.h"
#include "runtime/sync/envelope.h"
#include "runtime/writer/loop.h"
#include "test.make.h"
#include "test.make.reply.h"
#include <criterion/criterion.h>

#define NOW_MS INT64_C(1795000000000)

/* ---- The leader ------------------------------------------------------------------------------ */

static int make(struct journey *j, const void *request)
{
    const struct test_make *make = request;
    struct made made = { .id = make->id, .kilograms = make->grams / 1000 };
    struct made_v2 made_v2 = { .id = make->id, .grams = make->grams };
    int r = journey_emit(j, &made_schema, make->id, &made);
    return r < 0 ? trace(r) : trace(journey_emit(j, &made_v2_schema, make->id, &made_v2));
}

static void make_answer(const struct event *event, void *ret_reply)
{
    ((struct test_make_reply *)ret_reply)->position = event->position;
}

static int nothing(struct db *db, const struct event *event)
{
    (void)db;
    (void)event;
    return 0;
}

static int made_v2_apply(struct db *db, const struct event *event)
{
    const struct made_v2 *made = event->value;
    return trace(db_exec(db, "INSERT INTO made VALUES (?1, ?2, ?3)", "sis", made->id, made->grams,
                         event->type));
}

static const struct command commands[] = {
    { "test.make", &test_make_schema, &test_make_reply_schema, make, make_answer }, { 0 }
};
static const struct event_type published[] = {
    { &made_schema, "Made", nothing, NULL },
    { &made_v2_schema, "Made.v2", made_v2_apply, NULL },
    { 0 },
};
#define TABLES                                                                                    \
    "CREATE TABLE IF NOT EXISTS made (id TEXT PRIMARY KEY, grams INTEGER, version TEXT) STRICT, " \
    "WITHOUT ROWID;"
static const struct service leader = {
    .name = "maker",
    .log = "TEST",
    .prefix = "test",
    .tables = TABLES,
    .tables_version = 1,
    .commands = commands,
    .events = published,
};

/* ---- Two readers ----------------------------------------------------------------------------- */

static int read_first(struct db *db, const struct event *event)
{
    const struct made *made = event->value;
    return trace(db_exec(db, "INSERT INTO made VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", "sis",
                         made->id, made->kilograms * 1000, event->type));
}

/* It comes behind the first, and knows better. */
static int read_second(struct db *db, const struct event *event)
{
    const struct made_v2 *made = event->value;
    return trace(db_exec(db, "INSERT OR REPLACE INTO made VALUES (?1, ?2, ?3)", "sis", made->id,
                         made->grams, event->type));
}

static const struct event_type read_by_old[] = { { &made_schema, "Made", read_first, NULL },
                                                 { 0 } };
static const struct event_type read_by_new[] = {
    { &made_schema, "Made", read_first, NULL },
    { &made_v2_schema, "Made.v2", read_second, NULL },
    { 0 },
};
static const struct event_type none[] = { { 0 } };
#define READER(events_that_it_reads)                \
    {                                               \
        .name = "taker",                            \
        .log = "TAKER",                             \
        .prefix = "taker",                          \
        .tables = TABLES,                           \
        .tables_version = 1,                        \
        .events = none,                             \
        .sources =                                  \
            (const struct source[]){                \
                { .log = "TEST",                    \
                  .service = "maker",               \
                  .prefix = "test",                 \
                  .events = events_that_it_reads }, \
                { 0 },                              \
            },                                      \
    }
static const struct service old_reader = READER(read_by_old), new_reader = READER(read_by_new);

/* ---- Driving them ---------------------------------------------------------------------------- */

struct side {
    struct loop loop;
    struct db *db;
};

static void side_open(struct side *side, const struct service *service)
{
    struct db_options options = { .path = ":memory:" };
    cr_assert_eq(service_check(service), 0, "%s", failure_text());
    cr_assert(db_open(&options, &side->db) == 0 &&
                  loop_open(&side->loop, service, NULL, side->db, 1) == 0,
              "%s", failure_text());
}

static void side_close(struct side *side)
{
    loop_close(&side->loop);
    db_free(side->db);
}

static enum item_outcome run(struct side *side, struct item *item)
{
    struct batch *batch = batch_new();
    loop_run(&side->loop, &item, 1, NOW_MS, batch);
    enum item_outcome outcome = item->outcome;
    batch_free(batch);
    return outcome;
}

static enum item_outcome ask(struct side *side, const char *body)
{
    struct item *item = item_new(ITEM_COMMAND);
    struct invalid invalid;
    void *request = NULL;
    cr_assert_eq(
        schema_decode(&test_make_schema, body, strlen(body), &item->arena, &request, &invalid), 0);
    item->command = &commands[0];
    item->request = request;
    return run(side, item);
}

/* One event of the leader as the reader gets it: by the headers of its message. */
static enum item_outcome deliver(struct side *to, const struct event *event)
{
    const struct source *source = to->loop.service->sources, self = service_as_source(&leader);
    _deinit_(envelope) struct envelope envelope = { 0 };
    cr_assert_eq(envelope_encode(&envelope, event, &self, event->position - 1), 0);
    struct bus_view view = { .subject = envelope.subject,
                             .headers = envelope.message.headers,
                             .header_count = envelope.message.header_count,
                             .data = envelope.message.data,
                             .data_length = envelope.message.length };
    struct item *item = item_new(ITEM_EVENT);
    const char *reason = "";
    item->source = source;
    cr_assert_eq(
        envelope_decode(&view, source, &item->arena, &item->event, &item->event_digest, &reason), 0,
        "%s", reason);
    item->type = event_type_of_name(source->events, item->event.type);
    struct invalid invalid;
    void *value = NULL;
    if (item->type)
        cr_assert_eq(schema_decode(item->type->schema, item->event.data, item->event.data_length,
                                   &item->arena, &value, &invalid),
                     0);
    item->event.value = value;
    return run(to, item);
}

static void deliver_all(const struct side *from, struct side *to)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    cr_assert_eq(event_reader_open(&reader, from->db, "TEST", to->loop.at.cursors[0].position, 100),
                 0);
    while (event_reader_has_next(&reader, &event))
        cr_assert_eq(deliver(to, &event), OUTCOME_DONE);
    cr_assert_eq(to->loop.at.cursors[0].position, from->loop.at.head.position);
}

static void expect_text(const struct side *side, const char *sql, const char *text)
{
    _deinit_(query) struct query query = { 0 };
    cr_assert_eq(query_find(&query, side->db, sql, ""), 0, "%s", failure_text());
    cr_expect_str_eq(query_text(&query, 0), text);
}

#define MADE "SELECT group_concat(id || ' ' || grams || ' ' || version, ', ') FROM made"

Test(event_versions, are_published_and_read_beside_each_other)
{
    static struct side maker, old, new;
    side_open(&maker, &leader);
    side_open(&old, &old_reader);
    side_open(&new, &new_reader);
    cr_assert_eq(ask(&maker, "{\"id\":\"a\",\"grams\":1500}"), OUTCOME_DONE);
    cr_assert_eq(ask(&maker, "{\"id\":\"b\",\"grams\":200}"), OUTCOME_DONE);
    expect_text(&maker, "SELECT group_concat(type, ' ') FROM event_log",
                "Made Made.v2 Made Made.v2");
    expect_text(&maker, MADE, "a 1500 Made.v2, b 200 Made.v2");
    deliver_all(&maker, &old); /* of version 2 only the cursor moves */
    expect_text(&old, MADE, "a 1000 Made, b 0 Made");
    deliver_all(&maker, &new);
    expect_text(&new, MADE, "a 1500 Made.v2, b 200 Made.v2");
    side_close(&maker);
    side_close(&old);
    side_close(&new);
}
