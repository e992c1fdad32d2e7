/* Bus on nats.c: what a status of nats.c means as a failure of ours. */
#include "bus/bus_nats.h"
#include "base/result.h"

int bus_fail(natsStatus status, const char *what)
{
    const char *text = natsStatus_GetText(status);
    switch (status) {
    case NATS_NO_MEMORY:       return fail(ERR_MEMORY, "no memory to %s", what);
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT:
    case NATS_MAX_PAYLOAD:
    case NATS_PROTOCOL_ERROR:  return fail(ERR_INVALID, "cannot %s: %s", what, text);
    default:                   return fail(ERR_NETWORK, "cannot %s: %s", what, text);
    }
}
