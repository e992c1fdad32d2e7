/* Feed: the state machine that brings another service's log to our inbox (rule 3), through a
 * durable pull consumer of its stream. It does no I/O: it is told what happened and the time, and
 * feed_next says what to do. Our position is the cursor in our database; the broker's only saves
 * reading.
 *
 *                connected             fine                     gap
 *     OFFLINE ─────────────► ASKING ─────────────► PULLING ─────────────► FILLING
 *        ▲                   ▲ │ │                    │ │                  │   ▲
 *        │ disconnected,     │ │ └─ no durable, or a  │ │ does not follow  │   │
 *        │ from any but      │ │    wrong one         │ └───► COMPARING ◄──┘   │
 *        │ FORKED            │ │     ► MAKING         │ refused │ the leader   │
 *        └───────────────────┤ │       ► PULLING      │         │ agrees ──────┘
 *                            │ └─ no stream ► WAITING ◄─────────┤ the leader is away
 *                            │                  │               └─ disagrees: FORKED
 *                            └──────────────────┘ over: ASKING, or what it waited for
 *
 * The leader's log is the judge of what its stream shows (COMPARING). The feed asks the leader for
 * the event at our cursor
 *   - when the stream ends before our cursor, or at it with another chain: its leader is about to
 *     fill it again, or has lost events that we have read
 *   - when a message does not follow what we have read
 *   - when the leader's log does not have what is missing before a message
 * The same chain: what the leader's log has is ours, and the message is void. It stands in the
 * stream and not in the log; it is passed over, what the leader has in its place is fetched from
 * there, and the leader will find the message and make its stream anew. Another chain, or a log
 * that ends before the cursor: asked again, because another instance may answer that was frozen and
 * is behind; where it stays so for disagree_ms: FORKED. The leader does not answer: the feed waits
 * for it.
 *
 * A durable is created at sequence cursor + 1. That misses nothing: a stream's sequence may run
 * ahead of the position (repeats), never behind it (the relay sees to that), so position cursor + 1
 * is there or later; what comes before it is a repeat, and skipped. A durable is deleted and
 * created anew when it is ahead of the cursor or of its stream, when it holds deliveries that are
 * lost here, and when it has nothing to deliver though the stream's last position is beyond the
 * cursor.
 *
 * A gap means that the stream has lost what we need, or holds something else in its place. It is
 * fetched from the leader's own log page by page (FILLING), the next page when the one before was
 * run. The loop does not apply what the durable delivers meanwhile, because it is behind the gap
 * (rule 3); the durable is created anew when the gap is filled.
 *
 * A durable that is set otherwise than we want it (sync/drift.h) is deleted and created anew, too.
 * What the server's limits forbid is asked for in smaller pieces (feed_limit, feed_halve). What it
 * refuses is kept with the server's words, and the feed is held until it has heard of its pulls.
 *
 * The feed asks after a few empty rounds and after silence, because a durable that was deleted
 * looks like an idle one. Only a pull that is out can be silent: while the loop is a window behind
 * there is none.
 *
 * A follower's feed is held at the leader's cursor (feed_hold_at): no pull and no page asks for
 * more than there is up to there. A stream's sequence never runs behind the position, so a pull of
 * as many messages as positions are left delivers none behind it, but where it shows a gap.
 *
 * Invariants, after each function (feed_check):
 *   F1  cursor and what is not settled are not negative; the leader is not behind our cursor
 *   F2  pulls are out only in PULLING; each has from 1 to pull_batch messages to come
 *   F3  WAITING ends at a deadline; OFFLINE, PULLING and FORKED have none
 *   F4  WAITING and FORKED have a reason
 *   F5  PULLING: fewer empty rounds than make it ask
 *   F6  a message is judged in COMPARING, or in WAITING for that
 *   F7  a page is asked for from 1 to config.fill_limit events
 */
#pragma once
#include <stdint.h>
#include "runtime/core/backoff.h"
#include "runtime/core/states.h"

struct feed_config {
    int64_t window_max; /* asked for or delivered, and not settled */
    int64_t pull_batch;
    int64_t pull_expires_ms, heartbeat_ms;
    int64_t answer_timeout_ms;
    int64_t backoff_min_ms, backoff_max_ms;
    int64_t fill_limit;      /* events of a page, at most */
    int64_t idle_rounds_max; /* pulls without a message before it asks */
    int64_t disagree_ms;     /* so long the leader must disagree before that is believed */
    uint64_t seed;           /* of the random part of the waits; 0: none */
};
extern const struct feed_config feed_defaults;

struct feed_info { /* what a look at stream and durable found */
    _Bool stream_exists;
    int64_t last_sequence; /* of the stream */
    int64_t last_position; /* of its last message; 0: empty */
    _Bool last_differs;    /* that is where our cursor stands, and its chain is another one */
    _Bool durable_exists;
    _Bool durable_differs; /* its settings are not those that we want */
    int64_t acked_sequence, delivered_sequence;
    int64_t pending, ack_pending;
};

enum feed_action_kind {
    FEED_NOTHING,
    FEED_ASK, /* answer: feed_info or feed_failed */
    /* the leader's chain at `position` with ours; answer: feed_compared or feed_failed */
    FEED_COMPARE,
    FEED_DELETE_DURABLE, /* answer: feed_made or feed_failed */
    FEED_MAKE_DURABLE,   /* at `sequence`; likewise */
    FEED_PULL,           /* `count` messages, under the number `pull` */
    FEED_FILL, /* fetch up to `count` events after `position`; answer: feed_filled or feed_failed */
};
enum feed_fit { FEED_LEADER_AGREES, FEED_LEADER_DIFFERS, FEED_LEADER_IS_SHORTER };

struct feed_action {
    enum feed_action_kind kind;
    int64_t epoch;
    int64_t sequence, count, position, pull;
};

#define FEED_PULLS 2
struct feed_pull {
    int64_t number, left, expires_ms;
    _Bool empty;
};

#define FEED_DETAIL_SIZE 160
struct feed {
    struct feed_config config; /* its own: limits of the server make it smaller */
    enum feed_state state;
    int64_t cursor;          /* committed */
    int64_t leader_position; /* newest that we know of */
    int64_t until;           /* nothing behind this position is asked for; INT64_MAX: all */
    int64_t epoch;
    int64_t deadline_ms;
    struct backoff backoff;
    int64_t unsettled;     /* delivered to the inbox, not settled */
    int64_t heard_ms;      /* last sign of life while pulling */
    int64_t complete_ms;   /* monotonic; when nothing was known to be missing; 0: never */
    struct feed_info info; /* COMPARING: what was found before */
    int64_t judged;        /* COMPARING: of the message that does not follow; 0: none */
    int64_t disagreed_ms,
        disagreed_at;      /* since when, and with which last position; 0: it has not */
    int64_t fill_until;    /* FILLING: position up to which the leader is asked */
    _Bool fills_expired;   /* of a stream that is empty: the leader says how far there are any */
    int64_t expired_until; /* sequence up to which that was asked */
    int64_t fill_limit;    /* a page is asked for so many: fewer when none came, down to 1 */
    int64_t fill_after;    /* where the page begins that it was asked for */
    _Bool page_is_in;      /* the inbox has that page */
    int64_t pull_number;
    int64_t idle_rounds;
    struct feed_pull pulls[FEED_PULLS];
    _Bool must_compare; /* void messages were passed over: does the leader's log go on as ours? */
    _Bool acted, delete_first, must_remake;
    _Bool stream_is_missing;       /* at the newest look */
    const char *reason;            /* static text */
    char detail[FEED_DETAIL_SIZE]; /* beside it: the server's own words; "" */
    _Bool is_held;        /* the server refuses what we need, and has done since we last heard */
    int64_t remade, gaps; /* counters */
};

void feed_check(const struct feed *feed);
void feed_init(struct feed *feed, const struct feed_config *config, int64_t cursor);

/* Nothing behind this position is asked for, until it is called again; INT64_MAX: all is. A
 * follower applies no more than its leader has (sync/lead.h). */
void feed_hold_at(struct feed *feed, int64_t position, int64_t now_ms);

void feed_connected(struct feed *feed);
void feed_disconnected(struct feed *feed);
void feed_looked(struct feed *feed, const struct feed_info *info, int64_t now_ms);
/* last_position: of the leader's log */
void feed_compared(struct feed *feed, enum feed_fit fit, int64_t last_position, int64_t now_ms);
void feed_made(struct feed *feed, int64_t now_ms);
void feed_failed(struct feed *feed, const char *reason, int64_t now_ms);
/* as feed_failed: the server has refused it, in these words */
void feed_refused(struct feed *feed, const char *reason, const char *words, int64_t now_ms);
/* The durable takes no larger pulls, nor pulls that wait for longer; 0: no limit. */
void feed_limit(struct feed *feed, int64_t batch, int64_t expires_ms);
/* MAKING: the server lets no durable have so much in flight; half of it is asked for. False: there
 * is no half. */
_Bool feed_halve(struct feed *feed, int64_t now_ms);
/* the most that a durable may have in flight, as we want it */
/* Messages of a lower term were passed over. They are void when the leader's log has our cursor; a
 * leader that has lost its log begins terms again that we know, and is forked: it is asked. */
void feed_passed_over(struct feed *feed);
int64_t feed_ack_pending(const struct feed *feed);
/* so many, up to position; pending more follow */
void feed_delivered(struct feed *feed, int64_t count, int64_t position, int64_t pending,
                    int64_t now_ms);
void feed_heartbeat(struct feed *feed, int64_t now_ms);
void feed_pull_ended(struct feed *feed, int64_t number, _Bool is_error, int64_t now_ms);
/* as an error: the durable does not take such pulls */
void feed_pull_refused(struct feed *feed, int64_t number, const char *words, int64_t now_ms);
/* count of delivered ones that the loop has run */
void feed_settled(struct feed *feed, int64_t count, int64_t cursor, int64_t now_ms);
/* met this position, not cursor + 1 */
void feed_gap(struct feed *feed, int64_t epoch, int64_t position, int64_t now_ms);
/* A delivery at this position does not follow what we have read. True: the leader is asked. */
_Bool feed_differs(struct feed *feed, int64_t epoch, int64_t position);
/* the leader's log has nothing behind our cursor */
void feed_not_filled(struct feed *feed);
/* a page of the leader's log is in the inbox */
void feed_filled(struct feed *feed, int64_t last_position, int64_t now_ms);
/* what the leader itself has sent does not follow */
void feed_fork(struct feed *feed, int64_t epoch);
/* deliveries were dropped: they must come again */
void feed_reset(struct feed *feed, const char *reason, int64_t now_ms);

/* Is there nothing more to be had for now? Complete once, or nothing to read from, or forked, which
 * is an alarm. */
static inline _Bool feed_has_what_there_is(const struct feed *feed)
{
    return feed->complete_ms > 0 || feed->stream_is_missing || feed->state == FEED_FORKED;
}

struct feed_action feed_next(struct feed *feed, int64_t now_ms);
int64_t feed_due_ms(const struct feed *feed);
