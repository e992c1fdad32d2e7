/* Answers that the entity services share. */
#include "entities.h"
#include "schemas/bench.done.h"
#include "schemas/bench.order.h"

void order_answer(const struct event *event, void *ret_reply)
{
    *(struct bench_order *)ret_reply = *(const struct bench_order *)event->value;
}

void put_answer(const struct event *event, void *ret_reply)
{
    ((struct bench_done *)ret_reply)->position = event->position;
}
