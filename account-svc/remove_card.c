/* Remove card: no new order is paid with the card. An order that was placed with it is still
 * charged to it. */
#include "journeys.h"
#include "schemas/account.remove-card.h"
#include "schemas/account.remove-card.reply.h"
#include "schemas/evt.account.CardRemoved.h"
#include "tables.h"

int remove_card(struct journey *j, const void *request)
{
    const struct account_remove_card *wish = request;
    struct account account;
    int r = account_find_open(j, wish->account_id, &account);
    if (r != 0)
        return trace(r);
    enum card_status status;
    r = card_status_find(j, wish->account_id, wish->card_id, &status);
    if (r < 0)
        return trace(r);
    if (r == NOT_FOUND || status == CARD_REMOVED)
        return journey_refuse(j, REFUSED_NOT_FOUND, "card_id: the account has no such card");
    struct card_removed removed = { .account_id = wish->account_id, .card_id = wish->card_id };
    return trace(journey_emit(j, &card_removed_schema, wish->account_id, &removed));
}

void remove_card_answer(const struct event *event, void *ret_reply)
{
    const struct card_removed *removed = event->value;
    struct account_remove_card_reply *reply = ret_reply;
    reply->account_id = removed->account_id;
    reply->card_id = removed->card_id;
    reply->position = event->position;
}
