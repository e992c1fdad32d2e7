/* Thread owner: says which thread a function belongs to, and asserts it. A thread takes what is its
 * own when it begins; before that, and where nobody takes (a simulation, a test), there is one
 * thread and all is allowed.
 *
 *     owner_take(&loop->owner);     first thing on the thread
 *     owner_assert(&loop->owner);   in each function that belongs to it
 *     owner_release(&loop->owner);  by whoever has joined the thread */
#pragma once
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

struct thread_owner {
    atomic_bool taken;
    pthread_t thread;
};

static inline void owner_take(struct thread_owner *owner)
{
    assert(!atomic_load(&owner->taken));
    owner->thread = pthread_self();
    atomic_store(&owner->taken, 1);
}

static inline void owner_release(struct thread_owner *owner)
{
    atomic_store(&owner->taken, 0);
}

static inline void owner_assert(const struct thread_owner *owner)
{
    assert(!atomic_load_explicit(&owner->taken, memory_order_acquire) ||
           pthread_equal(owner->thread, pthread_self()));
}
