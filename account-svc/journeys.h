/* The requests that account-svc answers, each by a journey in a file of its name. Start reading
 * here; service.c has the rest of its table of contents. */
#pragma once
#include "journey.h"

// clang-format off: tables of subject, message and journey
#define ACCOUNT_COMMANDS(COMMAND) \
    COMMAND("account.register",       account_register,       register_account) \
    COMMAND("account.change-profile", account_change_profile, change_profile)   \
    COMMAND("account.change-address", account_change_address, change_address)   \
    COMMAND("account.add-card",       account_add_card,       add_card)         \
    COMMAND("account.remove-card",    account_remove_card,    remove_card)      \
    COMMAND("account.close",          account_close,          close_account)

#define ACCOUNT_QUERIES(QUERY) \
    QUERY("account.get",  account_get,  get_account) \
    QUERY("account.find", account_find, find_account)
// clang-format on

ACCOUNT_COMMANDS(COMMAND_DECLARE)
ACCOUNT_QUERIES(QUERY_DECLARE)

/* The refusals of account-svc; the runtime's own stand in base/refusal.h. Files hold these numbers:
 * they are those of 0.1.0, and the next one is REFUSED_OWN. */
enum account_refusal {
    REFUSED_UNKNOWN_ACCOUNT = 3,
    REFUSED_ACCOUNT_CLOSED = 8,
    REFUSED_WRONG_STATE = 9,
};

int decline_card(struct journey *j, const struct event *payment_failed); /* a reaction */

extern const struct event_type project_purchases[]; /* what we read of order-svc's log */
