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
    if (r != NOT_FOUND)
        return trace(r);
    /* one that was registered by an older version is found; else a form that is refused is named */
    r = email_check(j, find->email);
    if (r != 0)
        return trace(r);
    return journey_refuse(j, REFUSED_NOT_FOUND, "email: no open account has this address");
}
