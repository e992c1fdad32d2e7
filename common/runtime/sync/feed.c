/* Feed: see feed.h. */
#include "runtime/sync/feed.h"
#include "runtime/sync/feed_pull.h"
#include <assert.h>
#include <stddef.h>
#include <stdio.h>

const struct feed_config feed_defaults = {
    .window_max = 2048,
    .pull_batch = 512,
    .pull_expires_ms = 5000,
    .heartbeat_ms = 1000,
    .answer_timeout_ms = 4000,
    .backoff_min_ms = 100,
    .backoff_max_ms = 2000,
    .fill_limit = 500,
    .idle_rounds_max = 2,
    .disagree_ms = 10000,
};

/* ---- Moves ---------------------------------------------------------------------------------- */

#define FROM(state) (1u << (state))
static const unsigned moves[] = {
    [FEED_OFFLINE] = ~FROM(FEED_FORKED),
    [FEED_ASKING] = FROM(FEED_OFFLINE) | FROM(FEED_WAITING) | FROM(FEED_PULLING) |
                    FROM(FEED_FILLING),
    [FEED_COMPARING] = FROM(FEED_ASKING) | FROM(FEED_PULLING) | FROM(FEED_FILLING) |
                       FROM(FEED_WAITING),
    [FEED_MAKING] = FROM(FEED_ASKING) | FROM(FEED_COMPARING) | FROM(FEED_MAKING),
    [FEED_PULLING] = FROM(FEED_ASKING) | FROM(FEED_COMPARING) | FROM(FEED_MAKING),
    [FEED_FILLING] = FROM(FEED_ASKING) | FROM(FEED_PULLING) | FROM(FEED_COMPARING) |
                     FROM(FEED_WAITING),
    [FEED_WAITING] = FROM(FEED_ASKING) | FROM(FEED_COMPARING) | FROM(FEED_MAKING) |
                     FROM(FEED_PULLING) | FROM(FEED_FILLING),
    [FEED_FORKED] = ~0u,
};

void feed_check(const struct feed *feed)
{
    const enum feed_state state = feed->state;
    const _Bool has_deadline = feed->deadline_ms != INT64_MAX;
    assert(feed->cursor >= 0 && feed->cursor <= feed->leader_position);           /* F1 */
    assert(feed->fill_limit >= 1 && feed->fill_limit <= feed->config.fill_limit); /* F7 */
    for (int i = 0; i < FEED_PULLS; i++) {
        const struct feed_pull *pull = &feed->pulls[i];
        assert(pull->number == 0 || state == FEED_PULLING);                    /* F2 */
        assert((pull->number > 0) == (pull->left > 0));                        /* F2 */
        assert(pull->left <= feed->config.pull_batch && feed->unsettled >= 0); /* F2, F1 */
    }
    assert(state != FEED_WAITING || (has_deadline && feed->reason));                   /* F3, F4 */
    assert((state != FEED_OFFLINE && state != FEED_PULLING) || !has_deadline);         /* F3 */
    assert(state != FEED_FORKED || (!has_deadline && feed->reason));                   /* F3, F4 */
    assert(state != FEED_PULLING || feed->idle_rounds < feed->config.idle_rounds_max); /* F5 */
    assert(feed->judged == 0 || state == FEED_COMPARING || state == FEED_WAITING);     /* F6 */
}

static void feed_move(struct feed *feed, enum feed_state state)
{
    const unsigned from = moves[state];
    assert(from & FROM(feed->state));
    (void)from; /* without assertions */
    feed->state = state;
    feed->acted = 0;
    feed->deadline_ms = INT64_MAX;
    feed->epoch++;
    for (int i = 0; i < FEED_PULLS; i++)
        feed->pulls[i] = (struct feed_pull){ 0 };
}

static void feed_wait(struct feed *feed, const char *reason, int64_t now_ms)
{
    feed_move(feed, FEED_WAITING);
    feed->reason = reason;
    feed->detail[0] = '\0';
    feed->deadline_ms = now_ms + backoff_take_ms(&feed->backoff);
}

static void feed_hold(struct feed *feed, const char *reason, const char *words, int64_t now_ms)
{
    feed_wait(feed, reason, now_ms);
    snprintf(feed->detail, sizeof(feed->detail), "%s", words);
    feed->is_held = 1;
}

void feed_init(struct feed *feed, const struct feed_config *config, int64_t cursor)
{
    assert(config->pull_batch <= config->window_max);
    *feed = (struct feed){ .config = *config,
                           .cursor = cursor,
                           .leader_position = cursor,
                           .until = INT64_MAX,
                           .fill_limit = config->fill_limit,
                           .deadline_ms = INT64_MAX };
    backoff_init(&feed->backoff, config->backoff_min_ms, config->backoff_max_ms, config->seed);
    feed_check(feed);
}

/* ---- What happened -------------------------------------------------------------------------- */

void feed_connected(struct feed *feed)
{
    if (feed->state != FEED_OFFLINE)
        return;
    backoff_reset(&feed->backoff); /* a server that came back: the old waits say nothing of it */
    feed_move(feed, FEED_ASKING);
    feed_check(feed);
}

void feed_disconnected(struct feed *feed)
{
    feed->judged = 0;
    if (feed->state != FEED_FORKED)
        feed_move(feed, FEED_OFFLINE);
    feed_check(feed);
}

static void feed_make(struct feed *feed, _Bool delete_first)
{
    feed_move(feed, FEED_MAKING);
    feed->delete_first = delete_first;
    feed->remade += delete_first;
}

static void pull(struct feed *feed, int64_t now_ms)
{
    feed_move(feed, FEED_PULLING);
    feed->must_remake = 0;
    feed->disagreed_ms = 0;
    feed->fill_until = 0;
    feed->idle_rounds = 0;
    feed->heard_ms = now_ms;
}

static void note_leader(struct feed *feed, int64_t position)
{
    if (position > feed->leader_position)
        feed->leader_position = position;
}

static void go_on(struct feed *feed, const struct feed_info *info, int64_t now_ms)
{
    if (!info->durable_exists)
        feed_make(feed, 0);
    else if (feed->must_remake || feed_durable_is_wrong(feed, info))
        feed_make(feed, 1);
    else
        pull(feed, now_ms);
}

void feed_looked(struct feed *feed, const struct feed_info *info, int64_t now_ms)
{
    if (feed->state != FEED_ASKING)
        return;
    feed->stream_is_missing = !info->stream_exists;
    feed->is_held = feed->is_held && info->stream_exists;
    if (!info->stream_exists) {
        feed_wait(feed, "the stream is not there", now_ms);
        return;
    }
    /* Exact, while what is counted at a delivery is too high when the stream holds repeats. */
    if (info->last_position > 0)
        feed->leader_position = info->last_position > feed->cursor ? info->last_position
                                                                   : feed->cursor;
    if (info->last_position < feed->cursor || info->last_differs || feed->must_compare) {
        feed_move(feed, FEED_COMPARING);
        feed->info = *info;
        return;
    }
    if (feed_fill_of_expired(feed, info)) {
        feed_move(feed, FEED_FILLING);
        return;
    }
    feed_note_complete(feed, now_ms);
    go_on(feed, info, now_ms);
    feed_check(feed);
}

static void disagree(struct feed *feed, const char *reason)
{
    feed->judged = 0;
    feed_move(feed, FEED_FORKED);
    feed->reason = reason;
}

/* The leader's log goes on from our cursor: what does not follow in its stream is void. */
static void pass_over(struct feed *feed, int64_t last_position, int64_t now_ms)
{
    feed->fill_until = feed->judged < last_position ? feed->judged : last_position;
    feed->judged = 0;
    feed->must_remake = 1; /* it is still before what the durable delivers next */
    if (feed->fill_until > feed->cursor)
        feed_move(feed, FEED_FILLING);
    else
        feed_wait(feed, "a message in the stream is not in the leader's log", now_ms);
}

void feed_compared(struct feed *feed, enum feed_fit fit, int64_t last_position, int64_t now_ms)
{
    if (feed->state != FEED_COMPARING)
        return;
    if (fit != FEED_LEADER_AGREES) {
        const char *reason = fit == FEED_LEADER_DIFFERS
                                 ? "the leader's log is not the one that we have read"
                                 : "the leader has lost events that we have read";
        if (feed_disagrees_for_good(feed, fit, last_position, now_ms))
            disagree(feed, reason);
        else
            feed_wait(feed, reason, now_ms);
    } else {
        feed->disagreed_ms = 0;
        feed->must_compare = 0;
        feed->leader_position = last_position > feed->cursor ? last_position : feed->cursor;
        feed_note_complete(feed, now_ms);
        if (feed->judged > 0)
            pass_over(feed, last_position, now_ms);
        else
            go_on(feed, &feed->info, now_ms);
    }
    feed_check(feed);
}

void feed_made(struct feed *feed, int64_t now_ms)
{
    if (feed->state != FEED_MAKING)
        return;
    if (feed->delete_first)
        feed_make(feed, 0);
    else
        pull(feed, now_ms);
    feed_check(feed);
}

void feed_failed(struct feed *feed, const char *reason, int64_t now_ms)
{
    if (feed->state == FEED_FILLING)
        feed_set_fill_limit(feed, feed->fill_limit / 4);
    if (feed->state == FEED_ASKING || feed->state == FEED_COMPARING || feed->state == FEED_MAKING ||
        feed->state == FEED_FILLING)
        feed_wait(feed, reason, now_ms);
    feed_check(feed);
}

void feed_refused(struct feed *feed, const char *reason, const char *words, int64_t now_ms)
{
    if (feed->state == FEED_ASKING || feed->state == FEED_MAKING)
        feed_hold(feed, reason, words, now_ms);
    feed_check(feed);
}

void feed_delivered(struct feed *feed, int64_t count, int64_t position, int64_t pending,
                    int64_t now_ms)
{
    struct feed_pull *pull;
    feed->unsettled += count;
    note_leader(feed, position + pending);
    if (feed->state == FEED_PULLING) {
        feed->is_held = 0;
        feed->heard_ms = now_ms;
        feed->idle_rounds = 0;
    }
    while (count > 0 && (pull = feed_pull_oldest(feed))) {
        int64_t taken = count < pull->left ? count : pull->left;
        count -= taken;
        pull->left -= taken;
        pull->empty = 0;
        if (pull->left == 0)
            *pull = (struct feed_pull){ 0 };
    }
    feed_check(feed);
}

void feed_heartbeat(struct feed *feed, int64_t now_ms)
{
    feed->heard_ms = now_ms;
    if (feed->state != FEED_PULLING)
        return;
    feed->is_held = 0;
    backoff_reset(&feed->backoff);
    feed_note_complete(feed, now_ms);
    feed_check(feed);
}

void feed_pull_refused(struct feed *feed, int64_t number, const char *words, int64_t now_ms)
{
    if (feed_pull_find(feed, number))
        feed_hold(feed, "the durable refused a pull", words, now_ms);
    feed_check(feed);
}

/* A pull is over, whether the server said so or not. */
static void end_pull(struct feed *feed, struct feed_pull *pull)
{
    feed->idle_rounds = pull->empty ? feed->idle_rounds + 1 : 0;
    *pull = (struct feed_pull){ 0 };
    if (feed->idle_rounds >= feed->config.idle_rounds_max)
        feed_move(feed, FEED_ASKING);
}

void feed_pull_ended(struct feed *feed, int64_t number, _Bool is_error, int64_t now_ms)
{
    struct feed_pull *pull = feed_pull_find(feed, number);
    if (!pull)
        return;
    if (is_error) {
        feed_wait(feed, "the durable refused a pull", now_ms);
        return;
    }
    feed->heard_ms = now_ms;
    feed->is_held = 0;
    backoff_reset(&feed->backoff);
    feed_note_complete(feed, now_ms);
    end_pull(feed, pull);
    feed_check(feed);
}

/* FILLING: enough, or the next page when the one that came was run. */
static void go_on_filling(struct feed *feed, int64_t now_ms)
{
    if (feed->cursor >= feed->fill_until || feed->cursor >= feed->until) {
        feed->must_remake = 1; /* what the durable delivered behind the gap is gone */
        feed_move(feed, FEED_ASKING);
    } else if (feed->page_is_in && feed->unsettled == 0) {
        if (feed->cursor > feed->fill_after)
            feed->acted = 0;
        else
            feed_wait(feed, "the leader's events do not fill the gap", now_ms);
    }
}

void feed_settled(struct feed *feed, int64_t count, int64_t cursor, int64_t now_ms)
{
    feed->unsettled -= count;
    if (cursor > feed->cursor) {
        feed->cursor = cursor;
        backoff_reset(&feed->backoff);
        note_leader(feed, cursor);
    }
    if (feed->state == FEED_PULLING)
        feed_note_complete(feed, now_ms);
    else if (feed->state == FEED_FILLING)
        go_on_filling(feed, now_ms);
    feed_check(feed);
}

void feed_gap(struct feed *feed, int64_t epoch, int64_t position, int64_t now_ms)
{
    (void)now_ms;
    if (feed->state != FEED_PULLING || epoch != feed->epoch)
        return;
    feed->gaps++;
    feed->fills_expired = 0;
    feed->fill_until = position - 1;
    feed_move(feed, FEED_FILLING);
    feed_check(feed);
}

_Bool feed_differs(struct feed *feed, int64_t epoch, int64_t position)
{
    assert(position > 0);
    if (feed->state != FEED_PULLING || epoch != feed->epoch)
        return 0;
    feed_move(feed, FEED_COMPARING);
    feed->judged = position;
    feed_check(feed);
    return 1;
}

void feed_not_filled(struct feed *feed)
{
    if (feed->state != FEED_FILLING)
        return;
    if (feed->fills_expired) {
        feed_filled(feed, feed->cursor, 0);
        return;
    }
    feed_move(feed, FEED_COMPARING);
    feed->judged = feed->fill_until + 1;
    feed_check(feed);
}

void feed_filled(struct feed *feed, int64_t last_position, int64_t now_ms)
{
    if (feed->state != FEED_FILLING)
        return;
    note_leader(feed, last_position);
    if (feed->fills_expired && last_position < feed->fill_until)
        feed->fill_until = last_position;
    feed_set_fill_limit(feed, feed->fill_limit + feed->fill_limit / 4 + 1);
    feed->page_is_in = 1;
    feed->deadline_ms = now_ms + feed->config.answer_timeout_ms;
    go_on_filling(feed, now_ms); /* it may be run already, or empty */
    feed_check(feed);
}

void feed_fork(struct feed *feed, int64_t epoch)
{
    if (epoch != feed->epoch)
        return;
    disagree(feed, "the leader's log is not the one that we have read");
    feed_check(feed);
}

void feed_passed_over(struct feed *feed)
{
    feed->must_compare = 1;
    if (feed->state == FEED_PULLING)
        feed_move(feed, FEED_ASKING);
    feed_check(feed);
}

void feed_reset(struct feed *feed, const char *reason, int64_t now_ms)
{
    feed->must_remake = 1;
    if (feed->state == FEED_PULLING || feed->state == FEED_FILLING)
        feed_wait(feed, reason, now_ms);
    feed_check(feed);
}

/* ---- What to do ----------------------------------------------------------------------------- */

static int64_t silence_ms(const struct feed *feed) /* from then on */
{
    return feed_pull_is_out(feed) ? feed->heard_ms + 3 * feed->config.heartbeat_ms + 1 : INT64_MAX;
}

static void feed_look_at_clock(struct feed *feed, int64_t now_ms)
{
    if (now_ms >= silence_ms(feed))
        feed_move(feed, FEED_ASKING); /* perhaps the durable is gone */
    for (int i = 0; i < FEED_PULLS; i++)
        if (feed->pulls[i].number > 0 &&
            now_ms > feed->pulls[i].expires_ms + feed->config.heartbeat_ms)
            end_pull(feed, &feed->pulls[i]);
    if (now_ms < feed->deadline_ms)
        return;
    if (feed->state != FEED_WAITING)
        feed_failed(feed, "no answer came", now_ms);
    else if (feed->judged > 0)
        feed_move(feed, FEED_COMPARING);
    else
        feed_move(feed, feed->fill_until > feed->cursor ? FEED_FILLING : FEED_ASKING);
}

static struct feed_action feed_ask(struct feed *feed, enum feed_action_kind kind, int64_t now_ms)
{
    if (feed->acted)
        return (struct feed_action){ .kind = FEED_NOTHING };
    feed->acted = 1;
    feed->deadline_ms = now_ms + feed->config.answer_timeout_ms;
    const int64_t after = feed->cursor, room = feed->until - after;
    const int64_t count = room < 1 ? 1 : room < feed->fill_limit ? room : feed->fill_limit;
    return (struct feed_action){ kind, feed->epoch, after + 1, count, after, 0 };
}

static struct feed_action fill(struct feed *feed, int64_t now_ms)
{
    struct feed_action action = feed_ask(feed, FEED_FILL, now_ms);
    if (action.kind == FEED_FILL) {
        feed->fill_after = feed->cursor;
        feed->page_is_in = 0;
    }
    return action;
}

static struct feed_action feed_choose(struct feed *feed, int64_t now_ms)
{
    switch (feed->state) {
    case FEED_ASKING:    return feed_ask(feed, FEED_ASK, now_ms);
    case FEED_COMPARING: return feed_ask(feed, FEED_COMPARE, now_ms);
    case FEED_MAKING:
        return feed_ask(feed, feed->delete_first ? FEED_DELETE_DURABLE : FEED_MAKE_DURABLE, now_ms);
    case FEED_FILLING: return fill(feed, now_ms);
    case FEED_PULLING: return feed_pull_next(feed, now_ms);
    case FEED_OFFLINE:
    case FEED_WAITING:
    case FEED_FORKED:  break;
    }
    return (struct feed_action){ .kind = FEED_NOTHING };
}

struct feed_action feed_next(struct feed *feed, int64_t now_ms)
{
    feed_look_at_clock(feed, now_ms);
    struct feed_action action = feed_choose(feed, now_ms);
    feed_check(feed);
    return action;
}

int64_t feed_due_ms(const struct feed *feed)
{
    int64_t due_ms = feed->deadline_ms;
    return silence_ms(feed) < due_ms ? silence_ms(feed) : due_ms;
}
