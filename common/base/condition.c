/* Condition: see condition.h. */
#include "base/condition.h"
#include <assert.h>
#include <time.h>

void condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

int condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t deadline_ms)
{
    assert(deadline_ms >= 0); /* the monotonic clock has no negative times */
    struct timespec deadline = { .tv_sec = deadline_ms / 1000,
                                 .tv_nsec = deadline_ms % 1000 * 1000000 };
    return pthread_cond_timedwait(condition, lock, &deadline);
}
