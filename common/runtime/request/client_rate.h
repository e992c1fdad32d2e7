/* Client rate: limits how many requests a client may make in a second (--client-rate-max), so that
 * one client cannot starve the others.
 *
 * A client is identified by the header Nats-Request-Info: account and user, whichever connection it
 * uses. The server sets this header where a request comes from another account through an import
 * with `share: true` (deploy/nats/mesh.conf), and removes one that the client has set; an old
 * server removes only the first, and a request with a second one is refused as forged. On an open
 * mesh the server adds no header: clients are anonymous and share one bucket, or are what their own
 * header says, and the limit protects nobody. docs/SECURITY.md says what a server before 2.11.15
 * lets pass.
 *
 * A long request counts as several: as one, and as one more for each 4 KiB of body and headers.
 *
 * It is a token bucket, kept as one number a client: the time at which its bucket will be full
 * again. Each request moves this time by its share of a second; a request that would move it more
 * than a second ahead is refused. A client that was idle may send a second's worth at once. Any
 * thread; stepped with the time. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include "base/refusal.h"
#include "bus/headers.h"

/* Clients that are remembered. Beyond that the idlest is forgotten, which gives it a full bucket:
 * nothing, when it had that. */
#define CLIENT_RATE_CLIENTS_MAX 1024
#define CLIENT_RATE_BYTES 4096 /* of body and headers that count as one more request */

struct client_rate {
    int64_t per_second;   /* 0: no limit */
    atomic_llong refused; /* since the start */
    pthread_mutex_t lock; /* of what follows */
    int count;
    struct {
        uint64_t client;
        int64_t full_at_ns;
    } buckets[CLIENT_RATE_CLIENTS_MAX];
    int64_t told_ns; /* the last line in the log about it */
};

void client_rate_init(struct client_rate *rate, int64_t per_second);
void client_rate_deinit(struct client_rate *rate);

#define CLIENT_NAME_SIZE 160
/* Who asks: "<account>/<user>" at the server, "anonymous". REFUSED_INVALID_REQUEST: the header is
 * forged. */
enum refusal client_name(const struct bus_view *view, char ret_name[CLIENT_NAME_SIZE]);

/* May this request come in? With an account, which a subject names (account_subject.h), it counts
 * as that account's and not as the client's. 0; REFUSED_BUSY, or REFUSED_INVALID_REQUEST for a
 * forged header, with the message. now_ns is monotonic. */
enum refusal client_rate_refuses(struct client_rate *rate, const struct bus_view *view,
                                 const char *account, int64_t now_ns, char *message, size_t size);

/* Who asks, as a hash: account and user where the server names them in Nats-Request-Info, else the
 * first two parts of the reply subject, which are a user's own by permissions, or a connection's by
 * habit. Only for what is fair among clients; nobody is let in or kept out by it. */
uint32_t client_of(const struct bus_view *view, const char *reply_to);
