/* Instance: one running service without its process: its table, its configuration, and the parts
 * that the threads share. service.c opens it, starts its threads and stops them. The simulation
 * opens the very same, with bus.h and clock.h of its own, starts no thread, and calls the turns:
 *
 *     instance_open(&instance, &options);    database, parts, bus: bus_open is called here
 *     while (…) {                            in any order, whenever one is due
 *         writer_turn(&instance.writer, now_ms);               writer_due_ms
 *         sender_turn(&instance.sender, now_ms);               sender_due_ms
 *         readers_turn(&instance.readers, &reader, now_ms);    readers_due_ms; reader_init
 *     }
 *     instance_close(&instance);             as after a crash: what is not sent is dropped
 *
 * Only these, and tests, know struct instance. */
#pragma once
#include "runtime/outbound/sender.h"
#include "runtime/repair/admin.h"
#include "runtime/repair/operations.h"
#include "runtime/request/readers.h"
#include "runtime/watch/statistics.h"
#include "runtime/writer/writer.h"

struct instance_options { /* all borrowed for the life of the instance */
    const struct service *service;
    const struct config *config;
    const char *database_path;
    /* of ids and of the random part of waits; 0: random bits from the kernel */
    uint64_t seed;
    void *context; /* of what follows */
    /* A part cannot go on: the process shall end in order. Any thread; may be called again. */
    void (*end)(void *context, int exit_code);
    /* The process ends at once, without another word to anybody (rule 4). On the writer's thread;
     * when it returns, as in a simulation, the writer does nothing more. */
    void (*die)(void *context, int exit_code);
    /* Other instances of our name may be there: answer $SRV from now on (0 or < 0), with the
     * metadata of peer_io_write_metadata; stop in order and start again. On the sender's thread.
     * NULL: no other one can be there. */
    int (*show)(void *context);
    void (*step_back)(void *context);
};

struct instance {
    struct instance_options options;
    char id[MICRO_ID_SIZE]; /* in $SRV */
    struct peer_hooks peers;
    struct status status;
    struct inbox inbox; /* requests and events, to the writer */
    struct readers readers;
    struct writer writer;
    struct sender sender;
    struct admin admin;
    struct operations operations;
    struct endpoints endpoints;
    struct statistics statistics; /* of all these */
    struct bus *bus;
};

/* The database, all parts, the bus with the sender's subscriptions. No thread of ours yet; nothing
 * waits for the server, which may come later. The instance is zeroed; on a failure instance_close
 * takes apart what there is. */
int instance_open(struct instance *instance, const struct instance_options *options);

/* The threads: readers, sender, writer. */
int instance_start(struct instance *instance);

/* Before a stop in peace: where it leads and a standby is there, that one leads when this returns,
 * and no request was refused (sync/handover.h). */
void instance_hand_over(struct instance *instance);

/* In peace, and also after a start that failed: no new requests; what was taken in is finished and
 * answered; then the threads have ended. */
void instance_stop(struct instance *instance);

void instance_close(struct instance *instance);
