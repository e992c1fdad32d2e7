/* Terms: who has led, from which position on. Each life of a leader begins with an event of the
 * runtime, TermBegan {term, instance, head_before}, in the service's log; all events behind it, up
 * to the next one, are of that term. Events before the first TermBegan have none (0).
 *
 * The table has one row a TermBegan, written where the event is appended (event_log_append), so it
 * is as old as the log in any transaction. A term need not be hashed: the chain binds each event to
 * the TermBegan before it. */
#pragma once
#include "store/event_log.h"

/* Types of the runtime, known to every service. */
#define EVENT_TERM_BEGAN "TermBegan"
#define EVENT_TERM_ENDED "TermEnded"
_Bool event_is_of_runtime(const char *type);

#define TERM_INSTANCE_SIZE 65

struct term {
    int64_t term;                      /* 0: none yet */
    int64_t position;                  /* of its TermBegan */
    char instance[TERM_INSTANCE_SIZE]; /* who began it */
    int64_t began_ms;                  /* wall clock of its TermBegan */
};

int terms_create_table(struct db *db); /* a step of store/migrate.c; cursors get their term, too */

/* Reads a TermBegan; 1: the event is none, or its data says no term; 0. */
int term_read(const struct event *event, struct term *ret_term);
int terms_note(struct db *db, const struct event *event); /* a new event of our log. 0 or < 0 */

/* The term of the event at a position, which need not be there yet; zeros: none. 0 or < 0. */
int terms_find(struct db *db, int64_t position, struct term *ret_term);
/* The highest term of the log; zeros: none. 0 or < 0. */
int terms_newest(struct db *db, struct term *ret_term);

/* Has the log events from this position on, and nothing but TermBegans? 1 yes, 0 no, < 0. */
int terms_stand_alone(struct db *db, int64_t position);
/* The events behind this position were taken out of the log. 0 or < 0. */
int terms_forget_after(struct db *db, int64_t position);

/* Goes along the log, and says of each event its term, without a statement for each.
 *
 *     term_walk_to(&walk, db, first)      a statement, unless the walk stands there already
 *     event.term = term_walk_pass(&walk, &event)
 */
struct term_walk {
    int64_t term; /* of the event before `next` */
    int64_t next; /* the position that is passed next; 0: nowhere yet */
};
int term_walk_to(struct term_walk *walk, struct db *db, int64_t position);
int64_t term_walk_pass(struct term_walk *walk, const struct event *event);
