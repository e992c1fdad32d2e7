/* Lead's I/O: the heartbeats of the leading instance, core NATS on `journey.<prefix>.leader`, sent
 * and heard. What follows from them is decided in sync/lead.h, and carried out in sender_lead.c. On
 * the sender's thread, but for the arrival of a heartbeat, which is a note, and what others see.
 *
 * A heartbeat says up to where the leader has applied others' logs, as of a commit whose own events
 * are in the stream. A follower applies others' events up to there and no further, so whoever leads
 * next goes on from its own cursors, and reacts to all that comes after them. */
#pragma once
#include "runtime/outbound/outbound.h"
#include "runtime/sync/lead.h"

#define BEAT_SIZE 2048

struct lead_marks { /* up to where others' logs are applied, and the own log that goes with it */
    int64_t head;
    int64_t cursors[SOURCES_MAX];
};

#define LEAD_GROUP_SIZE 32
struct lead_offer { /* what the newest heartbeat says of a handover */
    _Bool asks;     /* the leader asks who stands by */
    _Bool is_ours;  /* it hands over to us: we are to join `group` */
    _Bool is_ended; /* its term is over */
    char group[LEAD_GROUP_SIZE];
    reply_subject reply; /* where an answer is waited for; "": nowhere */
};

struct lead_io {
    struct outbound *outbound;
    struct lead lead;
    char subject[BUS_SUBJECT_MAX + 1];
    struct bus_subscription *beats;
    /* LEADING: of the newest batch; of one whose head is not published yet; of one whose is */
    struct lead_marks newest, waiting, published;
    _Bool waits;
    /* FOLLOWING: of a heartbeat that our log has not reached yet; of the newest that it has */
    struct lead_marks heard, reached;
    _Bool hears;                               /* there is one that is not reached */
    _Bool has_reached;                         /* one was reached, in this life */
    int64_t leader_position, leader_published; /* of the newest heartbeat */
    struct lead_offer offer;                   /* likewise */
    int64_t ended_term; /* FOLLOWING: a term that its leader has ended, and left its groups; 0 */
    int64_t standby_ms; /* monotonic: when a standby last said that it is within reach; 0 */
    /* LEADING: to whom we hand over, and our queue groups; "": to nobody */
    char successor[LEAD_ID_SIZE], group[LEAD_GROUP_SIZE];
};

void lead_io_init(struct lead_io *lead_io, struct outbound *outbound,
                  const struct lead_config *config, const struct positions *at);
/* The id is known, the bus is there. */
int lead_io_subscribe(struct lead_io *lead_io, const char *id);
void lead_io_deinit(struct lead_io *lead_io);

/* A heartbeat that came; message: borrowed. */
void lead_io_heard(struct lead_io *lead_io, struct bus_message *message, int64_t now_ms);
/* LEADING: what heartbeats say has moved. */
void lead_io_settled(struct lead_io *lead_io, const struct batch *batch, int64_t now_ms);
void lead_io_note_published(struct lead_io *lead_io, int64_t published);
/* ended: it stops or hands over, and its stream has all of its log. */
void lead_io_beat(struct lead_io *lead_io, int64_t position, int64_t published, _Bool ended);
/* The same as a question: who stands by (asks), or has `successor` joined? Answers come with the
 * tag. 0 or < 0. */
int lead_io_ask(struct lead_io *lead_io, int64_t position, int64_t published, _Bool asks,
                const struct reply_tag *tag);
/* A standby that is within reach says so. */
void lead_io_show_standby(struct lead_io *lead_io, int64_t position);
/* FOLLOWING: our log goes so far. True: others' events may be applied up to `reached`. */
_Bool lead_io_reach(struct lead_io *lead_io, int64_t head);

/* Role, term and leader into the status. */
void lead_io_report(struct lead_io *lead_io);
/* Members of `metadata` in $SRV, and what follows the description there. Any thread. */
void lead_io_write_metadata(const struct status *status, struct buf *out);
void lead_io_write_standing(const struct status *status, struct buf *out);
