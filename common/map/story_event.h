/* Story, events: one message of a stream, as far as a story needs it, and which ids belong to the
 * story. No I/O. */
#pragma once
#include "base/buf.h"
#include "base/json_text.h"
#include "bus/headers.h"
#include "map/story.h"

/* Borrowed from the message. */
struct story_event {
    const char *type; /* the last part of the subject */
    const char *id, *entity, *time, *correlation, *causation, *cause, *trace; /* never NULL */
    _Bool has_digest; /* of the request that it answers */
    int64_t position;
    struct json_text data;
};
/* False: it is no event. */
_Bool story_event_read(const struct bus_view *view, struct story_event *ret_event);

struct story_ids {
    char ids[STORY_IDS_MAX][STORY_ID_SIZE];
    int count;
    _Bool full; /* one was left out */
};

enum story_kind { STORY_OF_REQUEST, STORY_OF_ORDER, STORY_OF_ACCOUNT };

struct story_scope {
    enum story_kind kind;
    char id[STORY_ID_SIZE];
    struct story_ids orders, accounts, cards, correlations;
};
void story_scope_init(struct story_scope *scope, const char *id);

/* The first pass: an event that names the id adds its own ids to the story. */
void story_scope_find(struct story_scope *scope, const struct story_event *event);
/* The second pass: is it about the story, and is it one that is told? */
_Bool story_scope_knows(const struct story_scope *scope, const struct story_event *event);
_Bool story_scope_tells(const struct story_scope *scope, const struct story_event *event);

/* Milliseconds since 1970 of the oldest id of the story; 0: the ids do not say. */
int64_t story_scope_begin_ms(const struct story_scope *scope);

/* As a JSON object, without what is personal. */
void story_event_put(const struct story_event *event, const char *log, _Bool told, struct buf *out);
