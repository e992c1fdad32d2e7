/* Mailbox: see mailbox.h. */
#include "mailbox.h"
#include <criterion/criterion.h>
#include "base/clock.h"
#include "base/result.h"
#include "server.h"

void mailbox_put(void *context, struct bus_message *message)
{
    struct mailbox *box = context;
    pthread_mutex_lock(&box->lock);
    if (box->count < MAILBOX_MAX)
        box->messages[box->count++] = message;
    else
        bus_message_free(message);
    pthread_cond_signal(&box->filled);
    pthread_mutex_unlock(&box->lock);
}

void mailbox_open(struct mailbox *box, struct bus *bus, const char *subject)
{
    *box = (struct mailbox){ 0 };
    pthread_mutex_init(&box->lock, NULL);
    pthread_cond_init(&box->filled, NULL);
    cr_assert_eq(bus_subscribe(bus, subject, NULL, mailbox_put, box, &box->subscription), 0, "%s",
                 failure_text());
}

struct bus_message *mailbox_next(struct mailbox *box)
{
    int64_t until_ms = clock_wall_ms() + FAR_MS;
    struct timespec deadline = { .tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000 };
    struct bus_message *message = NULL;
    pthread_mutex_lock(&box->lock);
    while (box->taken == box->count &&
           pthread_cond_timedwait(&box->filled, &box->lock, &deadline) == 0) {
    }
    if (box->taken < box->count)
        message = box->messages[box->taken++];
    pthread_mutex_unlock(&box->lock);
    return message;
}

void mailbox_close(struct mailbox *box)
{
    cr_expect_eq(bus_subscription_drain(box->subscription, FAR_MS), 0, "%s", failure_text());
    for (int i = 0; i < box->count; i++)
        bus_message_free(box->messages[i]);
    bus_subscription_free(box->subscription);
}
