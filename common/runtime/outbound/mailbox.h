/* Mailbox: what other threads tell the sender, in order. What comes in thousands a second is not
 * here, but a number that library threads write and the sender looks at: acknowledgements
 * (relay_io.h), arrivals (feed_io.h).
 *
 * It has no limit of its own, because what fills it is limited: requests, pulls and calls in
 * flight, operators' requests (operations.h), and batches and answers by what inbox and readers
 * take. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "bus/bus.h"
#include "runtime/writer/batch.h"

enum note_kind {
    NOTE_BATCH,        /* `batch`: to settle */
    NOTE_CONNECTED,    /* to the server */
    NOTE_DISCONNECTED, /* from it */
    NOTE_REFUSED,      /* the stream refused an event of `epoch`, with the code `status` */
    NOTE_PULL_STATUS,  /* of `pull` of `feed` in `epoch`: `status` */
    NOTE_REPLY,        /* `reply` to a request of ours */
    NOTE_DENIED,       /* by the server: to publish (`status` 1) on `words`, or to subscribe (0) */
    NOTE_BEAT,         /* `reply`: a heartbeat of a leader of our log */
    NOTE_ADVISED,      /* somebody has changed something about our stream */
    NOTE_OPERATOR,     /* `request` of an operator */
    NOTE_HAND_OVER,    /* the process is to stop: a standby may lead */
    NOTE_ANSWER,       /* `request` with its outcome, which waits for its position */
};

struct note { /* owns what it points to, until it is taken */
    struct note *next;
    enum note_kind kind;
    struct batch *batch;
    struct bus_message *reply;
    struct item *request;
    int feed;
    int64_t epoch, pull;
    int status;
    char words[96]; /* of the status, or of who refused: the server's own; "" */
};

struct mailbox {
    pthread_mutex_t lock;
    struct note *first, **last;
    _Bool stopping;
    _Bool is_waited_for; /* somebody is in mailbox_take, and wants to be woken */
    int wake_fd;         /* an eventfd, made with the first wait; -1: none yet */
    atomic_int wakers;   /* that write to it now */
    int bus_fd;          /* ends a wait when it is readable, too (bus_pump_fd); -1: none */
};

void mailbox_init(struct mailbox *mailbox);
void mailbox_deinit(struct mailbox *mailbox); /* frees what nobody took */

/* Any thread. Without memory it ends the process: a note lost is a stall. */
void mailbox_push(struct mailbox *mailbox, struct note note);
void mailbox_wake(struct mailbox *mailbox); /* who waits in mailbox_take looks around */
void mailbox_stop(struct mailbox *mailbox);

/* All notes, oldest first; NULL: none. Waits until there is one, has_work says yes, bus_fd is
 * readable, or the monotonic time deadline_ms; MAILBOX_NO_WAIT: not at all. has_work is asked under
 * the lock. One thread only. */
#define MAILBOX_NO_WAIT 0
typedef _Bool (*mailbox_has_work)(const void *context);
struct note *mailbox_take(struct mailbox *mailbox, int64_t deadline_ms, mailbox_has_work has_work,
                          const void *context, _Bool *ret_stopping);

/* Would mailbox_take return at once? */
_Bool mailbox_is_due(struct mailbox *mailbox, mailbox_has_work has_work, const void *context);
