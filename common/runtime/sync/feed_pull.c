/* Feed's pulls: see feed_pull.h. */
#include "runtime/sync/feed_pull.h"
#include "base/guard.h"
#include <stddef.h>

struct feed_pull *feed_pull_find(struct feed *feed, int64_t number)
{
    for (int i = 0; i < FEED_PULLS; i++)
        if (feed->pulls[i].number == number && number > 0)
            return &feed->pulls[i];
    return NULL;
}

struct feed_pull *feed_pull_oldest(struct feed *feed)
{
    struct feed_pull *oldest = NULL;
    for (int i = 0; i < FEED_PULLS; i++)
        if (feed->pulls[i].number > 0 && (!oldest || feed->pulls[i].number < oldest->number))
            oldest = &feed->pulls[i];
    return oldest;
}

_Bool feed_pull_is_out(const struct feed *feed)
{
    for (int i = 0; i < FEED_PULLS; i++)
        if (feed->pulls[i].number > 0)
            return 1;
    return 0;
}

struct feed_action feed_pull_next(struct feed *feed, int64_t now_ms)
{
    int64_t asked = 0;
    struct feed_pull *free_pull = NULL;
    for (int i = 0; i < FEED_PULLS; i++) {
        asked += feed->pulls[i].left;
        if (feed->pulls[i].number == 0)
            free_pull = &feed->pulls[i];
    }
    /* The next pull leaves before the running one is empty, so that the stream never waits for
     * us. */
    const int64_t left = feed->until - feed->cursor - feed->unsettled - asked;
    const int64_t count = left < feed->config.pull_batch ? left : feed->config.pull_batch;
    if (!free_pull || count < 1 || asked > feed->config.pull_batch / 2 ||
        feed->unsettled + asked + feed->config.pull_batch > feed->config.window_max)
        return (struct feed_action){ .kind = FEED_NOTHING };
    if (!feed_pull_is_out(feed))
        feed->heard_ms = now_ms; /* silence counts from here */
    *free_pull = (struct feed_pull){
        .number = ++feed->pull_number,
        .left = count,
        .expires_ms = now_ms + feed->config.pull_expires_ms,
        .empty = 1,
    };
    return (struct feed_action){
        .kind = FEED_PULL,
        .epoch = feed->epoch,
        .count = count,
        .pull = feed->pull_number,
    };
}

_Bool feed_fill_of_expired(struct feed *feed, const struct feed_info *info)
{
    if (info->last_position > 0)
        feed->expired_until = 0;
    if (info->last_position > 0 || info->last_sequence <= feed->cursor ||
        info->last_sequence <= feed->expired_until)
        return 0;
    feed->fills_expired = 1;
    feed->expired_until = feed->fill_until = info->last_sequence;
    return 1;
}

void feed_set_fill_limit(struct feed *feed, int64_t limit)
{
    feed->fill_limit = limit < 1                         ? 1
                       : limit > feed->config.fill_limit ? feed->config.fill_limit
                                                         : limit;
}

_Bool feed_disagrees_for_good(struct feed *feed, enum feed_fit fit, int64_t last_position,
                              int64_t now_ms)
{
    const _Bool grows = fit == FEED_LEADER_IS_SHORTER && last_position > feed->disagreed_at;
    if (feed->disagreed_ms == 0 || grows) {
        feed->disagreed_ms = now_ms;
        feed->disagreed_at = last_position;
    }
    return now_ms >= feed->disagreed_ms + feed->config.disagree_ms;
}

_Bool feed_durable_is_wrong(const struct feed *feed, const struct feed_info *info)
{
    if (!GUARD(ack_after_commit)) /* who acknowledges early believes what the server says */
        return 0;
    int64_t offset = info->last_position > 0 ? info->last_sequence - info->last_position : 0;
    return info->durable_differs ||
           (info->last_position > 0 && info->acked_sequence > feed->cursor + offset) ||
           info->delivered_sequence > info->last_sequence || info->ack_pending > 0 ||
           (info->last_position > feed->cursor && info->pending == 0);
}
