/* Change address: where the next orders are shipped. Orders that were placed keep their address. */
#include "journeys.h"
#include "schemas/account.change-address.h"
#include "schemas/account.change-address.reply.h"
#include "schemas/evt.account.AddressChanged.h"
#include "tables.h"

int change_address(struct journey *j, const void *request)
{
    const struct account_change_address *change = request;
    struct account account;
    int r = account_find_open(j, change->account_id, &account);
    if (r != 0)
        return trace(r);
    struct address_changed changed = { .account_id = change->account_id,
                                       .address = change->address };
    return trace(journey_emit(j, &address_changed_schema, change->account_id, &changed));
}

void change_address_answer(const struct event *event, void *ret_reply)
{
    struct account_change_address_reply *reply = ret_reply;
    reply->account_id = event->entity;
    reply->position = event->position;
}
