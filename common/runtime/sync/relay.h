/* Relay: the state machine that makes our stream a copy of our log (rule 1). It does no I/O: it is
 * told what happened and the time, and relay_next says what to do. outbound/relay_io.h carries it
 * out; the simulation runs the same code.
 *
 *                      connected                     tail agrees
 *        OFFLINE ───────────────────► ASKING ──────────────────────────► PUBLISHING ◄──┐
 *           ▲                         ▲ │ │ │                                │ │ one group,
 *           │ disconnected, from      │ │ │ └─ stream ahead ─► RECOVERING ─┐ │ │ all of it
 *           │ any state but FORKED    │ │ └─ no stream, damaged,           │ │ └─acknowledged
 *           │                         │ │    foreign messages ─► MAKING ───┤ │
 *           │                         │ └─ our events, other chain ► FORKED│ │ refusal, time-out,
 *           └─────────────────────────┴────────── WAITING ◄────────────────┴─┘ audit
 *
 * One path serves start, reconnect and failure: ASKING reads the stream back, from its end to the
 * last position that is known to be right (a look), and compares each message with the log. That is
 * at most one group, and what others have written. A relay that has just started knows no such
 * position and reads the last window_max messages; the audit reads what is older.
 *   - no stream, or one that never held a message: make it, publish from 1
 *   - all of it is our log's, with the same chains: publish what follows
 *   - only the stream is wrong: delete it and make it anew, with the reason named. It has a message
 *     that is no event of ours (another subject or source, or one that cannot be read as an event);
 *     an event is missing and later ones are there; messages were purged, deleted or damaged on
 *     the server's disk; its sequence is behind the position. A stream cannot be mended in the
 *     middle, and the log is the truth. What an age limit has dropped is not missing
 *   - it has positions beyond our log: our database is older than the stream. Read the stream into
 *     the log first (RECOVERING); whether the chain follows is seen at each message, and what
 *     else is wrong with the stream is healed afterwards. Messages that do not follow our log,
 *     where the stream agrees with it up to there and has no room for events that both have lost,
 *     are void (relay_voids): only the stream is wrong
 *   - an event of ours by subject, source and form, at a position that our log has with another
 *     chain, which follows our log up to there: another writer has our identity and our log.
 *     FORKED: nothing is published or written any more until a person chooses. One that does not
 *     follow our log is no event of ours
 *   - its sequence has run beyond our log, and what stood there is gone from both (our database is
 *     older, and the stream was purged): FORKED too. The positions would be used twice, and a
 *     reader that knows the first use would skip the second as a repeat. So that this holds over a
 *     restart and when the stream is gone altogether, the loop keeps in our file how far the stream
 *     was seen to go (relay_saw), also when that is only known by the server's counts
 *   - it says that it is filled from a log that goes further than ours (stream_fill): that is as if
 *     seen in it. So a standby with a shorter log does not claim before its leader has come back,
 *     and one that begins alone with it is FORKED
 *   - somebody has set it as we cannot bear it (sync/drift.h): it is left as it is, and looked at
 *     again, until it is set back. An age limit is borne: a reader that needs what is gone asks us
 *   - messages of the server itself (markers) are nobody's: they take a sequence, and come and go.
 *     Then only the positions tell whether an event is missing
 *   - it leaves our log with a TermBegan of another instance, of a term that is not lower than ours
 *     there: the log is the judge, and it leads. FENCED: nothing is published or answered any more;
 *     what only our log has is set aside by name (writer/set_aside.h), and the instance starts
 *     again as a follower. Likewise where our log has nothing but a TermBegan that was never
 *     published: its claim came too late. A log that is merely older than the stream is neither
 *   - messages of a lower term behind a higher TermBegan are void (sync/relay_look.h): they have no
 *     position, and are borne, as repeats are; the sequence runs ahead
 *   - it agrees with our log, and yet the server refuses what follows it, again and again: the
 *     server disagrees with itself about the stream's end (seen after damage in its files): make it
 *     anew
 *   - it agrees with our log and can be read, and yet acknowledges nothing, for minutes: a server
 *     whose disk was full stores nothing more in a stream whose write has failed, until it is
 *     restarted or the stream is another one: make it anew, less and less often, for all that we
 *     know the disk is still full
 * An instance that another one leads (sync/lead.h) follows: with `follows` set, ASKING leads to
 * FOLLOWING, which is RECOVERING made permanent. It reads what the stream has behind our log, as
 * soon as a heartbeat says that there is more (relay_heard), and looks by itself when none comes.
 * It publishes nothing, and makes, mends and deletes no stream: what is wrong with the stream is
 * its leader's, and is looked at again. relay_lead ends it: from ASKING on all is as at a start.
 * One that has followed and claims to lead (relay_claim), and finds the stream wrong, or less in it
 * than it has seen there, waits once: another may be making the stream anew at this moment, with a
 * log that is longer. Else it would delete what that one has just published.
 * A writer who intrudes again and again would have the stream deleted each time: the waits between
 * two deletions grow up to heal_max_ms, and are named (WAITING, with the reason).
 * The audit asks for the counts, and reads a part of the stream each time, from the newest message
 * back to the oldest, then from the newest again. What it finds leads to the same decisions. When
 * the server tells that something was set on the stream (relay_advised), an audit that reads no
 * message comes at once.
 * FENCED has no way out but the instance's end and its start; FORKED none but the service's end: a
 * person runs `resolve` while it is down (repair/resolve.h), which deletes the stream or sets the
 * database aside.
 *
 * Publishing (rule 1): one group is in flight, of at most window_max events, in actions of at most
 * publish_max. Each message names the sequence that it must follow, and the outcome of each is
 * learned: it is acknowledged by itself. Nothing else leaves before all of the group are
 * acknowledged, or the group has failed. A foreign message takes a sequence that one of the group
 * expects, so one of the group is refused, and the group fails: it is heard of at once. With the
 * last acknowledgement alone it would not be, because what follows the refused event finds its
 * sequence right again.
 * Where the server writes markers of its own, they come at any time, and are no foreign messages:
 * there each group is one event, so that none of them comes between two.
 * (An atomic batch, ADR-50, is another way to learn the outcome of a group: one answer for all of
 * it. It would change how relay_io publishes and what it takes for an acknowledgement, and nothing
 * here.)
 *
 * After any refusal or time-out the outcome of the rest of the group is unknown (a new epoch), and
 * it looks again; then one message goes alone until it is taken, and the waits grow until then, so
 * that a full stream costs one message a try. A message that is still on its way from an older
 * epoch does no harm: it holds what belongs at the sequence that it expects, or it is refused; or
 * it stands behind a foreign message, which the next group meets.
 *
 * Invariants, after each function (relay_check):
 *   R1  0 <= published <= sent <= head: nothing leaves that is not in the log
 *   R2  at most window_max events are in flight, at most one while it is probing, and none but in
 *       PUBLISHING; all of them are of one group, which ends at group_last
 *   R3  PUBLISHING: a deadline stands exactly while something is in flight
 *   R4  WAITING ends at a deadline; OFFLINE and FORKED have none
 *   R5  WAITING and FORKED have a reason, and so has MAKING when it deletes a stream
 *   R6  PUBLISHING: what is published was seen in the stream
 *   R7  one that follows is never MAKING or PUBLISHING, and only such a one is FOLLOWING
 *   R8  FENCED has no deadline, and shares not more than its log with the stream
 */
#pragma once
#include <stdint.h>
#include "runtime/core/backoff.h"
#include "runtime/core/states.h"

struct relay_config {
    int64_t window_max;        /* events of one group: the most that is in flight */
    int64_t publish_max;       /* events of one action: replies wait no longer than these take */
    int64_t answer_timeout_ms; /* for any answer of the server */
    int64_t backoff_min_ms, backoff_max_ms;
    int64_t heal_min_ms, heal_max_ms; /* between two deletions of a stream that is wrong */
    int64_t heal_reset_ms;            /* so long without one, and the first is at once again */
    /* how long a stream acknowledges nothing before it is made anew; twice that with each time,
     * up to the second; 0: it never is */
    int64_t silent_min_ms, silent_max_ms;
    int64_t audit_interval_ms;
    int64_t audit_read_max; /* messages that an audit reads */
    int64_t advised_min_ms; /* from one look at what is set to the next that is asked for */
    int64_t yield_ms;       /* while another says that it leads, makes no stream for so long */
    int64_t follow_look_ms; /* FOLLOWING: looks at the stream when no heartbeat came for so long */
    /* A stream that has lost its Raft leader answers nothing, for seconds. Who may take over looks
     * again soon, to find the next one at once: the limits of its looks, and between them. */
    int64_t follow_answer_ms, follow_wait_ms;
    uint64_t seed; /* of the random part of the waits; 0: none */
};
extern const struct relay_config relay_defaults;

/* The reason of WAITING while the stream is set as it cannot be borne. */
extern const char RELAY_HELD_REASON[];

/* Ordered: the worse is the later. */
enum tail_fit { TAIL_EQUAL, TAIL_AHEAD, TAIL_DIFFERENT };
#define TAIL_INSTANCE_SIZE 65
struct relay_tail { /* what a look at the stream found */
    _Bool exists;
    int64_t first_sequence, last_sequence, messages, deleted;
    _Bool expires; /* an operator has set an age limit: the oldest may be gone */
    _Bool marked;  /* the server writes messages of its own into it, and removes them again */
    _Bool is_held; /* somebody has set what we cannot bear (sync/drift.h) */
    /* Whoever made it anew, in no lower term than our log's, has more than our log, and fills it up
     * to there (sync/drift.h); 0 */
    int64_t filled_to;
    /* Of the messages that were read back: */
    int64_t foreign;          /* that are no events of ours */
    int64_t foreign_behind;   /* those of them behind the newest event of ours */
    _Bool has_gap;            /* an event is missing, and a later one is there */
    _Bool has_last;           /* there is an event of ours; then of the newest: */
    int64_t message_sequence; /* its own; 0: last_sequence */
    int64_t position;
    int64_t voids;        /* of a lower term behind a higher TermBegan: they have no position */
    int64_t voids_behind; /* those of them behind the newest event of ours */
    int64_t leaves_at;    /* the first position at which the stream is not our log; 0: it is */
    int64_t fence_term;   /* what stands there is a TermBegan of this term; 0: it is none */
    char fence_instance[TAIL_INSTANCE_SIZE]; /* of that */
    int64_t log_term;                        /* the highest term of our log */
    _Bool only_terms;                        /* our log has nothing but TermBegans from there on */
    enum tail_fit fit; /* of all events of ours, against our log, as the sender looked them up */
};

enum relay_action_kind {
    RELAY_NOTHING,
    /* read the stream back from its end to `sequence`, and on to the newest event of ours; 0: the
     * last window_max messages. Answer: relay_looked or relay_failed; meanwhile relay_reading */
    RELAY_ASK,
    RELAY_MAKE_STREAM,   /* answer: relay_made or relay_failed */
    RELAY_DELETE_STREAM, /* likewise */
    /* read the own stream from `sequence` on; answer: relay_recovered, relay_fork, relay_failed */
    RELAY_RECOVER,
    RELAY_PUBLISH, /* events first..last, the first expecting `sequence` as the stream's last */
    /* answer: relay_audited; and, when a message at sequence first..last is not what it should be,
     * relay_damaged or relay_fork; no answer is fine. first and last are 0: no message is read */
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
    int64_t group_last;  /* the last of the group in flight: nothing behind it leaves before */
    int64_t offset;      /* the stream's sequence minus position; 0 in a healthy stream */
    int64_t epoch;       /* answers of older epochs are ignored */
    int64_t deadline_ms; /* of the state: time-out or end of the wait */
    struct backoff backoff;
    struct backoff heal;     /* the wait before the stream is deleted once more */
    int64_t heal_ms;         /* not before */
    int64_t healed_ms;       /* when it was last deleted; 0: never */
    int64_t audit_ms;        /* next audit */
    int64_t audit_published; /* `published` when the audit asked, or before */
    int64_t advised_ms;      /* PUBLISHING: looks at what is set; INT64_MAX: with the next audit */
    int64_t set_seen_ms;     /* when it last asked what is set */
    int64_t stream_position; /* RECOVERING, FOLLOWING: how far the stream goes */
    int64_t look_ms;         /* FOLLOWING: looks again */
    int64_t told;            /* how far other instances say that the stream has gone */
    int64_t yields_ms;       /* another says that it leads: makes no stream before this time */
    _Bool has_followed;      /* in this life, another led */
    _Bool claims;            /* our term has not begun in the stream yet */
    _Bool has_yielded;       /* in this claim, to whoever may be making the stream anew */
    /* FOLLOWING, RECOVERING: what the stream has behind our log does not follow it: the next look
     * goes back to an event that both have. */
    _Bool is_lost;
    /* It led until now: what it had in flight may have left a hole before the end that we read. */
    _Bool looks_back;
    struct relay_fence { /* FENCED: who leads instead, and the last position that both have */
        int64_t term, common;
        char instance[TAIL_INSTANCE_SIZE];
    } fence;
    int64_t void_count; /* in the part of the stream that was read last */
    _Bool follows;      /* another instance leads */
    _Bool looked;       /* FOLLOWING: since relay_read_tail the stream's end was seen */
    /* newest position ever seen in the stream: what is below is republished, what is above our log
     * must come from the stream */
    int64_t high_water;
    int64_t own_water;  /* likewise, as far as it was our log */
    _Bool was_whole;    /* in this life, our log was once the stream's: it has lost nothing */
    _Bool acted;        /* the state's question is out */
    _Bool delete_first; /* MAKING */
    _Bool probing;      /* nothing was taken since the last refusal or time-out */
    /* so often was the one after this position refused for its sequence */
    int64_t denied, denied_at;
    /* since when no acknowledgement has come for the one after this position, while the stream
     * could be read; 0: no wait has ended so */
    int64_t silent_since_ms, silent_at;
    int64_t silent_wait_ms; /* how long that may last */
    int64_t silent_made_ms; /* when it was last made anew because of that; 0: never */
    int64_t audited_from;   /* the audit has read from this sequence to the end; 0: nothing yet */
    int64_t first_sequence; /* of the stream, as it was last seen */
    _Bool expires;          /* the oldest messages may be gone: none is missed */
    _Bool is_marked;        /* the server writes messages of its own, at any time */
    const char *damage;     /* what the audit has found; static text; NULL: nothing */
    const char *reason;     /* of WAITING, FORKED and MAKING; static text */
    int64_t refusals, republished, remade; /* counters */
};

void relay_check(const struct relay *relay);
void relay_init(struct relay *relay, const struct relay_config *config, int64_t head);

/* it was in the stream once, as an earlier life knows */
void relay_saw(struct relay *relay, int64_t position);
/* In an earlier life: our log, as far as that goes. */
void relay_had(struct relay *relay, int64_t position);
void relay_connected(struct relay *relay, int64_t now_ms);
/* Another instance leads: OFFLINE until relay_connected. We do. */
void relay_follow(struct relay *relay);
void relay_lead(struct relay *relay);
/* as relay_lead, but our term has not begun yet; it has, in the stream */
void relay_claim(struct relay *relay);
void relay_took(struct relay *relay);
/* Another instance says that the stream has gone so far. */
void relay_told(struct relay *relay, int64_t position);
/* An operator gives up what was seen in the stream, and is in neither stream nor log. */
void relay_give_up(struct relay *relay);
/* FOLLOWING: the leader says that the stream goes so far. */
void relay_heard(struct relay *relay, int64_t published, int64_t now_ms);
/* FOLLOWING: looks at the stream's end now; relay_has_tail says when our log has all up to
 * there. */
void relay_read_tail(struct relay *relay, int64_t now_ms);
_Bool relay_has_tail(const struct relay *relay);
/* Somebody else may publish there, too: looks, and makes no stream for a while. */
void relay_doubt(struct relay *relay, const char *reason, int64_t now_ms);
void relay_disconnected(struct relay *relay);
/* our log has new events, committed */
void relay_grew(struct relay *relay, int64_t head, int64_t now_ms);
void relay_looked(struct relay *relay, const struct relay_tail *tail, int64_t now_ms);
/* FOLLOWING, RECOVERING: what was read of the stream does not follow our log */
void relay_lose_way(struct relay *relay, int64_t now_ms);
/* a part of what is read came, and more is asked for */
void relay_reading(struct relay *relay, int64_t now_ms);
void relay_made(struct relay *relay, int64_t now_ms);
/* the question of this state has no good answer */
void relay_failed(struct relay *relay, const char *reason, int64_t now_ms);
/* each event up to this position has been acknowledged */
void relay_acked(struct relay *relay, int64_t epoch, int64_t position, int64_t now_ms);
void relay_refused(struct relay *relay, int64_t epoch, const char *reason, int64_t now_ms);
/* as refused: another sequence was expected */
void relay_denied(struct relay *relay, int64_t epoch, const char *reason, int64_t now_ms);
/* The audit found a message that is not what it should be, or none; static text. The
 * stream is made anew. */
void relay_damaged(struct relay *relay, const char *damage, int64_t now_ms);
/* The position that belongs at this sequence of a stream of ours lies in ret_low..ret_high: repeats
 * have let the sequence run ahead, the older the message, the less. */
static inline void relay_place(const struct relay *relay, int64_t sequence, int64_t *ret_low,
                               int64_t *ret_high)
{
    *ret_low = sequence - relay->offset;
    *ret_high = sequence;
}
/* our log now reaches so far */
void relay_recovered(struct relay *relay, int64_t head, int64_t now_ms);
/* The messages ahead of our log are none of ours: the stream is made anew. */
void relay_voids(struct relay *relay, int64_t now_ms);
void relay_fork(struct relay *relay, const char *reason);
/* Somebody has set something on the stream, or made or removed a consumer of it: looks soon, also
 * when it is not publishing yet. */
void relay_advised(struct relay *relay, int64_t now_ms);
/* only the counts are looked at */
void relay_audited(struct relay *relay, const struct relay_tail *tail, int64_t now_ms);

/* The next thing to do, again and again until RELAY_NOTHING; also notices what time has run out. */
struct relay_action relay_next(struct relay *relay, int64_t now_ms);
/* monotonic time when relay_next wants to be asked; INT64_MAX */
int64_t relay_due_ms(const struct relay *relay);
