/* Refusals: the answers that say no. A positive result of a decision is one of these; this list and
 * the table in refusal.c are the only place that knows their wire codes (DESIGN: names on the
 * wire).
 */
#pragma once

enum refusal {
    REFUSED_INVALID_REQUEST = 1, /* 400: the message names the field */
    REFUSED_NOT_FOUND,           /* 404 */
    REFUSED_UNKNOWN_ACCOUNT,     /* 404 */
    REFUSED_CONFLICT,            /* 409 */
    REFUSED_TOO_LARGE,           /* 413 */
    REFUSED_NO_VALID_CARD,       /* 422, as the three below */
    REFUSED_OUT_OF_STOCK,
    REFUSED_ACCOUNT_CLOSED,
    REFUSED_WRONG_STATE,
    REFUSED_INTERNAL,  /* 500 */
    REFUSED_BUSY,      /* 503 */
    REFUSED_REPLAYING, /* 503 */
    REFUSAL_MAX,
};

const char *refusal_code(enum refusal refusal); /* "out_of_stock" */
int refusal_status(enum refusal refusal);       /* 422 */

/* True for refusals that say something of the moment and not of the request (internal, busy,
 * replaying): they are never remembered under an idempotency key. */
_Bool refusal_is_transient(enum refusal refusal);
