/* Event log: the truth of one service (rule 1). Positions 1, 2, 3 … without a gap, and a chain:
 *
 *     chain_n  = SHA-256(chain_(n-1) || digest_n)          chain_0 = 32 zero bytes
 *     digest_n = SHA-256(canonical form of event n)
 *
 * The canonical form is, for each of log, position (decimal), id, type, entity, time_ms (decimal),
 * correlation, causation, cause, cause_digest (hex), traceparent, data, in this order: the length
 * in bytes as a 32-bit big-endian number and the bytes; an absent one has the length 0xFFFFFFFF.
 * Two logs agree up to a position exactly when their chains are equal there. digest_n needs no
 * state, so that it is computed on any thread; only the short outer hash stays with the writer.
 */
#pragma once
#include "base/arena.h"
#include "base/digest.h"
#include "store/db.h"

/* cause of an event that a request with an idempotency key made */
#define CAUSE_REQUEST "request/"

struct event {        /* borrowed text; NULL where absent */
    const char *log;  /* "ORDER" */
    int64_t position; /* from 1 */
    struct digest chain;
    const char *id;          /* UUIDv7; ce-id */
    const char *type;        /* "OrderPlaced" */
    const char *entity;      /* ce-subject: "ord_…", a sku */
    int64_t time_ms;         /* wall clock of the decision */
    const char *correlation; /* one id for all that a first request set off */
    const char *causation;   /* id of the request or event that made this one */
    const char *cause;       /* "request/<key>" or "<LOG>/<position>", else NULL */
    /* hex SHA-256 of subject and body of the request; NULL without a key */
    const char *cause_digest;
    const char *traceparent; /* W3C */
    const char *data;        /* JSON text; its very bytes are hashed */
    size_t data_length;
    const void *value; /* data decoded by its schema; NULL where nobody needs it */
};

struct log_head {
    int64_t position; /* 0: empty */
    struct digest chain;
};

int event_digest(const struct event *event, struct digest *ret_digest);
int event_chain(const struct digest *previous, const struct digest *event_digest,
                struct digest *ret_chain);

int event_log_create(struct db *db); /* tables, when they are not there */
int event_log_head(struct db *db, struct log_head *ret_head);
/* Position and chain are already set. ERR_CONSTRAINT, and nothing is appended, for any position but
 * the log's highest + 1; that the chain follows is for the caller to see to. */
int event_log_append(struct db *db, const struct event *event);
/* 1 found, 0 no such position */
int event_log_chain_at(struct db *db, int64_t position, struct digest *ret_chain);

/* The events after a position, in order. event_reader_next copies nothing: the event's text is
 * valid until the next call. log is the log's name, borrowed. */
struct event_reader {
    struct query query;
    const char *log;
};
int event_reader_open(struct event_reader *reader, struct db *db, const char *log,
                      int64_t after_position, int64_t limit);
int event_reader_next(struct event_reader *reader, struct event *ret_event); /* 1, 0 the end, < 0 */
void event_reader_deinit(struct event_reader *reader);
DEFINE_DEINIT(event_reader)

/* The events of one cause, in order; same reader. */
int event_reader_open_cause(struct event_reader *reader, struct db *db, const char *log,
                            const char *cause);
int event_log_has_cause(struct db *db, const char *cause); /* 1 yes, 0 no, < 0 */

/* What an event that follows from the one at a position inherits: its correlation, its id, its
 * trace; NULL where absent, text in the arena. 1 found, 0 no such position, < 0. */
int event_log_origin(struct db *db, int64_t position, struct arena *arena,
                     const char **ret_correlation, const char **ret_id,
                     const char **ret_traceparent);

/* A deep copy whose text lives in the arena. */
int event_copy(const struct event *event, struct arena *arena, struct event *ret_copy);
