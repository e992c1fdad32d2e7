/* Mesh: what the map knows of the services, their instances and streams, from what they answer to
 * $SRV.PING, $SRV.STATS and STREAM.INFO; and its picture as JSON for the browsers. No I/O; time is
 * an input (monotonic, but where it says wall). All texts in it came from the mesh and are taken as
 * untrusted. One thread.
 *
 *   an instance:   heard ── no answer for MESH_SILENT_MS ──► silent ── answers again ──► heard
 *                                                              └── a newer one on its host ──► gone
 *
 * A service whose instances are all silent stays in the picture, with what was last known of it;
 * what waits for it is worked out from the positions of the logs that it reads. */
#pragma once
#include <stdint.h>
#include "base/buf.h"
#include "base/json_text.h"

#define MESH_SERVICES_MAX 256 /* beyond it a service is left out, and `left_out` counts it */
#define MESH_INSTANCES_MAX 16 /* of one service; likewise */
#define MESH_SOURCES_MAX 16   /* of one service */
#define MESH_TYPES_MAX 32     /* types of events of one stream */
#define MESH_NAME_SIZE 65
#define MESH_TEXT_SIZE 201
#define MESH_SILENT_MS 650
#define MESH_BUCKETS 14  /* of the answers' times: runtime/request/micro.h */
#define MESH_HISTORY 600 /* seconds of the plots */

struct mesh_instance {
    char id[MESH_NAME_SIZE], host[MESH_NAME_SIZE], pid[16];
    char state[24], role[16], relay[24];
    int64_t term;
    int64_t heard_ms;           /* the newest answer */
    int64_t counted_ms;         /* the newest statistics; 0: none */
    int64_t requests, refusals; /* of the journeys, since its start */
    int64_t durations[MESH_BUCKETS];
    double request_rate, refusal_rate; /* a second */
    double rate_of[MESH_BUCKETS];      /* answers a second, by how long they took */
    int64_t rss_bytes, queue, queries, wal_bytes, position, published, outbox, parked, held;
    _Bool silent;
};

struct mesh_source { /* a log that a service reads */
    char log[MESH_NAME_SIZE], state[24];
    int64_t cursor, lag, age_ms;
};

/* One second of the plots; `up` 0: nobody answered, or nobody led. */
struct mesh_second {
    float requests, refusals, p50_ms, p99_ms, lag, outbox;
    _Bool up;
};

struct mesh_type { /* of events, by the last token of the subject */
    char name[MESH_NAME_SIZE];
    int64_t count;
    double rate;
};

struct mesh_stream {
    _Bool there, asked, missing;
    int64_t messages, bytes, last, seen_ms;
    double rate;
    struct mesh_type types[MESH_TYPES_MAX];
    int type_count;
};

struct mesh_service {
    char name[MESH_NAME_SIZE], log[MESH_NAME_SIZE], prefix[MESH_NAME_SIZE];
    char reason[MESH_TEXT_SIZE];
    int64_t silent_since_ms; /* 0: it answers */
    struct mesh_instance instances[MESH_INSTANCES_MAX];
    int instance_count;
    struct mesh_source sources[MESH_SOURCES_MAX];
    int source_count;
    int notice_count;
    int64_t told_ms; /* when reason, sources and notices were told */
    struct mesh_stream stream;
    struct mesh_second history[MESH_HISTORY]; /* a ring */
    int64_t seconds;                          /* that were noted in all */
};

struct mesh {
    struct mesh_service *services[MESH_SERVICES_MAX]; /* by name; owned */
    int count;
    int64_t left_out;
};
void mesh_deinit(struct mesh *mesh);
DEFINE_DEINIT(mesh)

/* Each takes one answer. 0; -ERR_INVALID: it is no such answer; -ERR_MEMORY. */
int mesh_take_ping(struct mesh *mesh, const char *text, size_t length, int64_t now_ms);
int mesh_take_statistics(struct mesh *mesh, const char *text, size_t length, int64_t now_ms);
int mesh_take_stream(struct mesh *mesh, const char *log, const char *text, size_t length,
                     int64_t now_ms);

/* The service that leads a log, or of a name; NULL: none. */
struct mesh_service *mesh_find_log(struct mesh *mesh, const char *log);
struct mesh_service *mesh_find(struct mesh *mesh, const char *name);

/* Has an instance become silent? To be called a few times a second. heard: a server is connected;
 * without one nothing is known of anybody. */
_Bool mesh_look(struct mesh *mesh, int64_t now_ms);
/* Notes a second of the plots; to be called once a second. */
void mesh_note(struct mesh *mesh, int64_t now_ms);

/* The instance that leads, or the one that was heard last; NULL: there is none. */
const struct mesh_instance *mesh_leading(const struct mesh_service *service);
/* Does it answer, and lead? Services that know no roles lead. */
_Bool mesh_is_led(const struct mesh_service *service);
/* What waits for a service in a log that it reads: what it reports, or while it is silent, what its
 * leader has had since. */
int64_t mesh_lag(struct mesh *mesh, const struct mesh_service *service,
                 const struct mesh_source *source);

/* The members `services` and `left_out` of the picture, appended. */
void mesh_write(struct mesh *mesh, int64_t now_ms, struct buf *out);
/* The last ten minutes of a service. */
void mesh_write_history(const struct mesh_service *service, struct buf *out);

/* The time that a share of the answers did not exceed, by the buckets; < 0: no answers. */
double mesh_percentile_ms(const double rate_of[MESH_BUCKETS], double share);
