/* Stream reader: reads our own stream in bulk, and ahead, for read_back.h: through a consumer
 * without acknowledgements that is the reader's alone, in the server's memory, and gone when nobody
 * has pulled for a while. What has been read is in our log by its position, so the server need not
 * remember it.
 *
 *     IDLE ── open ──► MAKING ── made ──► READING ── closed, or failed ──► IDLE
 *
 * A message that is lost on the way is seen by the consumer's own count. Whatever goes wrong, it
 * ends: the caller reads message by message then, and the reader rests for a while.
 *
 * On the sender's thread, but for the deliveries: they are decoded on library threads, beside the
 * writer.
 *
 * Invariants (reader_check):
 *   D1  at most READER_AHEAD messages are asked for or here, and not taken; they are of a pull of
 *       at most READER_PULL_BYTES each
 *   D2  only READING has pulls out */
#pragma once
#include "runtime/core/backoff.h"
#include "runtime/outbound/outbound.h"

#define READER_BATCH 2048 /* messages of a pull, and given at a time */
#define READER_AHEAD 4096
#define READER_PULL_BYTES (INT64_C(8) * 1024 * 1024)
#define READER_PULLS 2

enum reader_state { READER_IDLE, READER_MAKING, READER_READING };

struct stream_reader {
    struct outbound *outbound;
    enum reader_state state;
    char name[DURABLE_NAME_MAX + 1]; /* of the consumer */
    int64_t generation;              /* of it */
    int64_t epoch;                   /* the relay's, for which it reads */
    int64_t next, last;              /* sequences: the next that is given; reads up to this one */
    int64_t pull;                    /* number of the newest */
    int64_t seen;                    /* sequence up to which all had come at the last look */
    int64_t deadline_ms;             /* something comes before it; INT64_MAX: nothing is due */
    int64_t used_ms;                 /* when it last pulled */
    int64_t rest_until_ms;
    struct backoff rest;
    const char *reason; /* why it failed last; NULL: it has not, since it last read */

    struct arrived { /* under the lock */
        pthread_mutex_t lock;
        int64_t generation;         /* others are of a consumer that was left */
        struct item *first, **last; /* by sequence; position 0: no event of ours */
        int count;
        int64_t newest;            /* sequence up to which all has come */
        int64_t consumer_sequence; /* of the newest */
        struct reader_pull {
            int64_t number, left;
        } pulls[READER_PULLS]; /* number 0: none */
        _Bool is_end;          /* the stream has nothing behind the newest */
        const char *broken;    /* why it cannot go on; static text */
    } arrived;
    atomic_bool has_news; /* worth a turn of the sender */
    struct bus_subscription *deliveries;
};

struct reader_window { /* what is given at a time */
    struct item *first, **last;
    int count, foreign; /* events; messages that are none, and were named */
    int64_t covered;    /* all up to this sequence was given, as far as it is there */
};

void stream_reader_init(struct stream_reader *reader, struct outbound *outbound);
int stream_reader_subscribe(struct stream_reader *reader);
void stream_reader_deinit(struct stream_reader *reader);

/* Could the message at `first` be the next, without another consumer? */
_Bool stream_reader_is_at(const struct stream_reader *reader, int64_t epoch, int64_t first,
                          int64_t now_ms);
/* Is there none, and may one be made? */
_Bool stream_reader_may_open(const struct stream_reader *reader, int64_t now_ms);
/* 0, or < 0: the server cannot be asked */
int stream_reader_open(struct stream_reader *reader, int64_t epoch, int64_t first, int64_t now_ms);
void stream_reader_made(struct stream_reader *reader, int64_t generation,
                        const struct bus_message *message, int64_t now_ms);
void stream_reader_close(struct stream_reader *reader);

/* All up to there is wanted: pulls as there is room. Again and again. */
void stream_reader_pull(struct stream_reader *reader, int64_t last, int64_t now_ms);
/* From now on something is waited for: silence is a failure. */
void stream_reader_wait(struct stream_reader *reader, int64_t now_ms);
/* Gives what has come: > 0; 0: not yet enough to be worth it; < 0: it failed, and is idle. */
int stream_reader_take(struct stream_reader *reader, int64_t now_ms,
                       struct reader_window *ret_window);

int64_t stream_reader_due_ms(const struct stream_reader *reader);
