/* Outbound: what the sender's parts share, and nothing else of each other: the way to the server
 * and to the loop, the mailbox, the sender's own read-only connection, and our own log as others
 * see it.
 *
 *   relay_io.h   the relay's actions        call_io.h   calls to the outside
 *   feed_io.h    a feed's actions           redrive.h   parked events, fetched again
 *   durable_io.h readers' durables on our stream
 *
 * Each part embeds its machine, and is called by the sender (sender.h) on its thread; what library
 * threads call says so. */
#pragma once
#include "base/thread_owner.h"
#include "bus/jetstream.h"
#include "runtime/core/status.h"
#include "runtime/outbound/mailbox.h"
#include "runtime/outbound/reply_subject.h"
#include "runtime/request/inbox.h"

#define DURABLE_NAME_MAX 64

struct outbound {
    struct thread_owner owner; /* the sender's thread */
    struct bus *bus;           /* borrowed, as all pointers here; NULL until sender_subscribe */
    struct inbox *inbox;       /* of the writer */
    struct status *status;
    const struct service *service;
    struct source self; /* our own log, as others see it */
    struct db *db;      /* read-only */
    /* The name of our consumers on others' streams: that of the service, whose durables a leader
     * has; of a follower with its instance, and gone when nobody has asked for so long. 0: stays */
    char reader[DURABLE_NAME_MAX + 1];
    char reader_instance[DURABLE_NAME_MAX + 1]; /* what its name ends with; "": nothing */
    int64_t reader_inactive_s;
    struct mailbox mailbox;
    char replies[BUS_INBOX_SIZE]; /* the inbox below which all replies come in */
};

/* Sends a request; the reply comes with this tag. 0 or < 0. */
int outbound_request(struct outbound *outbound, const struct reply_tag *tag, const char *subject,
                     const void *body, size_t length);

/* The same with a reply subject that the part has made. */
int outbound_request_to(struct outbound *outbound, const char *reply, const char *subject,
                        const void *body, size_t length);

/* The same for a request of JetStream's API that was built with the result `built`. */
int outbound_request_api(struct outbound *outbound, const struct reply_tag *tag, int built,
                         const struct js_request *request);

/* Takes over a request with its outcome, which rests on all that is committed: the answer leaves at
 * once, or as soon as that is confirmed (gate_io.h). */
void outbound_answer(struct outbound *outbound, struct item *item);

/* Subscribes to a suffix of the inbox. 0 or < 0. */
int outbound_subscribe(struct outbound *outbound, const char *suffix, bus_handler handler,
                       void *context, struct bus_subscription **ret_subscription);
