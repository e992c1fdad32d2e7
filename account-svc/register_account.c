/* Register account: a new customer. A second open account with the same e-mail address is a
 * conflict: customers are found by that address and written to there, and a request that was
 * repeated without an idempotency key would make a second account unnoticed. What is one address is
 * said in email_address.c. Closing an account frees its address. */
#include "journeys.h"
#include "schemas/account.register.h"
#include "schemas/account.register.reply.h"
#include "schemas/evt.account.AccountRegistered.h"
#include "tables.h"

int register_account(struct journey *j, const void *request)
{
    const struct account_register *wish = request;
    int r = email_check(j, wish->email);
    if (r != 0)
        return trace(r);
    r = account_email_is_taken(j, wish->email, NULL);
    if (r < 0)
        return trace(r);
    if (r > 0)
        return journey_refuse(j, REFUSED_CONFLICT, "email: an open account has this address");
    struct account_registered registered = {
        .account_id = journey_make_id(j, "acc_"),
        .name = wish->name,
        .email = wish->email,
        .birthday = wish->birthday,
        .address = wish->address,
    };
    if (!registered.account_id)
        return fail(ERR_MEMORY, "no memory for an account");
    return trace(journey_emit(j, &account_registered_schema, registered.account_id, &registered));
}

void register_account_answer(const struct event *event, void *ret_reply)
{
    struct account_register_reply *reply = ret_reply;
    reply->account_id = event->entity;
    reply->position = event->position;
}
