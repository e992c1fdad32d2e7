/* Lead: see lead.h. */
#include "runtime/sync/lead.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

const struct lead_config lead_defaults = {
    .beat_ms = 150,
    .beat_min_ms = 20,
    .silent_ms = 600,
    .spread_ms = 150,
    .tail_ms = 1000,
    .frozen_ms = 450,
};

/* ---- Moves ---------------------------------------------------------------------------------- */

#define FROM(state) (1u << (state))
static const unsigned moves[] = {
    /* from which states each state may be entered */
    [LEAD_UNDECIDED] = 0,
    [LEAD_FOLLOWING] = FROM(LEAD_UNDECIDED) | FROM(LEAD_SUSPECTING) | FROM(LEAD_CLAIMING) |
                       FROM(LEAD_LEADING),
    [LEAD_SUSPECTING] = FROM(LEAD_FOLLOWING),
    [LEAD_CLAIMING] = FROM(LEAD_UNDECIDED) | FROM(LEAD_SUSPECTING),
    [LEAD_LEADING] = FROM(LEAD_CLAIMING),
    [LEAD_FENCED] = ~FROM(LEAD_REJOINING),
    [LEAD_REJOINING] = FROM(LEAD_FENCED),
};

static const char *const state_names[LEAD_STATES] = { "undecided", "following", "suspecting",
                                                      "claiming",  "leading",   "fenced",
                                                      "rejoining" };

const char *lead_state_name(enum lead_state state)
{
    assert((unsigned)state < LEAD_STATES);
    return state_names[state];
}

enum service_role lead_role(enum lead_state state)
{
    return state == LEAD_LEADING                             ? ROLE_LEADING
           : state == LEAD_FENCED || state == LEAD_REJOINING ? ROLE_FENCED
                                                             : ROLE_STANDBY;
}

void lead_check(const struct lead *lead)
{
    const enum lead_state state = lead->state;
    assert(state != LEAD_SUSPECTING || lead->is_connected); /* E1 */
    assert(lead->own_term == 0 || lead->own_term == lead->term || state == LEAD_CLAIMING ||
           state == LEAD_FENCED || state == LEAD_REJOINING);                      /* E2 */
    assert(state != LEAD_LEADING || lead->own_term > 0);                          /* E3 */
    assert((state != LEAD_FENCED && state != LEAD_REJOINING) || lead->leader[0]); /* E4 */
    assert(state == LEAD_LEADING || lead->beat_ms == INT64_MAX);                  /* E5 */
}

static void move(struct lead *lead, enum lead_state state)
{
    const unsigned from = moves[state];
    assert(from & FROM(lead->state));
    (void)from; /* without assertions */
    lead->state = state;
    lead->acted = lead->was_told = lead->takes_over = lead->looks = 0;
    lead->gives_up &= state == LEAD_SUSPECTING || state == LEAD_CLAIMING;
    if (state == LEAD_FOLLOWING)
        lead->own_term = 0;
    lead->beat_ms = INT64_MAX;
    lead->tail_ms = INT64_MAX;
}

static void know_leader(struct lead *lead, int64_t term, const char *instance)
{
    if (term > lead->term)
        lead->term = term;
    snprintf(lead->leader, sizeof(lead->leader), "%s", instance);
}

/* Silence counts from here. */
static void listen_from(struct lead *lead, int64_t now_ms)
{
    lead->heard_ms = now_ms;
}

void lead_init(struct lead *lead, const struct lead_config *config, const char *id)
{
    *lead = (struct lead){ .config = *config, .beat_ms = INT64_MAX, .tail_ms = INT64_MAX };
    snprintf(lead->id, sizeof(lead->id), "%s", id ? id : "");
    lead->wait_ms = config->silent_ms + (config->spread_ms > 0
                                             ? (int64_t)(config->seed % (uint64_t)config->spread_ms)
                                             : 0);
    lead_check(lead);
}

/* ---- What happened -------------------------------------------------------------------------- */

void lead_connected(struct lead *lead, int64_t now_ms)
{
    lead->is_connected = 1;
    listen_from(lead, now_ms); /* nobody could be heard before */
    lead_check(lead);
}

void lead_disconnected(struct lead *lead)
{
    lead->is_connected = 0;
    if (lead->state == LEAD_SUSPECTING)
        move(lead, LEAD_FOLLOWING); /* that it hears nobody is its own server's fault */
    lead_check(lead);
}

void lead_follow(struct lead *lead, const char *leader, int64_t now_ms)
{
    if (lead->state != LEAD_UNDECIDED)
        return;
    move(lead, LEAD_FOLLOWING);
    know_leader(lead, 0, leader);
    listen_from(lead, now_ms);
    lead_check(lead);
}

static void claim(struct lead *lead)
{
    move(lead, LEAD_CLAIMING);
    lead->claims++;
}

void lead_alone(struct lead *lead, int64_t now_ms)
{
    (void)now_ms;
    if (lead->state == LEAD_UNDECIDED) {
        lead->was_alone = 1;
        claim(lead);
    }
    lead_check(lead);
}

void lead_alone_behind(struct lead *lead, const char *other, int64_t now_ms)
{
    if (lead->state != LEAD_UNDECIDED)
        return;
    lead_follow(lead, other, now_ms);
    lead->was_alone = 1; /* and is so until it hears of a leader */
    lead->alone_ms = now_ms;
    lead_check(lead);
}

void lead_heard(struct lead *lead, const struct lead_beat *beat, int64_t now_ms)
{
    if (strcmp(beat->instance, lead->id) == 0 || beat->term < lead->term)
        return; /* ours; or of one that does not know yet that it is fenced */
    listen_from(lead, now_ms);
    switch (lead->state) {
    case LEAD_LEADING: lead->looks |= beat->term > lead->term; return;
    case LEAD_SUSPECTING:
        lead->returns++;
        move(lead, LEAD_FOLLOWING);
        break;
    case LEAD_CLAIMING:
        if (lead->own_term > 0) { /* the stream decides */
            lead->looks |= beat->term >= lead->own_term;
            return;
        }
        lead->alone_ms = lead->was_alone ? now_ms : 0;
        lead->returns++;
        move(lead, LEAD_FOLLOWING);
        break;
    case LEAD_FOLLOWING:
        lead->was_told = 0;
        lead->takes_over &= beat->term <= lead->term; /* somebody has */
        lead->was_alone &= now_ms - lead->alone_ms < lead->wait_ms;
        break;
    case LEAD_UNDECIDED:
    case LEAD_FENCED:
    case LEAD_REJOINING: return;
    }
    know_leader(lead, beat->term, beat->instance);
    lead_check(lead);
}

void lead_behind(struct lead *lead, const char *other, int64_t now_ms)
{
    if (lead->state != LEAD_CLAIMING || lead->own_term > 0)
        return;
    lead->alone_ms = lead->was_alone ? now_ms : 0;
    lead->returns++;
    move(lead, LEAD_FOLLOWING);
    know_leader(lead, 0, other);
    listen_from(lead, now_ms);
    lead_check(lead);
}

void lead_tail_read(struct lead *lead, int64_t now_ms)
{
    (void)now_ms;
    if (lead->state == LEAD_SUSPECTING && lead->tail_ms != INT64_MAX)
        claim(lead);
    lead_check(lead);
}

void lead_began(struct lead *lead, int64_t term)
{
    if (lead->state == LEAD_CLAIMING)
        lead->own_term = term;
    lead_check(lead);
}

void lead_took(struct lead *lead, int64_t now_ms)
{
    if (lead->state != LEAD_CLAIMING || lead->own_term == 0)
        return;
    move(lead, LEAD_LEADING);
    know_leader(lead, lead->own_term, lead->id);
    lead->beat_ms = now_ms;
    lead_check(lead);
}

void lead_fenced(struct lead *lead, int64_t term, const char *instance)
{
    if (lead->state == LEAD_FENCED || lead->state == LEAD_REJOINING)
        return;
    move(lead, LEAD_FENCED);
    know_leader(lead, term, instance);
    lead_check(lead);
}

void lead_set_aside(struct lead *lead)
{
    if (lead->state == LEAD_FENCED)
        move(lead, LEAD_REJOINING);
    lead_check(lead);
}

static void suspect(struct lead *lead, int64_t now_ms)
{
    const _Bool takes_over = lead->takes_over;
    move(lead, LEAD_SUSPECTING);
    lead->takes_over = takes_over;
    lead->tail_ms = now_ms;
}

/* By the end of a term, or by an operator's word: at once, where the own server is there. */
static void take_over(struct lead *lead, int64_t now_ms)
{
    lead->takes_over = 1;
    if (lead->state == LEAD_FOLLOWING && lead->is_connected)
        suspect(lead, now_ms);
    lead_check(lead);
}

void lead_ended(struct lead *lead, const char *successor, int64_t now_ms)
{
    if (lead->state != LEAD_FOLLOWING)
        return;
    if (!successor || strcmp(successor, lead->id) == 0)
        take_over(lead, now_ms);
    lead->takes_over = 1; /* nothing of that term can be lost */
}

void lead_ended_own(struct lead *lead, int64_t now_ms)
{
    if (lead->state != LEAD_LEADING)
        return;
    move(lead, LEAD_FOLLOWING);
    lead->ends = 0;
    lead->leader[0] = '\0';
    listen_from(lead, now_ms);
    lead_check(lead);
}

_Bool lead_take_over(struct lead *lead, int64_t now_ms)
{
    if (lead->state != LEAD_FOLLOWING && lead->state != LEAD_SUSPECTING)
        return 0;
    take_over(lead, now_ms);
    return 1;
}

_Bool lead_take_over_as_told(struct lead *lead, int64_t now_ms)
{
    if (!lead_take_over(lead, now_ms))
        return 0;
    lead->gives_up = 1;
    return 1;
}

_Bool lead_hand_over(struct lead *lead)
{
    if (lead->state != LEAD_LEADING)
        return 0;
    lead->ends = 1;
    return 1;
}

/* ---- What to do ----------------------------------------------------------------------------- */

/* What a state begins with, once. */
static enum lead_action_kind begin_state(struct lead *lead)
{
    static const enum lead_action_kind first[LEAD_STATES] = {
        [LEAD_FOLLOWING] = LEAD_FOLLOW,      [LEAD_CLAIMING] = LEAD_CLAIM,
        [LEAD_LEADING] = LEAD_SERVE,         [LEAD_FENCED] = LEAD_STEP_BACK,
        [LEAD_REJOINING] = LEAD_START_AGAIN,
    };
    if (lead->acted)
        return LEAD_NOTHING;
    lead->acted = 1;
    return first[lead->state];
}

static enum lead_action_kind follow(struct lead *lead, int64_t now_ms)
{
    if (!lead->is_connected || now_ms - lead->heard_ms < lead->wait_ms)
        return LEAD_NOTHING;
    if (lead->config.is_auto || lead->takes_over || lead->was_alone) {
        suspect(lead, now_ms);
        return LEAD_NOTHING;
    }
    if (lead->was_told)
        return LEAD_NOTHING;
    lead->was_told = 1;
    return LEAD_SAY_SILENT;
}

static enum lead_action_kind ask_for_tail(struct lead *lead, int64_t now_ms)
{
    if (now_ms < lead->tail_ms)
        return LEAD_NOTHING;
    lead->tail_ms = now_ms + lead->config.tail_ms;
    return LEAD_READ_TAIL;
}

/* Another says that it leads: the stream tells, when it is looked at. */
static enum lead_action_kind look_for_another(struct lead *lead)
{
    if (!lead->looks)
        return LEAD_NOTHING;
    lead->looks = 0;
    return LEAD_LOOK;
}

static enum lead_action_kind go_on_leading(struct lead *lead, int64_t now_ms)
{
    if (lead->ends && lead->acted) {
        lead->ends = 0;
        return LEAD_END_TERM;
    }
    if (now_ms < lead->beat_ms &&
        !(lead->moved && now_ms - lead->beaten_ms >= lead->config.beat_min_ms))
        return LEAD_NOTHING;
    lead->moved = 0;
    lead->beaten_ms = now_ms;
    lead->beat_ms = now_ms + lead->config.beat_ms;
    return LEAD_BEAT;
}

/* Nobody can be heard by one that is frozen, and a leader that was may have been followed. */
static void look_at_clock(struct lead *lead, int64_t now_ms)
{
    if (lead->turned_ms > 0 && now_ms - lead->turned_ms > lead->config.frozen_ms) {
        listen_from(lead, now_ms);
        lead->looks |= lead->state == LEAD_LEADING;
        if (lead->state == LEAD_SUSPECTING && !lead->takes_over)
            move(lead, LEAD_FOLLOWING);
    }
    lead->turned_ms = now_ms;
}

enum lead_action_kind lead_next(struct lead *lead, int64_t now_ms)
{
    look_at_clock(lead, now_ms);
    enum lead_action_kind action = begin_state(lead);
    if (action == LEAD_NOTHING && lead->state == LEAD_FOLLOWING)
        action = follow(lead, now_ms);
    if (action == LEAD_NOTHING && lead->state == LEAD_SUSPECTING)
        action = ask_for_tail(lead, now_ms);
    if (action == LEAD_NOTHING && (lead->state == LEAD_LEADING || lead->state == LEAD_CLAIMING))
        action = look_for_another(lead);
    if (action == LEAD_NOTHING && lead->state == LEAD_LEADING)
        action = go_on_leading(lead, now_ms);
    lead_check(lead);
    return action;
}

int64_t lead_due_ms(const struct lead *lead)
{
    switch (lead->state) {
    case LEAD_FOLLOWING:
        return !lead->is_connected || lead->was_told ? INT64_MAX : lead->heard_ms + lead->wait_ms;
    case LEAD_SUSPECTING: return lead->tail_ms;
    case LEAD_LEADING:
        return lead->moved && lead->beaten_ms + lead->config.beat_min_ms < lead->beat_ms
                   ? lead->beaten_ms + lead->config.beat_min_ms
                   : lead->beat_ms;
    default: return INT64_MAX;
    }
}
