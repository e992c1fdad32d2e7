/* Work stage: one work list with a table of open pieces that the test fills, a clock that it moves,
 * and a record of what the list did: "a/1" asked, "!a/1" expired, "=a/1" an answer passed on, "acc"
 * prepared. */
#pragma once
#include "runtime/writer/work_list.h"

#define ROWS_MAX 64
#define TIMEOUT_MS 1000
#define LOST_MS (TIMEOUT_MS + 5000) /* the grace of work_list.c */

struct open_row {
    char key[WORK_KEY_SIZE];
    char owner[2]; /* the first letter of the key */
    int64_t number, until_ms;
    _Bool is_open;
};

struct stage {
    struct open_row rows[ROWS_MAX]; /* the place of each is its index + 1 */
    int row_count;
    int64_t mark, now_ms, look_ms;
    struct work_limits limits;
    int asks, answers;    /* what ask() and answered() say */
    _Bool reads_rows;     /* find() gives rows */
    _Bool looks_at_once;  /* find() wants to begin anew in the past */
    const void *seen_row; /* that ask() was given, like the next */
    int seen_timeout_ms, seen_refusals;
    _Bool seen_may_have_left;
    int each_max; /* in flight of one owner; 0: no limit, and no owners */
    char happened[4096];
    struct work_list list;
    struct arena arena;
    struct outbound_call *calls; /* made and not answered */
};
extern struct stage stage;

/* The types of work: with all functions, one piece after another, with keys to prepare, with a
 * mark, with nothing but a deadline, and without a table. */
extern const struct work_type plain, ordered, prepared, marked, deadline, sourceless;

int stage_find(struct journey *j, struct work_page *page); /* of the table */

void stage_begin(const struct work_type *type, int in_flight_max, int open_max);
void stage_end(void);
void stage_restart(void);

void stage_journey(struct journey *j);
void stage_settle(void); /* until nothing is due at this moment */
void stage_wait(int64_t wait_ms);

/* Opens "a b c" with this number and deadline; 0: none. Then an event says that there is more, for
 * an account or in general (""). */
void stage_open(const char *keys, int64_t number, int64_t within_ms);
void stage_close(const char *key, int64_t number);
void stage_observe(const char *account);
int stage_answer(const char *text, const char *key,
                 int64_t number); /* "timeout", "unreachable", a word */
