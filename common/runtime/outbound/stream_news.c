/* Stream news: see stream_news.h. */
#include "runtime/outbound/stream_news.h"
#include <stdio.h>

static const char *const subjects[STREAM_NEWS_SUBJECTS] = {
    "$JS.EVENT.ADVISORY.STREAM.UPDATED.%s",
    "$JS.EVENT.ADVISORY.CONSUMER.CREATED.%s.*",
    "$JS.EVENT.ADVISORY.CONSUMER.DELETED.%s.*",
    "$JS.EVENT.ADVISORY.CONSUMER.PAUSE.%s.*",
};

/* On a library thread. Many may come at once: one note says it. */
static void on_advisory(void *context, struct bus_message *message)
{
    struct stream_news *news = context;
    bus_message_free(message);
    if (!atomic_exchange(&news->told, 1))
        mailbox_push(&news->outbound->mailbox, (struct note){ .kind = NOTE_ADVISED });
}

void stream_news_taken(struct stream_news *news)
{
    owner_assert(&news->outbound->owner);
    atomic_store(&news->told, 0);
}

void stream_news_init(struct stream_news *news, struct outbound *outbound)
{
    *news = (struct stream_news){ .outbound = outbound };
}

int stream_news_subscribe(struct stream_news *news)
{
    int r = 0;
    for (int i = 0; i < STREAM_NEWS_SUBJECTS && r == 0; i++) {
        char subject[BUS_SUBJECT_MAX + 1];
        snprintf(subject, sizeof(subject), subjects[i], news->outbound->self.log);
        r = bus_subscribe(news->outbound->bus, subject, NULL, on_advisory, news,
                          &news->subscriptions[i]);
    }
    return trace(r);
}

void stream_news_deinit(struct stream_news *news)
{
    for (int i = 0; i < STREAM_NEWS_SUBJECTS; i++)
        bus_subscription_free(take(news->subscriptions[i]));
}
