/* Payment provider: who takes the money. One small interface, and a file for each that we have:
 * built in (payment_sandbox.c) or behind the bus (payment_nats.c). The option `payment` chooses.
 *
 * A charge is known by its order and attempt: the key and the number of the piece of work, and to
 * the provider "ord_…/1". The same key is the same charge: asked again, the provider says the same
 * again. A charge that is taken back (voided) is undone if it was made, and refused if it comes
 * later. Both make the one call of work_type.ask: 0 or < 0; the answer comes later. */
#pragma once
#include "schemas/common.h"
#include "work.h"

struct charge {
    const char *card_token;
    struct money amount;
};

struct payment_provider {
    const char *name;
    int (*charge)(struct journey *j, const struct work *work, const struct charge *charge);
    int (*take_back)(struct journey *j, const struct work *work);
};

extern const struct payment_provider payment_sandbox;
extern const struct payment_provider payment_nats;
