/* Sender's state: see sender_state.h. */
#include "runtime/outbound/sender_state.h"
#include "base/clock.h"
#include "base/log.h"

#define FLUSH_MS 2000 /* for the server to know our endpoints, before we say that we are whole */

/* Our log agrees with our stream for the first time, and our term has begun: the feeds may begin,
 * and others may read our log. */
static void note_whole(struct sender *sender)
{
    assert(!sender->whole);
    atomic_store(&sender->outbound.status->whole, 1);
    if (endpoints_subscribe(sender->options.endpoints) < 0 ||
        bus_flush(sender->outbound.bus, FLUSH_MS) < 0) {
        log_error("not_ready", LOG_TEXT("reason", failure_text()));
        return; /* tried again with the next note or tick */
    }
    sender->whole = 1;
    sender->more = 1;
}

/* Projections that were begun anew, or that this file has never had, are awaited: an order of a
 * customer who is not known yet would be refused, and the refusal be remembered under its key. */
static _Bool has_projections(struct sender *sender)
{
    const _Bool folding = atomic_load(&sender->outbound.status->folding),
                catches_up = clock_monotonic_ms() < sender->catch_up_by_ms;
    for (int i = 0; i < sender->feed_count; i++)
        if ((folding || catches_up || sender->feeds[i].began_empty) &&
            !feed_has_what_there_is(&sender->feeds[i].feed))
            return 0;
    if (!folding)
        return 1;
    writer_end_folding(sender->options.writer);
    return 0; /* the writer wakes us when that is in the file */
}

/* Now requests are taken and timers run. */
static void announce(struct sender *sender)
{
    struct status *status = sender->outbound.status;
    assert(sender->whole && !sender->announced);
    atomic_store(&status->caught_up, 1);
    writer_start_process(sender->options.writer);
    sender->announced = 1;
    successor_io_lead(&sender->successor);
    log_info("ready", LOG_INT("position", sender->relay_io.relay.head),
             LOG_INT("start_ms", clock_wall_ms() - status->started_ms));
}

/* A forked instance writes nothing, and takes nothing from one that goes on. */
static void leave_to_others(struct sender *sender, int64_t now_ms)
{
    for (int i = 0; i < sender->feed_count; i++)
        feed_disconnected(&sender->feeds[i].feed);
    peer_forked(&sender->peers.peer, now_ms);
}

void sender_report(struct sender *sender, int64_t now_ms)
{
    const enum relay_state state = sender->relay_io.relay.state;
    _Bool moved = relay_io_report(&sender->relay_io, now_ms);
    if (moved && state == RELAY_FORKED)
        leave_to_others(sender, now_ms);
    /* requests are refused from now on, with the reason and the progress */
    if (moved && (state == RELAY_RECOVERING || state == RELAY_FORKED) &&
        peer_role(&sender->peers.peer) == PEER_SERVES &&
        endpoints_subscribe(sender->options.endpoints) < 0)
        log_error("not_ready", LOG_TEXT("reason", failure_text()));
    if (state == RELAY_PUBLISHING && sender->lead_io.lead.state == LEAD_LEADING && !sender->whole)
        note_whole(sender);
    if (sender->whole && !sender->announced && has_projections(sender))
        announce(sender);
    for (int i = 0; i < sender->feed_count; i++)
        feed_io_report(&sender->feeds[i], now_ms);
}
