/* Journeys of order-svc, each in a file of its name. A command has a decision and an answer made
 * from its event; a query has one function. The table in service.c says which subject leads to
 * which. */
#pragma once
#include "journey.h"

/* The refusals of order-svc; the runtime's own stand in base/refusal.h. Files hold these numbers:
 * they are those of 0.1.0, and the next one is REFUSED_OWN. */
enum order_refusal {
    REFUSED_UNKNOWN_ACCOUNT = 3,
    REFUSED_NO_VALID_CARD = 6,
    REFUSED_OUT_OF_STOCK = 7,
    REFUSED_ACCOUNT_CLOSED = 8,
    REFUSED_WRONG_STATE = 9,
};

int add_product(struct journey *j, const void *request);
void add_product_answer(const struct event *event, void *ret_reply);

int receive_stock(struct journey *j, const void *request);
void receive_stock_answer(const struct event *event, void *ret_reply);

int place_order(struct journey *j, const void *request);
void place_order_answer(const struct event *event, void *ret_reply);

int cancel_order(struct journey *j, const void *request);
void cancel_order_answer(const struct event *event, void *ret_reply);

int ship_order(struct journey *j, const void *request);
void ship_order_answer(const struct event *event, void *ret_reply);

int list_products(struct journey *j, const void *request, void *ret_reply);
int list_orders(struct journey *j, const void *request, void *ret_reply);
int get_order(struct journey *j, const void *request, void *ret_reply);

extern const struct event_type project_customers[]; /* what we read of account-svc's log */
extern const struct event_type take_up_shipments[]; /* what we read of the log of shipping */
extern const struct work_type *const take_payment[];
