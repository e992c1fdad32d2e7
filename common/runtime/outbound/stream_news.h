/* Stream news: JetStream tells everybody in its account who listens (`$JS.EVENT.ADVISORY`) that
 * somebody has changed a stream, or has made, paused or removed a consumer of it. What is so told
 * of our stream has the relay look at it at once (relay_advised), so that it is kept
 * (stream_keep.h) before the stream may be lost. A change of a consumer is not told (nats-server
 * 2.15.3): the audit sees it. An advisory is a hint, and its text is not read: anybody might write
 * one. Where the right to listen is missing, that is named, and the audit sees all of it later. */
#pragma once
#include <stdatomic.h>
#include "runtime/outbound/outbound.h"

#define STREAM_NEWS_SUBJECTS 4

struct stream_news {
    struct outbound *outbound; /* borrowed */
    atomic_bool told;          /* a note of it waits in the mailbox */
    struct bus_subscription *subscriptions[STREAM_NEWS_SUBJECTS];
};

void stream_news_init(struct stream_news *news, struct outbound *outbound);
int stream_news_subscribe(struct stream_news *news); /* 0 or < 0 */
void stream_news_deinit(struct stream_news *news);
/* The note was taken: what is told from now on is another one. On the sender's thread. */
void stream_news_taken(struct stream_news *news);
