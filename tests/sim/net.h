/* Net: what is on its way between the nodes, the customers, the provider and the server.
 *
 * Each node's bus has two connections (bus.h), here links. A link keeps the order of what it
 * carries, in each direction; different links do not know of each other. When one breaks, a part of
 * what the node had sent still arrives, and nothing of what was sent to it; the server learns of it
 * then, or seconds later. Customers, provider, operator and adversary are actors: each of their
 * messages has a connection of its own, so that they overtake one another. */
#pragma once
#include <stdint.h>
#include "wire.h"

struct world;
struct node;

#define LINKS 2 /* by enum bus_urgency */

struct link { /* one connection of a node, or where it was */
    _Bool is_up;
    int64_t number;       /* of the connection; each new one has the next */
    int64_t cut_ms;       /* what was sent on an older one arrives until then, the rest does not */
    int64_t reconnect_ms; /* when the node tries again */
    int64_t last_ms[2];   /* by direction: nothing arrives before; 1 is to the node */
};

enum actor { CUSTOMERS, PROVIDER, OPERATOR, ADVERSARY, ACTORS };

enum packet_kind {
    PACKET_PUBLISH,     /* node to server */
    PACKET_SUBSCRIBE,   /* likewise: subject, and as its reply the queue group, sid */
    PACKET_UNSUBSCRIBE, /* likewise: sid */
    PACKET_GONE,        /* the server learns that the connection is broken */
    PACKET_DELIVERY,    /* server to node, for the subscription sid */
    PACKET_FROM_ACTOR,  /* to the server */
    PACKET_TO_ACTOR,
};

struct packet {
    int64_t due_ms, number; /* number: the order in which they were sent */
    enum packet_kind kind;
    int node, lane;     /* of a node's packet */
    int64_t connection; /* of the link when it was sent */
    int64_t sid;
    enum actor actor;
    struct wire *wire; /* held; NULL */
};

/* A heap by due_ms and number. */
struct net {
    struct packet *packets;
    int count, room;
    int64_t number;
    int64_t garble_until_ms; /* until then some answers to nodes are cut off, or are no JSON */
};

void net_close(struct net *net);
int64_t net_due_ms(const struct world *world);
void net_step(struct world *world); /* the first due packet arrives, or is lost */
void net_delay(struct world *world, int64_t until_ms); /* nothing arrives before */

/* All of these take the wire over. */
void net_send_from_node(struct world *world, struct node *node, int lane, enum packet_kind kind,
                        struct wire *wire, int64_t sid);
void net_send_to_node(struct world *world, struct node *node, int64_t connection, int64_t sid,
                      struct wire *wire);
void net_send_from_actor(struct world *world, enum actor actor, struct wire *wire);
void net_send_to_actor(struct world *world, enum actor actor, struct wire *wire);

/* What the node has sent is seen by the server before anything else happens, as after a flush. */
void net_hurry(struct world *world, struct node *node);

/* What the node has sent and the server has not seen is lost. */
void net_forget(struct world *world, const struct node *node);

void link_connect(struct node *node, int lane);
void link_cut(struct world *world, struct node *node, int lane);
/* Is a message to this subject on its way to the server? */
_Bool net_has(const struct world *world, const char *subject);
