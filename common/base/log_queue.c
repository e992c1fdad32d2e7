/* Log queue: see log_queue.h. */
#include "base/log_queue.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/result.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 1000
#define WRITABLE_MS 1000 /* looks again, where somebody has made stderr non-blocking */

struct line {
    struct line *next;
    size_t length;
    _Bool is_urgent;
    char text[];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    struct line *first, **last;
    int length;
    _Bool runs, stopping;
    _Bool is_writing; /* a line that was taken is not yet written */
    int64_t dropped;  /* since the last tick */
    void (*tick)(int64_t dropped);
    pthread_t thread;
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER, .last = &queue.first };

static atomic_llong dropped_in_all;

/* As a whole, for a pipe takes so much at once. A failure counts as dropped. */
static void write_line(const char *text, size_t length)
{
    ssize_t written;
    do {
        written = write(STDERR_FILENO, text, length);
        if (written < 0 && errno == EAGAIN)
            poll(&(struct pollfd){ .fd = STDERR_FILENO, .events = POLLOUT }, 1, WRITABLE_MS);
    } while (written < 0 && (errno == EINTR || errno == EAGAIN));
    if (written < 0)
        atomic_fetch_add(&dropped_in_all, 1);
}

/* ---- Under the lock -------------------------------------------------------------------------- */

static void check(void)
{
    assert(queue.length >= 0 && queue.length <= LOG_QUEUE_LINES); /* U1 */
    assert((queue.length == 0) == !queue.first);                  /* U1 */
    assert(!*queue.last);                                         /* U2 */
}

static void drop(struct line **place)
{
    struct line *line = *place;
    assert(line);
    *place = line->next;
    if (!*place)
        queue.last = place;
    queue.length--;
    queue.dropped++;
    atomic_fetch_add(&dropped_in_all, 1);
    free(line);
}

/* The oldest line that is not urgent goes; when all are, the oldest does. */
static void make_room(void)
{
    struct line **place = &queue.first;
    while (*place && (*place)->is_urgent)
        place = &(*place)->next;
    drop(*place ? place : &queue.first);
}

static void append(struct line *line)
{
    if (queue.length == LOG_QUEUE_LINES)
        make_room();
    line->next = NULL;
    *queue.last = line;
    queue.last = &line->next;
    queue.length++;
    check();
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void run_tick(void)
{
    int64_t dropped = queue.dropped;
    queue.dropped = 0;
    pthread_mutex_unlock(&queue.lock);
    queue.tick(dropped);
    pthread_mutex_lock(&queue.lock);
}

static void write_first(void)
{
    struct line *line = queue.first;
    queue.first = line->next;
    if (!queue.first)
        queue.last = &queue.first;
    queue.length--;
    queue.is_writing = 1;
    check();
    pthread_mutex_unlock(&queue.lock);
    write_line(line->text, line->length);
    free(line);
    pthread_mutex_lock(&queue.lock);
    queue.is_writing = 0;
}

static void *queue_main(void *argument)
{
    int64_t tick_ms = 0;
    (void)argument;
    pthread_mutex_lock(&queue.lock);
    while (!queue.stopping || queue.first) {
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms >= tick_ms || queue.dropped > 0) {
            tick_ms = now_ms + TICK_MS;
            run_tick();
        }
        if (queue.first)
            write_first();
        else
            pthread_cond_broadcast(&queue.emptied);
        if (!queue.first && !queue.stopping)
            condition_wait(&queue.filled, &queue.lock, tick_ms);
    }
    queue.runs = 0;
    pthread_cond_broadcast(&queue.emptied);
    pthread_mutex_unlock(&queue.lock);
    return NULL;
}

int log_queue_start(void (*tick)(int64_t dropped))
{
    assert(tick && !queue.runs);
    condition_init(&queue.filled);
    condition_init(&queue.emptied);
    queue.tick = tick;
    queue.stopping = 0;
    queue.runs = 1;
    if (pthread_create(&queue.thread, NULL, queue_main, NULL) == 0)
        return 0;
    queue.runs = 0;
    return fail(ERR_MEMORY, "no thread for the log");
}

/* ---- Any thread ------------------------------------------------------------------------------ */

void log_queue_put(const char *text, size_t length, _Bool is_urgent)
{
    pthread_mutex_lock(&queue.lock);
    if (!queue.runs) {
        pthread_mutex_unlock(&queue.lock);
        write_line(text, length);
        return;
    }
    struct line *line = malloc(sizeof(*line) + length);
    if (line) {
        *line = (struct line){ .length = length, .is_urgent = is_urgent };
        memcpy(line->text, text, length);
        append(line);
    } else {
        queue.dropped++;
        atomic_fetch_add(&dropped_in_all, 1);
    }
    if (queue.length == 1)
        pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
}

/* Under the lock. */
static void wait_for_empty(int timeout_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    while (queue.runs && (queue.first || queue.is_writing || queue.stopping))
        if (condition_wait(&queue.emptied, &queue.lock, deadline_ms) != 0)
            break;
}

void log_queue_flush(int timeout_ms)
{
    pthread_mutex_lock(&queue.lock);
    wait_for_empty(timeout_ms);
    pthread_mutex_unlock(&queue.lock);
}

void log_queue_stop(int timeout_ms)
{
    pthread_mutex_lock(&queue.lock);
    _Bool ran = queue.runs;
    if (ran) {
        queue.stopping = 1;
        pthread_cond_signal(&queue.filled);
        wait_for_empty(timeout_ms);
    }
    _Bool ended = !queue.runs;
    pthread_mutex_unlock(&queue.lock);
    if (ran && ended)
        pthread_join(queue.thread, NULL);
}

int64_t log_queue_dropped(void)
{
    return atomic_load(&dropped_in_all);
}
