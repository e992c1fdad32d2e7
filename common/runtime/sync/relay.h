/* Relay: the state machine that makes the stream a copy of our log (rule 1). It does no I/O: it is
 * told what happened and the time, and relay_next says what to do. The sender carries it out; the
 * simulation runs the very same code.
 *
 *                      connected                     tail agrees
 *        OFFLINE ───────────────────► ASKING ──────────────────────────► PUBLISHING
 *           ▲                         ▲ │ │ │                                │
 *           │ disconnected, from      │ │ │ └─ stream ahead ─► RECOVERING ─┐ │ refusal, time-out,
 *           │ any state but FORKED    │ │ └─ no stream, holes ─► MAKING ───┤ │ the audit found damage
 *           └─────────────────────────┤ └─ other chain, intruder ─► FORKED │ │
 *                                     └────────── WAITING ◄────────────────┴─┘
 *
 * One path serves start, reconnect and failure: ASKING reads the stream's last message and compares
 * its position and chain with the log.
 *   - no stream, or one that never held a message: make it, publish from 1
 *   - last message is in our log, with the same chain: publish what follows it
 *   - something is missing before it (purged, deleted, damaged on the server's disk), or its
 *   sequence is
 *     behind the position: delete it and make it anew, so that sequence = position; a stream cannot
 *     be
 *     mended in the middle, and the log is the truth. What an age limit has dropped is not missing
 *   - its position is beyond our log: our database is older than the stream. Read the stream into
 *   the log
 *     first (RECOVERING); whether the chain follows is seen at the first message
 *   - same position and another chain, or a message that is not ours: FORKED. Nothing is published
 *   or
 *     written any more until a person chooses
 *   - its sequence has run beyond our log, and what stood there is gone from both (our database is
 *   older,
 *     and the stream was purged): FORKED too. The positions would be used twice, and a reader that
 *     knows
 *     the first use would skip the second as a repeat. So that this holds over a restart and when
 *     the
 *     stream is gone altogether, the loop keeps in our file how far the stream was seen to go
 *     (relay_saw)
 *   - it agrees with our log, and yet the server refuses what follows it, again and again: the
 *   server
 *     disagrees with itself about the stream's end (seen after damage in its files): make it anew
 * The audit asks for the counts, and reads a part of the stream each time: one that the server's
 * counts say is there, and that cannot be read, is missing.
 * A person who chooses our log calls relay_resolved: the stream is made anew from it. One who
 * chooses the stream moves the database away and starts the service, which then recovers from the
 * stream.
 *
 * Publishing is pipelined up to window_max, each message with the sequence that it must follow; an
 * acknowledgement of one implies all before it, so only the last of an action is asked for. After
 * any refusal or time-out the rest in flight is worth nothing (a new epoch), and it asks again;
 * then one message goes alone until it is taken, and the waits grow until then, so that a full
 * stream costs one message a try. A message that is still on its way from an older epoch does no
 * harm: it holds what belongs at the sequence that it expects, or it is refused.
 *
 * Invariants, after each function (relay_check):
 *   R1  0 <= published <= head, and published <= sent <= head: nothing leaves that is not in the log
 *   R2  at most window_max events are in flight, at most one while it is probing, and none but in
 *       PUBLISHING
 *   R3  PUBLISHING: a deadline stands exactly while something is in flight
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
    enum tail_fit fit; /* against our log, as the sender looked it up */
};

enum relay_action_kind {
    RELAY_NOTHING,
    RELAY_ASK,           /* answer: relay_tail or relay_failed */
    RELAY_MAKE_STREAM,   /* answer: relay_made or relay_failed */
    RELAY_DELETE_STREAM, /* likewise */
    /* read the own stream from `sequence` on; answer: relay_recovered, relay_fork, relay_failed */
    RELAY_RECOVER,
    RELAY_PUBLISH, /* events first..last, the first expecting `sequence` as the stream's last */
    RELAY_AUDIT,   /* answer: relay_audited; and, when a message at sequence first..last
                                             is not there or not ours, relay_hole or relay_fork; no answer is fine */
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
    int64_t
        high_water; /* newest position ever seen in the stream: what is below is republished, what
                                             is above our log must come from the stream */
    _Bool acted;    /* the state's question is out */
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
void relay_tail(struct relay *relay, const struct relay_tail *tail, int64_t now_ms);
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
