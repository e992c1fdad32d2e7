/* Payment provider: who takes the money. One small interface, and a file for each that we have:
 * built in (payment_sandbox.c) or behind the bus (payment_nats.c). The option `payment` chooses.
 *
 * A charge is known by its order and attempt, both to the provider (key "ord_…/1") and in the
 * answer (tag and number). The same key is the same charge: asked again, the provider says the same
 * again. A charge that is taken back (voided) is undone if it was made, and refused if it comes
 * later. The answer to that has the negative attempt as its number. */
#pragma once
#include "journey.h"
#include "schemas/common.h"

struct charge {
    const char *order_id;
    int64_t attempt;
    const char *card_token; /* NULL to take it back */
    struct money amount;
    int tries; /* how often this one was asked for before, in this life of the process */
    int timeout_ms;
};

struct payment_provider {
    const char *name;
    /* 0 or < 0; the answer comes later */
    int (*charge)(struct journey *j, const struct charge *charge);
    int (*take_back)(struct journey *j, const struct charge *charge);
};

extern const struct payment_provider payment_sandbox;
extern const struct payment_provider payment_nats;
