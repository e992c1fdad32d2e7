/* Peer: the state machine that says whether this instance serves, or another of the same name. It
 * does no I/O: it is told what was heard and the time, and peer_next says what to do.
 *
 *               connected       nobody is there       nobody else either
 *     OFFLINE ────────────► ASKING ────────────► CONFIRMING ────────────► SERVING ──► OUT
 *                              │                  │     ▲                    │  its log is forked
 *                              │ another serves   │     │ nobody ever served │ another that goes
 *                              └──────────────────┴──► STANDBY               ▼ before: steps back
 *
 * An instance asks `$SRV.PING.<name>` (ADR-32), and each answer says the role of who gives it.
 * While it is ASKING it does not answer itself, so that "no responders" says at once that it is
 * alone. Then it becomes visible and asks once more (CONFIRMING): of two that start together at
 * least one hears the other, and stands by. A frozen instance does not answer: whoever goes on then
 * is held back by the stream (rule 1), and by this, when the frozen one thaws.
 *
 * Two that serve and hear each other: the one that the stream knows more of goes on, then the one
 * that has served longer, then the one with the smaller id; the other steps back, which is a stop
 * and a start. One that was cut off or frozen is thus behind the one that took over.
 *
 * A standby that has heard one that serves does not take its place by itself. What that one has
 * answered and not yet published is in its file alone, so a take-over can cost answered requests:
 * it is a person's to decide, who starts the standby anew. One that only heard others begin asks
 * on, and starts when it has heard nobody who serves several times; where another standby with a
 * smaller id is there, it leaves that one the time to go first. A forked instance serves nobody: it
 * is OUT, and no reason to stand by.
 *
 * This is liveness and order for operators; what is written twice is prevented by the stream alone.
 *
 * Invariants, after each function (peer_check):
 *   P1  OFFLINE has no question out and no due time
 *   P2  STANDBY knows for whom it stands by
 *   P3  whoever serves has a time since when */
#pragma once
#include <stdint.h>

#define PEER_ID_SIZE 40

struct peer_config {
    int64_t answer_ms;  /* how long answers are waited for: as long as `nats micro ls` waits */
    int64_t grace_ms;   /* after our own answer, for those of others */
    int64_t serving_ms; /* between questions of one that serves */
    int64_t standby_ms; /* of one that does not */
    int64_t frozen_ms;  /* without a turn: it was frozen, and another may have taken over */
    int missed_max;     /* rounds without an answer of one that serves, before a standby starts */
};
extern const struct peer_config peer_defaults;

enum peer_state {
    PEER_OFFLINE,
    PEER_ASKING,
    PEER_CONFIRMING,
    PEER_SERVING,
    PEER_STANDBY,
    PEER_OUT,
};

/* What an answer says: "candidate", "leading", "standby", "out". */
enum peer_role { PEER_CANDIDATE, PEER_SERVES, PEER_STANDS_BY, PEER_IS_OUT };
#define PEER_ROLES (PEER_IS_OUT + 1)
const char *peer_role_name(enum peer_role role);
/* One without a role is of a version before roles, and serves; likewise one with another word. */
enum peer_role peer_role_of(const char *name);

struct peer_answer {
    const char *id;
    enum peer_role role;
    int64_t published, since_ms; /* of its log in the stream; wall time when it began to serve */
    int64_t seen;                /* how far it has ever seen the stream go */
};

enum peer_action_kind {
    PEER_NOTHING,
    PEER_ASK,       /* answers: peer_answered for each, peer_alone */
    PEER_SHOW,      /* answer $SRV from now on */
    PEER_SERVE,     /* begin */
    PEER_STAND_BY,  /* nothing is taken, decided, published: `other` serves */
    PEER_DESERTED,  /* STANDBY: `other` does not answer any more */
    PEER_STEP_BACK, /* stop in order and start again: `other` goes on */
    PEER_LEAVE,     /* OUT: take no more requests, another is there */
    PEER_RETURN,    /* OUT: answer queries and refuse commands, nobody else is there */
};

struct peer {
    struct peer_config config;
    char id[PEER_ID_SIZE];
    enum peer_state state;
    int64_t since_ms;           /* wall time when it began to serve; 0 */
    int64_t ask_ms, answer_ms;  /* monotonic: the next question; the end of this one; INT64_MAX */
    char other[PEER_ID_SIZE];   /* that serves, as far as we know; "" */
    char rival[PEER_ID_SIZE];   /* that serves beside us, and will step back; "" */
    int64_t seen;               /* the farthest that another has seen the stream go; */
    char seen_by[PEER_ID_SIZE]; /* who that was; "" */
    int missed;                 /* STANDBY: rounds without one that serves */
    _Bool defers;               /* one that serves was heard: its place is not taken */
    _Bool is_deserted;          /* that it is gone was said */
    int64_t turned_ms;          /* when it was last asked what to do */
    /* in this round: one that serves, a standby before us, anyone but those that are OUT */
    _Bool hears_serving, hears_earlier, hears_anyone;
    int64_t standby_ms; /* monotonic: when a standby last answered; 0 */
    _Bool is_shown, begins, steps_back, told, listens;
};

/* id: of this instance; NULL: nobody else can be there, nobody is asked. */
void peer_init(struct peer *peer, const struct peer_config *config, const char *id);
void peer_check(const struct peer *peer);
void peer_connected(struct peer *peer, int64_t now_ms);
void peer_disconnected(struct peer *peer);
void peer_answered(struct peer *peer, const struct peer_answer *answer, int64_t published,
                   int64_t now_ms);
void peer_alone(struct peer *peer, int64_t now_ms); /* no responders */
void peer_forked(struct peer *peer, int64_t now_ms);
/* A standby leads from now on (sync/lead.h); `other` does, and not we. */
void peer_lead(struct peer *peer, int64_t now_ms, int64_t wall_ms);
void peer_follow(struct peer *peer, const char *other, int64_t now_ms);

/* The next thing to do, again and again until PEER_NOTHING. wall_ms: for since_ms. */
enum peer_action_kind peer_next(struct peer *peer, int64_t now_ms, int64_t wall_ms);
int64_t peer_due_ms(const struct peer *peer); /* monotonic; INT64_MAX */
enum peer_role peer_role(const struct peer *peer);
