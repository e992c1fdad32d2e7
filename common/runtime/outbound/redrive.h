/* Redrive: parked events are fetched again from their leader's log, one after the other (the table
 * `parked` has only a reference to them), and given to the loop. The operator gets the reply when
 * every event was tried, or when the leader cannot be reached; what was applied until then stays
 * applied. One redrive at a time. On the sender's thread.
 *
 *     IDLE ── request ──► FETCHING ── the event came ──► IN THE LOOP
 *      ▲                    │  ▲                              │
 *      └── replied ◄────────┤  └── LOOKING ◄── was run ◄──────┘
 *         no event is left; the leader is away, silent, or refuses
 *
 * `item` NULL is IDLE; `deadline_ms` INT64_MAX is IN THE LOOP; `looks_on` is LOOKING: a slice of
 * `parked` in each turn of the sender, for most of it may be behind an event that fails. */
#pragma once
#include "runtime/outbound/outbound.h"

struct redrive {
    struct outbound *outbound;
    struct item *item;      /* the request; NULL: none is under way */
    int64_t request_number; /* of the newest request; replies to older ones are ignored */
    const char *log;        /* of the event that it has come to; in the item's arena */
    int64_t position;       /* likewise */
    int64_t deadline_ms;    /* of the leader's reply; INT64_MAX: the event is in the loop */
    _Bool looks_on;         /* for the next event, in the sender's next turn */
    int64_t redriven;
};

void redrive_init(struct redrive *redrive, struct outbound *outbound);
void redrive_deinit(struct redrive *redrive); /* drops who waits */
_Bool redrive_is_active(const struct redrive *redrive);

/* None is under way. Takes the request over, and answers it. */
void redrive_begin(struct redrive *redrive, struct item *item, int64_t now_ms);

/* message: borrowed */
void redrive_reply(struct redrive *redrive, const struct reply_tag *tag,
                   struct bus_message *message, int64_t now_ms);
void redrive_settled(struct redrive *redrive, const struct batch *batch, int64_t now_ms);
void redrive_look_at_clock(struct redrive *redrive, int64_t now_ms);
int64_t redrive_due_ms(const struct redrive *redrive); /* INT64_MAX: none waits */

/* Answers who waits, when the sender's thread has ended. */
void redrive_stop(struct redrive *redrive);
