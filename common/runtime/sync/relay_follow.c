/* Relay of a follower: see relay.h and relay_follow.h. */
#include "runtime/sync/relay_follow.h"
#include "runtime/sync/relay_tail.h"

void relay_follow(struct relay *relay)
{
    if (relay->follows || relay->state == RELAY_FORKED)
        return;
    if (relay->state != RELAY_OFFLINE && relay->state != RELAY_ASKING)
        relay_move(relay, RELAY_OFFLINE);
    relay->follows = 1;
    relay_check(relay);
}

void relay_lead(struct relay *relay)
{
    if (!relay->follows)
        return;
    if (relay->state == RELAY_FOLLOWING)
        relay_move(relay, RELAY_ASKING);
    relay->follows = 0;
    relay_check(relay);
}

void relay_heard(struct relay *relay, int64_t published, int64_t now_ms)
{
    if (relay->state != RELAY_FOLLOWING)
        return;
    if (published > relay->stream_position)
        relay->stream_position = published;
    relay->look_ms = now_ms + relay->config.follow_look_ms;
    relay_check(relay);
}

void relay_read_tail(struct relay *relay, int64_t now_ms)
{
    relay->looked = 0;
    relay->look_ms = now_ms;
}

_Bool relay_has_tail(const struct relay *relay)
{
    return relay->state == RELAY_FOLLOWING && relay->looked && !relay->acted &&
           relay->head >= relay->stream_position;
}

void relay_doubt(struct relay *relay, const char *reason, int64_t now_ms)
{
    if (relay->state == RELAY_PUBLISHING)
        relay_wait(relay, reason, now_ms);
    relay_check(relay);
}

/* What is in the stream goes into our log; where our log goes on behind the stream's end, its
 * leader is about to publish more, or nobody leads. */
void relay_look_as_follower(struct relay *relay, const struct relay_tail *tail, int64_t now_ms)
{
    if (!tail->exists) {
        relay_wait(relay, "the stream is not there", now_ms);
        return;
    }
    if (tail->has_last && tail->fit == TAIL_DIFFERENT) {
        relay_fork(relay, "log and stream have different chains at the same position");
        return;
    }
    const int64_t position = tail->has_last ? tail->position : relay->published;
    relay_move(relay, RELAY_FOLLOWING);
    relay->looked = 1;
    relay->look_ms = now_ms + relay->config.follow_look_ms;
    relay->stream_position = position;
    relay->published = relay->sent = relay->group_last = position < relay->head ? position
                                                                                : relay->head;
    if (tail->has_last) {
        relay->offset = tail_message_sequence(tail) - position;
        relay_saw(relay, position);
    }
    backoff_reset(&relay->backoff);
}
