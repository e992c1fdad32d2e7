/* JetStream: the requests of its API that the mesh makes, and the replies to them, as text. No I/O:
 * the sender sends what is built here (BUS_URGENT) and hands over the reply. A reply is checked
 * like any other data from outside. Any thread.
 *
 *     struct js_request request;
 *     js_request_init(&request, NULL);
 *     js_stream_info(&request, "ORDER");      ->  request.subject, request.body
 *     …
 *     js_parse_stream_info(data, length, arena, &reply)
 *
 * Names of streams and consumers must be of [A-Za-z0-9_-]; otherwise -ERR_INVALID.
 */
#pragma once
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/json_text.h"
#include "bus/headers.h"

/* ---- Requests ------------------------------------------------------------------------------- */

#define JS_API_PREFIX "$JS.API"

struct js_request {
    const char *api; /* prefix of the subjects, borrowed */
    char subject[BUS_SUBJECT_MAX + 1];
    struct buf body; /* may be empty */
};
void js_request_init(struct js_request *request, const char *api); /* api NULL: the default */
/* The default is JS_API_PREFIX, or that of JetStream's domain, `$JS.<domain>.API`: set before
 * threads are started. 0 or -ERR_CONFIG. */
int js_set_domain(const char *domain);
const char *js_default_api(void);
void js_request_deinit(struct js_request *request);
DEFINE_DEINIT(js_request)

/* Retention by limits, discard new, no age limit, stored in files. The duplicate window is as short
 * as possible, because nothing of ours relies on it (rule 1). */
struct js_stream_config {
    const char *name;            /* "ORDER" */
    const char *subject;         /* "evt.order.>" */
    int64_t max_bytes;           /* 0: no limit */
    int replicas;                /* 0: 1 */
    int64_t duplicate_window_ms; /* 0: 100, the least that the server takes */
};
int js_stream_create(struct js_request *request, const struct js_stream_config *config);
/* The configuration alone, as JSON: appended. And with a text of this kind: */
int js_stream_config_put(const struct js_stream_config *config, struct buf *out);
int js_stream_create_as(struct js_request *request, const char *stream, const char *config);
int js_stream_update(struct js_request *request, const char *stream, const char *config);
int js_stream_info(struct js_request *request, const char *stream);
int js_stream_delete(struct js_request *request, const char *stream);

/* Read one stored message: at this sequence; the newest on a subject; the first at or after a
 * sequence on a subject. Subjects may have wildcards. */
int js_message_get(struct js_request *request, const char *stream, int64_t sequence);
int js_message_get_last(struct js_request *request, const char *stream, const char *subject);
int js_message_get_next(struct js_request *request, const char *stream, int64_t sequence,
                        const char *subject);

/* A durable pull consumer: ack policy all, no limit on deliveries, not removed when idle. */
struct js_consumer_config {
    const char *stream;
    const char *name;       /* "order-svc" */
    int64_t start_sequence; /* 0 or 1: from the first message */
    int max_ack_pending;    /* at least the pull's batch */
    int64_t ack_wait_ms;    /* 0: 30 s */
    int64_t inactive_ms;    /* removed when nobody has pulled for so long; 0: never */
    int replicas;           /* 0: as the stream */
};
int js_consumer_create(struct js_request *request, const struct js_consumer_config *config);
/* The configuration alone, as JSON: appended. And with a text of this kind: */
int js_consumer_config_put(const struct js_consumer_config *config, struct buf *out);
int js_consumer_create_as(struct js_request *request, const char *stream, const char *consumer,
                          const char *config);
/* One for a single reading from a sequence on: a pull consumer without acknowledgements, not
 * durable, in the server's memory, removed when nobody has pulled for so long. */
int js_reader_create(struct js_request *request, const char *stream, const char *name,
                     int64_t start_sequence, int64_t inactive_ms);
/* All consumers of a stream, a page from the offset-th on. */
int js_consumer_list(struct js_request *request, const char *stream, int64_t offset);
int js_consumer_info(struct js_request *request, const char *stream, const char *consumer);
int js_consumer_delete(struct js_request *request, const char *stream, const char *consumer);

/* A pull: asks for a batch; the messages come to the reply subject one by one. */
struct js_pull {
    int batch;
    int64_t expires_ms;        /* 0: the server answers at once with what it has */
    int64_t idle_heartbeat_ms; /* 0: none; else at most half of expires_ms */
    int64_t max_bytes;         /* 0: no limit */
};
int js_consumer_next(struct js_request *request, const char *stream, const char *consumer,
                     const struct js_pull *pull);

/* Bodies that settle a delivery; sent to its reply subject. */
#define JS_ACK "+ACK"
#define JS_NAK "-NAK"

/* ---- Replies -------------------------------------------------------------------------------- */

/* All parse functions return 0; JS_REFUSED with ret->error set, when the server refused;
 * -ERR_INVALID, when the reply is malformed; -ERR_MEMORY. Text lives in the arena. Unknown fields
 * are ignored. */
#define JS_REFUSED 1

enum js_error_code { /* err_code; those that the mesh handles */
                     JS_ERR_ACCOUNT_LIMIT = 10002,
                     JS_ERR_FIELD_NOT_UPDATABLE = 10012,
                     JS_ERR_CONSUMER_NOT_FOUND = 10014,
                     JS_ERR_MESSAGE_NOT_FOUND = 10037,
                     JS_ERR_TOO_LARGE = 10054,
                     JS_ERR_STREAM_NAME_IN_USE = 10058,
                     JS_ERR_STREAM_NOT_FOUND = 10059,
                     JS_ERR_WRONG_LAST_MESSAGE_ID = 10070,
                     JS_ERR_WRONG_LAST_SEQUENCE = 10071,
                     JS_ERR_ACK_PENDING_EXCESS = 10121,
                     JS_ERR_CONSUMER_EXISTS = 10148,
                     JS_ERR_STREAM_FULL = 10077,
};

struct js_error {
    int code;                /* like HTTP; 0: no error */
    int error_code;          /* enum js_error_code, or another */
    const char *description; /* never NULL */
};

struct js_puback {
    struct js_error error;
    const char *stream;
    int64_t sequence;
    _Bool duplicate;
};
int js_parse_puback(const char *data, size_t length, struct arena *arena,
                    struct js_puback *ret_ack);

struct js_stream_state {
    struct js_error error;
    const char *created; /* RFC 3339 with nanoseconds; a stream that is made anew has another one */
    int64_t messages, bytes;
    /* a stream that was never used: 0 and 0; a purged one: last + 1 and last */
    int64_t first_sequence, last_sequence;
    int64_t deleted_count; /* sequences between first and last that have no message */
    const char *subject;   /* the first of its subjects; NULL: none */
    int64_t subject_count;
    int64_t max_bytes;   /* -1: no limit */
    int64_t max_age_ns;  /* 0: none */
    const char *discard; /* "new", "old" */
    int64_t replicas;
    int64_t consumer_count;
    struct json_text config; /* all of it; borrowed from the reply */
};
int js_parse_stream_info(const char *data, size_t length, struct arena *arena,
                         struct js_stream_state *ret_state); /* also the reply of create */

struct js_stored_message {
    struct js_error error;
    int64_t sequence;
    struct bus_view view;
};
int js_parse_message(const char *data, size_t length, struct arena *arena,
                     struct js_stored_message *ret_message);

struct js_consumer_state {
    struct js_error error;
    const char *name;
    const char *created;
    int64_t delivered_sequence; /* of the stream: the newest delivered */
    int64_t acked_sequence;     /* of the stream: all up to here are acknowledged, the ack floor */
    int64_t pending_count;      /* not delivered yet */
    int64_t ack_pending_count;  /* delivered, not acknowledged */
    int64_t waiting_count;      /* pulls that the server holds */
    const char *ack_policy;     /* "all" */
    int64_t start_sequence;     /* 0: from the first */
    int64_t max_ack_pending;
    int64_t max_batch, max_expires_ns; /* of a pull; 0: no limit */
    _Bool paused;
    struct json_text config; /* all of it; borrowed from the reply */
};
int js_parse_consumer_info(const char *data, size_t length, struct arena *arena,
                           struct js_consumer_state *ret_state); /* also the reply of create */

/* A page of the list: each element of `consumers` is an object as of CONSUMER.INFO. Borrowed from
 * the reply. */
struct js_consumer_page {
    struct js_error error;
    int64_t total, offset, count;
    struct json_text consumers;
};
int js_parse_consumer_list(const char *data, size_t length, struct arena *arena,
                           struct js_consumer_page *ret_page);

/* The reply of a delete. */
int js_parse_success(const char *data, size_t length, struct arena *arena,
                     struct js_error *ret_error);

/* ---- Deliveries ----------------------------------------------------------------------------- */

/* What the reply subject of a delivered message says, in the old form ($JS.ACK.stream.consumer.…)
 * and in the form with domain and account hash. The names are copied. 0 or -ERR_INVALID. */
struct js_delivery {
    char stream[65], consumer[65];
    int64_t delivered_count; /* 1: the first time */
    int64_t stream_sequence;
    int64_t consumer_sequence;
    int64_t time_ns;       /* when it was stored; wall clock of the server */
    int64_t pending_count; /* messages after it */
};
int js_parse_delivery(const char *reply, struct js_delivery *ret_delivery);
