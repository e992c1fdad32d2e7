/* Redrive: parked events, one after the other, are fetched again from their leader's log (we keep
 * only a reference to them) and given to the loop. The answer goes out when all were tried, or the
 * leader is away; what was applied until then stays applied. One redrive at a time: two would only
 * get into each other's way. On the sender's thread; the machine is small enough to stand here:
 *
 *     idle ── request ──► asking the leader ── the event came ──► in the loop ── it was run ─┐
 *       ▲                   ▲  │ away, silent, refuses                                       │
 *       └──── answered ◄────│──┴── nothing is left ◄──────────────────── the next ◄──────────┘
 *                           └───────────────────────────────────────────────┘
 */
#pragma once
#include "runtime/outbound/outbound.h"

struct redrive {
    struct outbound *outbound;
    struct item *item;   /* the request; NULL: none is under way */
    int64_t question;    /* number of the newest, so that answers to an earlier one are told */
    const char *log;     /* of the event that it has come to; in the item's arena */
    int64_t position;    /* likewise */
    int64_t deadline_ms; /* of the leader's answer; INT64_MAX: the event is in the loop */
    int64_t redriven;
};

void redrive_init(struct redrive *redrive, struct outbound *outbound);
void redrive_deinit(struct redrive *redrive); /* drops who waits */
_Bool redrive_is_active(const struct redrive *redrive);

/* None is under way. Takes the request over, and answers it. */
void redrive_begin(struct redrive *redrive, struct item *item, int64_t now_ms);

/* message: borrowed */
void redrive_answer(struct redrive *redrive, const struct question *question,
                    struct bus_message *message, int64_t now_ms);
void redrive_settled(struct redrive *redrive, const struct batch *batch, int64_t now_ms);
void redrive_look_at_clock(struct redrive *redrive, int64_t now_ms);
int64_t redrive_due_ms(const struct redrive *redrive); /* INT64_MAX: none waits */

/* Answers who waits, when the sender's thread has ended. */
void redrive_stop(struct redrive *redrive);
