/* Payment by NATS: whoever answers psp.charge and psp.void. While nobody does, the answer is
 * ANSWER_UNREACHABLE, and take_payment.c asks again. */
#include "payment_provider.h"
#include "schemas/psp.charge.h"
#include "schemas/psp.charge.reply.h"
#include "schemas/psp.void.h"
#include "schemas/psp.void.reply.h"
#include <inttypes.h>
#include <stdio.h>

#define KEY_SIZE 81 /* as in schemas/psp.charge.json */

static void key_format(const struct charge *charge, char ret_key[KEY_SIZE])
{
    snprintf(ret_key, KEY_SIZE, "%s/%" PRId64, charge->order_id, charge->attempt);
}

static int charge_by_nats(struct journey *j, const struct charge *charge)
{
    char key[KEY_SIZE];
    key_format(charge, key);
    struct psp_charge body = {
        .key = key,
        .order_id = charge->order_id,
        .card_token = charge->card_token,
        .amount = charge->amount,
    };
    struct call call = {
        .subject = "psp.charge",
        .schema = &psp_charge_schema,
        .body = &body,
        .reply_schema = &psp_charge_reply_schema,
        .timeout_ms = charge->timeout_ms,
        .tag = charge->order_id,
        .number = charge->attempt,
    };
    return trace(journey_call(j, &call));
}

static int take_back_by_nats(struct journey *j, const struct charge *charge)
{
    char key[KEY_SIZE];
    key_format(charge, key);
    struct psp_void body = { .key = key };
    struct call call = {
        .subject = "psp.void",
        .schema = &psp_void_schema,
        .body = &body,
        .reply_schema = &psp_void_reply_schema,
        .timeout_ms = charge->timeout_ms,
        .tag = charge->order_id,
        .number = -charge->attempt,
    };
    return trace(journey_call(j, &call));
}

const struct payment_provider payment_nats = { "nats", charge_by_nats, take_back_by_nats };
