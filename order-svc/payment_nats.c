/* Payment by NATS: whoever answers psp.charge and psp.void. While nobody does, the answer is
 * ANSWER_UNREACHABLE, and the work list asks again. */
#include "payment_provider.h"
#include "schemas/psp.charge.h"
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

static int take_back_by_nats(struct journey *j, const struct work *work)
{
    char key[KEY_SIZE];
    key_format(work, key);
    struct psp_void body = { .key = key };
    struct call call = { .subject = "psp.void", .body = &body };
    return trace(journey_call(j, &call));
}

const struct payment_provider payment_nats = { "nats", charge_by_nats, take_back_by_nats };
