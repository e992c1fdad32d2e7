/* Handover: the state machine of a leader that gives its lead to a standby, so that no request is
 * refused or lost. It does no I/O: outbound/handover_io.h carries out what handover_next says.
 *
 *            begin          a standby answers        it has joined our queue groups
 *     IDLE ────────► ASKING ──────────────► OFFERING ──────────────► LEAVING
 *       ▲              │                        │                       │ our subscriptions are
 *       └── given up ◄─┴────────────────────────┘                       ▼ drained
 *                        the successor leads, or                     ENDING
 *            OVER ◄──────────────────────────────────── ENDED ◄─────────┘ TermEnded is in the
 *         starts again as a follower, or stops                            stream
 *
 * The order is the proof. The successor joins the queue groups that we are in, and keeps what it is
 * given: from here on each request comes to one of us, once. Then we leave them, and wait until all
 * that came to us is with the writer. TermEnded is written behind that, so all that we were asked
 * is decided in our term. The successor finds TermEnded in the stream, claims, and then decides
 * what it has kept. It stays in the groups that it has joined, whose name is that of an older term:
 * nobody else is in them any more. Until LEAVING it can be given up, and all is as before.
 * A successor that is gone after TermEnded is noticed by asking whether it is there: then we start
 * again at once, and claim as any standby does.
 *
 * Invariants, after each function (handover_check):
 *   H1  a successor is known from OFFERING on, and in no other state but ASKING (wanted)
 *   H2  IDLE and OVER have no deadline, all others have one
 *   H3  the term is ended only when the groups have been left */
#pragma once
#include "runtime/sync/lead.h"

struct handover_config {
    int64_t ask_ms;     /* how long an answer of a standby is waited for */
    int64_t brief_ms;   /* likewise, where none is known to be there */
    int64_t offer_ms;   /* how long the successor may take to join */
    int64_t settle_ms;  /* between its joining and our leaving: other servers hear of it */
    int64_t end_ms;     /* until TermEnded is in the stream */
    int64_t follow_ms;  /* until the successor leads, while it is there */
    int64_t watch_ms;   /* between two questions whether it is there */
    int64_t silent_ms;  /* so long without an answer, and it is gone */
    int64_t behind_max; /* events that a successor may lack, or that may wait for the stream */
};
extern const struct handover_config handover_defaults;

enum handover_state {
    HANDOVER_IDLE,
    HANDOVER_ASKING,
    HANDOVER_OFFERING,
    HANDOVER_LEAVING,
    HANDOVER_ENDING,
    HANDOVER_ENDED,
    HANDOVER_OVER,
};
#define HANDOVER_STATES (HANDOVER_OVER + 1)
const char *handover_state_name(enum handover_state state);

enum handover_action {
    HANDOVER_NOTHING,
    HANDOVER_ASK,      /* who stands by? Answers: handover_answered */
    HANDOVER_OFFER,    /* `successor` is to join; answer: handover_answered with has_joined */
    HANDOVER_LEAVE,    /* leave the queue groups; answer: handover_left */
    HANDOVER_END_TERM, /* say TermEnded; answer: handover_ended */
    HANDOVER_WATCH,    /* is `successor` there? Answer: handover_seen; none is fine */
    HANDOVER_SAY_OVER, /* answer who asked: `leads` says whether the successor was heard */
    HANDOVER_GIVE_UP,  /* answer who asked: `reason`; all is as before */
};

struct handover {
    struct handover_config config;
    enum handover_state state;
    char successor[LEAD_ID_SIZE]; /* ASKING: the one that was asked for; "" any */
    int64_t deadline_ms;          /* monotonic; INT64_MAX */
    int64_t leave_ms;             /* LEAVING: not before */
    int64_t watch_ms;             /* ENDED: the next question to the successor */
    int64_t follow_by_ms;         /* ENDED: it is not waited for any longer */
    int64_t behind;               /* of the successor, when it answered */
    const char *reason;           /* why it was given up; static text; NULL */
    _Bool acted;                  /* what the state begins with was said */
    _Bool has_left;               /* the groups */
    _Bool leads;                  /* the successor was heard */
    int64_t count;                /* counter: handed over */
};

struct handover_answer { /* of a standby */
    const char *instance;
    int64_t behind; /* events of our log that it has not */
    _Bool has_joined;
};

void handover_check(const struct handover *handover);
void handover_init(struct handover *handover, const struct handover_config *config);

/* To this instance; NULL: to whichever answers first, within ask_ms or brief_ms. False: one is
 * under way. */
_Bool handover_begin(struct handover *handover, const char *successor, int64_t ask_ms,
                     int64_t now_ms);
void handover_answered(struct handover *handover, const struct handover_answer *answer,
                       int64_t now_ms);
void handover_left(struct handover *handover, int64_t now_ms);
void handover_ended(struct handover *handover, int64_t now_ms);
/* ENDED: the successor is there. */
void handover_seen(struct handover *handover, int64_t now_ms);
/* The successor's heartbeat says that it leads. */
void handover_followed(struct handover *handover, int64_t now_ms);
/* Something else has happened that makes it impossible: until LEAVING it is given up. Static
 * text. */
void handover_fail(struct handover *handover, const char *reason, int64_t now_ms);

/* The next thing to do, again and again until HANDOVER_NOTHING. */
enum handover_action handover_next(struct handover *handover, int64_t now_ms);
int64_t handover_due_ms(const struct handover *handover); /* monotonic; INT64_MAX */

/* One is under way: heartbeats name the successor. */
static inline const char *handover_successor(const struct handover *handover)
{
    return handover->state >= HANDOVER_OFFERING ? handover->successor : NULL;
}
