/* Work: what a service must have done outside the mesh, by a party that may be slow, silent or
 * unreachable: charge a card, fetch a parcel, send a letter.
 *
 * The service describes each type of work once (struct work_type): what is open, how it is asked
 * for, what an answer means, and what happens at the deadline. The runtime keeps a work list for
 * each type. The list remembers what is due, in flight and resting, retries with a growing
 * back-off, keeps its limits, and finds all open work in the tables again after a restart.
 *
 *                       ask(): 0              answered(): 0
 *     found ──► due ──────────────► in flight ─────────────► done
 *                ▲ │                    │
 *   back-off is  │ │ ask(): WORK_AGAIN  │ no answer, or answered(): WORK_AGAIN
 *          over  │ ▼                    │
 *               resting ◄───────────────┘
 *
 *     in each state, when the deadline passes: expired(), done
 *
 * A piece of work is known by its key and number, such as an order's id and the attempt to charge
 * it. What the runtime promises, and what the service must do for it:
 *
 *  - At least once. A piece can be asked for again although it was done, because its answer was
 *    lost or the process restarted. Key and number are the idempotency key for the party that does
 *    it.
 *  - The answer belongs to the piece and not to the call. Each answer for the key and number is
 *    passed to answered(): one that comes after the time-out of its call, a second one. answered()
 *    decides by the tables, and does nothing when the piece is no longer open. The time-out only
 *    says when to ask again, and doubles with each call that was given up. After a restart the
 *    answers to earlier calls find nobody, and asking again under the same key brings them.
 *  - The list is memory only. Open work is in the tables, where find() finds it. A piece given by
 *    work_add() alone is lost with the process.
 *
 * All functions run on the writer thread, in the transaction of one step or one answer. ask(),
 * answered() and expired() may emit events. None of them reads a clock: the time is
 * journey_now_ms().
 */
#pragma once
#include "journey.h"

#define WORK_KEY_SIZE 64   /* of a key, with its NUL */
#define WORK_PAGE_MAX 256  /* pieces that one step takes from a page, and that it looks at */
#define WORK_SOURCES_MAX 4 /* of one type */
#define WORK_TYPES_MAX 8   /* of one service */

struct work_type;

/* One piece, as the functions of its type see it; valid until they return. */
struct work {
    const struct work_type *type;
    const char *key;
    int64_t number;
    int tries;      /* how often it has rested; in this life of the process, like the next */
    int refusals;   /* how often answered() or unreadable() has said WORK_AGAIN */
    int timeout_ms; /* of the call that ask() makes: doubled with each that was given up */
    /* An earlier call for it may have left: in this life of the list, or before that began. False
     * only of a piece that was found at a place behind the log's end of that moment. */
    _Bool may_have_left;
    int64_t until_ms; /* wall time of its deadline; INT64_MAX: none */
    /* what find() has read of it in this very step; NULL: to be read from the tables again */
    const void *row;
};

/* What ask() and answered() say beside 0 (asked; done) and < 0 (a failure: the step or the answer
 * is undone, and the lists begin anew from the tables). */
enum work_refusal {
    WORK_AGAIN = 1, /* not now: it rests, and is asked for later */
    WORK_GONE,      /* no longer open: the list drops it */
};

/* ---- What is open ---------------------------------------------------------------------------- */

struct work_found {
    const char *key; /* up to 63 characters; in journey_arena */
    int64_t number;  /* 0, where the key is enough */
    int64_t place;   /* what find() sorts by, where that is not the key; e.g. a position */
    /* Whose it is, e.g. an account, for limits.in_flight_each_max; up to 63 characters, in
     * journey_arena. NULL: nobody's, without that limit. */
    const char *owner;
    int64_t until_ms; /* wall time of its deadline; 0: none */
    const void *row;  /* passed on to ask() and expired() as work->row; in journey_arena; NULL */
};

/* A question to find(), and its answer. Pages follow one another in one order, that of the places
 * or that of the keys; each begins behind the last piece of the one before. So what an event opens
 * must stand behind what was found before it, as it does by the events' positions. Where it cannot,
 * the source has prepare(), with which it begins anew. */
struct work_page {
    int64_t after;         /* the place of that piece; of the first page 0, or the source's mark */
    const char *after_key; /* its key; of the first page "" */
    int max;               /* so many at most; fewer mean that there are no more for now */
    int count;
    struct work_found *found; /* room for max */
    /* Wall time when find() wants to begin anew though no event says so: when the next piece falls
     * due. INT64_MAX, as it is given: never. */
    int64_t look_ms;
};

/* Where pieces of a type are found. A type with several asks them in their order; a piece that two
 * of them find is one piece. */
struct work_source {
    /* Fills the page from the tables. 0 or < 0. The lists ask for the first page at the start, and
     * for the next whenever there is room and there may be more. A piece that is known already may
     * be found again. */
    int (*find)(struct journey *j, struct work_page *page);

    /* What a committed event means for find(). NULL: nothing. "": there may be more behind the
     * pieces that were found. Else a key, e.g. an account's: prepare() is called with it, and
     * find() begins anew. NULL: no event opens work here. */
    const char *(*opened_by)(const struct event *event);

    /* Writes down, in a scratch table, what that key has opened; NULL: everything that is open, at
     * the start or because there were too many keys. 0 or < 0. NULL: nothing to prepare. */
    int (*prepare)(struct journey *j, const char *key);

    /* For work whose end leaves no event: all pieces found at or before the mark are done, so a
     * restart begins behind it. Kept in a scratch table; lost, it begins from 0. Both NULL: the
     * tables know what is done. 0 or < 0. */
    int (*mark_read)(struct journey *j, int64_t *ret_place);
    int (*mark_write)(struct journey *j, int64_t place);
};

/* ---- A type of work -------------------------------------------------------------------------- */

/* Given with these defaults; limits() changes what it likes. Values outside of what is said here
 * are taken as the nearest. */
struct work_limits {
    int timeout_ms;         /* 5000: how long the first call waits for its answer; 1 to 3,600,000 */
    int timeout_max_ms;     /* 0: the most that doubling makes of it; eight times that */
    int in_flight_max;      /* 64: calls that wait for an answer at a time; 1 to 65,536 */
    int in_flight_each_max; /* 0: so many of them for one owner (work_found.owner); no limit */
    int open_max;       /* 0: pieces in memory, 16 for each that may be in flight; to 1,048,576 */
    int backoff_min_ms; /* 200: the first rest is half of it to the whole; each next is doubled */
    int backoff_max_ms; /* 30,000: up to this; 1 to 3,600,000 */
};

/* Names of log lines, as `payment_provider_away`: for who watches the log of this service. */
struct work_log_names {
    const char *away;    /* nobody has listened for a second, in three calls; default: work_away */
    const char *back;    /* the first answer after that; work_back */
    const char *invalid; /* an answer that does not fit its schema; work_answer_invalid */
};

struct work_type {
    const char *name; /* "charge": in the log and the statistics; its answers are known by it */
    const struct work_log_names *log_names; /* NULL: the defaults */
    /* One piece after another, in the order in which they are found: one is open at a time,
     * whatever the limits say, and none makes room for others. */
    _Bool in_order;
    const struct work_source *sources;                            /* end with { 0 }; NULL */
    int (*limits)(struct journey *j, struct work_limits *limits); /* 0 or < 0; NULL: the defaults */

    /* Makes the one call that asks for this piece: journey_call or journey_answer_later, where tag,
     * number and time-out are left to the list. 0, a work_refusal, or < 0. NULL: nobody is asked,
     * and only the deadline matters. */
    int (*ask)(struct journey *j, const struct work *work);

    /* An answer has come, a body that fits the reply's schema. 0: the piece is done; WORK_AGAIN; or
     * < 0. NULL: whatever the answer is, the piece is done. */
    int (*answered)(struct journey *j, const struct work *work, const void *body);

    /* An answer has come that does not fit the reply's schema. As answered(); NULL: WORK_AGAIN. */
    int (*unreadable)(struct journey *j, const struct work *work);

    /* The deadline has passed before the piece was done. 0 or < 0. NULL: the list drops it. */
    int (*expired)(struct journey *j, const struct work *work);

    /* How many pieces were given up and wait for a person, by the tables; asked for at the start,
     * and again after each committed event that changes_stuck() names. 0 or < 0. Both NULL. */
    int (*count_stuck)(struct journey *j, int64_t *ret_count);
    _Bool (*changes_stuck)(const struct event *event);
};

/* Adds a piece that the tables do not show, from within any of the functions above. It is due at
 * once and has no deadline; a restart forgets it. 0, or one of these: */
enum work_add_refusal {
    WORK_KNOWN = 1, /* it is in the list already */
    WORK_FULL,      /* the list has no room */
};
int work_add(struct journey *j, const struct work_type *type, const char *key, int64_t number);

/* The process of a service that has work lists and no process of its own (struct process in
 * journey.h). A service that needs both has a process whose functions call these. */
extern const struct process work_process;
