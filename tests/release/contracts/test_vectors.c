/* Vectors: the code that publishes and reads events holds to the test vectors of docs/PROTOCOL.md,
 * which others have, too (schemas/vectors/README.md). The expected values are computed by another
 * program, in Python, so two that were written apart agree here. */
#include "runtime/sync/event_item.h"
#include "runtime/writer/loop.h"
#include "store/cursor.h"
#include <criterion/criterion.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 32

static const struct source sources[] = {
    { .log = "ORDER", .service = "order-svc", .prefix = "order" }, { 0 }
};
static const struct source *const leader = &sources[0];
/* It reads the log and knows none of its events: its cursor moves, and nothing else happens. */
static const struct service service = {
    .name = "test-svc", .log = "TEST", .prefix = "test", .tables_version = 1, .sources = sources
};

static struct arena arena;

static void tidy(void)
{
    arena_deinit(&arena);
}

TestSuite(vectors, .fini = tidy);

/* ---- Reading vectors ------------------------------------------------------------------------- */

static json_t *read_file(const char *name)
{
    char path[1024];
    json_error_t error;
    const char *folder = getenv("VECTORS");
    cr_assert(folder, "the variable VECTORS does not say where the vectors are");
    snprintf(path, sizeof(path), "%s/%s.json", folder, name);
    json_t *file = json_load_file(path, 0, &error);
    cr_assert(file, "%s: %s", path, error.text);
    return file;
}

static const char *text_of(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int64_t number_of(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    cr_assert(json_is_integer(value), "%s is no number", key);
    return json_integer_value(value);
}

static struct digest digest_in(json_t *object, const char *key)
{
    struct digest digest;
    cr_assert_eq(digest_parse(text_of(object, key), &digest), 0, "%s is no digest", key);
    return digest;
}

static struct event event_of(json_t *row)
{
    const char *data = text_of(row, "data");
    return (struct event){
        .log = text_of(row, "log"),
        .position = number_of(row, "position"),
        .id = text_of(row, "id"),
        .type = text_of(row, "type"),
        .entity = text_of(row, "entity"),
        .time_ms = number_of(row, "time_ms"),
        .correlation = text_of(row, "correlation"),
        .causation = text_of(row, "causation"),
        .cause = text_of(row, "cause"),
        .cause_digest = text_of(row, "cause_digest"),
        .traceparent = text_of(row, "traceparent"),
        .data = data,
        .data_length = strlen(data),
    };
}

/* As it comes from the server; all of it lives as long as the file. */
static struct bus_view view_of(json_t *message)
{
    json_t *pairs = json_object_get(message, "headers"), *pair;
    size_t i;
    struct bus_header *headers = arena_alloc(&arena, HEADERS_MAX * sizeof(*headers));
    cr_assert(pairs && json_array_size(pairs) <= HEADERS_MAX);
    json_array_foreach(pairs, i, pair)
    {
        headers[i].key = json_string_value(json_array_get(pair, 0));
        headers[i].value = json_string_value(json_array_get(pair, 1));
    }
    const char *data = text_of(message, "data");
    return (struct bus_view){ .subject = text_of(message, "subject"),
                              .headers = headers,
                              .header_count = (int)json_array_size(pairs),
                              .data = data,
                              .data_length = strlen(data) };
}

/* ---- The canonical form and the chain -------------------------------------------------------- */

Test(vectors, canonical_form_and_chain)
{
    json_t *file = read_file("canonical"), *row;
    size_t i;
    json_array_foreach(json_object_get(file, "vectors"), i, row)
    {
        const struct event event = event_of(json_object_get(row, "event"));
        const struct digest previous = digest_in(row, "previous_chain"),
                            wanted = digest_in(row, "digest"), after = digest_in(row, "chain");
        struct digest digest, chain;
        cr_assert(event_digest(&event, &digest) == 0 &&
                  event_chain(&previous, &digest, &chain) == 0);
        cr_expect(digest_equal(&digest, &wanted), "%s: another digest", text_of(row, "what"));
        cr_expect(digest_equal(&chain, &after), "%s: another chain", text_of(row, "what"));
    }
    cr_expect_gt(i, 5);
    json_decref(file);
}

/* ---- Headers --------------------------------------------------------------------------------- */

/* The order of headers says nothing. */
static const char *value_of(const struct bus_outgoing *message, const char *key)
{
    for (int i = 0; i < message->header_count; i++)
        if (strcmp(message->headers[i].key, key) == 0)
            return message->headers[i].value;
    return "(none)";
}

Test(vectors, an_event_is_published_with_these_headers)
{
    json_t *file = read_file("headers"), *row;
    size_t i;
    json_array_foreach(json_object_get(file, "written"), i, row)
    {
        _deinit_(envelope) struct envelope envelope;
        const char *what = text_of(row, "what");
        struct event event = event_of(json_object_get(row, "event"));
        json_t *fence = json_object_get(row, "expected_last_sequence");
        event.chain = digest_in(row, "chain");
        event.term = number_of(row, "term");
        envelope_init(&envelope);
        cr_assert_eq(
            envelope_encode(&envelope, &event, leader,
                            json_is_null(fence) ? ENVELOPE_NO_FENCE : json_integer_value(fence)),
            0, "%s: %s", what, failure_text());
        const struct bus_view wanted = view_of(json_object_get(row, "message"));
        cr_expect_str_eq(envelope.message.subject, wanted.subject, "%s", what);
        cr_expect_str_eq(envelope.message.data, wanted.data, "%s", what);
        cr_expect_eq(envelope.message.header_count, wanted.header_count, "%s", what);
        for (int n = 0; n < wanted.header_count; n++)
            cr_expect_str_eq(value_of(&envelope.message, wanted.headers[n].key),
                             wanted.headers[n].value, "%s: %s", what, wanted.headers[n].key);
    }
    cr_expect_gt(i, 3);
    json_decref(file);
}

static void expect_same(const char *what, const char *found, const char *wanted)
{
    cr_expect(found && wanted ? strcmp(found, wanted) == 0 : found == wanted, "%s: %s for %s", what,
              found ? found : "nothing", wanted ? wanted : "nothing");
}

Test(vectors, these_headers_are_read)
{
    json_t *file = read_file("headers"), *row;
    size_t i;
    json_array_foreach(json_object_get(file, "read"), i, row)
    {
        const char *what = text_of(row, "what"), *reason = "";
        const struct event wanted = event_of(json_object_get(row, "event"));
        const struct bus_view view = view_of(json_object_get(row, "message"));
        struct event event;
        struct digest digest;
        cr_assert_eq(envelope_decode(&view, leader, &arena, &event, &digest, &reason), 0, "%s: %s",
                     what, reason);
        cr_expect(event.position == wanted.position && event.time_ms == wanted.time_ms &&
                      event.term == number_of(row, "term"),
                  "%s: another number", what);
        const char *const found[] = { event.id,           event.type,        event.entity,
                                      event.correlation,  event.causation,   event.cause,
                                      event.cause_digest, event.traceparent, event.data };
        const char *const want[] = { wanted.id,           wanted.type,        wanted.entity,
                                     wanted.correlation,  wanted.causation,   wanted.cause,
                                     wanted.cause_digest, wanted.traceparent, wanted.data };
        for (size_t n = 0; n < sizeof(found) / sizeof(*found); n++)
            expect_same(what, found[n], want[n]);
    }
    cr_expect_gt(i, 1);
    json_decref(file);
}

Test(vectors, these_headers_are_refused)
{
    json_t *file = read_file("headers"), *row;
    size_t i;
    json_array_foreach(json_object_get(file, "refused"), i, row)
    {
        const char *what = text_of(row, "what"), *header = text_of(row, "header"), *reason = "";
        const struct bus_view view = view_of(json_object_get(row, "message"));
        struct event event;
        struct digest digest;
        cr_expect_eq(envelope_decode(&view, leader, &arena, &event, &digest, &reason),
                     ENVELOPE_REFUSED, "%s: is read", what);
        cr_expect(strncmp(reason, header, strlen(header)) == 0, "%s: refused because %s", what,
                  reason);
    }
    cr_expect_gt(i, 20);
    json_decref(file);
}

/* ---- A reader -------------------------------------------------------------------------------- */

static const char *outcome_of(struct loop *loop, const struct bus_view *view)
{
    struct item *item = item_new(ITEM_EVENT);
    const char *reason = "";
    cr_assert_not_null(item);
    item->source = leader;
    item->ack_to = "$JS.ACK.ORDER.test-svc.1.1.1.1.1";
    cr_assert_eq(event_item_read(item, view, leader, &reason), 0, "%s", reason);
    struct batch *batch = batch_new();
    cr_assert_eq(loop_run(loop, &item, 1, 1, batch), 0, "%s", failure_text());
    const enum item_outcome outcome = batch->items->outcome;
    batch_free(batch);
    return outcome == OUTCOME_DONE     ? "applied"
           : outcome == OUTCOME_REPEAT ? "repeat"
           : outcome == OUTCOME_GAP    ? "gap"
           : outcome == OUTCOME_VOID   ? "void"
           : outcome == OUTCOME_FORK   ? "does_not_follow"
                                       : "something else";
}

static struct cursor cursor_of(json_t *row)
{
    return (struct cursor){ .position = number_of(row, "position"),
                            .chain = digest_in(row, "chain"),
                            .term = number_of(row, "term") };
}

static void run_scenario(json_t *scenario)
{
    const char *what = text_of(scenario, "what");
    const struct cursor start = cursor_of(json_object_get(scenario, "cursor"));
    struct loop loop;
    struct db *db = NULL;
    json_t *step;
    size_t i;
    cr_assert_eq(db_open(&(struct db_options){ .path = ":memory:" }, &db), 0);
    cr_assert_eq(loop_open(&loop, &service, NULL, db, 1), 0, "%s", failure_text());
    if (start.position > 0) { /* as a service that starts again there */
        cr_assert_eq(cursor_write(db, leader->log, &start), 0, "%s", failure_text());
        loop_close(&loop);
        cr_assert_eq(loop_open(&loop, &service, NULL, db, 1), 0, "%s", failure_text());
    }
    json_array_foreach(json_object_get(scenario, "steps"), i, step)
    {
        const struct bus_view view = view_of(json_object_get(step, "message"));
        const char *outcome = outcome_of(&loop, &view), *wanted = text_of(step, "outcome");
        const struct cursor after = cursor_of(json_object_get(step, "cursor"));
        struct cursor found;
        cr_assert_eq(cursor_read(db, leader->log, &found), 0);
        cr_expect_str_eq(outcome, wanted, "%s, message %zu: %s", what, i + 1, outcome);
        cr_expect(found.position == after.position && found.term == after.term &&
                      digest_equal(&found.chain, &after.chain),
                  "%s, message %zu: the cursor is at %" PRId64 ", term %" PRId64, what, i + 1,
                  found.position, found.term);
    }
    cr_expect_gt(i, 0);
    loop_close(&loop);
    db_free(db);
}

Test(vectors, a_reader_takes_what_follows_and_nothing_else)
{
    json_t *file = read_file("reader"), *scenario;
    size_t i;
    json_array_foreach(json_object_get(file, "scenarios"), i, scenario) run_scenario(scenario);
    cr_expect_gt(i, 5);
    json_decref(file);
}
