/* Event log: the log of one service, from which all else can be made (rule 1). Positions are 1, 2,
 * 3 … without a gap, and each event has a chain:
 *
 *     chain_n  = SHA-256(chain_(n-1) || digest_n)          chain_0 = 32 zero bytes
 *     digest_n = SHA-256(canonical form of event n)
 *
 * The canonical form is, for each of log, position (decimal), id, type, entity, time_ms (decimal),
 * correlation, causation, cause, cause_digest (hex), traceparent, data, in this order: the length
 * in bytes as a 32-bit big-endian number, and the bytes; an absent field has the length 0xFFFFFFFF.
 * Two logs agree up to a position exactly when their chains are equal there. digest_n needs no
 * state, so any thread can compute it; the writer computes only the short outer hash.
 */
#pragma once
#include "base/arena.h"
#include "base/digest.h"
#include "store/db.h"

/* Beginning of the cause of an event that a request with an idempotency key made. */
#define CAUSE_REQUEST "request/"
/* Likewise where the key is an account's own: "request.<account>/<key>". */
#define CAUSE_ACCOUNT "request."

struct event {        /* borrowed text; NULL where absent */
    const char *log;  /* "ORDER" */
    int64_t position; /* from 1 */
    struct digest chain;
    const char *id;          /* UUIDv7; ce-id */
    const char *type;        /* "OrderPlaced", "OrderPlaced.v2" */
    const char *entity;      /* ce-subject: "ord_…", a sku */
    int64_t time_ms;         /* wall clock of the decision */
    const char *correlation; /* one id for all that follows from a first request */
    const char *causation;   /* id of the request or event that made this one */
    /* "request/<key>", "request.<account>/<key>", event_name_cause() or NULL */
    const char *cause;
    /* hex SHA-256 of subject and body of the request; NULL without a key */
    const char *cause_digest;
    const char *traceparent; /* W3C */
    const char *data;        /* JSON text; these bytes are hashed */
    size_t data_length;
    const void *value; /* data decoded by its schema; NULL where that is not needed */
    int64_t term;      /* Journey-Term: see store/terms.h; 0: none, or not asked for */
};

struct log_head {
    int64_t position; /* 0: empty */
    struct digest chain;
};

int event_digest(const struct event *event, struct digest *ret_digest);
int event_chain(const struct digest *previous, const struct digest *event_digest,
                struct digest *ret_chain);

int event_log_create(struct db *db); /* the table, when it is not there */
int event_log_head(struct db *db, struct log_head *ret_head);
/* The caller sets position and chain, and sees to it that the chain follows; a TermBegan is noted
 * in the table of terms. ERR_CONSTRAINT: the position is not the log's highest + 1, and nothing was
 * appended. */
int event_log_append(struct db *db, const struct event *event);
/* 0, NOT_FOUND: the log has no such position, or < 0. */
int event_log_find_chain(struct db *db, int64_t position, struct digest *ret_chain);

/* The events after a position, in order. Nothing is copied: an event's text is valid until the next
 * call. log is the log's name, borrowed.
 *
 *     _deinit_(event_reader) struct event_reader reader = { 0 };
 *     int r = event_reader_open(&reader, db, "ORDER", after_position, limit);
 *     while (r == 0 && event_reader_has_next(&reader, &event))
 *         r = use(&event);
 *     if (r == 0)
 *         r = event_reader_status(&reader);
 */
struct event_reader {
    struct query query;
    const char *log;
};
int event_reader_open(struct event_reader *reader, struct db *db, const char *log,
                      int64_t after_position, int64_t limit);
/* False at the end and after a failure; event_reader_status says which: 0, or < 0. */
_Bool event_reader_has_next(struct event_reader *reader, struct event *ret_event);
int event_reader_status(struct event_reader *reader);
void event_reader_deinit(struct event_reader *reader);
DEFINE_DEINIT(event_reader)

/* The first event of one cause; its text is valid while the reader is. 0, NOT_FOUND or < 0. */
int event_reader_find_cause(struct event_reader *reader, struct db *db, const char *log,
                            const char *cause, struct event *ret_event);
int event_log_has_cause(struct db *db, const char *cause); /* 1 yes, 0 no, < 0 */

/* The cause of what follows from another service's event: "<LOG>/<position>/<id>". A position alone
 * does not name an event: after both copies of a log were restored to an older one, its positions
 * are used a second time. Cut at `size`, which must have room for log and position. */
void event_name_cause(const struct event *event, char *ret_cause, size_t size);

/* Is there an event of ours that follows from this one? Programs up to 0.1.0 named log and position
 * as the cause, and the id as the causation; both forms count. 1 yes, 0 no, < 0. */
int event_log_has_reaction(struct db *db, const struct event *event);

/* What an event that follows from the one at a position inherits: its correlation, its id, its
 * trace; NULL where absent, text in the arena. 0, NOT_FOUND: no such position, or < 0. */
int event_log_find_origin(struct db *db, int64_t position, struct arena *arena,
                          const char **ret_correlation, const char **ret_id,
                          const char **ret_traceparent);

/* A deep copy with its text in the arena, without `value`. */
int event_copy(const struct event *event, struct arena *arena, struct event *ret_copy);
