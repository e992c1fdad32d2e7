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
    int64_t leader_position, leader_published; /* of the newest heartbeat */
    pthread_mutex_t lock;
    char leader[LEAD_ID_SIZE]; /* for other threads */
};

void lead_io_init(struct lead_io *lead_io, struct outbound *outbound,
                  const struct lead_config *config, const struct positions *at);
/* The id is known, the bus is there. */
int lead_io_subscribe(struct lead_io *lead_io, const char *id);
void lead_io_deinit(struct lead_io *lead_io);

/* A heartbeat that came; message: borrowed. */
void lead_io_heard(struct lead_io *lead_io, struct bus_message *message, int64_t now_ms);
/* LEADING: what heartbeats say has moved. */
void lead_io_settled(struct lead_io *lead_io, const struct batch *batch);
void lead_io_note_published(struct lead_io *lead_io, int64_t published);
void lead_io_beat(struct lead_io *lead_io, int64_t position, int64_t published);
/* FOLLOWING: our log goes so far. True: others' events may be applied up to `reached`. */
_Bool lead_io_reach(struct lead_io *lead_io, int64_t head);

/* Role, term and leader into the status. */
void lead_io_report(struct lead_io *lead_io);
/* Members of `metadata` in $SRV. Any thread. */
void lead_io_write_metadata(struct lead_io *lead_io, struct buf *out);
