/* Context: what stands behind `struct journey`, the one argument of all journey functions. */
#pragma once
#include "runtime/core/item.h"
#include "runtime/core/service_table.h"

enum journey_mode {
    MODE_DECIDE,  /* a command, a reaction, an answer, a step: may emit */
    MODE_OBSERVE, /* after the commit: may call, not emit */
    MODE_QUERY,   /* reads only */
};

struct emission {
    struct emission *next;
    const struct event_type *type;
    const char *entity;
    const void *value;
    const char *data; /* the value encoded, in the journey's arena; NULL: not yet */
    size_t data_length;
    struct origin origin;
};

/* A call that waits for the commit, then for the sender. `subject` NULL: a built-in provider's
 * answer that is due at `local->due_ms`. */
struct outbound_call {
    struct outbound_call *next;
    const char *subject;
    struct buf body;
    const struct call_type *type; /* its row in service.calls */
    int timeout_ms;
    char tag[64];
    int64_t number;
    const char *work; /* the name of the work type whose piece it asks for; NULL */
    struct item *local;
    int64_t depends_on, give_up_ms; /* while it waits for its position: sync/gate.h */
};
void outbound_call_free(struct outbound_call *call);

struct work;
struct works;

struct journey {
    enum journey_mode mode;
    const struct service *service;
    const char *const *option_values; /* beside service->options */
    struct db *db;
    struct arena *arena;
    struct id_source *ids;
    int64_t now_ms;
    struct origin origin;
    struct emission *emissions; /* oldest first */
    struct emission **last_emission;
    struct outbound_call *calls; /* oldest first */
    struct outbound_call **last_call;
    const struct work *asking; /* the piece that a work list asks for right now; NULL */
    struct works *works;       /* the lists of the service, while they run; NULL */
    int64_t in_stream;         /* a query: how far our log was ever seen in the stream */
    int64_t page_max;          /* of what is listed here at most so many; 0: as many as wanted */
    int64_t page_taken;        /* the longest list that journey_page_limit allowed; 0: none */
    char message[256];         /* of a refusal */
};

void journey_init(struct journey *j, enum journey_mode mode, const struct service *service,
                  const char *const *option_values, struct db *db, struct arena *arena,
                  struct id_source *ids, int64_t now_ms);
void journey_deinit(struct journey *j); /* frees calls that nobody took */
