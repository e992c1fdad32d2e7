/* Sender parts: what sender.c and its neighbours call of each other. Everything but the handlers
 * runs on the sender's thread. */
#pragma once
#include "runtime/instance.h"

struct runtime_events_reply;
struct runtime_events_reply_events_item;

void sender_note(struct sender *sender, struct note note); /* any thread */

/* Sends a request whose answer comes to q.<asker>.<step>.<epoch>.<n>. */
int sender_ask(struct sender *sender, const char *asker, char step, int64_t epoch, int64_t n,
               const char *subject, const void *body, size_t length);

/* Fills the item's event from a message of the leader: decoded envelope, type and value. 0,
 * ENVELOPE_REFUSED with
 * *ret_reason, < 0. */
int sender_read_event(struct item *item, const struct bus_view *view, const struct source *leader,
                      const char **ret_reason);
/* type, value, invalid of item->event */
void sender_set_type(struct item *item, const struct source *leader);

/* what relay_next says, but one publish; true: there may be more */
_Bool relay_part_act(struct sender *sender, int64_t now_ms);
const char *relay_part_reason(int code); /* of a NOTE_REFUSED */
void relay_part_answer(struct sender *sender, char step, int64_t epoch, int64_t n,
                       struct bus_message *message, int64_t now_ms);
void relay_part_settled(struct sender *sender, const struct batch *batch, int64_t now_ms);
void on_puback(void *context, struct bus_message *received); /* library thread */

void feed_part_act(struct sender *sender, int i, int64_t now_ms);
void feed_part_answer(struct sender *sender, int i, char step, int64_t epoch,
                      struct bus_message *message, int64_t now_ms);
/* looks at what on_delivery counted */
void feed_part_arrivals(struct sender *sender, int64_t now_ms);
void feed_part_status(struct sender *sender, const struct note *note, int64_t now_ms);
void feed_part_settled(struct sender *sender, const struct batch *batch, int64_t now_ms);
void on_delivery(void *context, struct bus_message *received); /* library thread */

struct runtime_events_reply;
struct runtime_events_reply_events_item;
/* A range of a leader's log; NULL: a refusal, such as `replaying`, or nothing that we
 * understand. */
const struct runtime_events_reply *sender_read_page(struct bus_message *message,
                                                    struct arena *arena);
/* NULL: no memory, or broken */
struct item *sender_item_of_row(struct sender *sender, int i,
                                const struct runtime_events_reply_events_item *row);

/* or a rebuild: one excludes the other */
void redrive_part_request(struct sender *sender, struct item *item, int64_t now_ms);
void redrive_part_answer(struct sender *sender, int64_t id, struct bus_message *message,
                         int64_t now_ms);
void redrive_part_settled(struct sender *sender, const struct batch *batch, int64_t now_ms);
void redrive_part_look_at_clock(struct sender *sender, int64_t now_ms);
void redrive_part_stop(struct sender *sender); /* answers who waits */

/* takes batch->calls */
void call_part_make(struct sender *sender, struct batch *batch, int64_t now_ms);
void call_part_answer(struct sender *sender, int64_t id, struct bus_message *message);
void call_part_look_at_clock(struct sender *sender, int64_t now_ms);
