/* Handover's I/O: carries out what sync/handover.h says, on the leading instance, when an operator
 * asks for it (`<prefix>.hand-over`) or the process stops and a standby is there. The questions to
 * standbys are heartbeats with a reply subject; outbound/successor_io.h answers them. On the
 * sender's thread, but for handover_io_wait. */
#pragma once
#include <pthread.h>
#include "runtime/outbound/lead_io.h"
#include "runtime/outbound/peer_io.h"
#include "runtime/outbound/term_io.h"
#include "runtime/sync/gate.h"
#include "runtime/sync/handover.h"
#include "runtime/sync/relay.h"

struct handover_parts { /* borrowed */
    struct outbound *outbound;
    struct lead_io *lead_io;
    struct term_io *term_io;
    struct relay *relay;
    const struct gate *gate;
    const struct peer *peer;
    struct endpoints *endpoints;
    const struct peer_hooks *hooks; /* NULL: no other instance can be there */
};

struct handover_io {
    struct handover_parts parts;
    struct handover handover;
    struct item *item; /* the operator's request; NULL: none, or it is answered */
    int64_t round;     /* of the questions; answers to older ones are ignored */
    int64_t term;      /* that ends */
    int64_t begun_ms;  /* monotonic */
    _Bool stops;       /* the process stops by itself afterwards */
    _Bool is_known;    /* of a stop: a standby was heard of */
    _Bool ends;        /* TermEnded is to be written */
    int64_t end_ms;    /* monotonic: tries once more to have it written; INT64_MAX */
    pthread_mutex_t lock;
    pthread_cond_t done;
    _Bool is_done; /* with what `stops` asked for; under the lock */
};

void handover_io_init(struct handover_io *handover_io, const struct handover_parts *parts);
void handover_io_deinit(struct handover_io *handover_io);

/* An operator's request, which it takes over. */
void handover_io_begin(struct handover_io *handover_io, struct item *item, int64_t now_ms);
/* The process stops: hands over when a standby is there. */
void handover_io_stop(struct handover_io *handover_io, int64_t now_ms);
/* Returns when that is over, at the latest after timeout_ms. Any other thread. */
void handover_io_wait(struct handover_io *handover_io, int64_t timeout_ms);

/* Our term is to end (LEAD_END_TERM). */
void handover_io_end_term(struct handover_io *handover_io, int64_t now_ms);
/* message: borrowed */
void handover_io_reply(struct handover_io *handover_io, const struct reply_tag *tag,
                       struct bus_message *message, int64_t now_ms);
/* What the machine says. True: something has changed. */
_Bool handover_io_act(struct handover_io *handover_io, int64_t now_ms);
int64_t handover_io_due_ms(const struct handover_io *handover_io);
/* We have ended our term: nothing is followed any more in this life. */
static inline _Bool handover_io_is_over(const struct handover_io *handover_io)
{
    return handover_io->handover.state >= HANDOVER_ENDED;
}
