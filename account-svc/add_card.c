/* Add card: a card to pay with, usable until the end of the month that it names. The entity of the
 * event is the account and not the card, so that all events of one customer stay in their order
 * when one of them is parked. */
#include "base/clock.h"
#include "journeys.h"
#include "schemas/account.add-card.h"
#include "schemas/account.add-card.reply.h"
#include "schemas/evt.account.CardAdded.h"
#include "tables.h"

#define CARDS_MAX 20 /* of one account, without removed ones */

int add_card(struct journey *j, const void *request)
{
    const struct account_add_card *add = request;
    struct account account;
    int r = account_find_open(j, add->account_id, &account);
    if (r != 0)
        return trace(r);
    if (month_is_over(add->expires, journey_now_ms(j)))
        return journey_refuse(j, REFUSED_INVALID_REQUEST, "expires: the card has expired");
    int64_t count = 0;
    r = cards_count(j, add->account_id, &count);
    if (r < 0)
        return trace(r);
    if (count >= CARDS_MAX)
        return journey_refuse(j, REFUSED_WRONG_STATE,
                              "account_id: the account has %d cards; remove one first", CARDS_MAX);
    struct card_added added = {
        .account_id = add->account_id,
        .card_id = journey_make_id(j, "crd_"),
        .card_token = add->card_token,
        .brand = add->brand,
        .last4 = add->last4,
        .expires = add->expires,
    };
    if (!added.card_id)
        return fail(ERR_MEMORY, "no memory for a card");
    return trace(journey_emit(j, &card_added_schema, add->account_id, &added));
}

void add_card_answer(const struct event *event, void *ret_reply)
{
    const struct card_added *added = event->value;
    struct account_add_card_reply *reply = ret_reply;
    reply->card_id = added->card_id;
    reply->position = event->position;
}
