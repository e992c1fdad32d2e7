/* Durable's I/O: makes durables on our own stream, for the services that read it. A reader that
 * might make consumers itself could make one that pushes the stream's events to any subject of our
 * account (nats-server#8274); so it asks us, and gets a pull consumer and nothing else. The subject
 * of its request names the reader, `order.durable.account-svc.make`; NATS' permissions say who may
 * send it.
 *
 *     IDLE ── request ──► DELETING ── the durable is gone ──► MAKING ── answered ──► IDLE
 *                            └──── no answer in time, or a refusal: answered busy ────┘
 *
 * One job a reader: its newest request, because an older one has been given up. On the sender's
 * thread. */
#pragma once
#include "runtime/outbound/outbound.h"

#define DURABLE_JOBS_MAX 16 /* readers that are served at a time; another one is refused as busy */
#define DURABLE_ACK_PENDING 4096 /* where the reader does not say it: two windows of a feed */

struct durable_job {
    struct item *item;                 /* the request; NULL: IDLE */
    char reader[DURABLE_NAME_MAX + 1]; /* the durable's name */
    int64_t number;                    /* of the job; replies to older ones are ignored */
    int64_t deadline_ms;
    _Bool deleted; /* MAKING; else DELETING */
};

struct durable_io {
    struct outbound *outbound;
    int64_t newest_number;
    struct durable_job jobs[DURABLE_JOBS_MAX];
};

void durable_io_init(struct durable_io *durable_io, struct outbound *outbound);
void durable_io_deinit(struct durable_io *durable_io); /* drops who waits */

/* Takes the request over, and answers it. */
void durable_io_begin(struct durable_io *durable_io, struct item *item, int64_t now_ms);
/* message: borrowed */
void durable_io_reply(struct durable_io *durable_io, const struct reply_tag *tag,
                      struct bus_message *message, int64_t now_ms);
void durable_io_look_at_clock(struct durable_io *durable_io, int64_t now_ms);
/* Answers who waits, when the sender's thread has ended. */
void durable_io_stop(struct durable_io *durable_io);
int64_t durable_io_due_ms(const struct durable_io *durable_io); /* INT64_MAX: none waits */
