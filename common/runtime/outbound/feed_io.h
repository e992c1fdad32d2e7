/* Feed's I/O: brings one source's log to the inbox: keeps the durable, pulls, decodes what is
 * delivered, acknowledges what was committed, and fetches from the leader what its stream has lost.
 * What to do is decided in sync/feed.h; here it is carried out, and what happened is told to it.
 * On the sender's thread, but for the deliveries, which come on library threads. */
#pragma once
#include "runtime/core/config.h"
#include "runtime/outbound/outbound.h"
#include "runtime/sync/feed.h"

struct feed_io {
    struct outbound *outbound;
    int number; /* of the source in the service's table */
    const struct source *source;
    struct feed feed;
    struct feed_info info; /* the look at the stream that is under way */
    /* Who makes our durable: its stream's leader, or we ourselves, where the leader does not answer
     * and the server lets us: an open mesh. */
    _Bool makes_durable, making_is_answered;
    char api[SOURCE_API_SIZE]; /* prefix of the JetStream API of the source's stream */
    char durable_name[48];     /* as notices call it */
    char accepted[256];        /* how the durable differs from our wish, by the server's will */
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

/* The step of a feed's request, in its tag. */
enum feed_step {
    FEED_STEP_STREAM = 's',
    FEED_STEP_LAST = 'l',
    FEED_STEP_PAGE = 'f',
    FEED_STEP_COMPARED = 'e',
    /* of own_durable.c: */
    FEED_STEP_DURABLE = 'c',
    FEED_STEP_TAKEN = 't',
    FEED_STEP_MADE = 'm',
    FEED_STEP_DELETED = 'd',
    FEED_STEP_LEADER_MADE = 'b',
};
/* Sends a request that was built with the result `built`, for feed_io_reply. */
void feed_io_request(struct feed_io *feed_io, enum feed_step step, int built,
                     const struct js_request *request, int64_t now_ms);

/* All that feed_next says. */
void feed_io_act(struct feed_io *feed_io, int64_t now_ms);

void feed_io_take_arrivals(struct feed_io *feed_io, int64_t now_ms);
/* message: borrowed */
void feed_io_reply(struct feed_io *feed_io, const struct reply_tag *tag,
                   struct bus_message *message, int64_t now_ms);
void feed_io_pull_status(struct feed_io *feed_io, const struct note *note, int64_t now_ms);
void feed_io_settled(struct feed_io *feed_io, const struct batch *batch, int64_t now_ms);

/* Its numbers into the status; a state that is new into the log. */
void feed_io_report(struct feed_io *feed_io, int64_t now_ms);
