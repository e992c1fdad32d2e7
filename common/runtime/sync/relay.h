/* Relay: the state machine that makes our stream a copy of our log (rule 1). It does no I/O: it is
 * told what happened and the time, and relay_next says what to do. outbound/relay_io.h carries it
 * out; the simulation runs the same code.
 *
 *                   connected                  the tail agrees
 *     OFFLINE ─────────────────► ASKING ────────────────────────► PUBLISHING
 *        ▲                       ▲ │ │ │                              │
 *        │ disconnected, from    │ │ │ └─ stream ahead ► RECOVERING ┐ │ refusal, time-out,
 *        │ any but FORKED        │ │ └─ no stream, holes ► MAKING ──┤ │ damage found by the audit
 *        └───────────────────────┤ └─ other chain, intruder ► FORKED│ │
 *                                └──────── WAITING ◄────────────────┴─┘
 *
 * Start, reconnect and failure take the same path: ASKING reads the stream's last message, and
 * compares its position and chain with the log.
 *   - There is no stream, or the stream never held a message: create it, and publish from 1.
 *   - The last message is in our log, with the same chain: publish what follows it.
 *   - Messages before it are missing (purged, deleted, damaged on the server's disk), or its
 *     sequence is less than its position: delete the stream and create it anew, so that sequence =
 *     position. A stream cannot be repaired in the middle, and the log is the truth. What an age
 *     limit has dropped is not missing.
 *   - Its position is beyond our log, so our database is older than the stream: read the stream
 *     into the log first (RECOVERING). Whether the chain follows is seen at the first message.
 *   - The same position with another chain, or a message that is not ours: FORKED. Nothing is
 *     published or written until an operator chooses.
 *   - The stream's sequence has run beyond our log, and what stood there is gone from both (our
 *     database is older, and the stream was purged): FORKED too, because the positions would be
 *     used twice, and a reader that knows the first use would skip the second as a repeat. How far
 *     the stream was seen to go is kept in our file (relay_saw), so that this holds over a restart,
 *     and when the stream is gone altogether.
 *   - It agrees with our log, and yet the server refuses the next event again and again: the server
 *     contradicts itself about the stream's end (seen after damage in its files); create it anew.
 *
 * The audit compares the counts, and reads a part of the stream each time: a message that is there
 * by the server's counts, and cannot be read, is missing. An operator who chooses our log calls
 * relay_resolved: the stream is created anew from it. An operator who chooses the stream moves the
 * database away and starts the service, which then recovers from the stream.
 *
 * Publishing is pipelined up to window_max events, each with the sequence that it must follow. An
 * acknowledgement of one implies all before it, so only the last event of an action asks for one.
 * After a refusal or a time-out nothing in flight counts (a new epoch), and the relay asks again;
 * then one event goes alone until it is taken, and the waits grow until then, so that a full stream
 * costs one event a try. An event that is still on its way from an older epoch does no harm: it is
 * what belongs at the sequence that it expects, or it is refused.
 *
 * Invariants, after each function (relay_check):
 *   R1  0 <= published <= sent <= head: nothing leaves that is not in the log
 *   R2  at most window_max events are in flight, at most one while it is probing, and none but in
 *       PUBLISHING
 *   R3  PUBLISHING: there is a deadline exactly while something is in flight
 *   R4  WAITING ends at a deadline; OFFLINE and FORKED have none
 *   R5  WAITING and FORKED have a reason
 *   R6  PUBLISHING: what is published was seen in the stream
 */
#pragma once
#include <stdint.h>
#include "runtime/core/backoff.h"
#include "runtime/core/states.h"

struct relay_config {
    int64_t window_max;        /* events in flight */
    int64_t publish_max;       /* events of one action: replies wait no longer than these take */
    int64_t answer_timeout_ms; /* for any answer of the server */
    int64_t backoff_min_ms, backoff_max_ms;
    int64_t audit_interval_ms;
    int64_t audit_read_max; /* messages that an audit reads */
    uint64_t seed;          /* of the random part of the waits; 0: none */
};
extern const struct relay_config relay_defaults;

enum tail_fit { TAIL_EQUAL, TAIL_DIFFERENT, TAIL_AHEAD };
struct relay_tail { /* what a look at the stream found */
    _Bool exists;
    int64_t first_sequence, last_sequence, messages, deleted;
    _Bool expires;            /* an operator has set an age limit: the oldest may be gone */
    _Bool has_last;           /* there is a last message; then: */
    int64_t message_sequence; /* its own, when what followed it was deleted; 0: last_sequence */
    _Bool is_ours;            /* subject, source, position and chain are such as we write */
    int64_t position;
    enum tail_fit fit; /* against our log */
};

enum relay_action_kind {
    RELAY_NOTHING,
    RELAY_ASK,           /* answer: relay_tail or relay_failed */
    RELAY_MAKE_STREAM,   /* answer: relay_made or relay_failed */
    RELAY_DELETE_STREAM, /* likewise */
    /* read the own stream from `sequence` on; answer: relay_recovered, relay_fork, relay_failed */
    RELAY_RECOVER,
    RELAY_PUBLISH, /* events first..last, the first expecting `sequence` as the stream's last */
    /* answer: relay_audited; and when a message at sequence first..last is not there or not ours,
     * relay_hole or relay_fork; no answer is fine */
    RELAY_AUDIT,
};
struct relay_action {
    enum relay_action_kind kind;
    int64_t first, last;
    int64_t sequence;
    int64_t epoch;
};

struct relay {
    struct relay_config config;
    enum relay_state state;
    int64_t head;        /* newest position in our log */
    int64_t published;   /* known to be in the stream */
    int64_t sent;        /* handed to the bus in this epoch */
    int64_t offset;      /* the stream's sequence minus position; 0 in a healthy stream */
    int64_t epoch;       /* answers of older epochs are ignored */
    int64_t deadline_ms; /* of the state: time-out or end of the wait */
    struct backoff backoff;
    int64_t audit_ms;        /* next audit */
    int64_t audit_published; /* `published` when the audit asked */
    int64_t stream_position; /* RECOVERING: how far the stream goes */
    /* newest position ever seen in the stream: what is below is republished, what is above our log
     * must come from the stream */
    int64_t high_water;
    _Bool acted;        /* the state's question is out */
    _Bool delete_first; /* MAKING */
    _Bool probing;      /* nothing was taken since the last refusal or time-out */
    /* so often was the one after this position refused for its sequence */
    int64_t denied, denied_at;
    int64_t audit_read;                    /* sequence up to which the audit has read */
    _Bool expires;                         /* the oldest messages may be gone: none is missed */
    _Bool has_hole;                        /* a message in the middle cannot be read */
    const char *reason;                    /* of WAITING and FORKED; static text */
    int64_t refusals, republished, remade; /* counters */
};

void relay_check(const struct relay *relay);
void relay_init(struct relay *relay, const struct relay_config *config, int64_t head);

/* it was in the stream once, as an earlier life knows */
void relay_saw(struct relay *relay, int64_t position);
void relay_connected(struct relay *relay, int64_t now_ms);
void relay_disconnected(struct relay *relay);
/* our log has new events, committed */
void relay_grew(struct relay *relay, int64_t head, int64_t now_ms);
void relay_looked(struct relay *relay, const struct relay_tail *tail, int64_t now_ms);
void relay_made(struct relay *relay, int64_t now_ms);
/* the question of this state has no good answer */
void relay_failed(struct relay *relay, const char *reason, int64_t now_ms);
void relay_acked(struct relay *relay, int64_t epoch, int64_t position, int64_t now_ms);
void relay_refused(struct relay *relay, int64_t epoch, const char *reason, int64_t now_ms);
/* as refused: another sequence was expected */
void relay_denied(struct relay *relay, int64_t epoch, const char *reason, int64_t now_ms);
void relay_hole(struct relay *relay, int64_t now_ms); /* the audit could not read a message */
/* our log now reaches so far */
void relay_recovered(struct relay *relay, int64_t head, int64_t now_ms);
void relay_fork(struct relay *relay, const char *reason);
void relay_resolved(struct relay *relay); /* FORKED, and a person says: our log is right */
/* only the counts are looked at */
void relay_audited(struct relay *relay, const struct relay_tail *tail, int64_t now_ms);

/* The next thing to do, again and again until RELAY_NOTHING; also notices what time has run out. */
struct relay_action relay_next(struct relay *relay, int64_t now_ms);
/* monotonic time when relay_next wants to be asked; INT64_MAX */
int64_t relay_due_ms(const struct relay *relay);
