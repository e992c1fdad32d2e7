/* Drift: is a stream, or a durable, as we would make it? One comparison of the configuration that
 * the server shows with the one that we wish, for every field that nats-server 2.15.3 has. Pure
 * functions without I/O; called at each look and audit.
 *
 * A field that is otherwise than wished is one of
 *
 *   ours        set back: of a stream by an update, of a durable by making it anew at the cursor
 *   operator's  borne, and kept when the stream is made anew. A field that this table does not
 *               know, because the server is newer, is an operator's
 *   unbearable  neither is right: the stream refuses our events, or loses or changes what readers
 *               need, and somebody wanted that. Held until it is set back, and named
 *
 * What is said of it are notices (core/notices.h), with the field and its value. */
#pragma once
#include "base/buf.h"
#include "base/json_text.h"
#include "runtime/core/notices.h"

enum drift_class { DRIFT_NONE, DRIFT_OURS, DRIFT_OPERATORS, DRIFT_UNBEARABLE };

/* What the comparison knows beside the two configurations. */
struct drift_use {
    int64_t messages, bytes;             /* of the stream: a limit that is reached stops us */
    int64_t pull_batch, pull_expires_ms; /* of the durable: what our pulls ask for */
    int64_t ack_pending;                 /* the most that is delivered and not acknowledged */
    _Bool is_paused;                     /* the durable, at this moment */
};

struct drift_field {
    const char *name;
    enum drift_class class;
    /* Is this value as good as what is wished? NULL: equal, or both say nothing. */
    _Bool (*is_fine)(struct json_text value, struct json_text wish, const struct drift_use *use);
    /* An operator's, which in this configuration is unbearable; NULL: never. */
    _Bool (*is_unbearable)(struct json_text value, struct json_text config,
                           const struct drift_use *use);
};
/* Each field of a StreamConfig, and of a ConsumerConfig; a row without a name ends. */
extern const struct drift_field drift_stream_fields[], drift_durable_fields[];

#define DRIFT_MAX 24 /* fields that are named; more are as if they were not there */
struct drift {
    struct notice found[DRIFT_MAX];
    int count;
    _Bool mends; /* something of ours is otherwise */
    _Bool holds; /* something is unbearable */
};

/* config: what the server shows; wish: what we would make; both objects. of: for the notices. */
void drift_compare(const struct drift_field *fields, const char *of, struct json_text config,
                   struct json_text wish, const struct drift_use *use, struct drift *ret_drift);

/* The configuration with which a stream is made anew, or updated: what an operator has set in
 * `kept`, and of all else what is wished. kept absent: the wish alone. Appended. */
void drift_keep(const struct drift_field *fields, struct json_text kept, struct json_text wish,
                struct buf *out);

/* A stream that is made anew is empty at first. So that nobody with a shorter log takes that for
 * all there is, its metadata says from which log it is filled: its newest term, and its head. */
struct stream_fill {
    int64_t term, head;
};
/* The configuration with that in its metadata; what else stands there stays. Appended. */
void drift_put_fill(struct json_text config, const struct stream_fill *fill, struct buf *out);
/* Of a stream that the server shows; zeros: it does not say. */
struct stream_fill drift_fill_of(struct json_text config);

/* What the durable of a reader should look like, from a sequence on (0: from the first);
 * ack_pending is the most that may be in flight; inactive_s: it goes when nobody has asked it for
 * so long (0: it stays). Appended. 0 or < 0. */
int drift_durable_wish(const char *reader, int64_t sequence, int64_t ack_pending,
                       int64_t inactive_s, struct buf *out);

/* That of one that stands by, which it has made anew by itself when its stream is another one. */
_Bool drift_is_standbys(struct json_text config);

/* The configuration of somebody else's durable, so that it goes on behind `sequence` in a stream
 * that was made anew. Appended. False: it is none that can be given back (not a durable). */
_Bool drift_durable_at(struct json_text config, int64_t sequence, struct buf *out);

/* The first that is held, or else mended, as `FIELD=VALUE, FIELD=VALUE`; "" when there is none. */
void drift_text(const struct drift *drift, enum notice_kind kind, char *ret_text, size_t size);
