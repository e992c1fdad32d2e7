/* Calls: requests that the process makes to the outside. They leave after the commit; the reply, or
 * its absence, becomes an item for the loop.
 *
 * An answer that comes after its call was given up belongs to the piece of work all the same
 * (work.h). Nothing is kept for that: the reply subject names the piece, as long as this process
 * lives. Such an answer is passed on to the loop as a late one, unless LATE_MAX items wait there:
 * then it is dropped with a warning, and asking again brings it. Calls of a process without a work
 * list, and of pieces whose key does not fit into a subject, hear of their first answer in time, or
 * of none.
 *
 * The number of open calls is limited by the process itself (struct work_limits). */
#pragma once
#include "runtime/outbound/outbound.h"

#define LATE_MAX 16384

struct open_call; /* a call that waits for its reply */

struct call_io {
    struct outbound *outbound;
    struct open_call *open; /* by deadline */
    int64_t newest_id;
    int64_t late_dropped; /* answers, since the start */
};

void call_io_init(struct call_io *calls, struct outbound *outbound);
void call_io_deinit(struct call_io *calls);

/* Takes all calls of the list and sends them. */
void call_io_make(struct call_io *calls, struct outbound_call **list, int64_t now_ms);
/* Takes over one that must not leave: for the process, nothing came in time. */
void call_io_give_up(struct call_io *calls, struct outbound_call *call);
/* message: borrowed */
void call_io_reply(struct call_io *calls, int64_t id, struct bus_message *message);
void call_io_answer(struct call_io *calls, const struct call_tag *tag, struct bus_message *message);
/* Those whose time is up are answered as timed out. */
void call_io_look_at_clock(struct call_io *calls, int64_t now_ms);
int64_t call_io_due_ms(const struct call_io *calls); /* INT64_MAX: none is open */
