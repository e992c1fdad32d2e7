/* Decline card: a payment with a customer's card has failed for good, so the card is not offered
 * again. This is a reaction: it happens whenever this service runs, and nobody waits for it.
 *
 * Each hard PaymentFailed has its CardDeclined, so that whoever compares the two logs finds them in
 * pairs; order-svc says it once of each card. The reaction does not look whether the card is
 * declined already or was removed: then the event changes nothing here, and tells the other
 * services what they knew. A soft decline says nothing of the card, and one that was known nothing
 * new.
 *
 * A PaymentFailed names no card that this service never had, because order-svc knows cards from
 * this service's log alone. After the loss of a log it might; then the event still says what
 * happened, and no row is invented for the card. */
#include "journeys.h"
#include "schemas/evt.account.CardDeclined.h"
#include "schemas/evt.order.PaymentFailed.h"
#include <string.h>

int decline_card(struct journey *j, const struct event *payment_failed)
{
    const struct payment_failed *failed = payment_failed->value;
    if (failed->decline && strcmp(failed->decline, "hard") != 0)
        return 0;
    struct card_declined declined = {
        .account_id = failed->account_id,
        .card_id = failed->card_id,
        .order_id = failed->order_id,
        .reason = failed->reason,
    };
    return trace(journey_emit(j, &card_declined_schema, failed->account_id, &declined));
}
