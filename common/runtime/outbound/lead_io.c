/* Lead's I/O: see lead_io.h. */
#include "runtime/outbound/lead_io.h"
#include "base/log.h"
#include "schemas/evt.runtime.TermEnded.h"
#include "schemas/nats/leader_beat.h"
#include "store/terms.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Heard ---------------------------------------------------------------------------------- */

static void on_beat(void *context, struct bus_message *message)
{
    struct lead_io *lead_io = context;
    mailbox_push(&lead_io->outbound->mailbox, (struct note){ .kind = NOTE_BEAT, .reply = message });
}

/* By the names of the logs: an instance of another version may read others. What the leader does
 * not name stays where it is. */
static void take_marks(struct lead_io *lead_io, const struct leader_beat *beat)
{
    const struct source *source = lead_io->outbound->service->sources;
    lead_io->heard = lead_io->reached;
    lead_io->heard.head = beat->published;
    for (int i = 0; source && source[i].log; i++)
        for (size_t n = 0; n < beat->cursors_count; n++)
            if (strcmp(beat->cursors[n].log, source[i].log) == 0)
                lead_io->heard.cursors[i] = beat->cursors[n].position;
    lead_io->hears = 1;
}

static void take_offer(struct lead_io *lead_io, const struct leader_beat *beat,
                       struct bus_message *message)
{
    struct lead_offer *offer = &lead_io->offer;
    const char *reply = bus_message_reply(message);
    *offer = (struct lead_offer){
        .asks = beat->has_asks && beat->asks,
        .is_ours = beat->successor && strcmp(beat->successor, lead_io->lead.id) == 0,
        .is_ended = beat->has_ended && beat->ended,
    };
    snprintf(offer->group, sizeof(offer->group), "%s", beat->group ? beat->group : "");
    if (reply && bus_subject_is_inbox(reply))
        snprintf(offer->reply, sizeof(offer->reply), "%s", reply);
}

static void take_beat(struct lead_io *lead_io, const struct leader_beat *beat,
                      struct bus_message *message, int64_t now_ms)
{
    struct lead *lead = &lead_io->lead;
    const _Bool is_ended = beat->has_ended && beat->ended,
                claims = lead->state == LEAD_SUSPECTING || lead->state == LEAD_CLAIMING;
    if (is_ended && claims)
        return; /* its log has said so before */
    lead_heard(lead, &(struct lead_beat){ .term = beat->term, .instance = beat->instance }, now_ms);
    lead_io->leader_position = beat->position;
    lead_io->leader_published = beat->published;
    take_offer(lead_io, beat, message);
    if (is_ended) {
        lead_io->ended_term = beat->term;
        lead_ended(lead, beat->successor, now_ms);
    }
    if (!lead_io->hears) /* one after the other: under load each would be overtaken by the next */
        take_marks(lead_io, beat);
}

void lead_io_heard(struct lead_io *lead_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *decoded = NULL;
    owner_assert(&lead_io->outbound->owner);
    lead_io->offer = (struct lead_offer){ 0 };
    if (schema_decode(&leader_beat_schema, bus_message_data(message), bus_message_length(message),
                      &arena, &decoded, &invalid) != 0) {
        log_warn("heartbeat_refused", LOG_TEXT("field", invalid.field),
                 LOG_TEXT("reason", invalid.message));
        return;
    }
    const struct leader_beat *beat = decoded;
    if (strcmp(beat->instance, lead_io->lead.id) == 0)
        return;
    if (beat->has_standby && beat->standby) {
        lead_io->standby_ms = now_ms;
        log_info("standby_heard", LOG_TEXT("instance", beat->instance));
    } else if (beat->term >= lead_io->lead.term)
        take_beat(lead_io, beat, message, now_ms);
}

_Bool lead_io_reach(struct lead_io *lead_io, int64_t head)
{
    if (!lead_io->hears || head < lead_io->heard.head)
        return 0;
    lead_io->reached = lead_io->heard;
    lead_io->hears = 0;
    lead_io->has_reached = 1;
    return 1;
}

/* ---- Sent ----------------------------------------------------------------------------------- */

static void note_ended(struct lead_io *lead_io, const struct term_ended *ended, int64_t now_ms)
{
    lead_io->ended_term = ended->term;
    lead_ended(&lead_io->lead, ended->successor, now_ms);
}

/* FOLLOWING: the leader's log ends with a TermEnded, as far as it is known; in the middle of the
 * log a TermBegan follows. */
static void look_for_end(struct lead_io *lead_io, const struct batch *batch, int64_t now_ms)
{
    const int64_t head = batch->at.head.position;
    if (head < lead_io->leader_position)
        return;
    for (const struct item *item = batch->items; item; item = item->next)
        if (item->kind == ITEM_EVENT && !item->source && item->outcome == OUTCOME_DONE &&
            item->event.position == head && item->event.value &&
            strcmp(item->event.type, EVENT_TERM_ENDED) == 0)
            note_ended(lead_io, item->event.value, now_ms);
}

void lead_io_settled(struct lead_io *lead_io, const struct batch *batch, int64_t now_ms)
{
    if (batch->aborted)
        return;
    if (lead_io->lead.state == LEAD_FOLLOWING && batch->at.term > lead_io->lead.term)
        lead_io->lead.term = batch->at.term;
    if (lead_io->lead.state == LEAD_FOLLOWING)
        look_for_end(lead_io, batch, now_ms);
    lead_io->newest.head = batch->at.head.position;
    for (int i = 0; i < SOURCES_MAX; i++)
        lead_io->newest.cursors[i] = batch->at.cursors[i].position;
}

/* One commit after another: under load there is always one that is about to be published. */
void lead_io_note_published(struct lead_io *lead_io, int64_t published)
{
    struct lead *lead = &lead_io->lead;
    if (lead->state != LEAD_LEADING)
        return;
    if (lead_io->waits && published >= lead_io->waiting.head) {
        lead_io->published = lead_io->waiting;
        lead_io->waits = 0;
        lead_note_moved(lead);
    }
    if (!lead_io->waits &&
        memcmp(&lead_io->newest, &lead_io->published, sizeof(lead_io->newest)) != 0) {
        lead_io->waiting = lead_io->newest;
        lead_io->waits = 1;
    }
    if (published != lead_io->leader_published) {
        lead_io->leader_published = published;
        lead_note_moved(lead);
    }
}

static int write_beat(const struct lead_io *lead_io, int64_t position, int64_t published,
                      const char *more, struct buf *out)
{
    const struct source *source = lead_io->outbound->service->sources;
    buf_put_format(out,
                   "{\"term\":%" PRId64 ",\"instance\":\"%s\",\"position\":%" PRId64
                   ",\"published\":%" PRId64 ",%s",
                   lead_io->lead.term, lead_io->lead.id, position, published, more);
    if (lead_io->successor[0])
        buf_put_format(out, "\"successor\":\"%s\",\"group\":\"%s\",", lead_io->successor,
                       lead_io->group);
    buf_put_text(out, "\"cursors\":[");
    for (int i = 0; source && source[i].log; i++)
        buf_put_format(out, "%s{\"log\":\"%s\",\"position\":%" PRId64 "}", i > 0 ? "," : "",
                       source[i].log, lead_io->published.cursors[i]);
    buf_put_text(out, "]}");
    return trace(buf_status(out));
}

static void send_beat(struct lead_io *lead_io, int64_t position, int64_t published,
                      const char *more)
{
    _deinit_(buf) struct buf body = { 0 };
    if (write_beat(lead_io, position, published, more, &body) < 0 ||
        bus_publish(lead_io->outbound->bus, BUS_URGENT,
                    &(struct bus_outgoing){ .subject = lead_io->subject,
                                            .data = body.data,
                                            .length = body.length }) < 0)
        log_debug("heartbeat_not_sent", LOG_TEXT("reason", failure_text()));
}

void lead_io_beat(struct lead_io *lead_io, int64_t position, int64_t published, _Bool ended)
{
    send_beat(lead_io, position, published, ended ? "\"ended\":true," : "");
}

void lead_io_show_standby(struct lead_io *lead_io, int64_t position)
{
    send_beat(lead_io, position, 0, "\"standby\":true,");
}

int lead_io_ask(struct lead_io *lead_io, int64_t position, int64_t published, _Bool asks,
                const struct reply_tag *tag)
{
    _deinit_(buf) struct buf body = { 0 };
    int r = write_beat(lead_io, position, published, asks ? "\"asks\":true," : "", &body);
    return r < 0 ? trace(r)
                 : trace(outbound_request(lead_io->outbound, tag, lead_io->subject, body.data,
                                          body.length));
}

/* ---- What others see of it ------------------------------------------------------------------ */

void lead_io_report(struct lead_io *lead_io)
{
    struct status *status = lead_io->outbound->status;
    const struct lead *lead = &lead_io->lead;
    const int64_t ahead = lead_io->leader_position - atomic_load(&status->position);
    const _Bool follows = lead->state == LEAD_FOLLOWING || lead->state == LEAD_SUSPECTING;
    atomic_store(&status->role, lead_role(lead->state));
    atomic_store(&status->leader_term, lead->term);
    atomic_store(&status->follower_lag, follows && ahead > 0 ? ahead : 0);
    status_text_set(&status->leader, lead->leader);
}

void lead_io_write_metadata(const struct status *status, struct buf *out)
{
    char leader[LEAD_ID_SIZE];
    status_text_read(&status->leader, leader, sizeof(leader));
    buf_put_format(out, ",\"lead\":\"%s\",\"term\":\"%lld\",\"leader\":\"%s\"",
                   service_role_name((enum service_role)atomic_load(&status->role)),
                   (long long)atomic_load(&status->leader_term), leader);
}

void lead_io_write_standing(const struct status *status, struct buf *out)
{
    buf_put_format(out, " (%s, term %lld)",
                   service_role_name((enum service_role)atomic_load(&status->role)),
                   (long long)atomic_load(&status->leader_term));
}

/* ---- Opening and closing -------------------------------------------------------------------- */

void lead_io_init(struct lead_io *lead_io, struct outbound *outbound,
                  const struct lead_config *config, const struct positions *at)
{
    *lead_io = (struct lead_io){ .outbound = outbound };
    lead_init(&lead_io->lead, config, NULL);
    lead_io->lead.term = at->term;
    for (int i = 0; i < SOURCES_MAX; i++)
        lead_io->newest.cursors[i] = lead_io->reached.cursors[i] = at->cursors[i].position;
    lead_io->newest.head = lead_io->reached.head = at->head.position;
}

int lead_io_subscribe(struct lead_io *lead_io, const char *id)
{
    snprintf(lead_io->lead.id, sizeof(lead_io->lead.id), "%s", id);
    int length = snprintf(lead_io->subject, sizeof(lead_io->subject), "journey.%s.leader",
                          lead_io->outbound->self.prefix);
    if (length < 0 || length > BUS_SUBJECT_MAX)
        return fail(ERR_CONFIG, "the prefix of the service is too long");
    return trace(bus_subscribe(lead_io->outbound->bus, lead_io->subject, NULL, on_beat, lead_io,
                               &lead_io->beats));
}

void lead_io_deinit(struct lead_io *lead_io)
{
    bus_subscription_free(lead_io->beats);
}
