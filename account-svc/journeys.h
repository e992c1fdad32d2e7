/* Journeys of account-svc, each in a file of its name. A command has a decision and an answer made
 * from its event; a query has one function. The table in service.c says which subject leads to
 * which. */
#pragma once
#include "journey.h"

/* The refusals of account-svc; the runtime's own stand in base/refusal.h. Files hold these numbers:
 * they are those of 0.1.0, and the next one is REFUSED_OWN. */
enum account_refusal {
    REFUSED_UNKNOWN_ACCOUNT = 3,
    REFUSED_ACCOUNT_CLOSED = 8,
    REFUSED_WRONG_STATE = 9,
};

int register_account(struct journey *j, const void *request);
void register_account_answer(const struct event *event, void *ret_reply);

int change_profile(struct journey *j, const void *request);
void change_profile_answer(const struct event *event, void *ret_reply);

int change_address(struct journey *j, const void *request);
void change_address_answer(const struct event *event, void *ret_reply);

int add_card(struct journey *j, const void *request);
void add_card_answer(const struct event *event, void *ret_reply);

int remove_card(struct journey *j, const void *request);
void remove_card_answer(const struct event *event, void *ret_reply);

int close_account(struct journey *j, const void *request);
void close_account_answer(const struct event *event, void *ret_reply);

int get_account(struct journey *j, const void *request, void *ret_reply);

int decline_card(struct journey *j, const struct event *payment_failed); /* a reaction */

extern const struct event_type project_purchases[]; /* what we read of order-svc's log */
