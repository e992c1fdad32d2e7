/* Entity services: user, product, inventory, payment and order, each the owner of one entity, on
 * the same runtime as the journey services. Both ways of joining them (compare/orchestrated,
 * compare/choreographed) run these very tables; only who calls whom differs.
 *
 * What they tell each other is one message, struct bench_order: an order on its way, in which each
 * fills in what it knows and gives back what it was given. A gateway gives each only what it needs;
 * in a chain, where the next one gets what the one before gave back, it grows. */
#pragma once
#include "journey.h"
#include "schemas/bench.order.h"
#include "schemas/evt.bench.Charged.h"
#include "schemas/evt.bench.OrderCreated.h"
#include "schemas/evt.bench.StockReleased.h"
#include "schemas/evt.bench.StockReserved.h"

enum entity_refusal {
    REFUSED_UNKNOWN_ACCOUNT = REFUSED_OWN,
    REFUSED_NO_VALID_CARD,
    REFUSED_OUT_OF_STOCK,
};
extern const struct refusal_type entity_refusals[]; /* answers.c */

extern const struct service user_service, product_service, inventory_service, payment_service,
    order_service;

/* The events about an order have the fields of struct bench_order, and are written and read as
 * one. */
#define IS_AN_ORDER(type)                                             \
    _Static_assert(sizeof(struct type) == sizeof(struct bench_order), \
                   "the schemas of " #type " and bench.order differ")
IS_AN_ORDER(stock_reserved);
IS_AN_ORDER(stock_released);
IS_AN_ORDER(charged);
IS_AN_ORDER(order_created);

/* The answer to a command about an order: the order, as its event has it. */
void order_answer(const struct event *event, void *ret_reply);

/* The answer to a command that sets up the measurement. */
void put_answer(const struct event *event, void *ret_reply);
