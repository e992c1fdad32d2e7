/* Relay of a follower: what relay.c, relay_follow.c and relay_next.c need of each other; all others
 * include relay.h. */
#pragma once
#include "runtime/sync/relay.h"

/* Checked moves: see relay.h. */
void relay_move(struct relay *relay, enum relay_state state);
void relay_wait(struct relay *relay, const char *reason, int64_t now_ms);

/* How long an answer of the server may take. */
int64_t relay_answer_ms(const struct relay *relay);

/* ASKING: another leads from where the stream leaves our log. */
_Bool relay_is_fenced_by(const struct relay *relay, const struct relay_tail *tail);
/* Of one that claims. True: it waits, for whoever may be making the stream anew. */
_Bool relay_claim_yields(struct relay *relay, const struct relay_tail *tail, int64_t now_ms);
void relay_fence(struct relay *relay, const struct relay_tail *tail);

/* ASKING, of one that follows: what a look has found. */
void relay_look_as_follower(struct relay *relay, const struct relay_tail *tail, int64_t now_ms);
