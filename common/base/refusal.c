/* Refusals: the one table of wire codes. See refusal.h. */
#include "base/refusal.h"
#include "base/result.h"
#include <assert.h>

_Static_assert(NOT_FOUND == (int)REFUSED_NOT_FOUND, "see result.h");

static const struct {
    const char *code;
    int status;
    _Bool transient;
} refusals[REFUSAL_MAX] = {
    [REFUSED_INVALID_REQUEST] = { "invalid_request", 400, 0 },
    [REFUSED_NOT_FOUND] = { "not_found", 404, 0 },
    [REFUSED_UNKNOWN_ACCOUNT] = { "unknown_account", 404, 0 },
    [REFUSED_CONFLICT] = { "conflict", 409, 0 },
    [REFUSED_TOO_LARGE] = { "too_large", 413, 0 },
    [REFUSED_NO_VALID_CARD] = { "no_valid_card", 422, 0 },
    [REFUSED_OUT_OF_STOCK] = { "out_of_stock", 422, 0 },
    [REFUSED_ACCOUNT_CLOSED] = { "account_closed", 422, 0 },
    [REFUSED_WRONG_STATE] = { "wrong_state", 422, 0 },
    [REFUSED_INTERNAL] = { "internal", 500, 1 },
    [REFUSED_BUSY] = { "busy", 503, 1 },
    [REFUSED_REPLAYING] = { "replaying", 503, 1 },
};

const char *refusal_code(enum refusal refusal)
{
    assert(refusal > 0 && refusal < REFUSAL_MAX);
    return refusals[refusal].code;
}

int refusal_status(enum refusal refusal)
{
    assert(refusal > 0 && refusal < REFUSAL_MAX);
    return refusals[refusal].status;
}

_Bool refusal_is_transient(enum refusal refusal)
{
    assert(refusal > 0 && refusal < REFUSAL_MAX);
    return refusals[refusal].transient;
}
