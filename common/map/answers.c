/* Answers: see answers.h. */
#include "map/answers.h"
#include "base/result.h"
#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DRAIN_MS 500

struct answers {
    struct bus_subscription *subscription;
    pthread_mutex_t lock;
    struct bus_message *waiting[ANSWERS_MAX]; /* a ring */
    uint64_t first, behind;
    int64_t dropped;
    int fd;
};

static void on_answer(void *context, struct bus_message *message)
{
    struct answers *answers = context;
    const uint64_t one = 1;
    pthread_mutex_lock(&answers->lock);
    if (answers->behind - answers->first < ANSWERS_MAX)
        answers->waiting[answers->behind++ % ANSWERS_MAX] = take(message);
    else
        answers->dropped++;
    pthread_mutex_unlock(&answers->lock);
    bus_message_free(message);
    /* It fails only when nobody has read for 2^64 answers. */
    ssize_t written = write(answers->fd, &one, sizeof(one));
    (void)written;
}

int answers_open(struct bus *bus, const char *inbox, struct answers **ret_answers)
{
    char subject[BUS_INBOX_SIZE + 2];
    assert(bus && inbox && ret_answers);
    _free_(answers) struct answers *answers = calloc(1, sizeof(*answers));
    if (!answers)
        return fail(ERR_MEMORY, "no memory for answers");
    pthread_mutex_init(&answers->lock, NULL);
    answers->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    snprintf(subject, sizeof(subject), "%s.>", inbox);
    int r = answers->fd < 0 ? fail(ERR_IO, "no descriptor for answers") : 0;
    if (r == 0)
        r = bus_subscribe(bus, subject, NULL, on_answer, answers, &answers->subscription);
    if (r == 0)
        *ret_answers = take(answers);
    return trace(r);
}

void answers_free(struct answers *answers)
{
    if (!answers)
        return;
    if (answers->subscription)
        bus_subscription_drain(answers->subscription, DRAIN_MS);
    bus_subscription_free(answers->subscription);
    for (; answers->first < answers->behind; answers->first++)
        bus_message_free(answers->waiting[answers->first % ANSWERS_MAX]);
    if (answers->fd >= 0)
        close(answers->fd);
    pthread_mutex_destroy(&answers->lock);
    free(answers);
}

int answers_fd(const struct answers *answers)
{
    return answers->fd;
}

struct bus_message *answers_take(struct answers *answers)
{
    struct bus_message *message = NULL;
    uint64_t count;
    pthread_mutex_lock(&answers->lock);
    if (answers->first < answers->behind) {
        message = answers->waiting[answers->first++ % ANSWERS_MAX];
    } else {
        ssize_t got = read(answers->fd, &count, sizeof(count));
        (void)got;
    }
    pthread_mutex_unlock(&answers->lock);
    return message;
}

int64_t answers_dropped(struct answers *answers)
{
    pthread_mutex_lock(&answers->lock);
    int64_t dropped = answers->dropped;
    pthread_mutex_unlock(&answers->lock);
    return dropped;
}
