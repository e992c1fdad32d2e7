/* World: everything that a simulated run consists of, and who may do what with it.
 *
 * One run is one seed. Two services, each with its real loop on a database in memory, its real
 * relay and its real feed, live in it together with a message server, customers, and a payment
 * provider. Nothing has a thread or a clock: simulate.c picks one possible action after another (a
 * step), and the world's clock moves to the next due one when nothing is left to do at this moment.
 *
 *     customers ─ requests ─► node ─ publishes ─► server ─ deliveries ─► the other node
 *      load.c      replies    node.c  courier_*.c  server.c              node.c
 *                               └─ calls ─► provider.c
 *
 * Between them everything travels as a packet, takes time, and may be lost with its connection
 * (net.c). A node's database is in memory, or on a disk that forgets and fails (database.c,
 * disk.c). faults.c breaks things; history.c remembers what was committed, and check.c and fold.c
 * say whether what is left is right.
 */
#pragma once
#include <sqlite3.h>
#include <stdio.h>
#include "runtime/sync/feed.h"
#include "runtime/writer/loop.h"
#include "runtime/sync/relay.h"
#include "schemas/account.add-card.h"
#include "schemas/account.change-address.h"
#include "schemas/account.close.h"
#include "schemas/account.register.h"
#include "schemas/account.remove-card.h"
#include "schemas/order.add-product.h"
#include "schemas/order.cancel.h"
#include "schemas/order.place.h"
#include "schemas/order.receive-stock.h"
#include "schemas/order.ship.h"

#define NODES 2
enum { ACCOUNT, ORDER }; /* which node, and which log */

/* A guard that this run does without: each must make the checks fail, or they are worth nothing. */
enum guard {
    GUARD_NONE,
    /* acknowledges what comes in at once, and relies on the server for what is lost */
    GUARD_ACK_AFTER_COMMIT,
    GUARD_EXPECTED_SEQUENCE,     /* publishes without saying what must come before */
    GUARD_CURSOR_IN_TRANSACTION, /* the cursor on disk is behind the tables after a crash */
    GUARD_GAP,                   /* what comes after a gap is applied all the same */
    GUARD_REPLY_AFTER_COMMIT,    /* replies while the commit may still be lost */
    GUARD_SYNC_BEFORE_REPLY,     /* synchronous=NORMAL: replies while the disk may still forget */
    GUARD_COUNT,
};
extern const char *const guard_names[GUARD_COUNT];

/* ---- What travels ---------------------------------------------------------------------------- */

struct record {         /* an event as it was committed; lives as long as the run */
    struct event event; /* its value is NULL until record_read */
    struct digest digest;
    const char *invalid;
    _Bool is_read;
};

enum packet_kind {
    /* from a node to the server, which answers a question with the same kind */
    PACKET_INFO,
    PACKET_AUDIT,
    PACKET_LAST,
    PACKET_GET,
    PACKET_MAKE,
    PACKET_DELETE,
    PACKET_PUBLISH,
    PACKET_FEED_INFO,
    PACKET_FEED_LAST,
    PACKET_DURABLE_INFO,
    PACKET_DURABLE_DELETE,
    PACKET_DURABLE_MAKE,
    PACKET_PULL,
    PACKET_ACK,
    /* from the server to a node */
    PACKET_DELIVERY,
    PACKET_PULL_STATUS,
    /* between the nodes: a range of the leader's log, or its event at the cursor */
    PACKET_FILL,
    PACKET_COMPARE,
    /* between node, customers, provider */
    PACKET_REQUEST,
    PACKET_REPLY,
    PACKET_CALL,
    PACKET_ANSWER,
    PACKET_KINDS,
};
extern const char *const packet_names[PACKET_KINDS];

enum packet_result {
    RESULT_FINE,
    RESULT_REFUSED,
    RESULT_WRONG_SEQUENCE,
    RESULT_NOT_FOUND,
    RESULT_AWAY
};

#define PAGE_MAX 8
struct page {
    int count;
    int64_t last_position;
    const struct record *records[PAGE_MAX];
};

struct packet {
    enum packet_kind kind;
    _Bool to_node, is_reply;
    int node;       /* whose connection it uses */
    int connection; /* of that node when it was sent */
    /* to whose inbox it is an answer: another life has another one; 0: it does not matter */
    uint64_t life;
    enum packet_result result;
    int stream;
    int64_t due_ms, number; /* number: the order in which they were sent */
    int64_t epoch, position, sequence, count;
    const struct record *record;
    union {
        struct relay_tail tail;
        struct feed_info info;
        struct page page;
        struct {
            struct request *request;
            int refusal;
            uint64_t answer;
            char id[ID_SIZE];
        } reply;
        struct {
            char tag[64];
            int64_t number;
            enum answer_outcome outcome;
            int status;
            char token[16];
        } call;
    };
};

/* ---- The message server ---------------------------------------------------------------------- */

#define PULLS_MAX 8
struct server_pull {
    int64_t number, epoch, left, expires_ms;
    uint64_t life;
};

struct durable {
    _Bool exists;
    int64_t delivered, acked, ack_pending_max;
    int64_t heartbeat_ms;                /* the next one */
    struct server_pull pulls[PULLS_MAX]; /* oldest first */
    int pull_count;
};

struct stored {
    const struct record *record;
    _Bool unreadable;
};
struct stream {
    _Bool exists;
    int64_t first, last, messages;
    int64_t capacity, full_until_ms; /* largest last sequence that is taken; until then */
    struct stored *at;               /* by sequence; record NULL: not there any more */
    int64_t room;
    int64_t in_order;       /* positions 1..in_order were stored in this order (I6) */
    struct durable durable; /* of the other service */
};

struct server {
    _Bool is_up;
    int64_t up_at_ms;
    struct stream streams[NODES];
};

/* ---- A service process ----------------------------------------------------------------------- */

#define BATCH_MAX 64
#define RECOVER_MAX 16
#define UNSURE_MAX 1024

enum note_kind { NOTE_BATCH, NOTE_PACKET };
struct note {
    struct note *next;
    enum note_kind kind;
    struct batch *batch;
    struct packet packet;
};

struct open_call {
    int64_t id, number, deadline_ms;
    char tag[64];
    const struct schema *reply_schema;
};
#define CALLS_MAX 256

struct node {
    int index;
    const struct service *service;
    struct source self;
    const char *option_values[8];
    _Bool on_disk; /* else in memory, which no power cut reaches */
    struct db *db;
    sqlite3 *handle; /* the same, for what only the world may do */
    uint64_t life;   /* counts the starts */

    _Bool runs, connected, announced;
    int64_t start_ms, connect_ms; /* when it does so again */
    int connection;
    int64_t cut_ms; /* what the last connection had sent arrives until then, the rest does not */
    int64_t clock_ms, clock_max_ms; /* its wall clock is so much ahead; the most that it ever was */

    struct loop loop;
    struct item *inbox, **inbox_last;
    int inbox_count;
    int64_t writer_ms; /* the writer rests until then, after a batch that failed */
    int64_t disk_full_until_ms;

    struct note *mail, **mail_last;
    struct relay relay;
    struct relay_tail tail;
    struct { /* reading the own stream back */
        int64_t first;
        int expected, received, unsettled;
        _Bool rolled_back;
        const struct record *records[RECOVER_MAX];
    } recovery;
    struct feed feed;
    struct feed_info info;
    int64_t delivered, position, pending; /* arrivals that the courier has not seen */
    int64_t acked_epoch, acked_position;  /* newest acknowledgement */
    struct open_call calls[CALLS_MAX];
    int call_count;
    int64_t call_id;
    _Bool more; /* the courier has more to do at once */

    /* What the world knows of it. */
    struct record **history; /* by position: all that it has ever committed */
    int64_t history_count, history_room;
    int64_t cursor;       /* newest that was committed, since a restore */
    int64_t disk_promise; /* likewise, of the own log: a power cut must not take it back */
    const struct record *unsure[UNSURE_MAX]; /* of a commit that failed half way */
    int unsure_count;
    int64_t restores;
    int64_t audited_count, audited_from_ms; /* check.c: since when its stream has ended there */
    struct db *copy, *before; /* an older copy; where a batch began (GUARD_REPLY_AFTER_COMMIT) */
    sqlite3 *copy_handle, *before_handle;
    int64_t copy_head;
};

/* ---- Customers and the provider -------------------------------------------------------------- */

enum request_kind {
    REQUEST_PRODUCT,
    REQUEST_REGISTER,
    REQUEST_CARD,
    REQUEST_PLACE,
    REQUEST_CANCEL,
    REQUEST_SHIP,
    REQUEST_STOCK,
    REQUEST_REMOVE_CARD,
    REQUEST_ADDRESS,
    REQUEST_CLOSE,
    REQUEST_KINDS,
};

struct request {
    enum request_kind kind;
    int node, number;
    const struct command *command;
    char key[24], cause[40], digest[DIGEST_HEX_SIZE];
    union {
        struct order_add_product product;
        struct account_register account;
        struct account_add_card card;
        struct account_remove_card remove;
        struct account_change_address address;
        struct account_close close;
        struct order_place place;
        struct order_cancel cancel;
        struct order_ship ship;
        struct order_receive_stock stock;
    } body;
    struct order_place_lines_item lines[2];
    const struct request *other; /* its key was taken by this one: a conflict is wanted */
    int64_t retry_ms;            /* not answered: asked again then */
    int tries;
    int refusal;      /* the answer: -1 none yet, 0 accepted */
    uint64_t answer;  /* a hash of its text */
    int64_t restores; /* of its node when it was answered */
};

#define NAMES_MAX 24
#define WAITING_MAX 64
struct name {
    char id[ID_SIZE];
    int of;
}; /* of: the account of a card */
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
};

enum charge_status { CHARGE_NONE, CHARGE_PAID, CHARGE_DECLINED, CHARGE_VOIDED };
struct charge_entry {
    char order[64];
    int64_t attempt;
    enum charge_status status;
};
struct provider {
    struct charge_entry *entries; /* a hash table; NONE: a free place */
    int count, room;
    int64_t away_until_ms;
};

/* ---- All of it ------------------------------------------------------------------------------- */

#define FAULTS_MAX 32

struct world {
    uint64_t seed, random;
    int64_t now_ms, steps, faults;
    _Bool trace, on_disk, calm; /* calm: nothing is broken any more */
    enum guard without;
    struct relay_config relay_config;
    struct feed_config feed_config;
    struct arena arena;
    struct packet *packets; /* a heap by due_ms, number */
    int packet_count, packet_room;
    int64_t packet_number, channel_ms[NODES][4];
    struct server server;
    struct node nodes[NODES];
    struct load load;
    struct provider provider;
    int64_t fault_ms, mean_fault_ms, mean_load_ms, latency_ms;
    int64_t fault_counts[FAULTS_MAX];
    char violation[512]; /* the first one; empty: none */
};

#define WALL_BEGIN_MS INT64_C(1795000000000)

/* simulate.c */
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

/* net.c */
void send_packet(struct world *world, struct packet packet);
struct packet take_packet(struct world *world);            /* the first due one */
void delay_packets(struct world *world, int64_t until_ms); /* nothing arrives before */
int64_t packet_due_ms(const struct world *world);
_Bool packet_is_lost(struct world *world, const struct packet *packet);
void deliver_packet(struct world *world, struct packet *packet);

/* server.c */
void server_take(struct world *world, const struct packet *packet);
void server_look_at_clock(struct world *world); /* heartbeats and pulls that are over */
int64_t server_due_ms(const struct world *world);
void server_serve(struct world *world, int stream);
void server_drop(struct world *world, int node); /* its connection broke: pulls are forgotten */
void stream_wipe(struct stream *stream);
/* this message is not there any more */
void stream_forget(struct stream *stream, int64_t sequence);
void stream_cut(struct stream *stream, int64_t last); /* nor all after this one */
void stream_purge(struct stream *stream);
void durable_wipe(struct durable *durable);
/* it holds all that was ever committed */
_Bool stream_is_whole(const struct world *world, int stream);

/* node.c */
void node_open(struct world *world, int index);
void node_close(struct node *node);
void node_start(struct world *world, struct node *node); /* the process: memory from the database */
void node_crash(struct world *world, struct node *node);
void node_connect(struct world *world, struct node *node);
void node_disconnect(struct world *world, struct node *node);
void node_push(struct node *node, struct item *item);
void node_note(struct node *node, struct note note);
void node_run_writer(struct world *world, struct node *node);
int64_t writer_due_ms(const struct world *world, const struct node *node);
void node_request(struct world *world, struct node *node, const struct packet *packet);
int64_t node_wall_ms(const struct world *world, const struct node *node);
void node_reply(struct world *world, struct node *node, const struct item *item);

/* database.c */
void open_database(struct db **ret_db, sqlite3 **ret_handle); /* in memory */
void node_open_database(struct world *world, struct node *node);
void node_reopen_database(struct world *world, struct node *node, _Bool power_was_cut);
void node_cut_power(struct world *world, struct node *node);
void node_free_disk(struct node *node);                          /* it is not full any more */
void node_copy_database(struct world *world, struct node *node); /* remembers an older copy */
void node_restore_database(struct world *world, struct node *node, _Bool from_copy);
void node_remember(struct world *world, struct node *node); /* how it is before a batch */
void node_take_back(struct world *world, struct node *node);

/* history.c */
/* the world's own of the same chain, or a new one */
const struct record *record_of(struct world *world, int log, const struct event *event);
/* decodes its data */
void record_read(struct world *world, const struct record *record, const struct event_type *events);
void history_add(struct world *world, struct node *node, const struct event *event);
const struct record *history_at(const struct node *node, int64_t position);

/* courier.c, courier_relay.c, courier_feed.c */
void courier_run(struct world *world, struct node *node);
int64_t courier_due_ms(const struct world *world, const struct node *node);
void relay_answer(struct world *world, struct node *node, const struct packet *packet);
void relay_settle(struct world *world, struct node *node, const struct batch *batch);
void relay_act(struct world *world, struct node *node);
void feed_answer(struct world *world, struct node *node, const struct packet *packet);
void feed_settle(struct world *world, struct node *node, const struct batch *batch);
void feed_act(struct world *world, struct node *node);
/* as on a library thread */
void feed_arrived(struct world *world, struct node *node, const struct packet *packet);
void feed_look_at_arrivals(struct world *world, struct node *node);
void leader_answer(struct world *world, struct node *node, const struct packet *packet);
void call_answered(struct world *world, struct node *node, const struct packet *packet);
void calls_make(struct world *world, struct node *node, struct batch *batch);
void calls_look_at_clock(struct world *world, struct node *node);

/* load.c, provider.c */
void load_act(struct world *world);
int64_t load_due_ms(const struct world *world);
void load_take_reply(struct world *world, const struct packet *packet);
void load_free(struct world *world);
void provider_take(struct world *world, const struct packet *packet);
enum charge_status provider_status(const struct provider *provider, const char *order,
                                   int64_t attempt);

/* faults.c */
const char *fault_name(int i); /* NULL: there are no more */
void fault_act(struct world *world);
void faults_end(struct world *world);
/* of the newest events of a log that was read; whose, or -1 */
int lose_both_copies(struct world *world);

/* check.c, fold.c */
void check_all(struct world *world);                /* in quiet */
const char *what_is_not_quiet(struct world *world); /* NULL: it is */
void check_folds(struct world *world);
