/* Push: projections without a stream. Each service sends its events, in batches and in order,
 * straight to the other as a request, and asks again until it is answered. What waits is kept in
 * memory, because a queue that survives a restart, is replayed from any position and is read by any
 * number of readers would be the stream again.
 *
 *     leader: event ─► queue ─► account.push / order.push ─► reader: Learned ─► apply as shipped
 *
 * The reader writes down what it was told in its own log, so that its tables can be folded again
 * (rule 2).
 *
 * What it cannot do, and the stream can: a queue that is full drops its oldest events, and a
 * restart of the leader drops all of them; the reader then lacks them for good, and says
 * nothing. */
#pragma once
#include "journey.h"

#define PUSH_BATCH_MAX 128 /* events in one request */
/* of their data, which grows when it is quoted; a request has 64 KiB */
#define PUSH_BATCH_BYTES ((size_t)20 * 1024)
#define PUSH_QUEUE_MAX 4096 /* events that wait; beyond that the oldest are dropped */

struct push {
    const struct service *service; /* the shipped one */
    const char *learn_subject;     /* what we answer: "order.push" */
    const char *push_subject;      /* what the other answers: "account.push" */
};

/* Runs the shipped service with pushes in the place of its feeds. Returns the exit code. */
int push_main(const struct push *push, int argc, char **argv);
