/* Entity services: user, product, inventory, payment and order, each the owner of one entity, on
 * the same runtime as the journey services. Both architectures of entity services
 * (compare/orchestrated, compare/choreographed) run these tables, and differ only in which service
 * calls which.
 *
 * All messages are one type, struct bench_order: an order on its way, to which each service adds
 * the fields that it knows. The gateway sends each service only the fields that it needs; in a
 * chain each service passes all fields on, so the message grows. */
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

/* The events about an order have the fields of struct bench_order, and are encoded and decoded as
 * that struct. */
#define IS_AN_ORDER(type)                                             \
    _Static_assert(sizeof(struct type) == sizeof(struct bench_order), \
                   "the schemas of " #type " and bench.order differ")
IS_AN_ORDER(stock_reserved);
IS_AN_ORDER(stock_released);
IS_AN_ORDER(charged);
IS_AN_ORDER(order_created);

/* The answer to a command about an order: the order of its event. */
void order_answer(const struct event *event, void *ret_reply);

/* The answer to a command that sets up the measurement. */
void put_answer(const struct event *event, void *ret_reply);
