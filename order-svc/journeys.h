/* The requests that order-svc answers, each by a journey in a file of its name. Start reading here;
 * service.c has the rest of its table of contents. */
#pragma once
#include "journey.h"

// clang-format off: tables of subject, message and journey
#define ORDER_COMMANDS(COMMAND) \
    COMMAND("order.add-product",    order_add_product,    add_product)    \
    COMMAND("order.receive-stock",  order_receive_stock,  receive_stock)  \
    COMMAND("order.correct-stock",  order_correct_stock,  correct_stock)  \
    COMMAND("order.change-price",   order_change_price,   change_price)   \
    COMMAND("order.retire-product", order_retire_product, retire_product) \
    COMMAND("order.place",          order_place,          place_order)    \
    COMMAND("order.cancel",         order_cancel,         cancel_order)   \
    COMMAND("order.ship",           order_ship,           ship_order)     \
    COMMAND("order.refund",         order_refund,         refund_order)

#define ORDER_QUERIES(QUERY) \
    QUERY("order.products",  order_products,  list_products) \
    QUERY("order.list",      order_list,      list_orders)   \
    QUERY("order.get",       order_get,       get_order)     \
    QUERY("order.unsettled", order_unsettled, list_unsettled)
// clang-format on

ORDER_COMMANDS(COMMAND_DECLARE)
ORDER_QUERIES(QUERY_DECLARE)

/* The refusals of order-svc; the runtime's own stand in base/refusal.h. Files hold these numbers:
 * they are those of 0.1.0, and the next one is REFUSED_OWN. */
enum order_refusal {
    REFUSED_UNKNOWN_ACCOUNT = 3,
    REFUSED_NO_VALID_CARD = 6,
    REFUSED_OUT_OF_STOCK = 7,
    REFUSED_ACCOUNT_CLOSED = 8,
    REFUSED_WRONG_STATE = 9,
    REFUSED_TOO_MANY_WAITING = REFUSED_OWN,
};

extern const struct event_type project_customers[];  /* what we read of account-svc's log */
extern const struct event_type take_up_shipments[];  /* what we read of the log of shipping */
extern const struct work_type *const take_payment[]; /* charges, voids, refunds */
