/* Relay: see relay.h. */
#include "runtime/sync/relay.h"
#include <assert.h>
#include "base/smaller.h"
#include "runtime/sync/relay_follow.h"
#include "runtime/sync/relay_tail.h"

const struct relay_config relay_defaults = {
    .window_max = 1024,
    .publish_max = 128,
    .answer_timeout_ms = 2000,
    .backoff_min_ms = 50,
    .backoff_max_ms = 5000,
    .heal_min_ms = 1000,
    .heal_max_ms = 10000,
    .heal_reset_ms = 60000,
    .silent_min_ms = 60000,
    .silent_max_ms = 3600000,
    .audit_interval_ms = 10000,
    .audit_read_max = 256,
    .advised_min_ms = 500,
    .yield_ms = 1000,
    .follow_look_ms = 1000,
    .follow_answer_ms = 1000,
    .follow_wait_ms = 250,
};

const char RELAY_HELD_REASON[] = "the stream is set as it cannot be borne";

/* ---- Moves ---------------------------------------------------------------------------------- */

#define FROM(state) (1u << (state))
static const unsigned moves[] = {
    /* from which states each state may be entered */
    [RELAY_OFFLINE] = ~(FROM(RELAY_FORKED) | FROM(RELAY_FENCED)),
    [RELAY_ASKING] = FROM(RELAY_OFFLINE) | FROM(RELAY_WAITING) | FROM(RELAY_MAKING) |
                     FROM(RELAY_RECOVERING) | FROM(RELAY_FOLLOWING) | FROM(RELAY_PUBLISHING),
    [RELAY_MAKING] = FROM(RELAY_ASKING) | FROM(RELAY_MAKING) | FROM(RELAY_RECOVERING),
    [RELAY_RECOVERING] = FROM(RELAY_ASKING),
    [RELAY_PUBLISHING] = FROM(RELAY_ASKING),
    [RELAY_WAITING] = FROM(RELAY_ASKING) | FROM(RELAY_MAKING) | FROM(RELAY_RECOVERING) |
                      FROM(RELAY_PUBLISHING) | FROM(RELAY_FOLLOWING),
    [RELAY_FORKED] = ~FROM(RELAY_FENCED),
    [RELAY_FOLLOWING] = FROM(RELAY_ASKING),
    [RELAY_FENCED] = FROM(RELAY_ASKING),
};

void relay_check(const struct relay *relay)
{
    const enum relay_state state = relay->state;
    const int64_t in_flight = relay->sent - relay->published;
    const _Bool has_deadline = relay->deadline_ms != INT64_MAX;
    assert(relay->published >= 0 && relay->published <= relay->head);                /* R1 */
    assert(in_flight >= 0 && relay->sent <= relay->head);                            /* R1 */
    assert(in_flight <= (relay->probing ? 1 : relay->config.window_max));            /* R2 */
    assert(in_flight == 0 || state == RELAY_PUBLISHING);                             /* R2 */
    assert(relay->sent <= relay->group_last && relay->group_last <= relay->head);    /* R2 */
    assert(state != RELAY_PUBLISHING || has_deadline == (in_flight > 0));            /* R3 */
    assert(state != RELAY_WAITING || has_deadline);                                  /* R4 */
    assert((state != RELAY_OFFLINE && state != RELAY_FORKED) || !has_deadline);      /* R4 */
    assert((state != RELAY_WAITING && state != RELAY_FORKED) || relay->reason);      /* R5 */
    assert(state != RELAY_MAKING || !relay->delete_first || relay->reason);          /* R5 */
    assert(state != RELAY_PUBLISHING || relay->high_water >= relay->published);      /* R6 */
    assert(!relay->follows || (state != RELAY_PUBLISHING && state != RELAY_MAKING)); /* R7 */
    assert(relay->follows || state != RELAY_FOLLOWING);                              /* R7 */
    assert(state != RELAY_FENCED ||                                                  /* R8 */
           (!has_deadline && relay->fence.common >= 0 && relay->fence.common <= relay->head));
}

void relay_move(struct relay *relay, enum relay_state state)
{
    const unsigned from = moves[state];
    assert(from & FROM(relay->state));
    (void)from; /* without assertions */
    relay->state = state;
    relay->acted = 0;
    relay->deadline_ms = INT64_MAX;
    relay->sent = relay->group_last = relay->published; /* nobody counts on what is in flight */
    relay->epoch++; /* what was asked before is not waited for any more */
}

void relay_wait(struct relay *relay, const char *reason, int64_t now_ms)
{
    relay_move(relay, RELAY_WAITING);
    relay->reason = reason;
    relay->deadline_ms = now_ms + backoff_take_ms(&relay->backoff);
    if (relay->follows)
        relay->deadline_ms = smaller(relay->deadline_ms, now_ms + relay->config.follow_wait_ms);
}

void relay_init(struct relay *relay, const struct relay_config *config, int64_t head)
{
    *relay = (struct relay){
        .config = *config,
        .head = head,
        .deadline_ms = INT64_MAX,
        .audit_ms = INT64_MAX,
        .advised_ms = INT64_MAX,
        .silent_wait_ms = config->silent_min_ms,
    };
    backoff_init(&relay->backoff, config->backoff_min_ms, config->backoff_max_ms, config->seed);
    backoff_init(&relay->heal, config->heal_min_ms, config->heal_max_ms, config->seed);
    relay_check(relay);
}

/* ---- What happened -------------------------------------------------------------------------- */

static void note_end(struct relay *relay, int64_t position)
{
    relay->high_water = larger(relay->high_water, position);
}

/* The stream has our log up to there. */
static void see(struct relay *relay, int64_t position)
{
    note_end(relay, position);
    relay->own_water = larger(relay->own_water, position);
}

void relay_saw(struct relay *relay, int64_t position)
{
    note_end(relay, position);
    relay_check(relay);
}

void relay_had(struct relay *relay, int64_t position)
{
    see(relay, smaller(position, relay->head));
    relay_saw(relay, position);
}

void relay_connected(struct relay *relay, int64_t now_ms)
{
    (void)now_ms;
    if (relay->state != RELAY_OFFLINE)
        return;
    backoff_reset(&relay->backoff); /* a server that came back: the old waits say nothing of it */
    relay_move(relay, RELAY_ASKING);
    relay_check(relay);
}

void relay_disconnected(struct relay *relay)
{
    if (relay->state != RELAY_FORKED && relay->state != RELAY_FENCED)
        relay_move(relay, RELAY_OFFLINE);
    relay->silent_since_ms = 0; /* it may be another server, or the same anew */
    relay_check(relay);
}

void relay_grew(struct relay *relay, int64_t head, int64_t now_ms)
{
    (void)now_ms;
    if (head > relay->head)
        relay->head = head;
    relay_check(relay);
}

void relay_fork(struct relay *relay, const char *reason)
{
    if (relay->state == RELAY_FENCED)
        return;
    relay_move(relay, RELAY_FORKED);
    relay->reason = reason;
    relay_check(relay);
}

/* delete_why: of a stream that is there; NULL: there is none. */
static void relay_make(struct relay *relay, const char *delete_why)
{
    relay_move(relay, RELAY_MAKING);
    relay->delete_first = delete_why != NULL;
    relay->remade += delete_why != NULL;
    if (delete_why) {
        relay->reason = delete_why;
        relay->has_yielded = 0; /* another may do the same: what it fills in is waited for again */
    }
    relay->damage = NULL;
    relay->denied = relay->audited_from = relay->silent_since_ms = 0;
}

/* Only the stream is wrong: it is made anew, but not over and over. */
static void relay_heal(struct relay *relay, const char *wrong, int64_t now_ms)
{
    if (now_ms < relay->heal_ms) {
        relay_move(relay, RELAY_WAITING);
        relay->reason = wrong;
        relay->deadline_ms = relay->heal_ms;
        return;
    }
    if (relay->healed_ms > 0 && now_ms - relay->healed_ms > relay->config.heal_reset_ms)
        backoff_reset(&relay->heal);
    relay->healed_ms = now_ms;
    relay->heal_ms = now_ms + backoff_take_ms(&relay->heal);
    relay_make(relay, wrong);
}

static _Bool is_silent(const struct relay *relay, int64_t position, int64_t now_ms)
{
    return relay->silent_wait_ms > 0 && relay->silent_since_ms > 0 &&
           position == relay->silent_at && now_ms - relay->silent_since_ms >= relay->silent_wait_ms;
}

static void heal_silent(struct relay *relay, int64_t now_ms)
{
    const struct relay_config *config = &relay->config;
    relay_heal(relay, "the stream can be read and acknowledges nothing", now_ms);
    if (relay->state != RELAY_MAKING)
        return;
    if (relay->silent_made_ms > 0 && now_ms - relay->silent_made_ms > 2 * config->silent_max_ms)
        relay->silent_wait_ms = config->silent_min_ms;
    relay->silent_wait_ms = smaller(2 * relay->silent_wait_ms, config->silent_max_ms);
    relay->silent_made_ms = now_ms;
}

void relay_voids(struct relay *relay, int64_t now_ms)
{
    if (relay->state != RELAY_RECOVERING)
        return;
    relay->high_water = smaller(relay->high_water, relay->head); /* they are no positions of ours */
    relay_heal(relay, "messages ahead of our log are not events of ours", now_ms);
    relay_check(relay);
}

static void publish_after(struct relay *relay, int64_t position, int64_t last_sequence,
                          int64_t now_ms)
{
    relay_move(relay, RELAY_PUBLISHING);
    relay->was_whole = 1;
    relay->looks_back = relay->is_lost = 0;
    if (relay->denied_at != position)
        relay->denied = 0;
    relay->denied_at = position;
    relay->published = relay->sent = relay->group_last = relay->audit_published = position;
    relay->offset = last_sequence - position;
    see(relay, position);
    if (position >= relay->head) /* else the next acknowledgement will say that all is well */
        backoff_reset(&relay->backoff);
    relay->audit_ms = now_ms + relay->config.audit_interval_ms;
}

/* An age limit that is new explains what an audit has missed. */
static void note_tail(struct relay *relay, const struct relay_tail *tail)
{
    const _Bool expires = tail->expires || tail->marked;
    if (expires && !relay->expires)
        relay->damage = NULL;
    relay->expires = expires;
    relay->is_marked = tail->marked;
    relay->first_sequence = tail->first_sequence;
}

/* Of a look: nothing is in flight. Without a message only the sequence tells that a stream whose
 * server removes messages has lost its end. */
static const char *look_wrong(const struct relay *relay, const struct relay_tail *tail)
{
    if (tail->exists && tail->marked && !tail->has_last && tail->last_sequence > 0 &&
        tail->last_sequence < relay->published)
        return "the stream's sequence is behind the position";
    return tail_wrong(relay, tail);
}

void relay_looked(struct relay *relay, const struct relay_tail *tail, int64_t now_ms)
{
    if (relay->state != RELAY_ASKING)
        return;
    note_tail(relay, tail);
    if (relay->follows || !relay->was_whole) /* else by who does not know yet that we lead */
        note_end(relay, tail->filled_to);
    relay->void_count = tail->voids;
    if (relay_is_fenced_by(relay, tail)) {
        relay_fence(relay, tail);
        relay_check(relay);
        return;
    }
    if (relay->follows) {
        relay_look_as_follower(relay, tail, now_ms);
        relay_check(relay);
        return;
    }
    const char *wrong = look_wrong(relay, tail);
    if (tail->is_held && !(tail->has_last && tail->fit == TAIL_AHEAD)) {
        relay_wait(relay, RELAY_HELD_REASON, now_ms);
    } else if (tail->has_last && tail->fit == TAIL_DIFFERENT) {
        relay_fork(relay, "log and stream have different chains at the same position");
    } else if (tail->has_last && tail->fit == TAIL_AHEAD) {
        relay_move(relay, RELAY_RECOVERING);
        relay->stream_position = tail->position;
        relay->offset = tail_message_sequence(tail) - tail->position;
        note_end(relay, tail->position);
    } else if (now_ms < relay->yields_ms && (wrong || !tail->has_last)) {
        relay_move(relay, RELAY_WAITING); /* for what that one makes of it */
        relay->reason = "another instance says that it leads, and the stream is not whole";
        relay->deadline_ms = relay->yields_ms;
    } else if (relay->high_water > relay->head ||
               (!relay->was_whole && tail_newest_ever(tail) > relay->head)) {
        note_end(relay, tail_newest_ever(tail)); /* it stays so when the stream is deleted */
        relay_fork(relay, "the stream held newer events than our log has, and has lost them too");
    } else if (relay_claim_yields(relay, tail, now_ms)) {
        /* it waits, and looks again */
    } else if (tail_newest_ever(tail) > relay->head) { /* in this life all of ours were published */
        relay_heal(relay, "what the stream held beyond our log was not ours, and is gone", now_ms);
    } else if (!tail->exists) {
        relay_make(relay, NULL);
    } else if (wrong) {
        relay_heal(relay, wrong, now_ms);
    } else if (tail->has_last && is_silent(relay, tail->position, now_ms)) {
        heal_silent(relay, now_ms);
    } else { /* without a message: new, or all of it has expired */
        const int64_t all = tail->marked && tail->last_sequence > 0
                                ? relay->published
                                : tail->last_sequence; /* markers take sequences */
        publish_after(relay, tail->has_last ? tail->position : all, tail->last_sequence, now_ms);
    }
    relay_check(relay);
}

void relay_reading(struct relay *relay, int64_t now_ms)
{
    if ((relay->state == RELAY_ASKING || relay->state == RELAY_RECOVERING ||
         relay->state == RELAY_FOLLOWING) &&
        relay->acted)
        relay->deadline_ms = now_ms + relay_answer_ms(relay);
    relay_check(relay);
}

void relay_made(struct relay *relay, int64_t now_ms)
{
    (void)now_ms;
    if (relay->state != RELAY_MAKING)
        return;
    if (relay->delete_first)
        relay_make(relay, NULL);
    else
        relay_move(relay, RELAY_ASKING);
    relay_check(relay);
}

void relay_failed(struct relay *relay, const char *reason, int64_t now_ms)
{
    relay->silent_since_ms = 0; /* it cannot be read */
    if (relay->state == RELAY_ASKING || relay->state == RELAY_MAKING ||
        relay->state == RELAY_RECOVERING || relay->state == RELAY_FOLLOWING)
        relay_wait(relay, reason, now_ms);
    relay_check(relay);
}

void relay_acked(struct relay *relay, int64_t epoch, int64_t position, int64_t now_ms)
{
    if (relay->state != RELAY_PUBLISHING || epoch != relay->epoch || position <= relay->published ||
        position > relay->sent)
        return;
    if (relay->high_water > relay->published)
        relay->republished += smaller(position, relay->high_water) - relay->published;
    relay->published = position;
    see(relay, position);
    relay->probing = 0;
    backoff_reset(&relay->backoff);
    relay->deadline_ms = relay->sent > position ? now_ms + relay->config.answer_timeout_ms
                                                : INT64_MAX;
    relay_check(relay);
}

void relay_refused(struct relay *relay, int64_t epoch, const char *reason, int64_t now_ms)
{
    if (relay->state != RELAY_PUBLISHING || epoch != relay->epoch)
        return;
    relay->refusals++;
    relay->probing = 1;
    relay->silent_since_ms = 0;
    relay_wait(relay, reason, now_ms);
    relay_check(relay);
}

void relay_denied(struct relay *relay, int64_t epoch, const char *reason, int64_t now_ms)
{
    if (relay->state == RELAY_PUBLISHING && epoch == relay->epoch && relay->probing &&
        relay->sent == relay->published + 1)
        relay->denied++;
    relay_refused(relay, epoch, reason, now_ms);
}

void relay_damaged(struct relay *relay, const char *damage, int64_t now_ms)
{
    if (relay->state != RELAY_PUBLISHING)
        return;
    relay->damage = damage;
    relay_wait(relay, damage, now_ms);
    relay_check(relay);
}

void relay_recovered(struct relay *relay, int64_t head, int64_t now_ms)
{
    if (head > relay->head) {
        backoff_reset(&relay->backoff);
        relay->is_lost = 0;
    }
    relay_grew(relay, head, now_ms);
    if (relay->state == RELAY_FOLLOWING) { /* what has come is the stream's */
        relay->published = relay->sent = relay->group_last = relay->head;
        see(relay, relay->head);
        relay->deadline_ms = INT64_MAX;
        relay->acted = 0;
        relay_check(relay);
        return;
    }
    if (relay->state != RELAY_RECOVERING)
        return;
    relay->deadline_ms = now_ms + relay->config.answer_timeout_ms;
    relay->acted = 0;
    if (head >= relay->stream_position)
        relay_move(relay, RELAY_ASKING);
    relay_check(relay);
}

void relay_advised(struct relay *relay, int64_t now_ms)
{
    const int64_t soonest_ms = relay->set_seen_ms + relay->config.advised_min_ms;
    if (relay->advised_ms == INT64_MAX)
        relay->advised_ms = larger(now_ms, soonest_ms);
    relay_check(relay);
}

void relay_audited(struct relay *relay, const struct relay_tail *tail, int64_t now_ms)
{
    if (relay->state != RELAY_PUBLISHING)
        return;
    note_tail(relay, tail);
    /* Acknowledgements may overtake the audit's answer: it is held against what was known when it
     * asked. */
    if (tail->is_held)
        relay_wait(relay, RELAY_HELD_REASON, now_ms);
    else if (!tail->exists || tail_is_damaged(tail) ||
             tail->last_sequence < relay->audit_published + relay->offset)
        relay_wait(relay, "the audit found the stream damaged", now_ms);
    else if (tail->last_sequence > relay->sent + relay->offset)
        relay_wait(relay, "the audit found more in the stream than was published", now_ms);
    relay_check(relay);
}
