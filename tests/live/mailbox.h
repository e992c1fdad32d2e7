/* Mailbox: keeps the messages that arrive on a subject until a test takes them. */
#pragma once
#include <pthread.h>
#include "bus/bus.h"

#define MAILBOX_MAX 64 /* further messages are dropped */

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct bus_message *messages[MAILBOX_MAX];
    int count, taken;
    struct bus_subscription *subscription;
};

void mailbox_open(struct mailbox *box, struct bus *bus, const char *subject);
struct bus_message *mailbox_next(struct mailbox *box); /* owned by the mailbox; NULL: none came */
/* The handler of the subscription; its context is the mailbox. */
void mailbox_put(void *box, struct bus_message *message);
void mailbox_close(struct mailbox *box);
