/* Answers and refusals that the entity services share. */
#include "entities.h"
#include "schemas/bench.done.h"
#include "schemas/bench.order.h"

const struct refusal_type entity_refusals[] = {
    { REFUSED_UNKNOWN_ACCOUNT, "unknown_account", 404, 0 },
    { REFUSED_NO_VALID_CARD, "no_valid_card", 422, 0 },
    { REFUSED_OUT_OF_STOCK, "out_of_stock", 422, 0 },
    { 0 },
};

void order_answer(const struct event *event, void *ret_reply)
{
    *(struct bench_order *)ret_reply = *(const struct bench_order *)event->value;
}

void put_answer(const struct event *event, void *ret_reply)
{
    ((struct bench_done *)ret_reply)->position = event->position;
}
