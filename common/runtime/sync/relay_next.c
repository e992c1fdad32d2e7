/* Relay's next action: what relay.c knows of stream and log says what to do; see relay.h. */
#include "base/guard.h"
#include "base/smaller.h"
#include "runtime/sync/relay_follow.h"

/* Nothing was acknowledged in time. */
static void note_silence(struct relay *relay, int64_t now_ms)
{
    if (relay->silent_since_ms > 0 && relay->silent_at == relay->published)
        return;
    relay->silent_since_ms = now_ms;
    relay->silent_at = relay->published;
}

static void relay_look_at_clock(struct relay *relay, int64_t now_ms)
{
    if (relay->state == RELAY_FOLLOWING && !relay->acted && now_ms >= relay->look_ms &&
        relay->head >= relay->stream_position)
        relay_move(relay, RELAY_ASKING);
    if (now_ms < relay->deadline_ms)
        return;
    if (relay->state == RELAY_WAITING) {
        relay_move(relay, RELAY_ASKING);
    } else if (relay->state == RELAY_PUBLISHING) {
        relay->probing = 1;
        note_silence(relay, now_ms);
        relay_wait(relay, "no acknowledgement came", now_ms);
    } else {
        relay_failed(relay, "no answer came", now_ms);
    }
}

static struct relay_action relay_ask(struct relay *relay, enum relay_action_kind kind,
                                     int64_t now_ms)
{
    if (relay->acted)
        return (struct relay_action){ .kind = RELAY_NOTHING };
    relay->acted = 1;
    relay->deadline_ms = now_ms + relay_answer_ms(relay);
    return (struct relay_action){ .kind = kind, .epoch = relay->epoch };
}

/* The part of the stream that is before what the audit has read, from its end again after its
 * beginning; a little each time. */
static void read_part(struct relay *relay, struct relay_action *action)
{
    const int64_t begin = relay->first_sequence > 1 ? relay->first_sequence : 1;
    const int64_t end = relay->published + relay->offset;
    const _Bool goes_on = relay->audited_from > begin && relay->audited_from <= end;
    action->last = goes_on ? relay->audited_from - 1 : end;
    const int64_t first = action->last - relay->config.audit_read_max + 1;
    action->first = first > begin ? first : begin;
    if (action->first <= action->last)
        relay->audited_from = action->first;
}

/* All of the group before are taken, or it has failed: the next one. */
static void begin_group(struct relay *relay, int64_t now_ms)
{
    const int64_t size = relay->probing || relay->is_marked ? 1 : relay->config.window_max;
    relay->group_last = smaller(relay->published + size, relay->head);
    if (relay->sent == relay->published && relay->sent < relay->group_last)
        relay->deadline_ms = now_ms + relay->config.answer_timeout_ms;
}

/* What is set on the stream, and who reads it. What it published is known from the audit before,
 * whose answer may still be on its way. */
static void look_at_settings(struct relay *relay, struct relay_action *action, int64_t now_ms)
{
    action->kind = RELAY_AUDIT;
    relay->advised_ms = INT64_MAX;
    relay->set_seen_ms = now_ms;
}

static struct relay_action publish(struct relay *relay, int64_t now_ms)
{
    struct relay_action action = { .kind = RELAY_NOTHING, .epoch = relay->epoch };
    if (relay->sent == relay->published || !GUARD(fence))
        begin_group(relay, now_ms);
    int64_t last = smaller(relay->group_last, relay->sent + relay->config.publish_max);
    if (relay->sent < last) {
        action.kind = RELAY_PUBLISH;
        action.first = relay->sent + 1;
        action.last = last;
        action.sequence = relay->sent + relay->offset;
        relay->sent = last;
    } else if (now_ms >= relay->audit_ms) {
        look_at_settings(relay, &action, now_ms);
        relay->audit_ms = now_ms + relay->config.audit_interval_ms;
        relay->audit_published = relay->published;
        read_part(relay, &action);
    } else if (now_ms >= relay->advised_ms) {
        look_at_settings(relay, &action, now_ms);
    }
    return action;
}

static struct relay_action recover(struct relay *relay, int64_t now_ms)
{
    struct relay_action action = relay_ask(relay, RELAY_RECOVER, now_ms);
    /* what is void ahead of our log has moved its end */
    const int64_t sequence = relay->head + relay->offset - relay->void_count;
    action.sequence = sequence > 0 && relay->head > 0 ? sequence : 1;
    action.last = relay->stream_position + relay->offset;
    return action;
}

/* From the last position that is known to be right, also when that is 0; a relay that has just
 * started knows none, and one that has followed only those that it has read. */
static struct relay_action look(struct relay *relay, int64_t now_ms)
{
    struct relay_action action = relay_ask(relay, RELAY_ASK, now_ms);
    if ((relay->published > 0 || relay->was_whole) && !relay->looks_back)
        action.sequence = larger(relay->published + relay->offset, 1);
    return action;
}

static struct relay_action relay_choose(struct relay *relay, int64_t now_ms)
{
    switch (relay->state) {
    case RELAY_ASKING: return look(relay, now_ms);
    case RELAY_MAKING:
        return relay_ask(relay, relay->delete_first ? RELAY_DELETE_STREAM : RELAY_MAKE_STREAM,
                         now_ms);
    case RELAY_PUBLISHING: return publish(relay, now_ms);
    case RELAY_RECOVERING: return recover(relay, now_ms);
    case RELAY_FOLLOWING:
        if (relay->head < relay->stream_position)
            return recover(relay, now_ms);
        break;
    case RELAY_OFFLINE:
    case RELAY_WAITING:
    case RELAY_FENCED:
    case RELAY_FORKED:  break;
    }
    return (struct relay_action){ .kind = RELAY_NOTHING };
}

struct relay_action relay_next(struct relay *relay, int64_t now_ms)
{
    relay_look_at_clock(relay, now_ms);
    struct relay_action action = relay_choose(relay, now_ms);
    relay_check(relay);
    return action;
}

int64_t relay_due_ms(const struct relay *relay)
{
    int64_t due_ms = relay->deadline_ms;
    if (relay->state == RELAY_PUBLISHING && relay->audit_ms < due_ms)
        due_ms = relay->audit_ms;
    if (relay->state == RELAY_PUBLISHING && relay->advised_ms < due_ms)
        due_ms = relay->advised_ms;
    if (relay->state == RELAY_FOLLOWING && !relay->acted && relay->look_ms < due_ms)
        due_ms = relay->look_ms;
    return due_ms;
}
