/* Push: projections without a stream. Each service sends its events, in batches and in order, to
 * the other service as a request, and retries until it is answered. Events wait in memory: a queue
 * that survives a restart, can be replayed from any position and has any number of readers would be
 * the stream again.
 *
 *   leader: event ─► queue ─► account.push, order.push ─► reader: Learned ─► the projection's apply
 *
 * The reader stores the pushed events in its own log, so that its tables can be rebuilt (rule 2).
 *
 * Weaknesses that the stream does not have: a full queue drops its oldest events, and a restart of
 * the leader drops all of them; the reader then lacks the events for good, and does not notice. */
#pragma once
#include "journey.h"

#define PUSH_BATCH_MAX 128 /* events in one request */
/* data of the events in one request; quoting lets it grow, and a request has at most 64 KiB */
#define PUSH_BATCH_BYTES ((size_t)20 * 1024)
#define PUSH_QUEUE_MAX 4096 /* waiting events; beyond that the oldest are dropped */

struct push {
    const struct service *service; /* the shipped service */
    const char *learn_subject;     /* the subject that this service answers: "order.push" */
    const char *push_subject;      /* the subject that the other answers: "account.push" */
};

/* Runs the shipped service with pushes instead of its feeds. Returns the exit code. */
int push_main(const struct push *push, int argc, char **argv);
