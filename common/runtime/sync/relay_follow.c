/* Relay of a follower: see relay.h and relay_follow.h. */
#include "runtime/sync/relay_follow.h"
#include "base/guard.h"
#include "base/smaller.h"
#include "runtime/sync/relay_tail.h"
#include <string.h>

static const char no_stream[] = "the stream is not there";

void relay_follow(struct relay *relay)
{
    if (relay->follows || relay->state == RELAY_FORKED || relay->state == RELAY_FENCED)
        return;
    if (relay->state != RELAY_OFFLINE && relay->state != RELAY_ASKING)
        relay_move(relay, RELAY_OFFLINE);
    relay->follows = relay->has_followed = 1;
    relay->claims = 0;
    relay_check(relay);
}

void relay_lead(struct relay *relay)
{
    if (!relay->follows)
        return;
    if (relay->state == RELAY_FOLLOWING)
        relay_move(relay, RELAY_ASKING);
    relay->follows = 0;
    relay->looks_back = 1;
    relay_check(relay);
}

void relay_claim(struct relay *relay)
{
    relay_lead(relay);
    relay->claims = 1;
    relay->has_yielded = 0;
    relay_check(relay);
}

void relay_took(struct relay *relay)
{
    relay->claims = 0;
    relay_check(relay);
}

/* The stream has lost what we have seen there, or is otherwise wrong; another may be mending it. */
_Bool relay_claim_yields(struct relay *relay, const struct relay_tail *tail, int64_t now_ms)
{
    const int64_t position = tail->has_last ? tail->position : 0;
    const _Bool is_short = position < smaller(relay->high_water, relay->head);
    if (!relay->claims || relay->has_yielded || !relay->has_followed ||
        (!is_short && !tail_wrong(relay, tail)))
        return 0;
    relay->has_yielded = 1;
    relay_wait(relay, "the stream is not whole, and another may be making it anew", now_ms);
    relay->deadline_ms = now_ms + relay->config.yield_ms;
    return 1;
}

void relay_told(struct relay *relay, int64_t position)
{
    if (position > relay->told)
        relay->told = position;
}

void relay_give_up(struct relay *relay)
{
    relay->told = smaller(relay->told, relay->head);
    relay->high_water = smaller(relay->high_water, relay->head);
    relay_check(relay);
}

void relay_heard(struct relay *relay, int64_t published, int64_t now_ms)
{
    relay_told(relay, published);
    if (relay->state != RELAY_FOLLOWING)
        return;
    if (published > relay->stream_position)
        relay->stream_position = published;
    relay->look_ms = now_ms + relay->config.follow_look_ms;
    relay_check(relay);
}

int64_t relay_answer_ms(const struct relay *relay)
{
    const struct relay_config *config = &relay->config;
    return relay->follows ? smaller(config->follow_answer_ms, config->answer_timeout_ms)
                          : config->answer_timeout_ms;
}

void relay_lose_way(struct relay *relay, int64_t now_ms)
{
    relay->is_lost = 1;
    relay_failed(relay, "the stream does not go on from our log", now_ms);
}

void relay_read_tail(struct relay *relay, int64_t now_ms)
{
    relay->looked = 0;
    relay->look_ms = now_ms;
}

/* All that was ever seen in the stream, too: what it has lost may be in the leader's log alone, and
 * those positions would be used twice. A stream that is not there has lost all. */
_Bool relay_has_tail(const struct relay *relay)
{
    const _Bool has_read = relay->state == RELAY_FOLLOWING
                               ? relay->head >= relay->stream_position
                               : relay->state == RELAY_WAITING && relay->reason == no_stream;
    return has_read && relay->looked && !relay->acted && relay->head >= relay->high_water &&
           relay->head >= relay->told;
}

void relay_doubt(struct relay *relay, const char *reason, int64_t now_ms)
{
    relay->yields_ms = now_ms + relay->config.yield_ms;
    if (relay->state == RELAY_PUBLISHING)
        relay_wait(relay, reason, now_ms);
    relay_check(relay);
}

/* One that has led, or claims what it has followed up to here, is fenced by whoever the stream has
 * instead; one that has just started is only older. */
_Bool relay_is_fenced_by(const struct relay *relay, const struct relay_tail *tail)
{
    const _Bool has_led = !relay->follows && (relay->was_whole || relay->has_followed);
    if (!GUARD(term) || !tail->has_last || tail->leaves_at == 0 ||
        tail->leaves_at > relay->head + 1)
        return 0;
    if (relay->own_water >= tail->leaves_at) /* the stream has had our event there, and lost it */
        return 0;
    if (tail->fence_term > 0 && tail->fence_term >= tail->log_term)
        return tail->fit == TAIL_DIFFERENT || has_led;
    return tail->fit == TAIL_DIFFERENT && tail->only_terms;
}

void relay_fence(struct relay *relay, const struct relay_tail *tail)
{
    relay_move(relay, RELAY_FENCED);
    relay->fence = (struct relay_fence){ .term = tail->fence_term, .common = tail->leaves_at - 1 };
    memcpy(relay->fence.instance, tail->fence_instance, sizeof(relay->fence.instance));
}

/* What is in the stream goes into our log; where our log goes on behind the stream's end, its
 * leader is about to publish more, or nobody leads. */
void relay_look_as_follower(struct relay *relay, const struct relay_tail *tail, int64_t now_ms)
{
    if (!tail->exists) {
        relay_wait(relay, no_stream, now_ms);
        relay->looked = 1;
        return;
    }
    if (tail->has_last && tail->fit == TAIL_DIFFERENT) {
        relay_fork(relay, "log and stream have different chains at the same position");
        return;
    }
    const int64_t position = tail->has_last ? tail->position : relay->published;
    relay_move(relay, RELAY_FOLLOWING);
    relay->looked = 1;
    relay->is_lost = 0;
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
