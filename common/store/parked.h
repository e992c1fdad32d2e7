/* Parked events (the dead letters of a projection): events that could not be applied, and every
 * later event of the same entity, in order (rule 6). A parked event is kept by reference, as log
 * and position, because it may hold fields that this service must not store. A redrive fetches it
 * again from its leader. */
#pragma once
#include "base/arena.h"
#include "store/db.h"

struct parked {
    const char *log;
    int64_t position;
    const char *entity;
    const char *type;
    const char *error;
    int64_t since_ms;
};

int parked_create_table(struct db *db);
int parked_count(struct db *db, int64_t *ret_count);
/* Is an event of this entity parked? Is this very event? 1 yes, 0 no, < 0. */
int parked_has_entity(struct db *db, const char *log, const char *entity);
int parked_has_event(struct db *db, const char *log, int64_t position);
int parked_add(struct db *db, const struct parked *parked);
int parked_remove(struct db *db, const char *log, int64_t position);
/* 0, NOT_FOUND or < 0 */
int parked_find_first(struct db *db, const char *log, const char *entity, int64_t *ret_position);
int parked_set_error(struct db *db, const char *log, int64_t position, const char *error);

/* Which parked events are meant. NULL: of all logs, of all entities. */
struct parked_filter {
    const char *log, *entity;
};
int parked_count_of(struct db *db, const struct parked_filter *filter, int64_t *ret_count);

/* The next parked event after (log, position) that has no earlier one of its entity before it. 0,
 * with the log's text in the arena; NOT_FOUND; or < 0. PARKED_GOES_ON: there is none among the next
 * PARKED_WALK_MAX; *ret_log and *ret_position say after which to ask again. */
#define PARKED_WALK_MAX 256
enum { PARKED_GOES_ON = 1000 }; /* beside NOT_FOUND */
int parked_find_next(struct db *db, const struct parked_filter *filter, const char *after_log,
                     int64_t after_position, struct arena *arena, const char **ret_log,
                     int64_t *ret_position);

/* The parked events after (log, position), in this order, at most `max`; text in the arena. 0 or
 * < 0. */
int parked_list(struct db *db, const char *after_log, int64_t after_position, struct arena *arena,
                struct parked *ret_parked, int max, int *ret_count);
