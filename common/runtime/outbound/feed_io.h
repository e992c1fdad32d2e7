/* Feed's I/O: brings one source's log to the inbox: keeps the durable, pulls, decodes what is
 * delivered, acknowledges what was committed, and fetches from the leader what its stream has lost.
 * What to do is decided in sync/feed.h; here it is carried out, and what happened is told to it.
 * On the sender's thread, but for the deliveries, which come on library threads. */
#pragma once
#include "runtime/core/config.h"
#include "runtime/outbound/feed_durable.h"
#include "runtime/sync/feed.h"

struct feed_io {
    struct outbound *outbound;
    int number; /* of the source in the service's table */
    const struct source *source;
    struct feed feed;
    struct feed_info info;       /* the look at the stream that is under way */
    struct feed_durable durable; /* has it made */
    struct suspect {             /* the newest message that did not follow what we had read */
        int64_t position, sequence;
        struct digest chain;
        _Bool differs; /* it claims the next position, or that of our cursor, with another chain */
        _Bool is_void; /* the leader's log does not have it, and that was named */
    } suspect;
    int64_t void_sequence;     /* of the newest message of a lower term that was passed over */
    int64_t voids;             /* since the start */
    char api[SOURCE_API_SIZE]; /* prefix of the JetStream API of the source's stream */
    int looked_back;           /* messages behind the newest event, in that look */
    _Bool was_held;            /* at the last report */
    _Bool began_empty;         /* the file had nothing of this log when the service started */

    /* Library threads count what was delivered, the sender looks at it. */
    struct arrivals {
        atomic_llong delivered, ignored; /* since the sender looked */
        atomic_llong position, pending;  /* of the newest */
    } arrivals;
    atomic_llong epoch; /* the feed's, for library threads */
    struct bus_subscription *deliveries;
};

/* cursor: where ours stands. -ERR_CONFIG: its API's prefix is no subject. */
int feed_io_init(struct feed_io *feed_io, struct outbound *outbound, const struct config *config,
                 int number, int64_t cursor, uint64_t seed);
int feed_io_subscribe(struct feed_io *feed_io);
void feed_io_deinit(struct feed_io *feed_io);

/* All that feed_next says. */
void feed_io_act(struct feed_io *feed_io, int64_t now_ms);

void feed_io_take_arrivals(struct feed_io *feed_io, int64_t now_ms);
/* message: borrowed */
void feed_io_reply(struct feed_io *feed_io, const struct reply_tag *tag,
                   struct bus_message *message, int64_t now_ms);
void feed_io_pull_status(struct feed_io *feed_io, const struct note *note, int64_t now_ms);
void feed_io_settled(struct feed_io *feed_io, const struct batch *batch, int64_t now_ms);

/* A request of the feed; the reply comes with this step. built: the result of making it. */
static inline void feed_io_request(struct feed_io *feed_io, char step, int built,
                                   const struct js_request *request, int64_t now_ms)
{
    const struct reply_tag tag = { .part = (char)(PART_FEED + feed_io->number),
                                   .step = step,
                                   .epoch = feed_io->feed.epoch };
    if (outbound_request_api(feed_io->outbound, &tag, built, request) < 0)
        feed_failed(&feed_io->feed, "the server cannot be asked", now_ms);
}

/* Its numbers into the status; a state that is new into the log. */
void feed_io_report(struct feed_io *feed_io, int64_t now_ms);
