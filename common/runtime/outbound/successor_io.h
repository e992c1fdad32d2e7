/* Successor's I/O: the part of a standby in a change of leaders. In a handover it answers the
 * leader's questions, joins its queue groups, and keeps what comes until it leads (sync/handover.h
 * has the order, and why no request is lost in it). And it answers `<prefix>.take-over`, with which
 * an operator says that the leader is gone for good. On the sender's thread. */
#pragma once
#include "runtime/outbound/lead_io.h"
#include "runtime/outbound/peer_io.h"
#include "runtime/sync/relay.h"

struct successor_parts { /* borrowed */
    struct outbound *outbound;
    struct lead_io *lead_io;
    const struct relay *relay;
    const struct peer *peer;
    struct endpoints *endpoints;
};

struct successor_io {
    struct successor_parts parts;
    _Bool joined;            /* the leader's queue groups, and we do not answer yet */
    int64_t joined_until_ms; /* monotonic: without a word of the leader we leave them again */
    int64_t keep_until_ms;   /* LEADING: then what was kept is answered; 0: nothing is kept */
    struct item *take_over;  /* an operator's request that is not answered yet; NULL */
    struct taken_over {      /* what its answer says of the leader before */
        char leader[LEAD_ID_SIZE];
        int64_t behind, silent_ms;
    } before;
    int64_t answer_by_ms; /* monotonic */
};

void successor_io_init(struct successor_io *successor, const struct successor_parts *parts);
void successor_io_deinit(struct successor_io *successor);

/* A heartbeat was heard (lead_io.offer). is_near: this standby is within reach of the leader. */
void successor_io_heard(struct successor_io *successor, _Bool is_near, int64_t now_ms);
/* An operator's request, which it takes over; one for another instance gets no answer of ours. */
void successor_io_take_over(struct successor_io *successor, struct item *item, int64_t now_ms);
/* We begin to lead in this term. The groups that we have joined are ours, if the leader before has
 * ended its term, and so has left them; one that is dead or frozen is in them still. follows: until
 * now we have followed, and serve in a moment: what comes meanwhile is kept. */
void successor_io_begin(struct successor_io *successor, int64_t term, _Bool follows,
                        int64_t now_ms);
/* We lead, and take requests: those that were kept, first. */
void successor_io_lead(struct successor_io *successor);
/* What has become of it. serves: we lead, and take requests. */
void successor_io_act(struct successor_io *successor, _Bool serves, int64_t now_ms);
int64_t successor_io_due_ms(const struct successor_io *successor);
