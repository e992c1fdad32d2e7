/* Payment by NATS: whoever answers psp.charge, psp.void and psp.refund. While nobody does, the
 * answer is ANSWER_UNREACHABLE, and the work list asks again. */
#include "payment_provider.h"
#include "schemas/psp.charge.h"
#include "schemas/psp.refund.h"
#include "schemas/psp.void.h"
#include <inttypes.h>
#include <stdio.h>

#define KEY_SIZE 81 /* as in schemas/psp.charge.json */

static void key_format(const struct work *work, char ret_key[KEY_SIZE])
{
    snprintf(ret_key, KEY_SIZE, "%s/%" PRId64, work->key, work->number);
}

static int charge_by_nats(struct journey *j, const struct work *work, const struct charge *charge)
{
    char key[KEY_SIZE];
    key_format(work, key);
    struct psp_charge body = {
        .key = key,
        .order_id = work->key,
        .card_token = charge->card_token,
        .amount = charge->amount,
    };
    struct call call = { .subject = "psp.charge", .body = &body };
    return trace(journey_call(j, &call));
}

static int take_back_by_nats(struct journey *j, const struct work *work, const char *card_token)
{
    char key[KEY_SIZE];
    (void)card_token;
    key_format(work, key);
    struct psp_void body = { .key = key };
    struct call call = { .subject = "psp.void", .body = &body };
    return trace(journey_call(j, &call));
}

static int give_back_by_nats(struct journey *j, const struct work *work,
                             const struct give_back *give_back)
{
    char key[KEY_SIZE], charge[KEY_SIZE];
    snprintf(charge, sizeof(charge), "%s/%" PRId64, work->key, give_back->attempt);
    snprintf(key, sizeof(key), "%s/%" PRId64 "/r%" PRId64, work->key, give_back->attempt,
             work->number);
    struct psp_refund body = {
        .key = key,
        .charge = charge,
        .order_id = work->key,
        .amount = give_back->amount,
    };
    struct call call = { .subject = "psp.refund", .body = &body };
    return trace(journey_call(j, &call));
}

const struct payment_provider payment_nats = {
    "nats",
    charge_by_nats,
    take_back_by_nats,
    give_back_by_nats,
};
