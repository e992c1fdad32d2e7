/* Stream keep: what others have set and made on our stream, so that it survives when the stream is
 * made anew, by us or because somebody has deleted it: its configuration, and the durables of
 * others with their places. Both are looked at with each look and audit, and kept in our file
 * (store/kept_streams.h): written by the writer when something has changed, and before we delete
 * the stream ourselves.
 *
 *     KEPT ── the stream was made anew ──► OWED ── our log is republished up to its place ──► ASKED
 *                                            ▲           no answer in time                    │
 *                                            └────────────────────────────────────────────────┤
 *     KEPT ◄── given back, or somebody has made it, or the server refuses (and that is named) ─┘
 *
 * The durables belong to one stream, which the server names by its time of creation. When the
 * stream that is there is another one, all of them are owed: also after a crash at any point
 * between its loss and the last durable that was given back, because the file names the new stream
 * only then.
 *
 * A place is a position of our log, because the new stream has each event at its position. One that
 * the server has moved on, because what stood there is gone, is not believed; also not when that
 * happens between a look at the stream and the list of its consumers: then the next look tells.
 * On the sender's thread. */
#pragma once
#include "runtime/outbound/outbound.h"
#include "runtime/sync/drift.h"
#include "runtime/sync/relay.h"

#define KEPT_DURABLES_MAX 64 /* more than that are not given back, and that is named */

enum kept_state { KEPT_KEPT, KEPT_OWED, KEPT_ASKED };
struct kept_durable {
    char name[65];
    int64_t position; /* all up to here is acknowledged */
    int64_t gain;     /* so much of it came with the newest list */
    char *config;     /* JSON; owned */
    enum kept_state state;
    int64_t asked_ms; /* monotonic */
};

struct stream_keep {
    struct outbound *outbound; /* borrowed */
    const char *stream;
    char of[48];      /* as notices call the stream */
    char *wish;       /* the configuration that we would make, JSON; owned */
    char *config;     /* as it was last seen, JSON; owned; NULL: never */
    char created[48]; /* of the stream that is there, as the server writes it; "": not seen yet */
    char whole[48];   /* likewise, of the last that was our log: what was published is there */
    char owner[48];   /* likewise, of the one that had these durables last */
    _Bool is_changed; /* since it was handed to the writer */
    _Bool is_saving;  /* the writer has it */
    struct kept_durable durables[KEPT_DURABLES_MAX];
    int durable_count, owed_count;
    int64_t first_sequence; /* of the stream, when it was last looked at */
    int64_t gone;           /* positions up to here had gone when the newest list came */
    _Bool may_list;         /* the server has shown us the consumers, and so will do it again */
    int refused_count;      /* the stream, as it was, was not taken so often */
    int64_t saw;            /* our stream went so far, beyond our log; 0: no further than that */
    char held[256];         /* what is unbearable in it, "FIELD=VALUE, …"; "": nothing */
    char lost[NOTICE_VALUE_SIZE]; /* durables that could not be given back; "": none */
};

/* What our stream should look like is config; 0 or < 0. */
int stream_keep_init(struct stream_keep *keep, struct outbound *outbound,
                     const struct js_stream_config *config);
void stream_keep_deinit(struct stream_keep *keep);
/* What an earlier life has kept in our file; outbound->db is open. 0 or < 0. */
int stream_keep_load(struct stream_keep *keep);

/* The stream that is there is our log, as far as the relay says. */
void stream_keep_whole(struct stream_keep *keep);
/* Our stream went up to this position, which our log does not have: that is kept, too. */
void stream_keep_saw(struct stream_keep *keep, int64_t position);
/* Hands what has changed to the writer. True: it is not in the file yet. */
_Bool stream_keep_save(struct stream_keep *keep);
/* True: what the writer had of it is settled. */
_Bool stream_keep_settled(struct stream_keep *keep, const struct batch *batch);

/* The stream as a look or an audit shows it: compares it, tells, mends what is ours, remembers it.
 * True: something in it is unbearable (keep->held). */
_Bool stream_keep_compare(struct stream_keep *keep, const struct js_stream_state *state);

/* The configuration to make it with, appended; fill: the log that it is filled from. */
void stream_keep_put(struct stream_keep *keep, const struct stream_fill *fill, struct buf *out);
/* The stream was made, or was not taken with that configuration. */
void stream_keep_made(struct stream_keep *keep, const struct js_stream_state *state);
void stream_keep_refused(struct stream_keep *keep);

/* Asks for the durables; the reply goes to stream_keep_take_list. tag: of that reply. 0 or < 0. */
int stream_keep_ask_list(struct stream_keep *keep, const struct reply_tag *tag);
/* is_last: the stream is deleted then. The list may be of one that another instance has just made,
 * and not given the durables back to yet: it takes none away. */
void stream_keep_take_list(struct stream_keep *keep, const struct relay *relay,
                           struct bus_message *message, _Bool is_last);

/* The place to remember of a durable whose floor the list has. Positions up to `gone` have left the
 * stream, at the list before up to `gone_before`; what is behind `published` is none of ours.
 * before: as that list left the durable; NULL: the list did not have it. Changes nothing. */
struct kept_place {
    int64_t position, gain; /* as in a kept_durable */
};
struct kept_place stream_keep_place(const struct kept_durable *before, int64_t floor, int64_t gone,
                                    int64_t gone_before, int64_t published);

/* Those that are owed and have their events in the stream again. tag: of the replies, n is theirs.
 */
void stream_keep_give_back(struct stream_keep *keep, const struct relay *relay,
                           const struct reply_tag *tag, int64_t now_ms);
void stream_keep_take_given(struct stream_keep *keep, int64_t n, struct bus_message *message);
