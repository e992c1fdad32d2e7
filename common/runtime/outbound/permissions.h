/* Permissions: what the server does not let us do, by its own word: subscriptions and publishes
 * that it has refused. Each is named; the service is held while it may not answer its own requests,
 * or not write or look at its own stream. A refused subscription is tried again until the right is
 * there, but for JetStream's advisories, which the service can do without (stream_news.h): that is
 * named until the next connect. On the sender's thread. */
#pragma once
#include "runtime/outbound/outbound.h"
#include "runtime/request/endpoint.h"

#define DENIED_SUBJECTS_MAX 16 /* more at a time are logged by the bus, and not named here */

struct permissions {
    struct outbound *outbound;
    struct endpoints *endpoints;
    struct denied {
        char subject[NOTICE_VALUE_SIZE];
        _Bool publish;
        int64_t denied_ms; /* the last time */
    } denied[DENIED_SUBJECTS_MAX];
    int count;
    int64_t retry_ms; /* when the subscriptions are tried again; INT64_MAX: there are none */
};

void permissions_init(struct permissions *permissions, struct outbound *outbound,
                      struct endpoints *endpoints);
/* The server has refused to let us publish on this subject, or subscribe to it. */
void permissions_denied(struct permissions *permissions, _Bool publish, const char *subject,
                        int64_t now_ms);
/* What is asked for anew with each connect is not known to be refused any more. */
void permissions_disconnected(struct permissions *permissions);
/* Tries again, and forgets what is refused no more. */
void permissions_act(struct permissions *permissions, int64_t now_ms);
