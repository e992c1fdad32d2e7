/* Mailbox: see mailbox.h. */
#include "runtime/outbound/mailbox.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/smaller.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

void mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){ 0 };
    mailbox->last = &mailbox->first;
    mailbox->wake_fd = mailbox->bus_fd = -1;
    pthread_mutex_init(&mailbox->lock, NULL);
}

/* The lock stays usable, for a library thread may be in its last call. */
void mailbox_deinit(struct mailbox *mailbox)
{
    while (mailbox->first) {
        struct note *note = mailbox->first;
        mailbox->first = note->next;
        bus_message_free(note->reply);
        batch_free(note->batch);
        item_free(note->request);
        free(note);
    }
    mailbox->last = &mailbox->first;
    /* nobody waits any more, so no other begins */
    while (atomic_load(&mailbox->wakers) > 0)
        sched_yield();
    if (mailbox->wake_fd >= 0)
        close(mailbox->wake_fd);
    mailbox->wake_fd = -1;
}

/* With the lock held: the list ends where `last` says. */
static void check_list(const struct mailbox *mailbox)
{
    assert(!*mailbox->last);
    assert(mailbox->first || mailbox->last == &mailbox->first);
}

/* With the lock held, which it gives up first: who is woken would wait for it. */
static void unlock_and_wake(struct mailbox *mailbox)
{
    const _Bool wakes = mailbox->is_waited_for;
    mailbox->is_waited_for = 0; /* one is enough */
    if (wakes)
        atomic_fetch_add(&mailbox->wakers, 1);
    pthread_mutex_unlock(&mailbox->lock);
    if (!wakes)
        return;
    eventfd_write(mailbox->wake_fd, 1);
    atomic_fetch_sub(&mailbox->wakers, 1);
}

void mailbox_push(struct mailbox *mailbox, struct note note)
{
    struct note *kept = malloc(sizeof(*kept));
    if (!kept) {
        log_error("out_of_memory");
        abort(); /* a supervisor starts us again */
    }
    assert((note.kind == NOTE_BATCH) == (note.batch != NULL));
    assert((note.kind == NOTE_REPLY || note.kind == NOTE_BEAT) == (note.reply != NULL));
    assert((note.kind == NOTE_OPERATOR || note.kind == NOTE_ANSWER) == (note.request != NULL));
    *kept = note;
    kept->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    *mailbox->last = kept;
    mailbox->last = &kept->next;
    check_list(mailbox);
    unlock_and_wake(mailbox);
}

/* Who looks at what woke it does so under the lock, or is waiting. */
void mailbox_wake(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    unlock_and_wake(mailbox);
}

void mailbox_stop(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->stopping = 1;
    unlock_and_wake(mailbox);
}

/* With the lock held, but not meanwhile. */
static void wait(struct mailbox *mailbox, int64_t deadline_ms)
{
    struct pollfd on[] = { { .events = POLLIN }, { .fd = mailbox->bus_fd, .events = POLLIN } };
    const int64_t wait_ms = deadline_ms - clock_monotonic_ms();
    eventfd_t count;
    if (mailbox->wake_fd < 0)
        mailbox->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mailbox->wake_fd < 0) {
        log_error("out_of_memory", LOG_TEXT("reason", "no eventfd"), LOG_INT("errno", errno));
        abort(); /* a supervisor starts us again */
    }
    on[0].fd = mailbox->wake_fd;
    mailbox->is_waited_for = 1;
    pthread_mutex_unlock(&mailbox->lock);
    poll(on, 2, (int)larger(smaller(wait_ms, INT_MAX), 0));
    if (on[0].revents)
        eventfd_read(mailbox->wake_fd, &count);
    pthread_mutex_lock(&mailbox->lock);
    mailbox->is_waited_for = 0;
}

struct note *mailbox_take(struct mailbox *mailbox, int64_t deadline_ms, mailbox_has_work has_work,
                          const void *context, _Bool *ret_stopping)
{
    pthread_mutex_lock(&mailbox->lock);
    if (deadline_ms != MAILBOX_NO_WAIT && !mailbox->first && !has_work(context))
        wait(mailbox, deadline_ms);
    struct note *notes = mailbox->first;
    check_list(mailbox);
    mailbox->first = NULL;
    mailbox->last = &mailbox->first;
    *ret_stopping = mailbox->stopping;
    pthread_mutex_unlock(&mailbox->lock);
    return notes;
}

_Bool mailbox_is_due(struct mailbox *mailbox, mailbox_has_work has_work, const void *context)
{
    pthread_mutex_lock(&mailbox->lock);
    _Bool due = mailbox->first || has_work(context);
    pthread_mutex_unlock(&mailbox->lock);
    return due;
}
