/* Relay's tail: what the end of our stream, as a look has found it, says to the relay (relay.h).
 * Pure functions. */
#pragma once
#include "runtime/sync/relay.h"

_Bool tail_is_damaged(const struct relay_tail *tail); /* its counts show that messages are gone */
int64_t tail_message_sequence(const struct relay_tail *tail); /* of the newest event of ours */

/* The newest position that was ever in the stream, as its sequence tells: what others have written
 * was none. */
int64_t tail_newest_ever(const struct relay_tail *tail);

/* Only the stream is wrong, and our log has all of it: why it must be made anew; NULL: it is
 * right. */
const char *tail_wrong(const struct relay *relay, const struct relay_tail *tail);
