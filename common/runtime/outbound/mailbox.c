/* Mailbox: see mailbox.h. */
#include "runtime/outbound/mailbox.h"
#include "base/condition.h"
#include "base/log.h"
#include <assert.h>
#include <stdlib.h>

void mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){ 0 };
    mailbox->last = &mailbox->first;
    pthread_mutex_init(&mailbox->lock, NULL);
    condition_init(&mailbox->filled);
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
}

/* With the lock held: the list ends where `last` says. */
static void check_list(const struct mailbox *mailbox)
{
    assert(!*mailbox->last);
    assert(mailbox->first || mailbox->last == &mailbox->first);
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
    pthread_mutex_unlock(&mailbox->lock);
    /* after the unlock: it would wake up only to wait for the lock */
    pthread_cond_signal(&mailbox->filled);
}

void mailbox_wake(struct mailbox *mailbox)
{
    /* who looks at what woke it does so under the lock, or is waiting */
    pthread_mutex_lock(&mailbox->lock);
    pthread_mutex_unlock(&mailbox->lock);
    pthread_cond_signal(&mailbox->filled);
}

void mailbox_stop(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->stopping = 1;
    pthread_cond_signal(&mailbox->filled);
    pthread_mutex_unlock(&mailbox->lock);
}

struct note *mailbox_take(struct mailbox *mailbox, int64_t deadline_ms, mailbox_has_work has_work,
                          const void *context, _Bool *ret_stopping)
{
    pthread_mutex_lock(&mailbox->lock);
    if (deadline_ms != MAILBOX_NO_WAIT && !mailbox->first && !has_work(context))
        condition_wait(&mailbox->filled, &mailbox->lock, deadline_ms);
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
