/* Item: one piece of work for the loop: a request, an event, an answer. It owns all its memory in
 * one arena. It is handed from thread to thread, so only one thread uses it at a time: library
 * thread -> inbox -> writer -> sender, which frees it. */
#pragma once
#include "base/buf.h"
#include "journey.h"

enum item_kind {
    ITEM_COMMAND, /* a request that changes something */
    ITEM_QUERY,   /* a request that reads: goes to the readers, not to the loop */
    ITEM_EVENT,   /* an event of another's log, or of our own log when we recover from our stream */
    ITEM_ANSWER,  /* the answer to a call of the process */
    ITEM_REDRIVE, /* an operator's request to try parked events again: see operations.h */
    ITEM_REBUILD, /* an operator's request to fold the tables anew: likewise */
    ITEM_TERM,    /* this instance begins to lead: its TermBegan (store/terms.h) */
    ITEM_END,     /* it hands over: its TermEnded, and nothing after it */
    ITEM_KEEP,    /* what others have set on our stream, to be kept: see stream_keep.h */
    ITEM_ASIDE,   /* another leads: what the stream never had is set aside (writer/set_aside.h) */
    ITEM_DURABLE, /* a reader's request for its durable on our stream: see durable_io.h */
    ITEM_HAND_OVER, /* an operator's requests about who leads: see handover_io.h, orphans.h */
    ITEM_TAKE_OVER,
    ITEM_ORPHANS,
    ITEM_STATUS, /* how this instance is: answered where it comes in (watch/brief.h) */
};

enum item_outcome {
    OUTCOME_NONE,    /* not run */
    OUTCOME_DONE,    /* committed; a command's reply is in `body` */
    OUTCOME_REFUSED, /* `refusal` and `message` */
    OUTCOME_REPEAT,  /* an event at or before the cursor: nothing to do */
    OUTCOME_GAP,     /* an event past cursor + 1: not applied, must be delivered again (rule 3) */
    /* an event of a lower term behind a higher TermBegan: it has no position, and nothing to do */
    OUTCOME_VOID,
    OUTCOME_FORK, /* an event whose chain does not follow: never applied */
    /* an event that could not be applied: parked, with all later events of its entity */
    OUTCOME_PARKED,
};

/* What events that follow from this item inherit. */
struct origin {
    const char *correlation;  /* NULL: a new one is made */
    const char *causation;    /* id of the request or event */
    const char *cause;        /* see struct event; NULL */
    const char *cause_digest; /* NULL */
    const char *traceparent;  /* NULL */
};

struct kept_stream_row;
struct micro_endpoint;

struct item {
    struct item *next; /* in whatever list it is */
    enum item_kind kind;
    struct arena arena;
    struct origin origin;

    /* requests: ITEM_COMMAND, ITEM_QUERY */
    const struct command *command;
    const struct query_type *query;
    int64_t *min_positions; /* of a query: [0] our log, [1 + i] source i; NULL: none demanded */
    int64_t give_up_ms;     /* monotonic: until when it waits for them, or for the gate */
    _Bool is_about_log;     /* the runtime's own query, which other services heal with */
    uint32_t client;        /* who asks, as a hash: see request/fair_queue.h */
    const void *request;    /* struct of the request's schema */
    const char *key;        /* idempotency key; with an account see account_subject.h; NULL */
    const char *account;    /* that the subject names, and that the request is for; NULL: none */
    const char *asker;      /* account and user at the server, for lines at debug; NULL */
    const char *reader;     /* of an ITEM_DURABLE: whose durable */
    const char *reply_to;   /* inbox of the requester; NULL: no reply is wanted */
    struct micro_endpoint *counters; /* of its endpoint; NULL in tests */
    int64_t received_ns;             /* monotonic, when the callback saw it */
    /* the position of our log that its answer rests on: of a query's snapshot; see sync/gate.h */
    int64_t depends_on;

    /* ITEM_EVENT */
    const struct source *source; /* NULL: our own log */
    int feed;                    /* index of source */
    struct event event; /* value NULL: a type that we do not read, or that cannot be decoded */
    struct digest event_digest;
    const struct event_type *type; /* NULL: not read by this service; only the cursor moves */
    const char *invalid;           /* why the event does not fit its schema; NULL: it does */
    int64_t stream_position;       /* how far our stream goes; of an own event, an ITEM_KEEP */
    int64_t sequence;              /* likewise: its own in the stream */
    int64_t feed_epoch;            /* of the feed when it was delivered */
    const char *ack_to; /* the broker's acknowledgement subject; NULL: fetched from the leader */
    _Bool redriven;     /* was parked: its position is before the cursor */

    /* ITEM_ANSWER */
    struct answer answer;
    int64_t due_ms; /* wall time; a built-in provider's answer waits until then */

    /* ITEM_TERM */
    const char *instance;  /* who begins it; of an ITEM_END: who ends it */
    const char *successor; /* of an ITEM_END: who is to lead next */
    /* of an ITEM_ASIDE: the last position that log and stream share; whose folder it is */
    int64_t common;
    const char *database_path;
    int64_t term; /* the highest that was seen elsewhere; once it is run: the one begun */

    const struct kept_stream_row *kept; /* of an ITEM_KEEP */

    /* outcome, set by the loop */
    enum item_outcome outcome;
    const struct refusal_type *refusal; /* of OUTCOME_REFUSED */
    const char *message;
    struct buf body; /* the encoded reply */
};

struct item *item_new(enum item_kind kind); /* NULL: no memory */
void item_free(struct item *item);
DEFINE_FREE(item)
void item_list_free(struct item *first);
