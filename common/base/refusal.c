/* Refusals: those of the runtime. See refusal.h. */
#include "base/refusal.h"
#include "base/result.h"
#include <assert.h>
#include <stddef.h>

// clang-format off: a table
static const struct refusal_type refusals[REFUSAL_MAX] = {
    [REFUSED_INVALID_REQUEST] = { REFUSED_INVALID_REQUEST, "invalid_request", 400, 0 },
    [REFUSED_NOT_FOUND]       = { REFUSED_NOT_FOUND,       "not_found",       404, 0 },
    [REFUSED_CONFLICT]        = { REFUSED_CONFLICT,        "conflict",        409, 0 },
    [REFUSED_TOO_LARGE]       = { REFUSED_TOO_LARGE,       "too_large",       413, 0 },
    [REFUSED_INTERNAL]        = { REFUSED_INTERNAL,        "internal",        500, 1 },
    [REFUSED_BUSY]            = { REFUSED_BUSY,            "busy",            503, 1 },
    [REFUSED_REPLAYING]       = { REFUSED_REPLAYING,       "replaying",       503, 1 },
    [REFUSED_UNCONFIRMED]     = { REFUSED_UNCONFIRMED,     "unconfirmed",     503, 1 },
};
// clang-format on

_Static_assert(NOT_FOUND == REFUSED_NOT_FOUND, "a finder's NOT_FOUND is passed on as a refusal");

const struct refusal_type *refusal_of(enum refusal refusal)
{
    assert(refusal > 0 && refusal < REFUSAL_MAX && refusals[refusal].code);
    return &refusals[refusal];
}

const struct refusal_type *refusal_find(const struct refusal_type *own, int number)
{
    for (const struct refusal_type *type = own; type && type->code; type++)
        if (type->number == number)
            return type;
    return number > 0 && number < REFUSAL_MAX && refusals[number].code ? &refusals[number] : NULL;
}
