/* Change profile: new values of name, e-mail or birthday. The event carries all three, so that its
 * readers need no earlier event. */
#include "journeys.h"
#include "schemas/account.change-profile.h"
#include "schemas/account.change-profile.reply.h"
#include "schemas/evt.account.ProfileChanged.h"
#include "tables.h"

int change_profile(struct journey *j, const void *request)
{
    const struct account_change_profile *change = request;
    if (!change->name && !change->email && !change->birthday)
        return journey_refuse(j, REFUSED_INVALID_REQUEST,
                              "name: at least one of name, email, birthday is needed");
    struct account account;
    int r = account_find_open(j, change->account_id, &account);
    if (r != 0)
        return trace(r);
    r = change->email ? email_check(j, change->email) : 0;
    if (r != 0)
        return trace(r);
    int taken = change->email ? account_email_is_taken(j, change->email, change->account_id) : 0;
    if (taken < 0)
        return trace(taken);
    if (taken > 0)
        return journey_refuse(j, REFUSED_CONFLICT, "email: another open account has this address");
    struct profile_changed changed = {
        .account_id = change->account_id,
        .name = change->name ? change->name : account.name,
        .email = change->email ? change->email : account.email,
        .birthday = change->birthday ? change->birthday : account.birthday,
    };
    return trace(journey_emit(j, &profile_changed_schema, change->account_id, &changed));
}

void change_profile_answer(const struct event *event, void *ret_reply)
{
    struct account_change_profile_reply *reply = ret_reply;
    reply->account_id = event->entity;
    reply->position = event->position;
}
