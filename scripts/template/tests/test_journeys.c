/* Journeys of @name@ as stories: given these events, when this request, then these events and this
 * reply. Each ends with the proof that the tables folded anew from the logs are the same. */
#include "service.h"
#include "test/harness.h"
#include <criterion/criterion.h>

#define ORDER "ord_019abc12-3456-7def-8123-456789abcdef"
#define ANNA "acc_019abc12-3456-7def-8123-456789abcdef"
#define PAID GIVEN("ORDER OrderPaid", ORDER, "{'order_id':'" ORDER "','account_id':'" ANNA "'}")
#define TAKEN THEN_EVENT("Taken", "{'order_id':'" ORDER "','account_id':'" ANNA "'}")

static const char *const folds[] = {
    "SELECT group_concat(order_id || taken_ms, ' ')"
    " FROM (SELECT * FROM taken_orders ORDER BY order_id)",
    "SELECT group_concat(order_id || account_id, ' ')"
    " FROM (SELECT * FROM paid_orders ORDER BY order_id)",
    NULL,
};
#define RUN_ALL(stories) \
    stories_run(&@name@_service, stories, sizeof(stories) / sizeof(stories[0]), folds)

Test(@name@, take_order)
{
    const struct story stories[] = {
        STORY("a paid order",
            PAID,
            WHEN("@name@.take", "{'order_id':'" ORDER "'}"),
            TAKEN,
            THEN_REPLY("{'order_id':'" ORDER "','position':1}")),
        STORY("twice under one key is once",
            PAID,
            WHEN_KEY("@name@.take", "{'order_id':'" ORDER "'}", "k1"),
            TAKEN,
            WHEN_KEY("@name@.take", "{'order_id':'" ORDER "'}", "k1"),
            THEN_REPLY("{'order_id':'" ORDER "','position':1}")),
        STORY("not twice",
            PAID,
            WHEN("@name@.take", "{'order_id':'" ORDER "'}"),
            TAKEN,
            WHEN("@name@.take", "{'order_id':'" ORDER "'}"),
            THEN_REFUSED("already_taken", "order_id: the order is taken")),
        STORY("an order that nobody has paid",
            WHEN("@name@.take", "{'order_id':'" ORDER "'}"),
            THEN_REFUSED("not_found", "order_id")),
        STORY("what is no order",
            WHEN("@name@.take", "{'order_id':'x'}"),
            THEN_REFUSED("invalid_request", "order_id")),
    };
    RUN_ALL(stories);
}

/* Every event that a released version has published (journey-samples keeps them). */
Test(@name@, golden)
{
    samples_run(&@name@_service, GOLDEN);
}
