/* Peer: see peer.h. */
#include "runtime/sync/peer.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

const struct peer_config peer_defaults = {
    .answer_ms = 300,
    .grace_ms = 20,
    .serving_ms = 5000,
    .standby_ms = 500,
    .frozen_ms = 3000,
    .missed_max = 3,
};

static const char *const role_names[PEER_ROLES] = { "candidate", "leading", "standby", "out" };

const char *peer_role_name(enum peer_role role)
{
    assert((unsigned)role < PEER_ROLES);
    return role_names[role];
}

enum peer_role peer_role_of(const char *name)
{
    for (int role = 0; name && role < PEER_ROLES; role++)
        if (strcmp(name, role_names[role]) == 0)
            return (enum peer_role)role;
    return PEER_SERVES;
}

enum peer_role peer_role(const struct peer *peer)
{
    switch (peer->state) {
    case PEER_SERVING: return PEER_SERVES;
    case PEER_STANDBY: return PEER_STANDS_BY;
    case PEER_OUT:     return PEER_IS_OUT;
    default:           return PEER_CANDIDATE;
    }
}

void peer_check(const struct peer *peer)
{
    assert(peer->state != PEER_OFFLINE ||
           (peer->ask_ms == INT64_MAX && peer->answer_ms == INT64_MAX)); /* P1 */
    assert(peer->state != PEER_STANDBY || peer->other[0]);               /* P2 */
    assert(peer->state != PEER_SERVING || peer->begins || peer->since_ms > 0 || !peer->id[0]);
    assert(peer->missed >= 0); /* P3 above */
}

/* What was heard belongs to one round. */
static void begin_round(struct peer *peer)
{
    peer->hears_serving = peer->hears_earlier = peer->hears_anyone = 0;
}

static void move(struct peer *peer, enum peer_state state, int64_t ask_ms)
{
    peer->state = state;
    peer->ask_ms = ask_ms;
    peer->answer_ms = INT64_MAX;
    peer->missed = 0;
    peer->told = 0;
    begin_round(peer);
}

void peer_init(struct peer *peer, const struct peer_config *config, const char *id)
{
    *peer = (struct peer){ .config = *config, .ask_ms = INT64_MAX, .answer_ms = INT64_MAX };
    if (id)
        snprintf(peer->id, sizeof(peer->id), "%s", id);
    else
        peer->state = PEER_SERVING;
    peer_check(peer);
}

void peer_connected(struct peer *peer, int64_t now_ms)
{
    if (!peer->id[0])
        return;
    if (peer->state == PEER_OFFLINE)
        move(peer, PEER_ASKING, now_ms);
    else
        peer->ask_ms = now_ms; /* another may have taken over meanwhile */
    peer_check(peer);
}

void peer_disconnected(struct peer *peer)
{
    if (!peer->id[0])
        return;
    if (peer->state == PEER_ASKING || peer->state == PEER_CONFIRMING)
        move(peer, PEER_OFFLINE, INT64_MAX);
    peer->ask_ms = peer->answer_ms = INT64_MAX;
    peer_check(peer);
}

/* Of two that serve: does the other go before us? */
static _Bool goes_before(const struct peer *peer, const struct peer_answer *other,
                         int64_t published)
{
    if (other->published != published)
        return other->published > published;
    if (other->since_ms != peer->since_ms)
        return other->since_ms < peer->since_ms;
    return strcmp(other->id, peer->id) < 0;
}

static void stand_by(struct peer *peer, const char *other, int64_t now_ms)
{
    snprintf(peer->other, sizeof(peer->other), "%s", other);
    peer->since_ms = 0;
    if (peer->state != PEER_STANDBY)
        move(peer, PEER_STANDBY, now_ms + peer->config.standby_ms);
}

static void hear_serving(struct peer *peer, const struct peer_answer *answer, int64_t published,
                         int64_t now_ms)
{
    peer->hears_serving = 1;
    if (peer->state == PEER_ASKING || peer->state == PEER_CONFIRMING ||
        peer->state == PEER_STANDBY) {
        peer->missed = 0;
        peer->defers = 1;
        peer->is_deserted = 0;
        stand_by(peer, answer->id, now_ms);
    } else if (peer->state == PEER_SERVING && !peer->steps_back) {
        peer->steps_back = goes_before(peer, answer, published);
        snprintf(peer->steps_back ? peer->other : peer->rival, PEER_ID_SIZE, "%s", answer->id);
    }
}

static void note_seen(struct peer *peer, const struct peer_answer *answer)
{
    if (answer->role == PEER_IS_OUT || answer->seen <= peer->seen)
        return;
    peer->seen = answer->seen;
    snprintf(peer->seen_by, sizeof(peer->seen_by), "%s", answer->id);
}

void peer_answered(struct peer *peer, const struct peer_answer *answer, int64_t published,
                   int64_t now_ms)
{
    if (!peer->id[0] || peer->state == PEER_OFFLINE)
        return;
    if (strcmp(answer->id, peer->id) == 0) { /* ours: the question has reached all */
        if (peer->state == PEER_CONFIRMING && peer->answer_ms > now_ms + peer->config.grace_ms)
            peer->answer_ms = now_ms + peer->config.grace_ms;
        return;
    }
    peer->hears_anyone |= answer->role != PEER_IS_OUT;
    note_seen(peer, answer);
    if (answer->role == PEER_STANDS_BY)
        peer->standby_ms = now_ms;
    if (answer->role == PEER_SERVES) {
        hear_serving(peer, answer, published, now_ms);
    } else if (answer->role == PEER_CANDIDATE) {
        if (peer->state == PEER_CONFIRMING) /* it may have gone before, and not heard us */
            stand_by(peer, answer->id, now_ms);
    } else if (answer->role == PEER_STANDS_BY && strcmp(answer->id, peer->id) < 0) {
        peer->hears_earlier = 1;
    }
    peer_check(peer);
}

void peer_alone(struct peer *peer, int64_t now_ms)
{
    if (peer->state == PEER_ASKING || peer->state == PEER_CONFIRMING)
        peer->answer_ms = now_ms;
}

void peer_forked(struct peer *peer, int64_t now_ms)
{
    if (!peer->id[0] || peer->state == PEER_OUT)
        return;
    move(peer, PEER_OUT, now_ms);
    peer->listens = 1;
    peer_check(peer);
}

void peer_lead(struct peer *peer, int64_t now_ms, int64_t wall_ms)
{
    if (peer->state != PEER_STANDBY && peer->state != PEER_CONFIRMING)
        return;
    move(peer, PEER_SERVING, now_ms + peer->config.serving_ms / 10);
    peer->since_ms = wall_ms;
    peer->other[0] = '\0';
    peer->defers = peer->is_deserted = 0;
    peer_check(peer);
}

void peer_follow(struct peer *peer, const char *other, int64_t now_ms)
{
    if (!peer->id[0] || peer->state == PEER_OFFLINE || peer->state == PEER_OUT || !other[0])
        return;
    peer->defers = 1;
    peer->begins = peer->steps_back = 0;
    stand_by(peer, other, now_ms);
    peer_check(peer);
}

/* ---- What to do ----------------------------------------------------------------------------- */

/* A standby that leaves the first turn to another waits twice as long. */
static _Bool is_over(const struct peer *peer)
{
    return peer->missed >= (peer->hears_earlier ? 2 : 1) * peer->config.missed_max;
}

/* All who answer have answered. */
static void end_round(struct peer *peer, int64_t now_ms)
{
    peer->answer_ms = INT64_MAX;
    if (peer->state == PEER_ASKING) {
        move(peer, PEER_CONFIRMING, now_ms);
    } else if (peer->state == PEER_CONFIRMING) {
        move(peer, PEER_SERVING, now_ms + peer->config.serving_ms / 10);
        peer->begins = 1;
        peer->other[0] = '\0';
    } else if (peer->state == PEER_STANDBY && !peer->hears_serving) {
        peer->missed += peer->missed < INT32_MAX;
        if (is_over(peer) && !peer->defers)
            move(peer, PEER_CONFIRMING, now_ms);
    }
}

static enum peer_action_kind ask(struct peer *peer, int64_t now_ms)
{
    const _Bool serves = peer->state == PEER_SERVING;
    begin_round(peer);
    peer->answer_ms = now_ms + peer->config.answer_ms;
    peer->ask_ms = peer->state == PEER_ASKING || peer->state == PEER_CONFIRMING
                       ? INT64_MAX
                       : now_ms + (serves ? peer->config.serving_ms : peer->config.standby_ms);
    return PEER_ASK;
}

/* OUT, at the end of a round: listens exactly while nobody else is there. */
static enum peer_action_kind choose_listening(struct peer *peer)
{
    const _Bool shall = !peer->hears_anyone;
    if (peer->listens == shall)
        return PEER_NOTHING;
    peer->listens = shall;
    return shall ? PEER_RETURN : PEER_LEAVE;
}

/* What a state begins with, once. */
static enum peer_action_kind begin_state(struct peer *peer, int64_t wall_ms)
{
    if (!peer->is_shown && peer->state >= PEER_CONFIRMING) {
        peer->is_shown = 1;
        return PEER_SHOW;
    }
    if (peer->begins) {
        peer->begins = 0;
        peer->since_ms = wall_ms;
        return PEER_SERVE;
    }
    if (peer->state == PEER_STANDBY && peer->told && is_over(peer) && !peer->is_deserted) {
        peer->is_deserted = 1;
        return PEER_DESERTED;
    }
    if (peer->told || (peer->state != PEER_STANDBY && peer->state != PEER_OUT))
        return PEER_NOTHING;
    peer->told = 1;
    if (peer->state == PEER_STANDBY)
        return PEER_STAND_BY;
    peer->listens = 0;
    return PEER_LEAVE;
}

enum peer_action_kind peer_next(struct peer *peer, int64_t now_ms, int64_t wall_ms)
{
    enum peer_action_kind action = PEER_NOTHING;
    if (!peer->id[0])
        return PEER_NOTHING;
    if (peer->state == PEER_SERVING && peer->ask_ms != INT64_MAX &&
        now_ms - peer->turned_ms > peer->config.frozen_ms)
        peer->ask_ms = now_ms;
    peer->turned_ms = now_ms;
    if (now_ms >= peer->answer_ms) {
        end_round(peer, now_ms);
        if (peer->state == PEER_OUT)
            action = choose_listening(peer);
    }
    if (action == PEER_NOTHING)
        action = begin_state(peer, wall_ms);
    if (action == PEER_NOTHING && peer->steps_back && peer->state == PEER_SERVING && !peer->told) {
        peer->told = 1;
        action = PEER_STEP_BACK;
    }
    if (action == PEER_NOTHING && now_ms >= peer->ask_ms)
        action = ask(peer, now_ms);
    peer_check(peer);
    return action;
}

int64_t peer_due_ms(const struct peer *peer)
{
    return peer->ask_ms < peer->answer_ms ? peer->ask_ms : peer->answer_ms;
}
