/* Peer's I/O: asks `$SRV.PING.<name>` whether another instance of our name serves, and carries out
 * what sync/peer.h says. On the sender's thread, but for peer_io_write_metadata. */
#pragma once
#include <pthread.h>
#include "runtime/outbound/outbound.h"
#include "runtime/request/endpoint.h"
#include "runtime/sync/peer.h"

/* How an instance is seen by others. NULL: nobody else can be there. */
struct peer_hooks {
    void *context;
    const char *id;             /* in $SRV; set before peer_io_subscribed */
    int (*show)(void *context); /* answer $SRV from now on; 0 or < 0 */
    /* stop in order and start again */
    void (*step_back)(void *context);
};

struct peer_io {
    struct outbound *outbound;
    const struct peer_hooks *hooks;
    struct endpoints *endpoints;
    struct peer peer;
    int64_t round; /* answers to older questions are taken too: late is better than never */
    char subject[BUS_SUBJECT_MAX + 1];
    atomic_int role; /* enum peer_role, for library threads, as what follows */
    atomic_llong since_ms;
    pthread_mutex_t lock;
    char other[PEER_ID_SIZE]; /* that serves while we stand by */
};

void peer_io_init(struct peer_io *peer_io, struct outbound *outbound,
                  const struct peer_hooks *hooks, struct endpoints *endpoints);
void peer_io_subscribed(struct peer_io *peer_io); /* the id is known, the bus is there */
void peer_io_deinit(struct peer_io *peer_io);

/* What the machine says. True: this instance begins to serve. */
_Bool peer_io_act(struct peer_io *peer_io, int64_t now_ms);
/* message: borrowed */
void peer_io_reply(struct peer_io *peer_io, struct bus_message *message, int64_t now_ms);
/* An answer to $SRV.STATS says the same of its instance; other services' are passed over. */
void peer_io_hear(struct peer_io *peer_io, struct bus_message *message, int64_t now_ms);

/* Members of `metadata` in $SRV: role, state, published, since, and who serves. Any thread. */
void peer_io_write_metadata(struct peer_io *peer_io, struct buf *out);
