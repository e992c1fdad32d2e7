/* Gate: answers and calls that wait until the position that they depend on is confirmed
 * (`--answer-when published`). It does no I/O: outbound/gate_io.h sends what it gives back.
 *
 *                        confirmed reaches its position
 *       HELD ──────────────────────────────────────────────► leaves as it is
 *        │   its time is up, there is no room, or nothing
 *        └─  will be confirmed any more (closed) ──────────► is given up: `unconfirmed`
 *
 * What is confirmed may go back, when the stream has lost events; what has left has left. Items
 * leave in the order in which they came, and so do calls. Who comes later waits for at least what
 * those before it wait for: an answer never overtakes one on which it may be built.
 *
 * At the bounds the oldest are given up: they have waited longest. Calls need no bound of their
 * own, because the process has one (struct work_limits).
 *
 * Invariants, after each function (gate_check):
 *   G1  a list ends where `last` says; what comes later has no smaller position and no earlier time
 *   G2  count and bytes are 0 exactly when no item is held
 *   G3  when gate_take_item says that none leaves, count and bytes are within their bounds
 */
#pragma once
#include "runtime/core/context.h"

struct gate_config {
    int64_t wait_ms;   /* how long something is held */
    int64_t items_max; /* beyond it the oldest are given up, as beyond the next */
    int64_t bytes_max;
};
extern const struct gate_config gate_defaults;

struct gate { /* owns what it holds */
    struct gate_config config;
    struct item *items, **last_item;
    struct outbound_call *calls, **last_call;
    int64_t count, bytes;           /* of the items */
    int64_t item_position, item_ms; /* of the newest that came: G1 */
    int64_t call_position, call_ms; /* likewise */
    int64_t confirmed, given_up;    /* counters of items */
    _Bool closed;
};

enum gate_verdict {
    GATE_HELD, /* nothing leaves */
    GATE_CONFIRMED,
    GATE_GIVEN_UP,
};

void gate_check(const struct gate *gate);
void gate_init(struct gate *gate, const struct gate_config *config);
void gate_deinit(struct gate *gate);

/* Take over one item with its outcome, which waits for `position`; one call. */
void gate_hold_item(struct gate *gate, struct item *item, int64_t position, int64_t now_ms);
void gate_hold_call(struct gate *gate, struct outbound_call *call, int64_t position,
                    int64_t now_ms);

/* Nothing will be confirmed any more: what is held, and what comes, is given up. */
void gate_close(struct gate *gate);

/* The oldest that leaves, again and again until GATE_HELD; the caller owns it. An item that is
 * given up has the refusal `unconfirmed` in place of its outcome. */
enum gate_verdict gate_take_item(struct gate *gate, int64_t confirmed, int64_t now_ms,
                                 struct item **ret_item);
enum gate_verdict gate_take_call(struct gate *gate, int64_t confirmed, int64_t now_ms,
                                 struct outbound_call **ret_call);

int64_t gate_due_ms(const struct gate *gate);         /* INT64_MAX: nothing is held */
int64_t gate_first_position(const struct gate *gate); /* that something waits for; INT64_MAX */
