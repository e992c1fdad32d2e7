/* Another way: see other_way.h. */
#include "other_way.h"
#include <criterion/criterion.h>
#include "runtime/sync/envelope.h"
#include "server.h"
#include "store/terms.h"

void publish_otherwise(struct bus *bus, const char *path, int64_t last)
{
    struct db_options options = { .path = path, .read_only = 1, .lock_timeout_ms = FAR_MS };
    const struct source leader = { .log = "ORDER", .service = "order-svc", .prefix = "order" };
    _free_(db) struct db *db = NULL;
    _deinit_(event_reader) struct event_reader reader = { 0 };
    _deinit_(envelope) struct envelope envelope;
    struct digest chain = { 0 }, digest;
    struct term_walk walk = { 0 };
    struct event event;
    envelope_init(&envelope);
    cr_assert(db_open(&options, &db) == 0 && term_walk_to(&walk, db, 1) == 0 &&
              event_reader_open(&reader, db, "ORDER", 0, last) == 0);
    while (event_reader_has_next(&reader, &event)) {
        event.term = term_walk_pass(&walk, &event);
        if (event.position == last)
            event.id = "01a1ee56-6b7c-7000-ad4a-000000000001";
        cr_assert(event_digest(&event, &digest) == 0 && event_chain(&chain, &digest, &chain) == 0);
        event.chain = chain;
        cr_assert_eq(envelope_encode(&envelope, &event, &leader, event.position - 1), 0);
        cr_assert_eq(bus_publish(bus, BUS_URGENT, &envelope.message), 0);
    }
    cr_assert(bus_flush(bus, FAR_MS) == 0);
}
