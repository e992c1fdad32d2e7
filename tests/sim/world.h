/* World: everything that a simulated run consists of, and who may do what with it.
 *
 * One run is one seed. Two services live in it, in many runs with two or three instances of each
 * (instances.c): the shipped instance (runtime/instance.h), each on a disk in memory of its own,
 * without its threads; together with a message server, customers, an operator and a
 * payment provider, and an adversary. Nothing has a thread or a clock of its own:
 * simulate.c picks one possible action after another (a step), and the world's clock moves to the
 * next due one when nothing is left to do at this moment.
 *
 *     customers, operator, provider, adversary      load.c operator.c provider.c adversary.c
 *          │ requests, replies, calls
 *          ▼
 *     net.c: latency, order per connection, broken connections
 *          │                                ▲
 *          ▼                                │ bytes: subject, headers, body
 *     server.c stream.c durable.c api.c     │
 *                                           ▼
 *     bus_sim.c: bus.h ◄─ relay, feeds, calls, endpoints ─ writer ─ SQLite ─► disk.c disk_vfs.c
 *     process.c: clock.h, the kernel's random bits, crash points, guards
 *
 * What is linked in place of the runtime's own is bus_sim.c (bus.h) and process.c; all else between
 * the message that arrives and the one that leaves is what is shipped. Its threads are steps:
 * handling a delivery, a turn of the writer, of the sender, of a reader, of a link.
 *
 * Who may do what:
 *   - code of an instance runs between node_enter and node_leave only, so that its clock and its
 *     dice are known; it reaches the world by bus.h, clock.h and SQLite's VFS, and nothing else
 *   - a process that is killed in the middle of a turn is_dead: it runs to the turn's end, and
 *     nothing that it does until then has an effect on anybody
 *   - everybody draws from world->random, in steps, and nobody decides by an address, by the time
 *     of day or by the machine's dice: the same seed is the same run, byte for byte
 *   - faults.c breaks things; history.c reads from the files what was committed, and check.c and
 *     fold.c say whether what is left is right: no check asks a service what it thinks of itself
 *     where the world can see it
 */
#pragma once
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include "disk.h"
#include "edits.h"
#include "net.h"
#include "runtime/instance.h"
#include "runtime/watch/statistics.h"
#include "server.h"

#define LOGS 2
enum { ACCOUNT, ORDER }; /* which service, its log, and its stream */
#define NODES_MAX 6      /* processes: several may be of one service */
#define WALL_BEGIN_MS INT64_C(1795000000000)

#define INSTANCES_MAX 3 /* of one service */

/* ---- A service and its history --------------------------------------------------------------- */

struct committed { /* an event of a log */
    struct digest chain;
    int request;          /* that it answers; -1: none */
    _Bool is_of_runtime;  /* a term began or ended */
    char entity[ID_SIZE]; /* kept where several instances may differ */
};
struct line { /* by position, from 1 on */
    struct committed *at;
    int64_t count, room;
};

/* Of one instance: all that was ever committed. Of several: the line is what the stream has, and
 * behind it what one of them has committed first; the stream judges (instances.c). */
struct history {
    const char *name; /* "ORDER" */
    const struct service *service;
    struct line line;
    int64_t in_stream; /* so many were in the stream once, in order */
    /* how often its database was lost or restored, or another instance began to serve */
    int64_t restores;
    _Bool answers_wait; /* its service has --answer-when published */
    _Bool takes_over;   /* and --take-over auto */
    int instances;
    int serving;           /* node that served last; -1: none yet */
    int64_t voids;         /* stored behind the beginning of a higher term */
    int64_t takeovers;     /* how often another one began to serve */
    int64_t branches;      /* how often an instance committed what is not in the line */
    struct line set_apart; /* events that may be in one file alone, in no order */
    struct line orphans;   /* what fenced instances have set aside by name, in no order */
};

/* ---- A process ------------------------------------------------------------------------------- */

struct node {
    struct world *world;
    int index, log;
    struct service *service; /* with the sources that its options choose */
    struct source sources[SOURCES_MAX + 1];
    struct event_type events[SOURCES_MAX][16]; /* of the sources, with the bug in them (bug.c) */
    struct config config;
    char name[32]; /* "order-svc", or "order-svc-2" */
    char path[DISK_PATH_SIZE];
    struct instance *instance; /* of this life */
    struct reader reader;
    struct bus *bus;    /* likewise */
    int64_t life;       /* counts the starts */
    struct micro micro; /* answers $SRV, where there are others of its name */

    _Bool runs;
    _Bool is_dead;        /* killed in the middle of a turn */
    _Bool power_was_cut;  /* and what was not synced may be gone */
    _Bool is_unsure;      /* a commit was under way when it ended (rule 4) */
    int64_t start_ms;     /* when it is started again */
    int64_t crash_points; /* so many more are passed; 0: all */
    struct link links[LINKS];
    int64_t writer_due_ms, sender_due_ms, readers_due_ms; /* as of the last look */
    int64_t clock_ms, clock_max_ms; /* its wall clock is so much ahead; the most that it ever was */
    int64_t disk_full_until_ms;
    int64_t frozen_until_ms; /* has no turn before, and what is sent to it waits; 0: none */
    int64_t drift;           /* its clocks gain so many thousandths */

    /* What the world knows of it. */
    sqlite3 *handle; /* the same files, read by the world */
    sqlite3_stmt *commits, *cursor_of, *kept_config, *kept_places;
    struct kept_view kept;
    int64_t seen_commits; /* of the status: history.c looks when there is a new one */
    int64_t cursor;       /* newest that was committed, since a restore */
    int64_t promise;      /* likewise, of the own log: a power cut must not take it back */
    struct line line;     /* where it is one of several: its file */
    _Bool folds_anew;     /* it has set events aside: its cursors begin again with its next life */
    int64_t branch;       /* the first position where it is not the service's line; 0: it is */
    int64_t audited_count, audited_from_ms; /* check.c: since when its stream has ended there */
    /* operator.c: its stream looked longer than the log once, and it may have seen that */
    _Bool knows_longer;
    struct disk_copy *copy; /* an older copy */
    int64_t copy_head;
};

/* ---- Customers, provider, operator, adversary ------------------------------------------------ */

enum request_kind {
    REQUEST_PRODUCT,
    REQUEST_REGISTER,
    REQUEST_CARD,
    REQUEST_PLACE,
    REQUEST_CANCEL,
    REQUEST_SHIP,
    REQUEST_REFUND,
    REQUEST_STOCK,
    REQUEST_CORRECT,
    REQUEST_PRICE,
    REQUEST_RETIRE,
    REQUEST_REMOVE_CARD,
    REQUEST_ADDRESS,
    REQUEST_CLOSE,
    REQUEST_KINDS,
};

#define CODE_SIZE 24
struct request {
    enum request_kind kind;
    int log, number;
    char key[24];
    struct wire *wire;           /* asked again, byte for byte */
    const char *account;         /* that it is about; NULL: none, or not known */
    _Bool is_for_account;        /* sent on the subject of that account */
    _Bool is_strangers;          /* likewise, about an order of another one */
    const struct request *other; /* its key was taken by this one: a conflict is wanted */
    int64_t retry_ms;            /* not answered: asked again then */
    int tries;
    _Bool is_answered;
    char refusal[CODE_SIZE]; /* "": accepted */
    uint64_t answer;         /* a hash of its text */
    int64_t restores;        /* of its service when it was asked first */
    /* Answered by an instance that has not all that its service has committed: its effect may be in
     * one file alone, and another instance may answer otherwise. */
    _Bool is_contested;
    char made[ID_SIZE]; /* what came of it, once it is answered */
};

#define NAMES_MAX 24
#define WAITING_MAX 64
struct name {
    char id[ID_SIZE];
    int of; /* the request that made it */
};
struct load {
    struct request **requests;
    int count, room;
    struct request *waiting[WAITING_MAX]; /* for an answer */
    int waiting_count;
    int64_t next_ms, retry_ms; /* retry_ms: nobody of them asks again before */
    struct name accounts[NAMES_MAX], cards[NAMES_MAX], orders[NAMES_MAX];
    /* the newest NAMES_MAX of them are kept */
    int account_count, card_count, order_count, product_count;
    int64_t accepted, refused, repeated;
    _Bool is_over;  /* nobody asks for anything new */
    _Bool declines; /* no new card is any good */
};

enum charge_status { CHARGE_NONE, CHARGE_PAID, CHARGE_DECLINED, CHARGE_SOFT, CHARGE_VOIDED };
struct charge_entry {
    char order[64];
    int64_t attempt;
    enum charge_status status;
    _Bool refuses; /* to give the money back */
};
struct provider {
    struct charge_entry *entries; /* a hash table; NONE: a free place */
    int count, room;
    int64_t away_until_ms;
};

struct operator
{
    int64_t next_ms;
    int64_t asked, redriven, handed_over, taken_over, resolved, set_apart; /* counters */
    struct edits edits[LOGS];
    int64_t unserved_ms[LOGS]; /* since when nobody serves; 0: somebody does */
};

struct adversary {
    int64_t next_ms;
    int64_t written;
};

/* A program with a bug: it cannot apply an event about some entities. Mended later. */
struct bug {
    int log;          /* whose events; -1: there is none */
    int one_in;       /* entities */
    uint64_t salt;    /* which */
    int64_t until_ms; /* when it is mended */
};

/* ---- All of it ------------------------------------------------------------------------------- */

#define FAULTS_MAX 40

struct world {
    uint64_t seed, random;
    int64_t now_ms, steps, faults;
    _Bool trace, calm;     /* calm: nothing is broken any more */
    uint64_t digest;       /* of all that was committed; */
    _Bool digests_traffic; /* and of all that has arrived, in its order */
    struct relay_config relay_config;
    struct feed_config feed_config;
    struct arena arena;
    struct history logs[LOGS];
    struct net net;
    struct server server;
    struct node nodes[NODES_MAX];
    int node_count;
    struct load load;
    struct provider provider;
    struct operator operator;
    struct adversary adversary;
    struct bug bug;
    int64_t fault_ms, mean_fault_ms, mean_load_ms, latency_ms;
    int64_t fault_counts[FAULTS_MAX];
    char violation[512]; /* the first one; empty: none */
};

struct wish { /* what the command line asks of a run */
    uint64_t seed;
    int64_t runs, steps;
    const char *without; /* a guard; NULL: none is left out */
    const char *expect;  /* how the violation must begin; NULL: none is wanted */
    int64_t instances;   /* of each service; 0: drawn */
    _Bool trace, faults, check_the_checks, twice;
};

/* world.c */
void world_open(struct world *world, const struct wish *wish, uint64_t seed);
void world_close(struct world *world);
int64_t draw(struct world *world, int64_t below); /* 0 .. below - 1 */
_Bool one_in(struct world *world, int64_t times);
void violated(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void trace_line(const struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define tell(world, ...)                      \
    do {                                      \
        if ((world)->trace)                   \
            trace_line((world), __VA_ARGS__); \
    } while (0)
void *must(void *pointer); /* ends the program where there is no memory */
void digest_add(struct world *world, const void *data, size_t length);

/* simulate.c */
void step(struct world *world);

/* process.c: what a process has of its machine */
struct node *current_node(void); /* whose code runs; ends the program where none does */
void node_enter(struct node *node);
void node_leave(struct node *node);
int64_t node_clock_ms(const struct node *node); /* monotonic, as it goes there */
/* When that clock shows this time. */
int64_t node_world_ms(const struct node *node, int64_t clock_ms);
extern const char *guard_removed; /* of all processes; NULL: all guards stand */

/* node.c */
void node_open(struct world *world, int index, int log);
void node_close(struct node *node);
void node_start(struct world *world, struct node *node);
/* with power_was_cut what was not synced is lost, too */
void node_crash(struct world *world, struct node *node, _Bool power_was_cut);
/* it is in the middle of a turn: dies, and is buried when that is over */
void node_die(struct node *node, _Bool power_was_cut);
void node_cut(struct world *world, struct node *node, int lane);
void node_cut_off(struct world *world, struct node *node); /* both links */
void node_take_over(struct node *node);                    /* an operator says so */
void node_turn_writer(struct world *world, struct node *node);
void node_turn_sender(struct world *world, struct node *node);
void node_turn_readers(struct world *world, struct node *node);
void node_turn_handler(struct world *world, struct node *node);
void node_turn_link(struct world *world, struct node *node);
void node_freeze(struct world *world, struct node *node, int64_t until_ms);
void node_thaw(struct world *world, struct node *node);
int64_t node_link_due_ms(const struct world *world, const struct node *node);
void node_restore(struct world *world, struct node *node, _Bool from_copy); /* does not run */
const struct relay *node_relay(const struct node *node);
const struct feed *node_feed(const struct node *node, int i); /* of its i-th source */
int node_source_log(const struct node *node, int i);          /* -1: there is no such source */
_Bool node_serves(const struct node *node);

/* bug.c */
void bug_open(struct node *node); /* stands before the apply of all that others have said */
void bug_begin(struct world *world);

/* orphans.c: what a fenced instance sets aside */
_Bool is_orphan(const struct history *history, const struct digest *chain);
_Bool is_orphans_request(const struct history *history, int request);
/* The world has taken a file away, with what it alone had from there on. */
void orphans_of_lost_file(struct world *world, const struct node *node, int64_t from);

/* instances.c: several instances of one service */
const struct lead *node_lead(const struct node *node);
_Bool node_leads(const struct node *node); /* it serves, or it is the only one */
const struct node *leader_of(const struct world *world, int log); /* one that leads; NULL */
void instances_note_turn(struct world *world, struct node *node); /* after each of its sender */
/* It has all that its service has committed, and nothing else. */
_Bool instance_is_complete(const struct world *world, const struct node *node);
_Bool instance_may_start(const struct world *world, const struct node *node);
void instance_commits(struct world *world, struct node *node, const struct committed *event);
void instance_sets_aside(struct world *world, struct node *node, int64_t common);
void instance_forgets(struct node *node); /* its file is another one now */
/* Has an instance committed what now is in the stream? Then the line is its own from there on. */
_Bool instances_have_committed(struct world *world, int log, int64_t position,
                               const struct digest *chain);
_Bool anybody_has_committed(const struct world *world, const struct history *history,
                            const struct digest *chain);
void instances_note_answer(struct world *world, const struct node *node, const struct wire *wire);
_Bool is_set_apart(const struct history *history, const char *entity);
/* The operator is about to delete a stream: one has all of it, and those that have not are stopped,
 * so that none of them makes it anew. False: he waits. */
_Bool instances_may_lose_stream(struct world *world, int log);
void instances_operate(struct world *world); /* what an operator does about them */

/* history.c */
void history_look(struct world *world, struct node *node); /* what is new in its file? */
void history_look_at_start(struct world *world, struct node *node);
void line_put(struct line *line, const struct committed *event); /* behind the last */
const struct digest *history_at(const struct history *history, int64_t position); /* NULL */

/* load.c, provider.c, operator.c, adversary.c */
void actor_take(struct world *world, enum actor actor, struct wire *wire);
void load_act(struct world *world);
int64_t load_due_ms(const struct world *world);
void load_take_reply(struct world *world, const struct wire *wire);
void load_free(struct world *world);
void provider_take(struct world *world, const struct wire *wire);
enum charge_status provider_status(const struct provider *provider, const char *order,
                                   int64_t attempt);
void operator_act(struct world *world);
void operator_look(struct world *world, int log); /* at a stream that is about to lose something */
void operator_stream_made(struct world *world, int log);
void operator_take_reply(struct world *world, const struct wire *wire);
void adversary_act(struct world *world);

/* faults.c */
const char *fault_name(int i); /* NULL: there are no more */
void fault_act(struct world *world);
void faults_end(struct world *world);

/* faults_lead.c */
_Bool fault_freeze_leader(struct world *world);
_Bool fault_leader_goes(struct world *world);
_Bool fault_cut_leader_off(struct world *world);
_Bool fault_lose_heartbeats(struct world *world);
_Bool fault_take_over(struct world *world);

/* may_go.c */
_Bool stream_may_go(const struct world *world, int log); /* its database has all */
/* Its stream has all up to this position, in order. */
_Bool stream_reaches(const struct world *world, int log, int64_t last, _Bool and_nothing_else);
_Bool stream_is_being_deleted(const struct world *world, int log);
_Bool database_may_go(const struct world *world, int log);

/* loss.c */
_Bool see_loss_named(struct world *world);     /* false: there was nothing to lose */
_Bool see_reactions_anew(struct world *world); /* likewise */

/* check.c, check_tables.c, fold.c */
void check_stored(struct world *world, struct stream *stream, const struct wire *wire);
void check_published(struct world *world, const struct node *node);
void check_reply(struct world *world, const struct node *node, const struct wire *wire);
void check_all(struct world *world);                /* in quiet */
const char *what_is_not_quiet(struct world *world); /* NULL: it is */
sqlite3_stmt *prepare(struct world *world, const struct node *node, const char *sql);
int64_t number_of(struct world *world, const struct node *node, const char *sql);
const struct node *node_of_log(const struct world *world, int log);
const struct charge_entry *unexplained_charge(struct world *world);
void check_tables(struct world *world);
void check_folds(struct world *world);
