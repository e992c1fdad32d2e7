/* Sender: the thread for everything outbound. It sends the replies of settled batches,
 * acknowledges what was read, carries out what relay and feeds say, and makes the calls of the
 * process. It never touches the writing connection; the log it reads through its own.
 *
 *   sender.c        the thread, its mailbox, settling
 *   relay_io.c  the relay's actions
 *   feed_io.c   the feeds' actions, and what they receive
 *   call_io.c   calls to the outside
 *   redrive.c  parked events, fetched again
 *
 * Answers come to subjects below one inbox of this process, and the subject says what is answered:
 *   <inbox>.a.<epoch>.<ahead>               the stream took an event, or did not; ahead: its sequence less our position
 *   <inbox>.f.<feed>.<epoch>.<pull>         a status of a pull; a delivery comes here too, but keeps its own subject
 *   <inbox>.q.<asker>.<step>.<epoch>.<n>    all else; asker: r relay, c call, p redrive, 0… feed
 */
#pragma once
#include <pthread.h>
#include "bus/bus.h"
#include "runtime/core/config.h"
#include "runtime/sync/feed.h"
#include "runtime/sync/relay.h"
#include "runtime/core/status.h"

#define ACK_POSITION_BITS 44 /* 17 million million events; the rest counts epochs, which may wrap */
static inline uint64_t ack_pack(int64_t epoch, int64_t position)
{
    return (uint64_t)epoch << ACK_POSITION_BITS | (uint64_t)position;
}
static inline int64_t ack_position(uint64_t acked)
{
    return (int64_t)(acked & ((UINT64_C(1) << ACK_POSITION_BITS) - 1));
}

#define RECOVER_WINDOW 256 /* own messages asked for at a time */

#define RELAY_AGES 64    /* so many points in time; what comes between them counts as the older */
#define RELAY_AGE_MS 100 /* and so far apart */

struct instance;

enum note_kind {
    NOTE_BATCH,
    NOTE_CONNECTED,
    NOTE_DISCONNECTED,
    NOTE_REFUSED,
    NOTE_PULL_STATUS,
    NOTE_ANSWER,
    NOTE_OPERATOR
};
struct note { /* what other threads tell the sender */
    struct note *next;
    enum note_kind kind;
    struct batch *batch;
    struct bus_message *answer;
    struct item *request; /* an operator's */
    int feed;
    int64_t epoch, pull;
    int status;
};

struct recovery { /* reading our own stream back */
    int64_t first_sequence;
    int expected, received;
    int unsettled; /* in the loop */
    /* a part of them was: what comes behind it shows a gap that the stream does not have */
    _Bool rolled_back;
    struct item *items[RECOVER_WINDOW]; /* by sequence, until all are there */
};

struct open_call { /* a call that waits for its answer */
    struct open_call *next;
    int64_t id, deadline_ms;
    struct outbound_call *call;
};

struct redrive {       /* one at a time: an event goes out, is run, and then the next */
    struct item *item; /* the request; NULL: none is under way */
    int64_t id;        /* so that answers to an earlier one are told from its own */
    const char *log;   /* of the event that it has come to; in the item's arena */
    int64_t position;
    int64_t deadline_ms; /* of the leader's answer; INT64_MAX: the event is in the loop */
    int64_t redriven;
};

struct sender {
    struct instance *instance;
    pthread_mutex_t lock; /* of the mailbox */
    pthread_cond_t filled;
    struct note *first, **last;
    _Bool stopping;
    pthread_t thread;
    _Bool runs;

    /* What comes in thousands a second is a number that library threads write and the sender looks
     * at, and not a note each. */
    /* newest acknowledgement: ack_pack(epoch, position), one word so that they belong together */
    atomic_ullong acked;
    /* an acknowledgement of this position or later is worth waking up for */
    atomic_llong ack_wake_position;
    struct arrivals {
        atomic_llong delivered, ignored; /* since the sender looked */
        atomic_llong position, pending;  /* of the newest */
    } arrivals[SOURCES_MAX];

    char inbox[BUS_INBOX_SIZE];
    struct bus_subscription *acks, *answers, *deliveries[SOURCES_MAX];
    /* what a delivery's handler is told */
    struct delivery_place {
        struct sender *sender;
        int feed;
    } places[SOURCES_MAX];
    atomic_llong feed_epochs[SOURCES_MAX];
    struct db *db;      /* read-only */
    struct source self; /* our own log, as others see it */
    struct relay relay;
    /* when our log reached a position, oldest first */
    struct relay_age {
        int64_t position, since_ms;
    } ages[RELAY_AGES];
    int age_count;
    struct relay_tail tail; /* the look at the stream that is under way */
    struct recovery recovery;
    struct feed feeds[SOURCES_MAX];
    struct feed_info infos[SOURCES_MAX]; /* likewise */
    /* prefix of the JetStream API of each source's stream */
    char apis[SOURCES_MAX][SOURCE_API_SIZE];
    struct open_call *calls; /* by deadline */
    int64_t call_id;
    struct redrive redrive;
    _Bool more;         /* there is more to do: look into the mailbox, but do not sleep */
    int64_t stop_by_ms; /* monotonic; 0: no stop is under way */
    _Bool whole;        /* our log agrees with our stream: others' logs may be read */
    _Bool announced;    /* that we are ready */
};

/* After the writer's; no thread yet. seed: of the random part of the waits; 0: from the kernel. */
int sender_open(struct sender *sender, struct instance *instance, uint64_t seed);
int sender_subscribe(struct sender *sender); /* once there is a bus */
int sender_start(struct sender *sender);
void sender_stop(struct sender *sender); /* settles what has come, then joins */
void sender_deinit(struct sender *sender);

/* One pass, which does not wait (but for bus_flush, once, when our log is whole): what arrived, the
 * notes, then what relay, feeds and calls want. now_ms is monotonic. False: a stop was asked for
 * and all is settled. The thread does nothing else but wait and turn, so a scheduler may take its
 * place. */
_Bool sender_turn(struct sender *sender, int64_t now_ms);
/* When it wants its next turn; at most now_ms while there is mail, or more to do. */
int64_t sender_due_ms(struct sender *sender, int64_t now_ms);

/* Takes the batch over. From the writer. */
void sender_wake(struct sender *sender); /* any thread */
void sender_settle(struct sender *sender, struct batch *batch);
void sender_connected(struct sender *sender); /* from library threads, as the next */
void sender_disconnected(struct sender *sender);
/* takes an operator's request over: a redrive, a rebuild */
void sender_operate(struct sender *sender, struct item *item);
