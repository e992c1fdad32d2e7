/* Log limit: see log_limit.h. */
#include "base/log_limit.h"
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct kind {
    char event[LOG_LIMIT_NAME_SIZE];
    int64_t since_ms; /* of its second */
    int64_t count;    /* in this second */
    int64_t suppressed;
};

static struct {
    pthread_mutex_t lock;
    struct kind kinds[LOG_LIMIT_KINDS];
    int count;
    int with_suppressed; /* kinds that have left out lines */
} limit = { .lock = PTHREAD_MUTEX_INITIALIZER };

static atomic_llong suppressed_in_all;

/* Some sixty kinds, a few lines a second: a search through all is quick enough. */
static struct kind *find(const char *event)
{
    for (int i = 0; i < limit.count; i++)
        if (strncmp(limit.kinds[i].event, event, LOG_LIMIT_NAME_SIZE - 1) == 0)
            return &limit.kinds[i];
    if (limit.count == LOG_LIMIT_KINDS)
        return &limit.kinds[LOG_LIMIT_KINDS - 1];
    struct kind *kind = &limit.kinds[limit.count++];
    snprintf(kind->event, sizeof(kind->event), "%s", event);
    return kind;
}

_Bool log_limit_takes(const char *event, int64_t now_ms, int *ret_number)
{
    assert(event);
    pthread_mutex_lock(&limit.lock);
    struct kind *kind = find(event);
    if (kind->count == 0 || now_ms - kind->since_ms >= LOG_LIMIT_MS) {
        kind->since_ms = now_ms;
        kind->count = 0;
    }
    *ret_number = kind->count < INT32_MAX ? (int)++kind->count : INT32_MAX;
    _Bool takes = kind->count <= LOG_LIMIT_LINES;
    if (!takes) {
        limit.with_suppressed += kind->suppressed == 0;
        kind->suppressed++;
        atomic_fetch_add(&suppressed_in_all, 1);
    }
    pthread_mutex_unlock(&limit.lock);
    return takes;
}

int64_t log_limit_take_suppressed(int64_t now_ms, char *ret_event)
{
    int64_t count = 0;
    pthread_mutex_lock(&limit.lock);
    for (int i = 0; limit.with_suppressed > 0 && i < limit.count && count == 0; i++) {
        struct kind *kind = &limit.kinds[i];
        if (kind->suppressed == 0 || now_ms - kind->since_ms < LOG_LIMIT_MS)
            continue;
        count = kind->suppressed;
        snprintf(ret_event, LOG_LIMIT_NAME_SIZE, "%s", kind->event);
        kind->suppressed = 0;
        limit.with_suppressed--;
    }
    pthread_mutex_unlock(&limit.lock);
    return count;
}

int64_t log_limit_suppressed(void)
{
    return atomic_load(&suppressed_in_all);
}
