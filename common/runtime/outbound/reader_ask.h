/* Reader ask: has anybody read more of our log than log and stream still have? When both copies are
 * lost, what is left of the log is in the cursors of its readers. So a leader whose log is empty,
 * and whose stream is, asks all services of the mesh ($SRV.STATS) before it begins at position 1,
 * and again for a while, because a reader may come later. A cursor beyond our log: the relay says
 * `forked`, with the reader's name and its position; the positions are not used a second time.
 * One that has published looks at its stream before it says so: another instance may have led.
 *
 * Other instances of the service answer, too: one that has seen more in the stream than our log has
 * goes before (peer_io_hear).
 *
 * Who does not answer is not waited for: in a new mesh there is nobody. Services in other accounts
 * of the server are not reached; such a reader says `forked` itself.
 *
 * On the sender's thread. */
#pragma once
#include "runtime/sync/relay.h"

struct bus_message;
struct outbound;

struct reader_ask {
    struct relay_tail tail;    /* of the look that waits for the answers */
    int64_t epoch;             /* of that look */
    int64_t answer_by_ms;      /* 0: nothing waits */
    int64_t next_ms, until_ms; /* monotonic: it is asked again, and how long; 0: not at all */
    _Bool doubts;              /* a reader was ahead, and the stream was looked at again */
};

/* The stream has no message. True: the look goes on when the answers are there. */
_Bool reader_ask_begin(struct reader_ask *ask, struct outbound *outbound, struct relay *relay,
                       const struct relay_tail *tail, int64_t now_ms);
void reader_ask_reply(struct reader_ask *ask, struct outbound *outbound, struct relay *relay,
                      struct bus_message *message, int64_t now_ms);
void reader_ask_look_at_clock(struct reader_ask *ask, struct outbound *outbound,
                              struct relay *relay, int64_t now_ms);
int64_t reader_ask_due_ms(const struct reader_ask *ask);
