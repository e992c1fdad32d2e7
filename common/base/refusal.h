/* Refusals: the answers that say no. A positive result of a decision is the number of one of these.
 *
 * The runtime has its own, listed here; each service lists the others in its table
 * (struct service.refusals). The numbers stand in files (store/refusals.h), so a number always
 * means the same refusal, and none is used again for another. Codes and statuses are what clients
 * see: part of the contract.
 */
#pragma once

/* The runtime's own. 3 and 6 to 9 are numbers of services since 0.1.0. */
enum refusal {
    REFUSED_INVALID_REQUEST = 1, /* 400: the message names the field */
    REFUSED_NOT_FOUND = 2,       /* 404 */
    REFUSED_CONFLICT = 4,        /* 409: also an idempotency key that was used otherwise */
    REFUSED_TOO_LARGE = 5,       /* 413 */
    REFUSED_INTERNAL = 10,       /* 500 */
    REFUSED_BUSY = 11,           /* 503 */
    REFUSED_REPLAYING = 12,      /* 503 */
    /* 503: it may have happened, or will be taken back with a lost disk; the same key tells */
    REFUSED_UNCONFIRMED = 13,
    REFUSAL_MAX = 14,
    REFUSED_OWN = 100, /* a service numbers its new refusals from here */
};

struct refusal_type {
    int number;       /* of an enum of the service, from REFUSED_OWN on */
    const char *code; /* "out_of_stock": for programs */
    int status;       /* 422: as HTTP has them, for clients that do not know the code */
    _Bool
        is_transient; /* of the moment and not of the request: not kept under an idempotency key */
};

const struct refusal_type *refusal_of(enum refusal refusal); /* one of the runtime's own */

/* The refusal of this number, of a service's table (ends with { 0 }; NULL: none) or the runtime's
 * own. NULL: there is none of this number. */
const struct refusal_type *refusal_find(const struct refusal_type *own, int number);
