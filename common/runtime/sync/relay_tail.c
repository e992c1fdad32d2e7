/* Relay's tail: see relay_tail.h. */
#include "runtime/sync/relay_tail.h"
#include <stddef.h>

#define DENIED_MAX 4 /* messages of an older epoch may still be on their way */

_Bool tail_is_damaged(const struct relay_tail *tail)
{
    int64_t whole = tail->last_sequence; /* nothing leaves a stream of ours but by an age limit */
    if (tail->expires)
        whole = tail->messages > 0 ? tail->last_sequence - tail->first_sequence + 1 : 0;
    return !tail->marked && (tail->deleted > 0 || tail->messages < whole);
}

int64_t tail_message_sequence(const struct relay_tail *tail)
{
    return tail->message_sequence > 0 ? tail->message_sequence : tail->last_sequence;
}

int64_t tail_newest_ever(const struct relay_tail *tail)
{
    if (!tail->exists || (tail->marked && !tail->has_last))
        return 0;
    if (tail->marked) /* what is behind it were markers */
        return tail->position;
    return tail->has_last ? tail->position + tail->last_sequence - tail_message_sequence(tail) -
                                tail->foreign_behind - tail->voids_behind
                          : tail->last_sequence - tail->foreign - tail->voids;
}

/* The server says that the stream ends here, and refuses what follows: it is of two minds. */
static _Bool is_denied(const struct relay *relay, const struct relay_tail *tail)
{
    return relay->denied >= DENIED_MAX &&
           relay->denied_at == (tail->has_last ? tail->position : tail->last_sequence);
}

const char *tail_wrong(const struct relay *relay, const struct relay_tail *tail)
{
    if (tail->foreign > 0)
        return "a message in the stream is not an event of ours";
    if (tail->has_gap)
        return "an event is missing in the stream, and later ones are there";
    if (tail_is_damaged(tail))
        return "the stream has lost messages";
    if (relay->damage)
        return relay->damage;
    if (is_denied(relay, tail))
        return "the stream refuses what follows the end that it shows";
    if (tail->has_last && tail->last_sequence < tail->position)
        return "the stream's sequence is behind the position";
    return NULL;
}
