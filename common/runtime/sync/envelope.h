/* Envelope: an event as headers and data, and back, byte for byte, so that a stream can be made
 * from a log and a log from a stream. CloudEvents 1.0, NATS binding, binary mode; written lower
 * case, read in any case; see docs/CONVENTIONS.md. Beside the ce- headers stand:
 *
 *   Nats-Expected-Last-Sequence    the fence of rule 1
 *   Journey-Position               position in the leader's log, decimal
 *   Journey-Chain                  the chain after this event
 *   Journey-Term                   of the leader who appended it; absent before the first term
 *   Journey-Cause, Journey-Cause-Digest   absent where the event has none
 *   traceparent                    W3C; absent likewise
 *
 * What is the same in each event of a stream, or follows from another header, is not written: the
 * cause of a request is absent beside its digest when it is "request/" and ce-causationid. Digests
 * are base64url. Events of 0.1 have more (ce-dataschema, Nats-Msg-Id, each cause, digests in hex),
 * and are read likewise.
 *
 * ce-type is order.OrderPlaced.v1: the type as the log has it, behind the leader's prefix, and with
 * the .v1 of a first version, which log and subject leave out.
 *
 * Values are percent-encoded as the binding says. An empty text cannot travel (a header value
 * cannot be empty everywhere), so an event holds NULL or something.
 * Pure functions; no I/O. */
#pragma once
#include "bus/bus.h"
#include "journey.h"

#define ENVELOPE_HEADERS_MAX 20
#define ENVELOPE_NO_FENCE (-1) /* as expected_last_sequence: none */

/* Reused from event to event, so that publishing allocates little. */
struct envelope {
    char subject[BUS_SUBJECT_MAX + 1];
    struct buf text; /* the encoded values */
    struct bus_header headers[ENVELOPE_HEADERS_MAX];
    struct bus_outgoing message; /* what envelope_encode made; reply is for the caller to set */
};
void envelope_init(struct envelope *envelope);
void envelope_deinit(struct envelope *envelope);
DEFINE_DEINIT(envelope)

/* Fills envelope->message, which borrows from the envelope and the event until the next call.
 * leader says whose log it is: for our own events a source made of the service's log, name and
 * prefix. -ERR_INVALID for an event that cannot travel (empty or too long text, invalid UTF-8, a
 * digest without a cause), -ERR_MEMORY. */
int envelope_encode(struct envelope *envelope, const struct event *event,
                    const struct source *leader, int64_t expected_last_sequence);

/* Reads an event that should be the leader's. 0 with the event in the arena, its value NULL, and
 * its digest; ENVELOPE_REFUSED with *ret_reason (static or in the arena; names the header, never
 * its value) for whatever is missing, malformed, doubled or not the leader's; -ERR_MEMORY. The
 * chain is only read: whether it follows, cursor_fit says. */
#define ENVELOPE_REFUSED 1
int envelope_decode(const struct bus_view *view, const struct source *leader, struct arena *arena,
                    struct event *ret_event, struct digest *ret_digest, const char **ret_reason);

/* A message that the server itself wrote into a stream, which has limits of time (from 2.11 on): it
 * is nobody's event, and it comes and goes. */
static inline _Bool envelope_is_marker(const struct bus_view *view)
{
    return view->data_length == 0 && bus_header_find(view, "Nats-Marker-Reason");
}

/* The type of an event on a leader's subject: "OrderPlaced" of "evt.order.OrderPlaced",
 * "OrderPlaced.v2" of "evt.order.OrderPlaced.v2"; NULL: not one. */
const char *envelope_type_of_subject(const char *subject, const struct source *leader);
