/* Endpoint: receives the requests of one subject. On a library thread it checks size and reply
 * subject, decodes the body by its schema, and gives an item to the sink of its kind. Refusals that
 * need no state are sent at once. */
#pragma once
#include <stdatomic.h>
#include "bus/bus.h"
#include "runtime/core/item.h"
#include "runtime/core/status.h"
#include "runtime/request/account_subject.h"
#include "runtime/request/client_rate.h"
#include "runtime/request/micro.h"

#define REQUEST_BYTES_MAX 65536 /* of a body: jansson needs up to 80 times the size of its input */
#define BODY_SHORT 2048 /* up to here the values of a body are not counted before it is read */

/* 0: owns the item from now on; REFUSED_BUSY: the endpoint keeps it. Called on library threads,
 * several at once. */
struct endpoint_sink {
    int (*accept)(void *context, struct item *item);
    void *context;
};

/* A request that every service answers for its operators, or for the readers of its log; see
 * repair/operations.h. */
struct operator_request {
    const char *subject; /* "order.redrive", "order.durable.*.make"; NULL ends a table */
    const char *name;    /* of the endpoint: "redrive", "durable" */
    const struct schema *request, *reply;
    enum item_kind kind; /* of the item that it becomes */
    _Bool is_of_each;    /* each instance hears it, whether it leads or stands by */
};

struct endpoints_options { /* all borrowed for the life of the endpoints */
    const struct service *service;
    /* the runtime's own queries, about its log; as service->queries */
    const struct query_type *log_queries;
    const struct operator_request *operator_requests;
    struct bus *bus;
    const struct status *status;
    int64_t backlog_max;     /* events that wait for the stream; beyond it commands are `busy` */
    int64_t client_rate_max; /* requests a second of one client; 0: no limit */
    struct endpoint_sink commands, queries, operators, of_status;
};

struct endpoints;
struct endpoint {
    struct endpoints *all;
    struct micro_endpoint *counters;
    const char *subject;
    const char *name;             /* NULL: what follows the prefix in the subject */
    const struct schema *request; /* with an account: that of `account` */
    const struct schema *reply;
    int64_t values_max;                    /* of a body: see contract/values.h */
    enum item_kind kind;                   /* of the items that it makes */
    const struct command *command;         /* of an ITEM_COMMAND */
    const struct query_type *query;        /* of an ITEM_QUERY */
    const struct account_request *account; /* the subject ends with an account; NULL: it does not */
    _Bool is_about_log; /* the runtime's own: not limited, and answered while we catch up */
    _Bool is_of_each;   /* each instance hears it, in no queue group; answered in any state */
    _Bool gives_events; /* of the log, to those who read it: not when it is forked */
    const struct endpoint_sink *sink;
    struct bus_subscription *subscription;
};

#define ENDPOINT_GROUP_SIZE 32
/* Requests that a successor keeps until it leads; beyond them it refuses. */
#define ENDPOINTS_KEPT_MAX 16384
struct kept_request {
    struct kept_request *next;
    struct endpoint *endpoint;
    struct bus_message *message;
};
struct endpoints {
    struct endpoints_options options;
    struct client_rate client_rate;
    struct endpoint *list;
    struct micro_endpoint *counters; /* one an endpoint */
    int count;
    struct arena arena; /* what the endpoints with an account have of their own */
    /* The sender's thread subscribes when our log agrees with our stream; main drains when a signal
     * comes. Main must see all subscriptions, and none may be made after it has drained. */
    pthread_mutex_t lock;
    _Bool closed;                    /* drained */
    _Bool stands_by;                 /* queries alone are wanted */
    char group[ENDPOINT_GROUP_SIZE]; /* of all but queries */
    _Bool joined;      /* `group` was another leader's, which hands over to us (sync/handover.h) */
    atomic_bool keeps; /* joined, or about to lead: what comes is kept */
    struct kept_request *kept, **last_kept;
    int kept_count;
};

/* A request of an endpoint, which is the context; it owns the message. On a library thread. */
void endpoint_take(void *context, struct bus_message *message);

/* Makes the endpoints of the service's table and of the runtime's own requests; nothing is
 * subscribed yet. -ERR_MEMORY: endpoints_free takes apart what there is. */
int endpoints_open(struct endpoints *endpoints, const struct endpoints_options *options);
/* Before it is subscribed: all but the service's queries are in a queue group of this term, so that
 * a leader of an older term, which may be frozen, takes nothing from the one that leads. */
void endpoints_set_term(struct endpoints *endpoints, int64_t term);
int endpoints_subscribe(struct endpoints *endpoints); /* those that are missing; any thread */
/* Of those the service's own queries alone: a standby answers them. */
int endpoints_subscribe_queries(struct endpoints *endpoints);
/* Of those the ones that each instance answers. */
int endpoints_subscribe_of_each(struct endpoints *endpoints);
/* Of those the ones about the instance itself (`<prefix>.status`): as long as it lives. */
int endpoints_subscribe_status(struct endpoints *endpoints);
/* From here on what comes in a group is kept, until endpoints_answer_kept, which takes it as if it
 * came now; but for what is about the log, when it is ours. On one thread, with those below. */
void endpoints_keep(struct endpoints *endpoints);
void endpoints_answer_kept(struct endpoints *endpoints);
/* A handover. The leader is in these groups, and is about to leave them: we join them, and keep
 * what comes. Afterwards we stay in these groups, or leave them with endpoints_leave_group. */
int endpoints_join(struct endpoints *endpoints, const char *group);
/* What we have joined is not ours: endpoints_set_term leads to groups of our own. */
void endpoints_give_up_group(struct endpoints *endpoints);
/* Unsubscribes what is in the group of a term; returns when all that came has been taken. */
void endpoints_leave_group(struct endpoints *endpoints);
/* Once more, what was wanted last and the server has refused. */
int endpoints_retry(struct endpoints *endpoints);
/* Unsubscribes one, which the server has refused; endpoints_subscribe tries again. */
void endpoints_unsubscribe(struct endpoints *endpoints, const char *subject);
/* Unsubscribes all but status, so that other instances get the requests; endpoints_subscribe comes
 * back. */
void endpoints_leave(struct endpoints *endpoints);
void endpoints_drain(struct endpoints *endpoints); /* takes no request after this */
void endpoints_free(struct endpoints *endpoints);
