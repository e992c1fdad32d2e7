/* Account subject: a request that concerns one account is also taken as `<subject>.<account>`
 * (`order.place.acc_…`), so that NATS' permissions, which are by subject, say who may ask for whom:
 * whoever may publish `order.*.acc_…` acts for that account and for no other. Which requests these
 * are stands in their schemas: `"x-account": "account_id"` names the field that holds the account.
 *
 * There the body may leave the account out. A body that names another one is refused as not_found,
 * whether there is such an account or not. What belongs to an account and is asked for by an id of
 * its own (order.get) is for the journey to compare with that field: it says of another account's
 * what it says of one that is not there. Idempotency keys are a name space of the account.
 * Any thread. */
#pragma once
#include "runtime/core/item.h"

#define ACCOUNT_WILDCARD ".*" /* behind the request's own subject */

struct account_request {
    struct schema schema; /* of the request, but that the body may leave the account out */
    const struct schema_field *account;
};

/* In the arena. The request's schema must name an account (service_check looks). 0 or
 * -ERR_MEMORY. */
int account_request_make(const struct schema *request, struct arena *arena,
                         struct account_request **ret_request);

/* The account that a subject names in its last token, for item->account. 0;
 * REFUSED_INVALID_REQUEST: it is not what the schema wants there; -ERR_MEMORY. */
int account_take(const struct account_request *of, const char *subject, struct item *item,
                 struct invalid *ret_invalid);

/* Fills item->account into the decoded body. 0, or REFUSED_NOT_FOUND: it names another one. */
int account_fill_in(const struct account_request *of, const struct item *item, void *request,
                    struct invalid *ret_invalid);

/* The idempotency key becomes item->key, and the cause of the events that follow. Where there is an
 * item->account, both are that account's own: no plain key has a line feed (event_text.h), and no
 * plain cause begins with CAUSE_ACCOUNT. 0; REFUSED_INVALID_REQUEST: together they are too long for
 * a cause; -ERR_MEMORY. */
int account_take_key(struct item *item, const char *key, struct invalid *ret_invalid);
