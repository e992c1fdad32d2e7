/* Sender's lead: see sender_lead.h. */
#include "runtime/outbound/sender_lead.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/smaller.h"
#include <stdio.h>
#include <string.h>

static struct lead *lead_of(struct sender *sender)
{
    return &sender->lead_io.lead;
}

static _Bool follows(struct sender *sender)
{
    const enum lead_state state = lead_of(sender)->state;
    return state == LEAD_FOLLOWING || state == LEAD_SUSPECTING;
}

/* ---- Parts ---------------------------------------------------------------------------------- */

/* How our consumers on others' streams are called. Those of a follower are its own. */
static void set_reader(struct sender *sender, _Bool is_follower)
{
    struct outbound *outbound = &sender->outbound;
    outbound->reader_inactive_s = is_follower ? FOLLOWER_INACTIVE_S : 0;
    snprintf(outbound->reader_instance, sizeof(outbound->reader_instance), "%s",
             is_follower ? lead_of(sender)->id : "");
    snprintf(outbound->reader, sizeof(outbound->reader), "%s%s%.24s", outbound->self.service,
             is_follower ? "-" : "", outbound->reader_instance);
}

static void hold_feeds(struct sender *sender, int64_t now_ms)
{
    for (int i = 0; i < sender->feed_count; i++)
        feed_hold_at(&sender->feeds[i].feed,
                     follows(sender) ? sender->lead_io.reached.cursors[i] : INT64_MAX, now_ms);
}

void sender_lead_connect(struct sender *sender, int64_t now_ms)
{
    atomic_store(&sender->outbound.status->max_payload_bytes,
                 bus_max_payload_bytes(sender->outbound.bus));
    relay_connected(&sender->relay_io.relay, now_ms);
    for (int i = 0; i < sender->feed_count && sender->relay_io.relay.state != RELAY_FORKED; i++)
        feed_connected(&sender->feeds[i].feed);
}

/* From where they are, with consumers of another name. */
static void begin_anew(struct sender *sender, int64_t now_ms)
{
    for (int i = 0; i < sender->feed_count; i++)
        feed_disconnected(&sender->feeds[i].feed);
    hold_feeds(sender, now_ms);
    if (bus_is_connected(sender->outbound.bus))
        sender_lead_connect(sender, now_ms);
}

/* ---- What it says --------------------------------------------------------------------------- */

static void begin_to_follow(struct sender *sender, int64_t now_ms)
{
    if (sender->relay_io.relay.follows)
        return; /* a heartbeat came back */
    if (handover_io_is_over(&sender->handover))
        return; /* it follows in its next life */
    log_info("following", LOG_TEXT("leader", lead_of(sender)->leader),
             LOG_INT("position", sender->relay_io.relay.head));
    writer_follow(sender->options.writer, 1);
    endpoints_leave(sender->options.endpoints); /* those of one that was alone, and is not */
    if (endpoints_subscribe_of_each(sender->options.endpoints) < 0)
        log_warn("not_ready", LOG_TEXT("reason", failure_text()));
    sender->listens = 0;
    atomic_store(&sender->outbound.status->caught_up, 0);
    peer_follow(&sender->peers.peer, lead_of(sender)->leader, now_ms);
    relay_follow(&sender->relay_io.relay);
    set_reader(sender, 1);
    begin_anew(sender, now_ms);
}

static void claim(struct sender *sender, int64_t now_ms)
{
    const struct lead *lead = lead_of(sender);
    if (sender->relay_io.relay.follows)
        log_warn("taking_over", LOG_TEXT("from", lead->leader), LOG_INT("term", lead->term),
                 LOG_INT("position", sender->relay_io.relay.head),
                 LOG_INT("silent_ms", now_ms - lead->heard_ms));
    relay_claim(&sender->relay_io.relay);
    if (bus_is_connected(sender->outbound.bus))
        sender_lead_connect(sender, now_ms);
}

/* What others have published since the last heartbeat is applied first, as after a start. */
static void begin_to_lead(struct sender *sender, int64_t now_ms)
{
    const _Bool took_over = sender->outbound.reader_inactive_s > 0;
    log_info("leading", LOG_INT("term", lead_of(sender)->term),
             LOG_INT("position", sender->relay_io.relay.head));
    atomic_store(&sender->outbound.status->caught_up, 0);
    successor_io_begin(&sender->successor, lead_of(sender)->term, took_over, now_ms);
    writer_follow(sender->options.writer, 0);
    if (sender->options.peers)
        peer_lead(&sender->peers.peer, now_ms, clock_wall_ms());
    if (!took_over)
        return;
    sender->catch_up_by_ms = now_ms + CATCH_UP_MS;
    for (int i = 0; i < sender->feed_count; i++)
        sender->feeds[i].feed.complete_ms = 0;
    set_reader(sender, 0);
    begin_anew(sender, now_ms);
}

/* Nothing is taken or answered any more; what the stream never had is set aside (act_fenced). */
static void step_back(struct sender *sender)
{
    const struct relay_fence *fence = &sender->relay_io.relay.fence;
    log_warn("fenced", LOG_INT("term", fence->term), LOG_TEXT("leader", fence->instance),
             LOG_INT("common", fence->common), LOG_INT("position", sender->relay_io.relay.head),
             LOG_TEXT("reason", "the stream has another instance's term where our log goes on"));
    atomic_store(&sender->outbound.status->caught_up, 0);
    writer_follow(sender->options.writer, 1);
    endpoints_leave(sender->options.endpoints);
    for (int i = 0; i < sender->feed_count; i++)
        feed_disconnected(&sender->feeds[i].feed);
}

static void act_fenced(struct sender *sender, int64_t now_ms)
{
    struct lead *lead = lead_of(sender);
    const struct relay *relay = &sender->relay_io.relay;
    if (relay->state != RELAY_FENCED)
        return;
    lead_fenced(lead, relay->fence.term,
                relay->fence.instance[0] ? relay->fence.instance : "unknown");
    if (lead->state != LEAD_FENCED || !lead->acted)
        return;
    term_io_set_aside(&sender->term_io, relay->fence.common, sender->options.database_path, now_ms);
    if (sender->term_io.is_aside)
        lead_set_aside(lead);
}

static void carry_out(struct sender *sender, enum lead_action_kind action, int64_t now_ms)
{
    const struct lead *lead = lead_of(sender);
    switch (action) {
    case LEAD_NOTHING:   break;
    case LEAD_FOLLOW:    begin_to_follow(sender, now_ms); break;
    case LEAD_READ_TAIL: relay_read_tail(&sender->relay_io.relay, now_ms); break;
    case LEAD_CLAIM:     claim(sender, now_ms); break;
    case LEAD_SERVE:     begin_to_lead(sender, now_ms); break;
    case LEAD_BEAT:
        lead_io_beat(&sender->lead_io, sender->relay_io.relay.head,
                     sender->relay_io.relay.published, 0);
        break;
    case LEAD_LOOK:
        relay_doubt(&sender->relay_io.relay, "another instance may lead", now_ms);
        break;
    case LEAD_SAY_SILENT:
        log_warn("nobody_leads", LOG_TEXT("led", lead->leader), LOG_INT("term", lead->term),
                 LOG_TEXT("reason", "no heartbeat comes from the leader"),
                 LOG_TEXT("help", "start it again; only if its file is lost, ask for take-over: "
                                  "what it has answered and not published is then lost"));
        break;
    case LEAD_END_TERM:  handover_io_end_term(&sender->handover, now_ms); break;
    case LEAD_STEP_BACK: step_back(sender); break;
    case LEAD_START_AGAIN:
        if (sender->options.peers)
            sender->options.peers->step_back(sender->options.peers->context);
        break;
    }
}

/* ---- What follows from the parts ------------------------------------------------------------- */

void sender_lead_heard(struct sender *sender, struct bus_message *received, int64_t now_ms)
{
    _free_(bus_message) struct bus_message *message = received;
    lead_io_heard(&sender->lead_io, message, now_ms);
    successor_io_heard(&sender->successor, sender->listens, now_ms);
    if (follows(sender))
        relay_heard(&sender->relay_io.relay, sender->lead_io.leader_published, now_ms);
}

/* Projections that were begun anew are what the leader's are: who takes over does not wait for more
 * than what others have published since (CATCH_UP_MS), as any standby. Their streams may answer
 * nothing then, for seconds. */
static void note_projections(struct sender *sender)
{
    if (!sender->lead_io.has_reached)
        return;
    for (int i = 0; i < sender->feed_count; i++)
        if (sender->feeds[i].feed.cursor < sender->lead_io.reached.cursors[i])
            return;
    for (int i = 0; i < sender->feed_count; i++)
        sender->feeds[i].began_empty = 0;
    if (atomic_load(&sender->outbound.status->folding))
        writer_end_folding(sender->options.writer);
}

/* Within reach of the leader: queries are answered, as_of says how old. Not from projections that
 * were begun anew and have less than the leader's. */
static void listen_to_queries(struct sender *sender)
{
    const struct relay *relay = &sender->relay_io.relay;
    if (sender->listens || relay->state != RELAY_FOLLOWING || !relay_has_tail(relay))
        return;
    for (int i = 0; i < sender->feed_count; i++)
        if (sender->feeds[i].began_empty || !feed_has_what_there_is(&sender->feeds[i].feed))
            return;
    if (endpoints_subscribe_queries(sender->options.endpoints) < 0) {
        log_error("not_ready", LOG_TEXT("reason", failure_text()));
        return;
    }
    sender->listens = 1;
    atomic_store(&sender->outbound.status->caught_up, 1);
    log_info("answers_queries", LOG_INT("position", relay->head));
    lead_io_show_standby(&sender->lead_io, relay->head);
}

static void take_lead(struct sender *sender, int64_t now_ms)
{
    lead_took(lead_of(sender), now_ms);
    if (lead_of(sender)->state == LEAD_LEADING)
        relay_took(&sender->relay_io.relay);
}

/* Another has seen more in the stream than our log has: that one goes before. */
static void look_behind(struct sender *sender, int64_t now_ms)
{
    const struct peer *peer = &sender->peers.peer;
    if (peer->seen > sender->relay_io.relay.head && !sender->term_io.asked &&
        !lead_of(sender)->gives_up)
        lead_behind(lead_of(sender), peer->seen_by, now_ms);
}

/* Our log is a prefix of the stream: a term begins behind both. It is ours when the stream has it:
 * the fence lets one of two claimants have its TermBegan there. */
static void claim_term(struct sender *sender, int64_t now_ms)
{
    struct lead *lead = lead_of(sender);
    struct term_io *term_io = &sender->term_io;
    term_io_begin(term_io, lead->term, now_ms);
    if (term_io->term > 0)
        lead_began(lead, term_io->term);
    else if (term_io->asked)
        lead_began(lead, lead->term + 1);
    if (term_io->term > 0 && sender->relay_io.relay.published >= term_io->position)
        take_lead(sender, now_ms);
}

static void look_at_parts(struct sender *sender, int64_t now_ms)
{
    struct lead *lead = lead_of(sender);
    struct relay *relay = &sender->relay_io.relay;
    if (lead->state == LEAD_UNDECIDED && peer_role(&sender->peers.peer) == PEER_STANDS_BY)
        lead_follow(lead, sender->peers.peer.other, now_ms);
    if (follows(sender)) {
        relay_told(relay, sender->peers.peer.seen); /* what the stream may have lost meanwhile */
        if (lead->gives_up)
            relay_give_up(relay);
        if (lead_io_reach(&sender->lead_io, relay->head))
            hold_feeds(sender, now_ms);
        note_projections(sender);
        listen_to_queries(sender);
    }
    if (lead->state == LEAD_SUSPECTING && relay_has_tail(relay))
        lead_tail_read(lead, now_ms);
    if (lead->state == LEAD_CLAIMING)
        look_behind(sender, now_ms);
    if (lead->state == LEAD_CLAIMING && relay->state == RELAY_PUBLISHING)
        claim_term(sender, now_ms);
    act_fenced(sender, now_ms);
    lead_io_note_published(&sender->lead_io, relay->published);
}

void sender_lead_alone(struct sender *sender, int64_t now_ms)
{
    struct lead *lead = lead_of(sender);
    const struct peer *peer = &sender->peers.peer;
    if (lead->state == LEAD_UNDECIDED && peer->seen > sender->relay_io.relay.head) {
        lead_alone_behind(lead, peer->seen_by, now_ms);
        return;
    }
    lead_alone(lead, now_ms);
    lead_take_over(lead, now_ms);
}

void sender_lead_end(struct sender *sender)
{
    const struct relay *relay = &sender->relay_io.relay;
    if (lead_of(sender)->state != LEAD_LEADING || relay->state != RELAY_PUBLISHING ||
        relay->published < relay->head)
        return;
    lead_io_beat(&sender->lead_io, relay->head, relay->published, 1);
    log_info("term_ended", LOG_INT("term", lead_of(sender)->term),
             LOG_INT("position", relay->head));
}

void sender_hand_over(struct sender *sender, int64_t timeout_ms)
{
    if (!sender->runs)
        return;
    mailbox_push(&sender->outbound.mailbox, (struct note){ .kind = NOTE_HAND_OVER });
    handover_io_wait(&sender->handover, timeout_ms);
}

_Bool sender_lead_act(struct sender *sender, int64_t now_ms)
{
    enum lead_action_kind action;
    _Bool changed = 0;
    look_at_parts(sender, now_ms);
    while ((action = lead_next(lead_of(sender), now_ms)) != LEAD_NOTHING) {
        changed |= action != LEAD_BEAT;
        carry_out(sender, action, now_ms);
    }
    changed |= handover_io_act(&sender->handover, now_ms);
    successor_io_act(&sender->successor, sender->announced, now_ms);
    lead_io_report(&sender->lead_io);
    return changed;
}

int64_t sender_lead_due_ms(const struct sender *sender)
{
    const struct lead *lead = &sender->lead_io.lead;
    const enum relay_state relay = sender->relay_io.relay.state;
    const _Bool begins = (lead->state == LEAD_CLAIMING && relay == RELAY_PUBLISHING) ||
                         relay == RELAY_FENCED;
    const int64_t begin_ms = begins ? term_io_due_ms(&sender->term_io) : INT64_MAX;
    const int64_t change_ms = smaller(handover_io_due_ms(&sender->handover),
                                      successor_io_due_ms(&sender->successor));
    return smaller(smaller(lead_due_ms(lead), begin_ms), change_ms);
}

/* ---- Opening -------------------------------------------------------------------------------- */

void sender_lead_init(struct sender *sender, const struct positions *at, uint64_t seed)
{
    struct lead_config config = lead_defaults;
    config.is_auto = sender->options.config->take_over == TAKE_OVER_AUTO;
    config.seed = seed;
    lead_io_init(&sender->lead_io, &sender->outbound, &config, at);
    set_reader(sender, 0);
    handover_io_init(&sender->handover,
                     &(struct handover_parts){ .outbound = &sender->outbound,
                                               .lead_io = &sender->lead_io,
                                               .term_io = &sender->term_io,
                                               .relay = &sender->relay_io.relay,
                                               .gate = &sender->gate.gate,
                                               .peer = &sender->peers.peer,
                                               .endpoints = sender->options.endpoints,
                                               .hooks = sender->options.peers });
    successor_io_init(&sender->successor,
                      &(struct successor_parts){ .outbound = &sender->outbound,
                                                 .lead_io = &sender->lead_io,
                                                 .relay = &sender->relay_io.relay,
                                                 .peer = &sender->peers.peer,
                                                 .endpoints = sender->options.endpoints });
    if (!sender->options.peers)
        lead_alone(lead_of(sender), 0);
}
