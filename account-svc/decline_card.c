/* Decline card: a payment with one of our customers' cards has failed, so the card is not offered
 * again. This is a reaction: it happens whenever this service is there, and nobody waits for it.
 *
 * Each PaymentFailed has its CardDeclined, so that whoever compares the two logs finds them in
 * pairs; it is not asked whether the card is declined already, or was removed meanwhile: then the
 * event changes nothing here, and the others hear what they knew. A card that we have never heard
 * of cannot be in a PaymentFailed, because order-svc knows cards from our log alone; should a log
 * have been lost, then the event still says what happened, and nothing is made up for it in our
 * tables. */
#include "journeys.h"
#include "schemas/evt.account.CardDeclined.h"
#include "schemas/evt.order.PaymentFailed.h"
#include "tables.h"

int decline_card(struct journey *j, const struct event *payment_failed)
{
    const struct payment_failed *failed = payment_failed->value;
    struct card_declined declined = {
        .account_id = failed->account_id,
        .card_id = failed->card_id,
        .order_id = failed->order_id,
        .reason = failed->reason,
    };
    return trace(journey_emit(j, &card_declined_schema, failed->account_id, &declined));
}
