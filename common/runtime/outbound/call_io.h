/* Calls: requests that the process makes to the outside. They leave after the commit; the reply, or
 * its absence, becomes an item for the loop.
 *
 * The number of open calls is limited by the process itself (struct work_limits). */
#pragma once
#include "runtime/outbound/outbound.h"

struct open_call; /* a call that waits for its reply */

struct call_io {
    struct outbound *outbound;
    struct open_call *open; /* by deadline */
    int64_t newest_id;
};

void call_io_init(struct call_io *calls, struct outbound *outbound);
void call_io_deinit(struct call_io *calls);

/* Takes the batch's calls and sends them. */
void call_io_make(struct call_io *calls, struct batch *batch, int64_t now_ms);
/* message: borrowed */
void call_io_reply(struct call_io *calls, int64_t id, struct bus_message *message);
/* Those whose time is up are answered as timed out. */
void call_io_look_at_clock(struct call_io *calls, int64_t now_ms);
int64_t call_io_due_ms(const struct call_io *calls); /* INT64_MAX: none is open */
