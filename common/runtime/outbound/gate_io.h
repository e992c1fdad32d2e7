/* Gate's I/O: the one place where what leaves the service because of a commit leaves it: replies
 * and refusals to commands, queries' answers, and calls to the outside (--answer-when).
 *
 *   committed   all of it leaves at once, when its batch is settled
 *   published   all of it leaves when our stream has acknowledged the position that it depends on:
 *               the newest of its batch, or of a query's snapshot. A refusal depends on a position,
 *               too: it was computed from the tables. What is not confirmed in time is answered as
 *               `unconfirmed`; a call is then told as one without an answer, and asked for again
 *
 * What was rolled back, and what needed no state, is told at once in either mode.
 *
 * Acknowledgements of others' events are no answers, and do not wait. Whoever has lost the database
 * reads the others' logs again from its cursors, which are lost with it; the durable that is ahead
 * of them is made anew there (sync/feed.h), whatever was acknowledged, and a reaction is made again
 * unless its cause is in our log (rule 3). So nothing is lost that was acknowledged and is not
 * published yet; and an acknowledgement that waited for a stalled stream would have the broker
 * deliver everything again.
 *
 * On the sender's thread; queries come by the mailbox, when they have to wait. */
#pragma once
#include "runtime/outbound/call_io.h"
#include "runtime/sync/gate.h"
#include "runtime/sync/relay.h"

struct gate_io {
    struct outbound *outbound;
    struct call_io *calls; /* borrowed */
    struct gate gate;
    _Bool gives_up; /* the newest that left was given up: logged once */
};

void gate_io_init(struct gate_io *gate_io, struct outbound *outbound, struct call_io *calls,
                  int64_t wait_ms);
void gate_io_deinit(struct gate_io *gate_io);

/* Takes the batch's requests and calls. */
void gate_io_settle(struct gate_io *gate_io, struct batch *batch, int64_t now_ms);
/* Takes over an item with its outcome, which waits for item->depends_on. */
void gate_io_answer(struct gate_io *gate_io, struct item *item, int64_t now_ms);

/* Sends what the relay's stream has confirmed, and gives up what has waited too long. */
void gate_io_act(struct gate_io *gate_io, const struct relay *relay, int64_t now_ms);
/* The service stops: what is still held is given up. */
void gate_io_end(struct gate_io *gate_io, const struct relay *relay, int64_t now_ms);
int64_t gate_io_due_ms(const struct gate_io *gate_io);
