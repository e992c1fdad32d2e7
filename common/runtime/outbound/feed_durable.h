/* Feed's durable: has a feed's durable made. Who makes it: the stream's leader (durable_io.h), so
 * that a reader needs no right to make consumers; or we ourselves, where the leader does not answer
 * and the server lets us, as in an open mesh.
 *
 *     BY THE LEADER ── no answer, or a refusal ──► BY US ── made, or no answer ──► BY THE LEADER
 *
 * The server does not answer a request that our rights forbid. So after one of ours without an
 * answer the next LEADER_TURNS tries are the leader's alone.
 *
 * A look compares the durable with what it should look like (sync/drift.h). What it is otherwise,
 * though it has just been made, is the server's will: its limits are met with smaller pulls.
 *
 * On the sender's thread. */
#pragma once
#include "runtime/outbound/outbound.h"
#include "runtime/sync/feed.h"

#define LEADER_TURNS 8

struct feed_durable {
    struct outbound *outbound;   /* borrowed, as all pointers here */
    const struct source *source; /* whose stream */
    struct feed *feed;           /* is told what became of it */
    const char *api;             /* prefix of the JetStream API of that stream */
    struct feed_info *info;      /* of the look that is under way */
    char part;                   /* of the feed, see reply_subject.h */
    _Bool by_us, is_answered;    /* whose turn it is; the newest request has its answer */
    int leader_turns;            /* so many tries are the leader's alone */
    char name[48];               /* as notices call it */
    char accepted[256];          /* how it differs from our wish, by the server's will */
};

void feed_durable_init(struct feed_durable *durable, struct outbound *outbound,
                       const struct source *source, struct feed *feed, const char *api, char part);

/* FEED_MAKE_DURABLE and FEED_DELETE_DURABLE. */
void feed_durable_make(struct feed_durable *durable, const struct feed_action *action,
                       int64_t now_ms);
void feed_durable_delete(struct feed_durable *durable, int64_t now_ms);

/* Asks for it, the last part of a look that has found `info`, which is completed and handed to the
 * feed. info: borrowed until then. */
void feed_durable_look(struct feed_durable *durable, struct feed_info *info, int64_t now_ms);

/* False: it replies to something else. message: borrowed */
_Bool feed_durable_reply(struct feed_durable *durable, const struct reply_tag *tag,
                         struct bus_message *message, int64_t now_ms);
