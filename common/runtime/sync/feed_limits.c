/* Feed, limits: what the server does not permit is asked for in smaller pieces. See feed.h. */
#include "runtime/sync/feed.h"
#include "base/smaller.h"
#include <assert.h>

int64_t feed_ack_pending(const struct feed *feed)
{
    return 2 * feed->config.window_max;
}

void feed_limit(struct feed *feed, int64_t batch, int64_t expires_ms)
{
    struct feed_config *config = &feed->config;
    assert(!feed->pulls[0].number && !feed->pulls[1].number);
    if (batch > 0)
        config->pull_batch = smaller(config->pull_batch, batch);
    if (expires_ms > 0)
        config->pull_expires_ms = smaller(config->pull_expires_ms, expires_ms);
    config->heartbeat_ms = smaller(config->heartbeat_ms, config->pull_expires_ms / 2);
    feed_check(feed);
}

_Bool feed_halve(struct feed *feed, int64_t now_ms)
{
    struct feed_config *config = &feed->config;
    if (feed->state != FEED_MAKING || config->window_max < 2)
        return 0;
    config->window_max /= 2;
    config->pull_batch = smaller(config->pull_batch, config->window_max);
    feed->acted = 0;
    feed->deadline_ms = now_ms + config->answer_timeout_ms;
    feed_check(feed);
    return 1;
}
