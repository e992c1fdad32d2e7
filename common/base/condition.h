/* Condition: a pthread condition whose timeouts are on the monotonic clock, so that a jump of the
 * wall clock makes no wait shorter or longer. */
#pragma once
#include <pthread.h>
#include <stdint.h>

void condition_init(pthread_cond_t *condition);

/* Called with the lock held. Waits until the condition is signalled or clock_monotonic_ms() reaches
 * deadline_ms. 0, or ETIMEDOUT. */
int condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t deadline_ms);
