/* Get account: the profile, the cards, the newest purchases and their totals. */
#include "journeys.h"
#include "schemas/account.get.h"
#include "schemas/account.get.reply.h"
#include "tables.h"

#define CARDS_SHOWN_MAX 100
#define PURCHASES_SHOWN_MAX 20

static int get_cards(struct journey *j, struct account_get_reply *reply)
{
    const int max = (int)journey_page_limit(j, CARDS_SHOWN_MAX);
    struct account_get_reply_cards_item *cards = arena_alloc(journey_arena(j),
                                                             (size_t)max * sizeof(*cards));
    if (!cards)
        return fail(ERR_MEMORY, "no memory for cards");
    reply->cards = cards;
    return trace(cards_list(j, reply->account_id, max, cards, &reply->cards_count));
}

static int get_purchases(struct journey *j, struct account_get_reply *reply)
{
    const int max = (int)journey_page_limit(j, PURCHASES_SHOWN_MAX);
    struct account_get_reply_purchases_item *purchases =
        arena_alloc(journey_arena(j), (size_t)max * sizeof(*purchases));
    if (!purchases)
        return fail(ERR_MEMORY, "no memory for purchases");
    reply->purchases = purchases;
    int r = purchases_list(j, reply->account_id, max, purchases, &reply->purchases_count);
    if (r == 0)
        r = purchases_total(j, reply->account_id, &reply->totals);
    return trace(r);
}

int get_account(struct journey *j, const void *request, void *ret_reply)
{
    const struct account_get *get = request;
    struct account account;
    int r = account_find(j, get->account_id, &account);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_UNKNOWN_ACCOUNT, "account_id: no such account");
    if (r != 0)
        return trace(r);
    struct account_get_reply *reply = ret_reply;
    *reply = (struct account_get_reply){
        .account_id = get->account_id,
        .name = account.name,
        .email = account.email,
        .birthday = account.birthday,
        .address = account.address,
        .status = account.is_open ? "open" : "closed",
    };
    r = get_cards(j, reply);
    if (r == 0)
        r = get_purchases(j, reply);
    return trace(r);
}
