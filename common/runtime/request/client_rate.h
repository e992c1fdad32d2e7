/* Client rate: no client makes more than so many requests a second (--client-rate-max), so that one
 * cannot take the service from the others.
 *
 * A client is whom the NATS server names in the header Nats-Request-Info: account and user,
 * whichever connection it uses. The server sets it where a request comes from another account
 * through an import with `share: true` (deploy/nats/mesh.conf). It takes the sender's own away, an
 * old server only the first of them; what is left of these is a forgery, and refused. Where the
 * server adds none, as on an open mesh, all clients are one, `anonymous`, or whom they say they
 * are: nobody is kept from anything there. docs/SECURITY.md says what a server before 2.11.15 lets
 * pass.
 *
 * The bucket of a client is one number: when it will be full again. Each request moves that on by
 * its share of a second, and one that would move it more than a second ahead is refused. So who was
 * quiet may send a second's worth at once. Any thread; stepped with the time. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include "base/refusal.h"
#include "bus/headers.h"

/* Clients that are remembered. Beyond that the idlest is forgotten, which gives it a full bucket:
 * nothing, when it had that. */
#define CLIENT_RATE_CLIENTS_MAX 1024

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

/* May this request come in? 0; REFUSED_BUSY, or REFUSED_INVALID_REQUEST for a forged header, with
 * the message. now_ns is monotonic. */
enum refusal client_rate_refuses(struct client_rate *rate, const struct bus_view *view,
                                 int64_t now_ns, char *message, size_t size);
