/* Server: the subset of NATS and JetStream that the mesh uses, on the real subjects with the real
 * JSON, as real servers were seen to behave (CONVENTIONS, JetStream): a stream takes a message only
 * after the one that it is told to expect; sequences are never used twice in one incarnation; a
 * durable delivers what its pulls ask for, remembers what was acknowledged, and one that is ahead
 * of its stream delivers nothing; while a stream changes its leader nobody answers for it. What it
 * leaves out: deliveries that come again by themselves when they are not acknowledged in time.
 *
 *   server.c    connections, subscriptions, queue groups, who gets what
 *   stream.c    what a stream stores, and what damages it
 *   durable.c   durables: pulls, deliveries, acknowledgements
 *   api.c       $JS.API
 *   settings.c  a stream's configuration
 */
#pragma once
#include <stdint.h>
#include "base/json_text.h"
#include "bus/bus.h"
#include "wire.h"

struct world;

/* ---- Subscriptions -------------------------------------------------------------------------- */

struct server_subscription {
    uint64_t hash;     /* of a subject without wildcards; 0: with `>` at its end */
    int prefix_length; /* then: up to the `>` */
    char subject[BUS_SUBJECT_MAX + 1], queue[32];
    int node;
    int64_t connection, sid;
};

/* ---- Durables and streams ------------------------------------------------------------------- */

#define PULLS_MAX 8
struct pull {
    char reply[BUS_SUBJECT_MAX + 1];
    int node; /* whose, and its connection: forgotten with it */
    int64_t connection;
    int64_t left, expires_ms, idle_ms, heartbeat_ms; /* heartbeat_ms: the next one */
};

#define DURABLES_MAX 16 /* each life of a standby leaves one behind, until nobody asks it */
#define DURABLE_CONFIG_SIZE 512
struct durable {
    char name[65];
    char config[DURABLE_CONFIG_SIZE]; /* of one that is not a reader's: as it was made; "" */
    _Bool exists;
    _Bool is_unacknowledged; /* of a single reading: not durable */
    _Bool passes_over;       /* its owner has acknowledged sequences that others' messages had */
    int64_t start, delivered, acked, ack_pending_max, consumer_sequence;
    int64_t inactive_ms, gone_ms; /* it goes when nobody has asked it for so long; 0: it stays */
    struct pull pulls[PULLS_MAX]; /* oldest first */
    int pull_count;
};

#define STORED_VOID (-1)
struct stored {
    struct wire *wire; /* NULL: not there any more */
    int64_t position;  /* 0: no event of the mesh; STORED_VOID: of a term that had ended */
    int64_t term;      /* that it says; 0: none */
    _Bool unreadable;  /* damaged on the disk: counted, and neither delivered nor given */
};

#define RECENT_MAX 256
struct recent { /* a message id that is remembered for the duplicate window */
    uint64_t id;
    int64_t sequence, at_ms;
};

struct stream {
    const char *name, *prefix; /* "ORDER", "evt.order." */
    _Bool exists;
    int64_t created_ms;
    char config[2048];    /* JSON; the next four as it says */
    int64_t max_messages; /* <= 0: no limit */
    int64_t duplicate_window_ms;
    _Bool no_ack, is_sealed;
    int64_t first, last, messages;
    int64_t capacity, full_until_ms; /* largest last sequence that is taken; until then */
    struct stored *at;               /* by sequence */
    int64_t room;
    int64_t leaderless_until_ms, unheard; /* until then; so many more are stored, and nobody told */
    struct recent recent[RECENT_MAX];     /* the newest ids, a ring */
    int recent_at;
    _Bool has_foreign; /* a message is here that is no event of the leader */
    int64_t term;      /* the highest that an event here says */
    int64_t in_order;  /* positions 1..in_order stand here in this order (I6) */
    struct durable durables[DURABLES_MAX];
};

#define STREAMS_MAX 2
struct server {
    _Bool is_up;
    int64_t up_at_ms;
    int64_t mute_until_ms; /* heartbeats are lost */
    struct server_subscription *subscriptions;
    int subscription_count, subscription_room;
    struct stream streams[STREAMS_MAX]; /* by log */
};

void server_open(struct world *world);
void server_close(struct server *server);

/* ---- server.c ------------------------------------------------------------------------------- */

/* Somebody has published: to subscribers, to a stream, or to the server itself. The wire stays the
 * caller's. */
struct sender_of { /* -1: an actor */
    int node;
    int64_t connection;
};
void server_take(struct world *world, struct wire *wire, struct sender_of from);
void server_subscribe(struct world *world, int node, int64_t connection, int64_t sid,
                      const char *subject, const char *queue);
void server_unsubscribe(struct world *world, int node, int64_t connection, int64_t sid);
/* all of a connection that is gone; connection -1: of all */
void server_forget(struct world *world, int node, int64_t connection);
/* Publishes from the server to whoever listens there; 0: nobody does. Takes the wire over. */
_Bool server_send(struct world *world, const char *to, struct wire *wire);
void server_reply(struct world *world, const char *to, const char *json, size_t length);
void server_status(struct world *world, const char *to, const char *status); /* "503" */

int64_t server_due_ms(const struct world *world);
void server_look_at_clock(struct world *world);

/* ---- stream.c ------------------------------------------------------------------------------- */

struct stream *stream_of_name(struct world *world, const char *name, size_t length);
struct stream *stream_of_subject(struct world *world, const char *subject);
void stream_create(struct world *world, struct stream *stream);
/* from the server, pulls and all; told: who waits in a pull is told of it */
void stream_delete(struct world *world, struct stream *stream, _Bool told);
void stream_publish(struct world *world, struct stream *stream, struct wire *wire);
const struct stored *stream_at(const struct stream *stream, int64_t sequence); /* NULL: not there */
void stream_forget(struct stream *stream, int64_t sequence); /* is not there any more */
/* it looks for another leader for so long; what it has taken in last may be there, or not */
void stream_change_leader(struct world *world, struct stream *stream, int64_t wait_ms);
_Bool stream_is_led(const struct world *world, const struct stream *stream);
void stream_cut(struct stream *stream, int64_t last); /* nor all after this one */
/* After messages in its middle were lost: what was void behind a term that is gone is not. */
void stream_look_at_terms(struct stream *stream);
void stream_purge(struct stream *stream);

/* ---- durable.c ------------------------------------------------------------------------------ */

/* NULL: there is no room. config: of one that is not a reader's, else "". */
struct durable *durable_make(struct stream *stream, const char *name, int64_t start,
                             const char *config);
struct durable *durable_of_name(struct stream *stream, const char *name, size_t length);
int64_t durable_unacknowledged(const struct stream *stream, const struct durable *durable);
void durable_delete(struct world *world, struct durable *durable, _Bool told);
void durable_pull(struct world *world, struct stream *stream, struct durable *durable,
                  const struct wire *request, struct sender_of from);
void durable_ack(struct world *world, const char *subject); /* $JS.ACK.… */
void durable_serve(struct world *world, struct stream *stream);
void durable_forget_pulls(struct stream *stream, int node, int64_t connection);
int64_t durable_due_ms(const struct stream *stream);
void durable_look_at_clock(struct world *world, struct stream *stream);

/* ---- settings.c ----------------------------------------------------------------------------- */

void settings_set(struct stream *stream, const char *config, size_t length);    /* a JSON object */
void settings_put(struct stream *stream, const char *field, const char *value); /* NULL: without */
/* An operator lets messages go, by their age or because their writer says so. */
_Bool settings_forget(const struct stream *stream);
struct json_text settings_find(const struct stream *stream, const char *field);

/* ---- api.c ---------------------------------------------------------------------------------- */

void api_take(struct world *world, const struct wire *request, struct sender_of from);
