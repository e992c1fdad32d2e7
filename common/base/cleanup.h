/* Cleanup attributes: a local variable that owns something says so where it is declared, and gives
 * it back at the end of its scope, on every path.
 *
 *     _deinit_(buf) struct buf body;     calls buf_deinit(&body) at the end of the scope
 *     _free_(request) struct request *r = NULL;   calls request_free(r); free takes NULL
 *
 * A type becomes usable with DEFINE_DEINIT(type) or DEFINE_FREE(type) beside its declaration. */
#pragma once
#include <stdlib.h>

#define DEFINE_DEINIT(name)                                 \
    static inline void name##_deinit_at(struct name *owner) \
    {                                                       \
        name##_deinit(owner);                               \
    }
#define DEFINE_FREE(name)                                  \
    static inline void name##_free_at(struct name **owner) \
    {                                                      \
        name##_free(*owner);                               \
    }
#define _deinit_(name) __attribute__((cleanup(name##_deinit_at)))
#define _free_(name) __attribute__((cleanup(name##_free_at)))

static inline void memory_free_at(void *owner)
{
    free(*(void **)owner);
}
#define _free_memory_ __attribute__((cleanup(memory_free_at)))

/* Takes a pointer out of its owner: `return take(r);` */
#define take(owner)                         \
    ({                                      \
        __typeof__(owner) taken_ = (owner); \
        (owner) = NULL;                     \
        taken_;                             \
    })
