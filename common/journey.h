/* Journey: the runtime's public interface, all that a journey service includes.
 *
 * A service is one table (struct service): its commands, queries, events, the logs of others that
 * it projects, and perhaps one process. The runtime brings the rest: the log, the relay, the feeds,
 * the loop with group commit, idempotency, the micro services protocol, configuration and logs.
 * Rules are numbered in docs/ARCHITECTURE.md.
 *
 *   decide(command, state)   reads and returns events or a refusal; writes nothing      (rule 2)
 *   apply(event)             folds one event into tables; reads no other service's tables
 *   react(event)             turns another service's event into events of our own
 *   answer(event)            makes a command's reply from its first event, so that a repeated
 *                            idempotency key gets the same reply from the log
 *
 * All of these run on the writer thread inside a transaction, except queries, which run on reader
 * threads with a read-only connection. None of them sees a bus, a thread or a commit.
 */
#pragma once
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/id.h"
#include "base/refusal.h"
#include "base/result.h"
#include "contract/schema.h"
#include "store/db.h"
#include "store/event_log.h"

/* ---- What a journey function is given ------------------------------------------------------- */

struct journey; /* one decision, query or step */

struct db *journey_db(const struct journey *j);
int64_t journey_now_ms(const struct journey *j); /* wall clock, the same all through one decision */
struct arena *journey_arena(const struct journey *j); /* freed when the answer is out */
/* In a query: how many elements of a list the reply may have, of `wanted`. A reply must fit one
 * message of the server. One that does not is asked for again with a lower limit, down to 1. */
int64_t journey_page_limit(struct journey *j, int64_t wanted);
/* "ord_…", in the arena; NULL: no memory */
const char *journey_make_id(struct journey *j, const char *prefix);
/* a service option; never NULL */
const char *journey_option(const struct journey *j, const char *name);
int64_t journey_option_int(const struct journey *j, const char *name);

/* Says no: `return journey_refuse(j, REFUSED_OUT_OF_STOCK, "%s: %lld left", sku, left);` The
 * refusal is one of service.refusals or of the runtime's own (base/refusal.h). The message reaches
 * the client, so no personal data of others. Returns the refusal; -ERR_INTERNAL for a number that
 * neither has. */
int journey_refuse(struct journey *j, int refusal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says what happened, for the log and the tables, in the decision's transaction. The schema names
 * the event (it must be in service.events); entity is the id that the event is about; value is a
 * struct of that schema, borrowed until the decision's batch is settled (use journey_arena). 0 or <
 * 0. Never in a query. */
int journey_emit(struct journey *j, const struct schema *schema, const char *entity,
                 const void *value);

/* In a process: what is emitted from here on follows from our own event at this position.
 * Correlation, causation and trace are taken from it, so that one customer's story stays one story.
 * 0 or < 0. */
int journey_follow(struct journey *j, int64_t position);

/* ---- Calls to the outside (from a work list or a process only) ------------------------------ */

/* A request to somebody outside the mesh, such as a payment provider. It leaves after the commit
 * (rule 4), at most once per call. A call that a work list makes (work.h) has the piece's key,
 * number and time-out, whatever stands here, and its answer comes to work_type.answered. Else the
 * answer comes to process.answered with the same tag and number. */
struct call {
    const char *subject; /* of a row of service.calls, which has the schemas */
    const void *body;    /* struct of its request */
    int timeout_ms;
    const char *tag; /* what it was about, e.g. an order id; up to 63 characters */
    int64_t number;  /* e.g. the attempt */
};
enum answer_outcome {
    ANSWER_RECEIVED,    /* body holds the decoded reply */
    ANSWER_INVALID,     /* a reply came that does not fit its schema, or an error reply */
    ANSWER_TIMEOUT,     /* nothing came: it may have happened or not */
    ANSWER_UNREACHABLE, /* nobody listens: it has not happened */
};
struct answer {
    enum answer_outcome outcome;
    const char *tag;
    int64_t number;
    const char *work; /* the name of the work type that made the call; NULL: a process did */
    _Bool is_late;    /* the call was given up before: only answers to work lists come so */
    const void *body; /* struct of the reply, in journey_arena; NULL but for RECEIVED */
};
int journey_call(struct journey *j, const struct call *call);

/* The same path for a provider that is built in: the answer (a struct of the row's reply; NULL
 * where none is RECEIVED) comes back after delay_ms, without leaving the process. */
int journey_answer_later(struct journey *j, const struct call *call, enum answer_outcome outcome,
                         const void *reply, int delay_ms);

/* ---- The table of a service ----------------------------------------------------------------- */

/* A version is part of the name: OrderPlaced is version 1, and OrderPlaced.v2 another event beside
 * it, with a row, a schema and an apply of its own. A leader that goes on to version 2 emits both
 * as long as somebody reads version 1, and folds both for ever, because its log has them. A reader
 * lists each version that it reads; of any other only its cursor moves, as of an event that it does
 * not read. */
struct event_type {
    const struct schema *schema;
    const char *name; /* "OrderPlaced": evt.order.OrderPlaced, ce-type order.OrderPlaced.v1 */
    /* event->value: struct of schema; 0 or < 0 */
    int (*apply)(struct db *db, const struct event *event);
    /* others' events only; may be NULL; 0 or < 0 */
    int (*react)(struct journey *j, const struct event *event);
};

/* What the service asks of somebody outside the mesh. */
struct call_type {
    const char *subject; /* "psp.charge" */
    const struct schema *request;
    const struct schema *reply;
};

struct command {
    const char *subject; /* "order.place" */
    const struct schema *request;
    const struct schema *reply;
    /* emits at least one event: 0; or a refusal; or < 0 */
    int (*decide)(struct journey *j, const void *request);
    /* Fills a zeroed struct of reply. The event may be old: of any version that decide ever emitted
     * first, see event->type. */
    void (*answer)(const struct event *event, void *ret_reply);
};

struct query_type {
    const char *subject;
    const struct schema *request;
    const struct schema *reply; /* as_of is added by the runtime */
    int (*ask)(struct journey *j, const void *request, void *ret_reply); /* 0, a refusal, < 0 */
};

/* A service lists its requests once, in a header that its journeys include:
 *
 *     #define ORDER_COMMANDS(COMMAND) \
 *         COMMAND("order.place",  order_place,  place_order) \
 *         COMMAND("order.cancel", order_cancel, cancel_order)
 *     ORDER_COMMANDS(COMMAND_DECLARE)
 *
 * and so declares place_order (decide) and place_order_answer (answer), which stand in a file
 * place_order.c. ORDER_COMMANDS(COMMAND_ROW) are the rows of its table, with the schemas
 * order_place_schema and order_place_reply_schema. Queries likewise. */
#define COMMAND_DECLARE(subject, message, name)       \
    int name(struct journey *j, const void *request); \
    void name##_answer(const struct event *event, void *ret_reply);
#define COMMAND_ROW(subject, message, name) \
    { subject, &message##_schema, &message##_reply_schema, name, name##_answer },
#define QUERY_DECLARE(subject, message, name) \
    int name(struct journey *j, const void *request, void *ret_reply);
#define QUERY_ROW(subject, message, name) \
    { subject, &message##_schema, &message##_reply_schema, name },

#define SOURCES_MAX 8 /* logs of others that one service reads */
struct source {
    const char *log;                 /* "ACCOUNT" */
    const char *service;             /* "account-svc", the leader */
    const char *prefix;              /* "account": evt.account.>, account.events */
    const struct event_type *events; /* those that we read; ends with { 0 } */
    /* "shipping=stream": read only when the service's option says so; NULL: always */
    const char *option;
};

/* A process manager: what the service does without being asked, and what work lists (work.h) cannot
 * say. Its memory is scratch: after a rollback or a restart it is freed and started again from the
 * tables. */
struct process {
    int (*start)(struct journey *j, void **ret_state); /* once the tables are up to date */
    void (*free)(void *state);
    /* each committed event, in order; no emit */
    int (*observe)(void *state, struct journey *j, const struct event *event);
    /* Does what is due at journey_now_ms, a bounded amount. *ret_due_ms: wall time of the next
     * step, INT64_MAX: none. */
    int (*step)(void *state, struct journey *j, int64_t *ret_due_ms);
    int (*answered)(void *state, struct journey *j, const struct answer *answer); /* may emit */
};

struct work_type; /* work.h */

struct option {
    const char *name;  /* "payment-deadline-s": --payment-deadline-s, ORDER_PAYMENT_DEADLINE_S */
    const char *value; /* the default */
    const char *help;
    _Bool is_number;            /* checked at start: a number of at least 0 */
    const char *const *choices; /* likewise: one of these, NULL ends; NULL: anything */
};

struct service {
    const char *name;    /* "order-svc" */
    const char *version; /* "1.2.0": of the service, SemVer; NULL: that of the library */
    const char *log;     /* "ORDER": also the stream's name */
    const char *prefix;  /* "order": evt.order.<Type>, order.events */
    const char *description;
    /* Where its schemas can be had, for the metadata in $SRV.INFO: the schema of an event is here,
     * under its subject and ".json". "https://…/schemas/", or NULL. */
    const char *schema_base;
    const char *tables;         /* CREATE TABLE/INDEX …; all folded from events by apply */
    int tables_version;         /* raise it when tables or an apply change: they are folded anew */
    const char *scratch_tables; /* may be lost at any time without harm; NULL */
    const struct event_type *events;     /* own, end with { 0 } */
    const struct source *sources;        /* end with { 0 }; NULL */
    const struct command *commands;      /* end with { 0 } */
    const struct query_type *queries;    /* end with { 0 } */
    const struct refusal_type *refusals; /* its own (base/refusal.h), end with { 0 }; NULL */
    const struct call_type *calls;       /* end with { 0 }; NULL */
    const struct process *process;       /* NULL: work_process when there is work, else none */
    const struct option *options;        /* end with { 0 }; NULL */
    /* what it has done outside (work.h); ends with NULL; NULL: nothing */
    const struct work_type *const *work;
};

/* Runs the service until SIGTERM, SIGINT or SIGHUP: the whole of a main(). Returns the exit
 * code. */
int service_main(const struct service *service, int argc, char **argv);
