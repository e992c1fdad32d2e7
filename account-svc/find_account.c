/* Find account: by its e-mail address, for somebody in the shop who has a customer on the phone.
 * What is one address is what register_account.c takes for one. An address belongs to one open
 * account at most; closed accounts are not found by it. */
#include "journeys.h"
#include "schemas/account.find.h"
#include "schemas/account.find.reply.h"
#include "tables.h"

int find_account(struct journey *j, const void *request, void *ret_reply)
{
    const struct account_find *find = request;
    struct account_find_reply *reply = ret_reply;
    int r = account_find_by_email(j, find->email, &reply->account_id);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_NOT_FOUND, "email: no open account has this address");
    return trace(r);
}
