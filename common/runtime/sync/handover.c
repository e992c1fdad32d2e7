/* Handover: see handover.h. */
#include "runtime/sync/handover.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "base/smaller.h"

const struct handover_config handover_defaults = {
    .ask_ms = 1000,
    .brief_ms = 150,
    .offer_ms = 2000,
    .settle_ms = 10,
    .end_ms = 5000,
    .follow_ms = 3000,
    .watch_ms = 150,
    .silent_ms = 600,
    .behind_max = 1000,
};

static const char *const state_names[HANDOVER_STATES] = { "idle",   "asking", "offering", "leaving",
                                                          "ending", "ended",  "over" };

const char *handover_state_name(enum handover_state state)
{
    assert((unsigned)state < HANDOVER_STATES);
    return state_names[state];
}

/* ---- Moves ---------------------------------------------------------------------------------- */

#define FROM(state) (1u << (state))
static const unsigned moves[] = {
    /* from which states each state may be entered */
    [HANDOVER_IDLE] = FROM(HANDOVER_ASKING) | FROM(HANDOVER_OFFERING),
    [HANDOVER_ASKING] = FROM(HANDOVER_IDLE),
    [HANDOVER_OFFERING] = FROM(HANDOVER_ASKING),
    [HANDOVER_LEAVING] = FROM(HANDOVER_OFFERING),
    [HANDOVER_ENDING] = FROM(HANDOVER_LEAVING),
    [HANDOVER_ENDED] = FROM(HANDOVER_ENDING),
    [HANDOVER_OVER] = FROM(HANDOVER_ENDED) | FROM(HANDOVER_ENDING) | FROM(HANDOVER_LEAVING),
};

void handover_check(const struct handover *handover)
{
    const enum handover_state state = handover->state;
    const _Bool rests = state == HANDOVER_IDLE || state == HANDOVER_OVER;
    assert(state < HANDOVER_OFFERING || handover->successor[0]); /* H1 */
    assert(state != HANDOVER_IDLE || !handover->successor[0]);   /* H1 */
    assert(rests == (handover->deadline_ms == INT64_MAX));       /* H2 */
    assert(state != HANDOVER_ENDING || handover->has_left);      /* H3 */
    assert(!handover->has_left || state >= HANDOVER_LEAVING);    /* H3 */
}

static void move(struct handover *handover, enum handover_state state, int64_t deadline_ms)
{
    const unsigned from = moves[state];
    assert(from & FROM(handover->state));
    (void)from; /* without assertions */
    handover->state = state;
    handover->acted = 0;
    handover->deadline_ms = deadline_ms;
}

void handover_init(struct handover *handover, const struct handover_config *config)
{
    *handover = (struct handover){ .config = *config, .deadline_ms = INT64_MAX };
    handover_check(handover);
}

/* ---- What happened -------------------------------------------------------------------------- */

_Bool handover_begin(struct handover *handover, const char *successor, int64_t ask_ms,
                     int64_t now_ms)
{
    if (handover->state != HANDOVER_IDLE)
        return 0;
    move(handover, HANDOVER_ASKING, now_ms + ask_ms);
    snprintf(handover->successor, sizeof(handover->successor), "%s", successor ? successor : "");
    handover->reason = NULL;
    handover_check(handover);
    return 1;
}

void handover_answered(struct handover *handover, const struct handover_answer *answer,
                       int64_t now_ms)
{
    const struct handover_config *config = &handover->config;
    const _Bool is_wanted = !handover->successor[0] ||
                            strcmp(handover->successor, answer->instance) == 0;
    if (!is_wanted || answer->behind > config->behind_max)
        return;
    if (handover->state == HANDOVER_ASKING) {
        snprintf(handover->successor, sizeof(handover->successor), "%s", answer->instance);
        handover->behind = answer->behind;
        move(handover, HANDOVER_OFFERING, now_ms + config->offer_ms);
    } else if (handover->state == HANDOVER_OFFERING && answer->has_joined) {
        move(handover, HANDOVER_LEAVING, now_ms + config->end_ms);
        handover->leave_ms = now_ms + config->settle_ms;
    }
    handover_check(handover);
}

void handover_left(struct handover *handover, int64_t now_ms)
{
    if (handover->state != HANDOVER_LEAVING || !handover->acted)
        return;
    handover->has_left = 1;
    move(handover, HANDOVER_ENDING, now_ms + handover->config.end_ms);
    handover_check(handover);
}

void handover_ended(struct handover *handover, int64_t now_ms)
{
    if (handover->state != HANDOVER_ENDING)
        return;
    handover->count++;
    handover->follow_by_ms = now_ms + handover->config.follow_ms;
    handover->watch_ms = now_ms + handover->config.watch_ms;
    move(handover, HANDOVER_ENDED, now_ms + handover->config.silent_ms);
    handover_check(handover);
}

void handover_seen(struct handover *handover, int64_t now_ms)
{
    const int64_t silent_by_ms = now_ms + handover->config.silent_ms;
    if (handover->state == HANDOVER_ENDED)
        handover->deadline_ms = smaller(silent_by_ms, handover->follow_by_ms);
    handover_check(handover);
}

void handover_followed(struct handover *handover, int64_t now_ms)
{
    (void)now_ms;
    if (handover->state == HANDOVER_ENDED) {
        handover->leads = 1;
        move(handover, HANDOVER_OVER, INT64_MAX);
    }
    handover_check(handover);
}

static void give_up(struct handover *handover, const char *reason)
{
    move(handover, HANDOVER_IDLE, INT64_MAX);
    handover->successor[0] = '\0';
    handover->reason = reason;
}

void handover_fail(struct handover *handover, const char *reason, int64_t now_ms)
{
    (void)now_ms;
    if (handover->state == HANDOVER_ASKING || handover->state == HANDOVER_OFFERING)
        give_up(handover, reason);
    handover_check(handover);
}

/* ---- What to do ----------------------------------------------------------------------------- */

static void look_at_clock(struct handover *handover, int64_t now_ms)
{
    if (now_ms < handover->deadline_ms)
        return;
    switch (handover->state) {
    case HANDOVER_ASKING: give_up(handover, "no standby within reach of the leader answers"); break;
    case HANDOVER_OFFERING:
        give_up(handover, "the standby has not taken up the requests in time");
        break;
    case HANDOVER_LEAVING:
    case HANDOVER_ENDING:
    case HANDOVER_ENDED:   move(handover, HANDOVER_OVER, INT64_MAX); break;
    case HANDOVER_IDLE:
    case HANDOVER_OVER:    break;
    }
}

/* What a state begins with, once. */
static enum handover_action begin_state(struct handover *handover, int64_t now_ms)
{
    static const enum handover_action first[HANDOVER_STATES] = {
        [HANDOVER_ASKING] = HANDOVER_ASK,    [HANDOVER_OFFERING] = HANDOVER_OFFER,
        [HANDOVER_LEAVING] = HANDOVER_LEAVE, [HANDOVER_ENDING] = HANDOVER_END_TERM,
        [HANDOVER_OVER] = HANDOVER_SAY_OVER,
    };
    if (handover->state == HANDOVER_LEAVING && now_ms < handover->leave_ms)
        return HANDOVER_NOTHING;
    if (handover->acted)
        return HANDOVER_NOTHING;
    handover->acted = 1;
    return handover->state == HANDOVER_IDLE && handover->reason ? HANDOVER_GIVE_UP
                                                                : first[handover->state];
}

enum handover_action handover_next(struct handover *handover, int64_t now_ms)
{
    look_at_clock(handover, now_ms);
    enum handover_action action = begin_state(handover, now_ms);
    if (handover->state == HANDOVER_ENDED && now_ms >= handover->watch_ms) {
        handover->watch_ms = now_ms + handover->config.watch_ms;
        action = HANDOVER_WATCH;
    }
    handover_check(handover);
    return action;
}

int64_t handover_due_ms(const struct handover *handover)
{
    if (handover->state == HANDOVER_ENDED)
        return smaller(handover->watch_ms, handover->deadline_ms);
    return handover->state == HANDOVER_LEAVING && !handover->acted ? handover->leave_ms
                                                                   : handover->deadline_ms;
}
