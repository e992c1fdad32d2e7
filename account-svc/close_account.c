/* Close account: the customer can place no more orders, and the cards are removed. Orders that were
 * placed go on, and the account can still be queried. */
#include "journeys.h"
#include "schemas/account.close.h"
#include "schemas/account.close.reply.h"
#include "schemas/evt.account.AccountClosed.h"
#include "tables.h"

int close_account(struct journey *j, const void *request)
{
    const struct account_close *wish = request;
    struct account account;
    int r = account_find_open(j, wish->account_id, &account);
    if (r != 0)
        return trace(r);
    struct account_closed closed = { .account_id = wish->account_id };
    return trace(journey_emit(j, &account_closed_schema, wish->account_id, &closed));
}

void close_account_answer(const struct event *event, void *ret_reply)
{
    struct account_close_reply *reply = ret_reply;
    reply->account_id = event->entity;
    reply->position = event->position;
}
