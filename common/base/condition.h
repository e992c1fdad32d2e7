/* Condition: a pthread condition whose time-outs are on the monotonic clock, so that a clock that
 * jumps wakes nobody early and keeps nobody asleep. */
#pragma once
#include <pthread.h>
#include <stdint.h>

void condition_init(pthread_cond_t *condition);

/* Waits with the lock held until it is signalled or clock_monotonic_ms() reaches deadline_ms. 0, or
 * ETIMEDOUT. */
int condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t deadline_ms);
