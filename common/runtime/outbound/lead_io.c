/* Lead's I/O: see lead_io.h. */
#include "runtime/outbound/lead_io.h"
#include "base/log.h"
#include "schemas/nats/leader_beat.h"
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

void lead_io_heard(struct lead_io *lead_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *decoded = NULL;
    owner_assert(&lead_io->outbound->owner);
    if (schema_decode(&leader_beat_schema, bus_message_data(message), bus_message_length(message),
                      &arena, &decoded, &invalid) != 0) {
        log_warn("heartbeat_refused", LOG_TEXT("field", invalid.field),
                 LOG_TEXT("reason", invalid.message));
        return;
    }
    const struct leader_beat *beat = decoded;
    struct lead *lead = &lead_io->lead;
    if (strcmp(beat->instance, lead->id) == 0 || beat->term < lead->term)
        return;
    lead_heard(lead, &(struct lead_beat){ .term = beat->term, .instance = beat->instance }, now_ms);
    lead_io->leader_position = beat->position;
    lead_io->leader_published = beat->published;
    if (!lead_io->hears) /* one after the other: under load each would be overtaken by the next */
        take_marks(lead_io, beat);
}

_Bool lead_io_reach(struct lead_io *lead_io, int64_t head)
{
    if (!lead_io->hears || head < lead_io->heard.head)
        return 0;
    lead_io->reached = lead_io->heard;
    lead_io->hears = 0;
    return 1;
}

/* ---- Sent ----------------------------------------------------------------------------------- */

void lead_io_settled(struct lead_io *lead_io, const struct batch *batch)
{
    if (batch->aborted)
        return;
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
    if (!lead_io->waits && memcmp(&lead_io->newest, &lead_io->published, sizeof(lead_io->newest))) {
        lead_io->waiting = lead_io->newest;
        lead_io->waits = 1;
    }
    if (published != lead_io->leader_published) {
        lead_io->leader_published = published;
        lead_note_moved(lead);
    }
}

void lead_io_beat(struct lead_io *lead_io, int64_t position, int64_t published)
{
    _deinit_(buf) struct buf body = { 0 };
    const struct source *source = lead_io->outbound->service->sources;
    buf_put_format(&body,
                   "{\"term\":%" PRId64 ",\"instance\":\"%s\",\"position\":%" PRId64
                   ",\"published\":%" PRId64 ",\"cursors\":[",
                   lead_io->lead.term, lead_io->lead.id, position, published);
    for (int i = 0; source && source[i].log; i++)
        buf_put_format(&body, "%s{\"log\":\"%s\",\"position\":%" PRId64 "}", i > 0 ? "," : "",
                       source[i].log, lead_io->published.cursors[i]);
    buf_put_text(&body, "]}");
    if (buf_status(&body) < 0 || bus_publish(lead_io->outbound->bus, BUS_URGENT,
                                             &(struct bus_outgoing){ .subject = lead_io->subject,
                                                                     .data = body.data,
                                                                     .length = body.length }) < 0)
        log_debug("heartbeat_not_sent", LOG_TEXT("reason", failure_text()));
}

/* ---- What others see of it ------------------------------------------------------------------ */

void lead_io_report(struct lead_io *lead_io)
{
    struct status *status = lead_io->outbound->status;
    const struct lead *lead = &lead_io->lead;
    atomic_store(&status->lead_state, lead->state);
    atomic_store(&status->leader_term, lead->term);
    atomic_store(&status->follower_lag,
                 lead->state == LEAD_FOLLOWING || lead->state == LEAD_SUSPECTING
                     ? lead_io->leader_position - atomic_load(&status->position)
                     : 0);
    pthread_mutex_lock(&lead_io->lock);
    memcpy(lead_io->leader, lead->leader, sizeof(lead_io->leader));
    pthread_mutex_unlock(&lead_io->lock);
}

void lead_io_write_metadata(struct lead_io *lead_io, struct buf *out)
{
    const struct status *status = lead_io->outbound->status;
    char leader[LEAD_ID_SIZE];
    pthread_mutex_lock(&lead_io->lock);
    memcpy(leader, lead_io->leader, sizeof(leader));
    pthread_mutex_unlock(&lead_io->lock);
    buf_put_format(out, ",\"term\":\"%lld\",\"leader\":\"%s\"",
                   (long long)atomic_load(&status->leader_term), leader);
}

/* ---- Opening and closing -------------------------------------------------------------------- */

void lead_io_init(struct lead_io *lead_io, struct outbound *outbound,
                  const struct lead_config *config, const struct positions *at)
{
    *lead_io = (struct lead_io){ .outbound = outbound };
    pthread_mutex_init(&lead_io->lock, NULL);
    lead_init(&lead_io->lead, config, NULL);
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
    pthread_mutex_destroy(&lead_io->lock);
}
