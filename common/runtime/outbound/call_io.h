/* Calls: requests to the outside that the process wants. They leave after the commit, and what
 * comes back, or does not, becomes an item for the loop.
 *
 * As many are open as the process has asked for and not been answered; it bounds them itself. */
#pragma once
#include "runtime/outbound/outbound.h"

struct open_call; /* one that waits for its answer */

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
void call_io_answer(struct call_io *calls, int64_t id, struct bus_message *message);
/* Those whose time is up are answered as timed out. */
void call_io_look_at_clock(struct call_io *calls, int64_t now_ms);
int64_t call_io_due_ms(const struct call_io *calls); /* INT64_MAX: none is open */
