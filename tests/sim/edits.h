/* Edits: what an operator sets on a stream with the `nats` tool, and what others have made on it:
 * settings that a service bears, settings that hold it until they are set back, and durables. The
 * world remembers them, and asks for I18: a stream that is made anew has what its service has seen
 * of them (in its file), and each durable goes on at its place. See edits.c. */
#pragma once
#include <stdint.h>

struct world;
struct node;
struct durable;

#define EDITS_MAX 14 /* settings that are borne */
#define OTHERS_MAX 3 /* durables of others on a stream */
#define OTHER_NAME_SIZE 24
#define SETTING_SIZE 96

struct other { /* a durable of somebody else */
    char name[OTHER_NAME_SIZE];
    _Bool is_expected;
    _Bool was_lost; /* with its stream, and has not come back yet */
    int64_t place;  /* its owner has read all up to this position */
};

struct edits {                         /* of a stream */
    char set[EDITS_MAX][SETTING_SIZE]; /* by setting: the value; "": none was set */
    struct other others[OTHERS_MAX];
    const struct hold *hold; /* a setting that holds the service; NULL: none does */
    char hold_value[SETTING_SIZE];
    int64_t back_ms; /* when it is set back */
    int numbers;     /* of durables, so far */
};

struct kept_view { /* of what a service keeps in its file */
    char config[2048];
    int64_t places[OTHERS_MAX]; /* of the durables; -1: it has none of that name */
    /* When the stream was lost, its file had all that was set; this durable, at this place. */
    _Bool knows_settings, knows[OTHERS_MAX];
    int64_t floors[OTHERS_MAX];
};

/* faults.c: false, when there is nothing to set now */
_Bool edit_bear(struct world *world);  /* a setting that is borne */
_Bool edit_hold(struct world *world);  /* one that holds the service for a while */
_Bool edit_other(struct world *world); /* a durable of somebody else is made, or deleted */

void edits_act(struct world *world); /* with each look of the operator: sets back, reads */
void edits_end(struct world *world); /* what holds a service is set back now */

/* The world tells: */
void edits_look_at_file(struct world *world, struct node *node);
void edits_stream_gone(struct world *world, int log); /* it is about to go */
void edits_stream_purged(struct world *world, int log);
void edits_stream_made(struct world *world, int log, int node);
/* start: the first sequence that it delivers. */
void edits_durable_made(struct world *world, int log, const struct durable *durable, int node);

/* check.c, simulate.c */
const char *edits_wait_for(const struct world *world); /* NULL: for nothing */
void check_edits(struct world *world);
/* At rest: a setting holds a service; it must say so, and is then set back. False: there was
 * nothing to hold. */
_Bool see_hold_named(struct world *world);
