/* Sender: the thread for everything outbound. It sends the replies of settled batches, acknowledges
 * what was read, carries out what relay and feeds say, and makes the calls of the process. It never
 * touches the writing connection; the log it reads through its own.
 *
 * The sender owns the thread, routes notes and replies to its parts, and settles batches; the parts
 * know neither the sender nor each other (outbound.h). A turn does not wait, with one exception
 * (bus_flush, once, when our log first agrees with our stream), so a scheduler may take the place
 * of the thread. */
#pragma once
#include "runtime/outbound/call_io.h"
#include "runtime/outbound/durable_io.h"
#include "runtime/outbound/feed_io.h"
#include "runtime/outbound/gate_io.h"
#include "runtime/outbound/handover_io.h"
#include "runtime/outbound/lead_io.h"
#include "runtime/outbound/payload_limit.h"
#include "runtime/outbound/peer_io.h"
#include "runtime/outbound/permissions.h"
#include "runtime/outbound/redrive.h"
#include "runtime/outbound/relay_io.h"
#include "runtime/outbound/successor_io.h"
#include "runtime/outbound/term_io.h"
#include "runtime/request/endpoint.h"
#include "runtime/writer/writer.h"

struct sender_options { /* all borrowed for the life of the sender */
    const struct service *service;
    const struct config *config;
    const char *database_path;
    struct status *status;
    struct inbox *inbox;
    struct writer *writer; /* open: its loop says where the service stands */
    struct endpoints *endpoints;
    const char *instance;           /* our id in $SRV; it may be filled in later */
    const struct peer_hooks *peers; /* NULL: no other instance of our name can be there */
    uint64_t seed;                  /* of the random part of the waits; 0: from the kernel */
    /* Takes an operator's request over (sender_operate), on the sender's thread. */
    void (*operate)(void *context, struct item *item, int64_t now_ms);
    void *context;
};

struct sender {
    struct sender_options options;
    struct outbound outbound;
    struct relay_io relay_io;
    struct feed_io feeds[SOURCES_MAX];
    int feed_count;
    struct call_io calls;
    struct gate_io gate;
    struct batch *settled, **last_settled; /* of this turn, which have events */
    struct redrive redrive;
    struct permissions permissions;
    struct durable_io durables;
    struct peer_io peers;
    struct term_io term_io;
    struct lead_io lead_io;
    struct handover_io handover;
    struct successor_io successor;
    struct bus_subscription *replies; /* to the requests of all parts */
    struct bus_subscription *answers; /* to the calls of work lists */
    pthread_t thread;
    _Bool runs;
    _Bool more;             /* there is more to do: look into the mailbox, but do not sleep */
    int64_t stop_by_ms;     /* monotonic; 0: no stop is under way */
    _Bool whole;            /* our log agrees with our stream: others' logs may be read */
    _Bool announced;        /* that we are ready */
    _Bool listens;          /* FOLLOWING: queries are answered */
    int64_t catch_up_by_ms; /* monotonic; after a take-over, how long others' events are awaited */
    struct payload_limit payload_limit;
};

/* Opens its database connection; no thread yet, and no bus. */
int sender_open(struct sender *sender, const struct sender_options *options);
int sender_subscribe(struct sender *sender, struct bus *bus);
int sender_start(struct sender *sender);
void sender_stop(struct sender *sender); /* settles what has come, then joins */
void sender_deinit(struct sender *sender);

/* One pass, which does not wait: what arrived, the notes, then what relay, feeds and calls want.
 * now_ms is monotonic. False: a stop was asked for and all is settled. */
_Bool sender_turn(struct sender *sender, int64_t now_ms);
/* When it wants its next turn; at most now_ms while there is mail, or more to do. */
int64_t sender_due_ms(struct sender *sender, int64_t now_ms);

/* ---- From other threads ---------------------------------------------------------------------- */

void sender_wake(struct sender *sender); /* any thread */
/* Takes the batch over. From the writer. */
void sender_settle(struct sender *sender, struct batch *batch);
void sender_connected(struct sender *sender); /* from library threads, as the next */
void sender_disconnected(struct sender *sender);
/* takes over a query's item with its outcome, which waits for item->depends_on; from readers */
void sender_answer(struct sender *sender, struct item *item);
/* what the server does not permit; from library threads */
void sender_denied(struct sender *sender, _Bool publish, const char *subject);
/* takes an operator's request over, for options.operate on the sender's thread */
void sender_operate(struct sender *sender, struct item *item);
/* The process is to stop: where we lead and a standby is there, it leads before this returns, which
 * is after timeout_ms at the latest. From main, while all threads run. */
void sender_hand_over(struct sender *sender, int64_t timeout_ms);
