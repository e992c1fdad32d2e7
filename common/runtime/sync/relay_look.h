/* Relay's look: what the messages of our stream, read back from its end, say together. It is told
 * of each, the newest first, and fills the tail that the relay decides by (relay.h). No I/O.
 *
 * A message is void when a leader of a lower term wrote it behind a higher TermBegan; one without a
 * term is a stranger there. Backwards
 * that is known only when an event before it is met which has a higher term: our own (its term is
 * our log's), or the TermBegan itself. What does not agree with our log is pending until then:
 *
 *     newest                                             oldest
 *     v(1)   e(2)   e(2)   TermBegan(2)   e(1)   e(1)   known event of our log (1)
 *     ──┬─   ──────────── pending ────────────────────   ─── resolves: not lower than 1, so the
 *       └ lower than what is met later: void                  stream goes on otherwise than our log
 *
 * Invariants (look_check): terms of what is pending only sink on the way back, and only behind the
 * TermBegan of the higher one. */
#pragma once
#include "runtime/sync/relay.h"

/* What stands at a sequence, when it is no event of ours. */
enum { PLACE_HOLE = -1, PLACE_FOREIGN = -2, PLACE_MARKER = -3, PLACE_NO_STORE = -4 };

struct look_message {
    int64_t place;     /* position of an event, or a PLACE_…; 0: it cannot be read */
    int64_t term;      /* that it says; of one that our log has: our log's */
    enum tail_fit fit; /* of an event */
    _Bool is_event;    /* FOREIGN: an event by its form, whose chain or term is not our log's */
    int64_t begins;    /* it is a TermBegan of this term, of whose log ever; 0: it is none */
    char instance[TAIL_INSTANCE_SIZE]; /* of that */
};

struct look_judge {
    struct relay_tail *tail;
    _Bool has_known;        /* an event that our log has was met */
    int64_t later_position; /* of the event of ours behind what comes next; 0: there is none */
    struct look_pending {
        int64_t count; /* 0: nothing is */
        int64_t newest_position, newest_sequence, oldest_position;
        int64_t term;    /* of the oldest */
        _Bool has_begun; /* the TermBegan of that term was met */
        _Bool has_gap;
        enum tail_fit fit;
        int64_t begins_at, begins; /* the oldest TermBegan: its position, its term */
        char instance[TAIL_INSTANCE_SIZE];
        int64_t strangers, strangers_term; /* FOREIGN events; the highest term that they say */
    } pending;
};

void look_begin(struct look_judge *judge, struct relay_tail *tail);
/* The next one on the way back. */
void look_judge(struct look_judge *judge, int64_t sequence, const struct look_message *message);
/* Nothing more is read: what is pending stands. */
void look_end(struct look_judge *judge);
/* Events that may have come in another way than our log went on: only one that both have tells. */
_Bool look_has_strangers(const struct look_judge *judge);
/* Was an event of ours met, or one that may be? */
_Bool look_has_event(const struct look_judge *judge);
