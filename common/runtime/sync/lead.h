/* Lead: the state machine of one instance among several of a service: does it lead, or follow the
 * one that does? It does no I/O: it is told what was heard and the time, and lead_next says what to
 * do. outbound/lead_io.h carries it out; the simulation runs the same code.
 *
 *   UNDECIDED ── another serves ──► FOLLOWING ── no heartbeat, own server fine ──► SUSPECTING
 *       │                           ▲  ▲    ▲                                      │   │
 *       │ nobody else is there      │  │    └────────── a heartbeat came ──────────┘   │
 *       │                           │  └── a heartbeat came before our TermBegan ──┐   │ tail read
 *       ▼                           │                                             │   ▼ and folded
 *   CLAIMING ◄──────────────────────┼─────────────────────────────────────────── CLAIMING
 *       │ our TermBegan is in the   │ it ended its term                           │
 *       │ stream                    │ (handover)                                  │
 *       └──────────────────────► LEADING                                          │
 *                                   │ a higher term in the stream                 │ another's was
 *                                   ▼                                             │ faster
 *                                FENCED ◄─────────────────────────────────────────┘
 *                                   │ its own unpublished events are set aside
 *                                   ▼
 *                                REJOINING: a stop in order, and a start as follower
 *
 * The log is the judge: whoever's TermBegan is in the stream leads, and the fence of rule 1 lets
 * one of two claimants have its event there. Heartbeats serve liveness only: that a leader is
 * silent is a reason to claim, and never a right to lead. So nothing here needs a clock that is
 * right, a lease or a lock, and a mistake costs a change of leaders, and no event.
 *
 * Why peer.h stands beside it, and who decides what. Peer asks `$SRV.PING.<name>` and waits for
 * answers: it decides how a life begins (does another serve?), for an instance that has heard no
 * heartbeat yet, or whose other is of a version that sends none; and whether a forked one listens.
 * From its answer on this machine decides: peer is told that the instance leads or stands by, and
 * says so in $SRV. They do not contradict each other: peer leads nobody whose lead is not CLAIMING,
 * and of two that serve the stream knows one.
 *
 * With config.is_auto a follower claims by itself. Else it says that nobody leads, and an operator
 * says take-over; but a term that its leader has ended in the log (TermEnded) is claimed at once in
 * both modes, because nothing of it is unpublished.
 *
 * Invariants, after each function (lead_check):
 *   E1  SUSPECTING and CLAIMING, reached from FOLLOWING, only while the own server is there
 *   E2  a term that began in our log, and not yet in the stream, exists only while CLAIMING
 *   E3  LEADING has a term of its own
 *   E4  FENCED and REJOINING know the term and the instance that lead instead
 *   E5  heartbeats are due only while LEADING */
#pragma once
#include <stdint.h>
#include "runtime/core/states.h"

#define LEAD_ID_SIZE 40

struct lead_config {
    int64_t beat_ms;     /* between heartbeats */
    int64_t beat_min_ms; /* the least between two, when something moved */
    int64_t silent_ms;   /* without a heartbeat: some intervals, for one that is late is no fault */
    int64_t spread_ms;   /* a part of this is added, so that not all standbys claim at once */
    int64_t tail_ms;   /* how long the stream's end may take to be read, before it is asked again */
    int64_t frozen_ms; /* without a turn: this instance was frozen itself */
    _Bool is_auto;     /* claims by itself */
    uint64_t seed;     /* of the random part; 0: none */
};
extern const struct lead_config lead_defaults;

enum lead_state {
    LEAD_UNDECIDED,
    LEAD_FOLLOWING,
    LEAD_SUSPECTING,
    LEAD_CLAIMING,
    LEAD_LEADING,
    LEAD_FENCED,
    LEAD_REJOINING,
};
#define LEAD_STATES (LEAD_REJOINING + 1)
const char *lead_state_name(enum lead_state state);
/* What operators see. */
enum service_role lead_role(enum lead_state state);

struct lead_beat { /* what a heartbeat says of its sender */
    int64_t term;
    const char *instance;
};

enum lead_action_kind {
    LEAD_NOTHING,
    LEAD_FOLLOW,    /* read the stream into the log, and publish nothing */
    LEAD_READ_TAIL, /* read the stream to its end; answer: lead_tail_read. No answer is fine */
    LEAD_CLAIM, /* publish, and begin a term; answer: lead_began, then lead_took or lead_fenced */
    LEAD_SERVE, /* we lead: take requests, react, pay */
    LEAD_BEAT,  /* send a heartbeat */
    LEAD_LOOK,  /* LEADING, CLAIMING: look at the stream, for another may lead */
    LEAD_SAY_SILENT,  /* FOLLOWING: nobody leads, and a person has to decide */
    LEAD_END_TERM,    /* say TermEnded; answer: lead_ended_own */
    LEAD_STEP_BACK,   /* FENCED: take nothing, answer nothing, set aside what the stream has not;
                         answer: lead_set_aside */
    LEAD_START_AGAIN, /* REJOINING */
};

struct lead {
    struct lead_config config;
    char id[LEAD_ID_SIZE];
    enum lead_state state;
    int64_t term;               /* of the leader, as far as we know; ours while LEADING; 0 */
    char leader[LEAD_ID_SIZE];  /* that leads, as far as we know; "" */
    int64_t heard_ms;           /* monotonic: the last heartbeat, or since when one is waited for */
    int64_t wait_ms;            /* this long a silence makes it suspect */
    int64_t beat_ms, beaten_ms; /* the next heartbeat; the last */
    int64_t tail_ms;            /* SUSPECTING: asks again */
    int64_t turned_ms;          /* when it was last asked what to do */
    int64_t own_term;           /* that has begun in our log, in this life; 0: none */
    _Bool is_connected;
    _Bool acted;    /* what the state begins with was said */
    _Bool was_told; /* that nobody leads was said */
    /* It began alone, and has been led for less than a silence, since alone_ms: what it has heard
     * may be what its own life before had sent. */
    _Bool was_alone;
    int64_t alone_ms;
    _Bool takes_over; /* an operator said so, or the leader ended its term */
    /* An operator said so: what others have seen in the stream and our log has not is given up,
     * until it leads, or follows again. */
    _Bool gives_up;
    _Bool looks;             /* LEADING, CLAIMING: another may lead */
    _Bool ends;              /* LEADING: the term is to be ended */
    _Bool moved;             /* something that a heartbeat tells */
    int64_t claims, returns; /* counters: claims begun; heartbeats that came back in time */
};

void lead_check(const struct lead *lead);
void lead_init(struct lead *lead, const struct lead_config *config, const char *id);

void lead_connected(struct lead *lead, int64_t now_ms);
void lead_disconnected(struct lead *lead);
/* UNDECIDED: another serves, or nobody does. */
void lead_follow(struct lead *lead, const char *leader, int64_t now_ms);
void lead_alone(struct lead *lead, int64_t now_ms);
/* The same, but `other` has seen more in the stream than our log has: that is read first. */
void lead_alone_behind(struct lead *lead, const char *other, int64_t now_ms);
/* CLAIMING, and no term has begun: `other` has seen more in the stream than our log has. */
void lead_behind(struct lead *lead, const char *other, int64_t now_ms);
/* A heartbeat of another instance, or of ours, which says nothing. */
void lead_heard(struct lead *lead, const struct lead_beat *beat, int64_t now_ms);
/* SUSPECTING: our log has all that the stream has. */
void lead_tail_read(struct lead *lead, int64_t now_ms);
/* CLAIMING: our log is asked to begin this term; from here on the stream decides. */
void lead_began(struct lead *lead, int64_t term);
/* our TermBegan is in the stream */
void lead_took(struct lead *lead, int64_t now_ms);
/* the stream has another's term where our log has none, or ours */
void lead_fenced(struct lead *lead, int64_t term, const char *instance);
/* the events that the stream has not are set aside */
void lead_set_aside(struct lead *lead);
/* FOLLOWING: the leader says, by its log or by a heartbeat, that it has ended its term, for this
 * instance; NULL: for any. Another than that one claims after a silence only. */
void lead_ended(struct lead *lead, const char *successor, int64_t now_ms);
/* LEADING: our TermEnded is in the stream */
void lead_ended_own(struct lead *lead, int64_t now_ms);
/* At once. False: this instance is not one that can. */
_Bool lead_take_over(struct lead *lead, int64_t now_ms);
/* The same, by an operator, who thereby gives up what is in no log that can lead. */
_Bool lead_take_over_as_told(struct lead *lead, int64_t now_ms);
_Bool lead_hand_over(struct lead *lead);
/* What a heartbeat tells has moved: the next one leaves soon. */
static inline void lead_note_moved(struct lead *lead)
{
    lead->moved = 1;
}

/* The next thing to do, again and again until LEAD_NOTHING. */
enum lead_action_kind lead_next(struct lead *lead, int64_t now_ms);
int64_t lead_due_ms(const struct lead *lead); /* monotonic; INT64_MAX */
