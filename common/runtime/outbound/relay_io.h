/* Relay's I/O: publishes our log to our stream. What to do is decided in sync/relay.h; here it is
 * carried out, and what happened is told to it; what concerns the stream as a whole is in
 * stream_io.h. On the sender's thread, but for the acknowledgements, which come on library
 * threads. */
#pragma once
#include <stdio.h>
#include "bus/server_version.h"
#include "runtime/outbound/outbound.h"
#include "runtime/outbound/reader_ask.h"
#include "runtime/outbound/stream_keep.h"
#include "runtime/outbound/stream_news.h"
#include "runtime/outbound/stream_reader.h"
#include "runtime/sync/relay.h"
#include "runtime/sync/relay_look.h"
#include "store/terms.h"

#define RECOVER_WINDOW 256 /* own messages asked for one by one, at a time */
#define LOOK_WINDOW 256    /* likewise, of a look */

#define RELAY_AGES 64    /* so many points in time; what comes between them counts as the older */
#define RELAY_AGE_MS 100 /* and so far apart */

/* Epoch and position of an acknowledgement in one word, so that they belong together. */
#define ACK_POSITION_BITS 44 /* 17 million million events; the rest counts epochs, which may wrap */
#define ACK_POSITION_MAX ((INT64_C(1) << ACK_POSITION_BITS) - 1)
static inline uint64_t ack_pack(int64_t epoch, int64_t position)
{
    return (uint64_t)epoch << ACK_POSITION_BITS | (uint64_t)position;
}
static inline uint64_t ack_epoch(uint64_t acked)
{
    return acked >> ACK_POSITION_BITS;
}
static inline int64_t ack_position(uint64_t acked)
{
    return (int64_t)(acked & ((UINT64_C(1) << ACK_POSITION_BITS) - 1));
}

struct look { /* reading the stream back from its end, a window at a time, to compare it */
    struct relay_tail tail; /* what was found up to now */
    int64_t stop;           /* what is before this sequence is known, if one of ours was found */
    int64_t first, last;    /* the window's sequences */
    int received;
    struct look_judge judge;
    struct look_message messages[LOOK_WINDOW]; /* by sequence; place 0: not there yet */
    int64_t foreign_count, foreign_sequence;   /* to be named: how many, the first */
    char foreign_reason[96];
};

struct recovery {                          /* reading our own stream back into the log */
    int64_t first_sequence, last_sequence; /* of the window; of all that is to be read */
    int expected, received, foreign;
    _Bool waits;   /* for the stream reader */
    int unsettled; /* in the loop */
    /* Of the stream, as far as it was read without a step forward: its newest event that our log
     * has; messages that do not follow it, and those of them before which others may be lost. */
    int64_t seen_position, seen_sequence;
    int64_t void_count, lost_count;
    int64_t next_sequence; /* where the window behind this one begins; 0: nowhere yet */
    int64_t epoch;         /* of the relay, when it began */
    /* a part of them was: what comes behind it shows a gap that the stream does not have */
    _Bool rolled_back;
    struct item *items[RECOVER_WINDOW]; /* by sequence, until all are there */
};

struct relay_io {
    struct outbound *outbound;
    struct relay relay;
    char server_version[SERVER_VERSION_SIZE]; /* that answered last; "": an old one */
    _Bool server_is_known;
    struct js_stream_config stream; /* as we make it; borrows from the service */
    char stream_subject[BUS_SUBJECT_MAX + 1];
    struct stream_keep keep; /* what others have set and made on it */
    struct stream_news news; /* that they have */
    int64_t delete_epoch;    /* the stream is deleted when that is in our file; 0: it is not */
    struct look look;
    struct term_walk terms; /* of what is published */
    int64_t audited_at;     /* the sequence of the message that the audit has looked at last */
    int64_t audited_before; /* the position of that message, or before a marker; 0: not known */
    /* The server's own words, or a field and its value, beside a reason of the relay. */
    const char *explained; /* the reason; NULL: none */
    char words[256];
    int64_t refused_at; /* a notice says that the stream refuses what follows this; -1: none does */
    struct recovery recovery;
    struct stream_reader reader; /* of many of our own messages */
    struct reader_ask readers;
    int no_store_count; /* looks in a row that found a stream without its messages */
    struct relay_age {  /* when our log reached a position, oldest first */
        int64_t position, since_ms;
    } ages[RELAY_AGES];
    int age_count;

    /* The epoch in which the sender publishes, and the position up to which each event was
     * acknowledged in it, ack_pack. The sender begins an epoch, library threads move the
     * position. */
    atomic_ullong acked;
    /* an acknowledgement of this position or later is worth waking up for */
    atomic_llong ack_wake_position;
    struct bus_subscription *acks;
    _Bool gathers;   /* events were published, and may not have left yet */
    int64_t send_ms; /* when they do; 0: not decided */
};

struct relay_io_options {
    int64_t stream_max_bytes; /* of our stream, when we make it; 0: no limit */
    int stream_replicas;
    int64_t head, stream_position; /* of our log; how far the stream was seen to go */
    uint64_t seed;                 /* of the random part of the waits */
};

int relay_io_init(struct relay_io *relay_io, struct outbound *outbound,
                  const struct relay_io_options *options);
int relay_io_subscribe(struct relay_io *relay_io);
void relay_io_deinit(struct relay_io *relay_io);

/* Has the stream taken so much that the sender should look, though there is no mail? Of what the
 * sender's thread knows; under the mailbox's lock. */
_Bool relay_io_has_acks(const struct relay_io *relay_io);

/* Tells the relay what was acknowledged. */
void relay_io_take_acks(struct relay_io *relay_io, int64_t now_ms);

/* What relay_next says, but one publish; true: there may be more. settled: batches that were just
 * committed, oldest first; what is published from them need not be read back from the file. */
_Bool relay_io_act(struct relay_io *relay_io, const struct batch *settled, int64_t now_ms);

/* What relay_io_act has published leaves, when it is time. */
void relay_io_send(struct relay_io *relay_io, int64_t now_ms);
int64_t relay_io_send_due_ms(const struct relay_io *relay_io); /* INT64_MAX: nothing waits */

/* An acknowledgement of this position is worth waking up for, too. */
void relay_io_wake_at(struct relay_io *relay_io, int64_t position);

/* words: the server's */
void relay_io_refused(struct relay_io *relay_io, int64_t epoch, int code, const char *words,
                      int64_t now_ms);
/* the server does not permit us to publish on this subject */
void relay_io_denied(struct relay_io *relay_io, const char *subject, int64_t now_ms);
/* somebody has changed something about our stream */
void relay_io_advised(struct relay_io *relay_io, int64_t now_ms);
/* What stands beside this reason, when the relay waits with it. */
static inline void relay_io_explain(struct relay_io *relay_io, const char *reason,
                                    const char *words)
{
    relay_io->explained = reason;
    snprintf(relay_io->words, sizeof(relay_io->words), "%s", words);
}

/* Its numbers into the status. True: its state is another than at the last report, and was
 * logged. */
_Bool relay_io_report(struct relay_io *relay_io, int64_t now_ms);
