/* Payment provider: who takes the money. One small interface, and a file for each that we have:
 * built in (payment_sandbox.c) or behind the bus (payment_nats.c). The option `payment` chooses.
 *
 * A charge is known by its order and attempt: the key and the number of the piece of work, and to
 * the provider "ord_…/1". The same key is the same charge: asked again, the provider says the same
 * again. A charge that is taken back (voided) is undone if it was made, and refused if it comes
 * later. A refund is known by its number beside that, "ord_…/1/r1": the same key is the same
 * refund. Each makes the one call of work_type.ask: 0 or < 0; the answer comes later. */
#pragma once
#include "schemas/common.h"
#include "work.h"

struct charge {
    const char *card_token;
    struct money amount;
};

struct give_back {
    const char *card_token; /* NULL: not known any more */
    int64_t attempt;        /* of the charge */
    struct money amount;
};

struct payment_provider {
    const char *name;
    int (*charge)(struct journey *j, const struct work *work, const struct charge *charge);
    int (*take_back)(struct journey *j, const struct work *work, const char *card_token);
    int (*give_back)(struct journey *j, const struct work *work, const struct give_back *give_back);
};
/* The one that the option names. */
const struct payment_provider *payment_provider_of(const struct journey *j);

extern const struct work_log_names payment_log_names;
extern const struct work_type void_charge, refund_payment; /* give_money_back.c */

extern const struct payment_provider payment_sandbox;
extern const struct payment_provider payment_nats;
