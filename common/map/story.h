/* Story: what the streams tell of an order (ord_…), an account (acc_…), or a request (its
 * correlation id, its idempotency key, or the id of one of its events), as scripts/timeline tells
 * it; the page puts the events in order and in words. It reads the streams through consumers of its
 * own, which the server forgets by itself, in two passes: the first finds the events that name the
 * id, and so the other ids of the story; the second finds all that is about these.
 *
 *   idle ─► for each pass, for each log: creating ─► pulling ─┬─► … ─► answered ─► idle
 *                                                             └─ bound reached: the answer says so
 *
 * Ids of the mesh begin with the time, so a log is read from there on; of other ids the newest
 * STORY_READ_MAX events are read. One story is read at a time. Only ids, amounts, reasons and the
 * like leave this file, never names, addresses or card tokens. In a secure mesh it wants an
 * operator's rights. */
#pragma once
#include "runtime/watch/http_server.h"
#include "map/watcher.h"

#define STORY_READ_MAX 200000 /* messages of a log, in a pass */
#define STORY_EVENTS_MAX 500
#define STORY_IDS_MAX 64 /* of a kind; further ones are left out, and the answer says so */
#define STORY_LOGS_MAX 32
#define STORY_ID_SIZE 130
#define STORY_MS 25000 /* for all of it */

struct story; /* opaque */

/* Both are borrowed. NULL: no memory. */
struct story *story_new(struct watcher *watcher, struct http_server *server);
void story_free(struct story *story); /* before the watcher */
DEFINE_FREE(story)

/* GET /story?id=ID */
void story_tell(struct story *story, const struct http_request *request);
