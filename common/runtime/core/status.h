/* Status: the state of a service. Single numbers, each written by one thread and read by
 * any, so that $SRV answers and refusals never wait for SQLite or for a lock. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>
#include "journey.h"
#include "runtime/core/notices.h"
#include "runtime/core/states.h"
#include "work.h"

enum disk_state { DISK_FINE, DISK_DEGRADED, DISK_CORRUPT };

struct source_status {
    atomic_llong position;        /* applied, committed */
    atomic_llong leader_position; /* newest that we know of */
    /* wall time when we last knew that nothing was missing; 0: never */
    atomic_llong complete_at_ms;
    atomic_int feed_state; /* enum feed_state */
    /* since the start: durables made anew, gaps met, messages that are not in the leader's log */
    atomic_llong remade, gaps, voids;
    atomic_llong parked;       /* its events that could not be applied; the writer */
    struct status_text reason; /* why the feed waits, or is forked; "": it does not */
};

/* Of one type of work, in the order of service.work: see struct work_counts in work_list.h. */
struct work_status {
    atomic_llong open, in_flight;
    atomic_llong asked, again, answered, late, refused, expired;
    atomic_llong oldest_ms; /* wall time since when the oldest piece is open; 0: none is */
    atomic_llong stuck;     /* given up: a person has to settle them */
    atomic_llong away;      /* 1: nobody listens there */
};

#define BATCH_BUCKETS 14 /* of 1, 2, 4 … 4096 items, and more */

struct status {
    int64_t started_ms;
    _Bool answers_wait;  /* --answer-when published; set before the threads run */
    atomic_int disk;     /* enum disk_state; the writer */
    atomic_bool damaged; /* the database file is damaged; any connection (store/db.h) */
    /* its path names another file now, or none (store/file_place.h); the writer */
    atomic_bool moved;
    atomic_int relay_state; /* enum relay_state; the sender */
    atomic_bool whole;      /* our log agrees with our stream: the sender */
    /* the projections are being rebuilt, and have not caught up: the writer */
    atomic_bool folding;
    atomic_bool caught_up;     /* whole, and not folding: the sender */
    atomic_bool draining;      /* main */
    atomic_bool standby;       /* another instance serves: the sender */
    atomic_llong role;         /* enum service_role; the sender, as what follows */
    atomic_llong follower_lag; /* of a standby: events of the leader's log that ours has not yet */
    atomic_llong leader_term;  /* of the instance that leads, as far as we know */
    struct status_text leader; /* its id; "": not known */
    atomic_llong position;     /* of our log, committed; the writer */
    /* messages of ended terms in our stream; events that were set aside, in all its lives */
    atomic_llong voids, orphans;
    atomic_llong published;   /* known to be in the stream; the sender */
    atomic_llong stream_seen; /* how far the stream was ever seen to go; the sender */
    /* answers that wait for the stream; since the start, those that it did not confirm in time; the
     * sender */
    atomic_llong answers_held, unconfirmed;
    /* repairs since the start: events published again, streams created anew, refused publishes */
    atomic_llong republished, stream_remade, refused;
    atomic_llong server_advisories; /* known against the server, and not fixed in it */
    atomic_llong heal_wait_ms;  /* how long the next deletion of a wrong stream still waits; 0 */
    atomic_llong audited_from;  /* the audit of the stream has read from this sequence to the end */
    atomic_llong replay_target; /* while we recover from our stream: its last position; 0 */
    atomic_llong last_commit_ms;
    atomic_llong commits;
    atomic_llong committed_items;
    atomic_llong batch_sizes[BATCH_BUCKETS];         /* commits by size: up to 1 << i items */
    atomic_llong writer_turned_ms, sender_turned_ms; /* monotonic: when each last began a turn */
    /* monotonic: how long the oldest event waits for the stream; 0: none does */
    atomic_llong unpublished_since_ms;
    atomic_llong parked;
    atomic_llong redriven; /* since the start; the sender */
    /* rebuilds since the start, and rows that they corrected; the rebuilder */
    atomic_llong rebuilds, rebuilt_rows;
    atomic_llong rebuild_events; /* folded by the rebuild under way; 0: there is none */
    /* checks of our own file that came to their end; when the newest did (wall time); tables that
     * it left out: repair/file_check.h */
    atomic_llong file_checks, file_checked_ms, file_check_skipped;
    /* likewise, comparisons of the tables with the logs; rows that differed in the newest:
     * repair/table_check.h */
    atomic_llong table_checks, tables_checked_ms, tables_differ;
    atomic_llong layout_differs; /* 1: the tables are not as this program makes them */
    /* what the server takes as one message, headers and data together; 0: not known yet; the
     * sender, at each connect */
    atomic_llong max_payload_bytes;
    /* what the largest event of our log needs to travel in; the writer */
    atomic_llong largest_event_bytes;
    atomic_llong wal_bytes;
    atomic_llong database_bytes;
    struct status_text relay_reason; /* why the relay waits, or is forked; "": it does not */
    struct notices notices;          /* what is set otherwise than it should be, or refused */
    struct source_status sources[SOURCES_MAX];
    struct work_status work[WORK_TYPES_MAX]; /* the writer */
};

/* The worst state that holds, and its name. */
enum service_state status_state(const struct status *status);
const char *status_name(const struct status *status);

/* May a command be taken now? 0, or the refusal and its message (valid until the thread's next
 * call). */
enum refusal status_refuses(const struct status *status, int64_t backlog_max,
                            const char **ret_message);
