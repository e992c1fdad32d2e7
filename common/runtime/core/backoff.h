/* Backoff: how long to wait before the next try. Each wait without progress is twice the one
 * before, up to a limit. With a seed up to half of each is taken off at random, so that services
 * that fell together do not come back together. No clock and no global state: a simulation with the
 * same seed waits the same. */
#pragma once
#include <assert.h>
#include <stdint.h>

struct backoff {
    int64_t min_ms, max_ms;
    int64_t next_ms; /* the next wait, before the random part is taken off */
    uint64_t random; /* state of an xorshift generator; 0: no random part */
};

static inline void backoff_reset(struct backoff *backoff) /* there was progress */
{
    backoff->next_ms = backoff->min_ms;
}

static inline void backoff_init(struct backoff *backoff, int64_t min_ms, int64_t max_ms,
                                uint64_t seed)
{
    assert(min_ms > 0 && min_ms <= max_ms);
    *backoff = (struct backoff){ .min_ms = min_ms, .max_ms = max_ms, .random = seed };
    backoff_reset(backoff);
}

/* Takes the wait, from half of it to the whole, and makes the next one longer. */
static inline int64_t backoff_take_ms(struct backoff *backoff)
{
    int64_t wait_ms = backoff->next_ms;
    assert(wait_ms >= backoff->min_ms && wait_ms <= backoff->max_ms);
    backoff->next_ms = wait_ms > backoff->max_ms / 2 ? backoff->max_ms : wait_ms * 2;
    backoff->random ^= backoff->random << 13;
    backoff->random ^= backoff->random >> 7;
    backoff->random ^= backoff->random << 17;
    return wait_ms - (int64_t)(backoff->random % (uint64_t)(wait_ms / 2 + 1));
}
