/* Peer's I/O: see peer_io.h. */
#include "runtime/outbound/peer_io.h"
#include "base/clock.h"
#include "base/json_text.h"
#include "base/log.h"
#include "schemas/nats/micro_ping.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_NO_RESPONDERS 503
#define STEP_PING 'p'
#define SHOW_FLUSH_MS 500 /* for the server to know that we answer, before we ask once more */

/* ---- The question --------------------------------------------------------------------------- */

static void ask(struct peer_io *peer_io)
{
    const struct reply_tag tag = { .part = PART_PEERS,
                                   .step = STEP_PING,
                                   .epoch = ++peer_io->round };
    if (outbound_request(peer_io->outbound, &tag, peer_io->subject, "", 0) < 0)
        log_debug("peers_not_asked", LOG_TEXT("reason", failure_text()));
}

static int64_t number_of(const char *text)
{
    return text ? strtoll(text, NULL, 10) : 0;
}

void peer_io_reply(struct peer_io *peer_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *decoded = NULL;
    if (bus_message_status(message)) {
        if (bus_message_status(message) == STATUS_NO_RESPONDERS)
            peer_alone(&peer_io->peer, now_ms);
        return;
    }
    if (schema_decode(&micro_ping_schema, bus_message_data(message), bus_message_length(message),
                      &arena, &decoded, &invalid) != 0)
        return; /* no instance of ours answers so */
    const struct micro_ping *ping = decoded;
    const struct peer_answer answer = {
        .id = ping->id,
        .role = peer_role_of(ping->metadata ? ping->metadata->role : NULL),
        .published = number_of(ping->metadata ? ping->metadata->published : NULL),
        .seen = number_of(ping->metadata ? ping->metadata->seen : NULL),
        .since_ms = number_of(ping->metadata ? ping->metadata->since : NULL),
    };
    const char *rival = peer_io->peer.rival;
    const _Bool had_rival = *rival != '\0';
    peer_answered(&peer_io->peer, &answer, atomic_load(&peer_io->outbound->status->published),
                  now_ms);
    if (*rival && !had_rival)
        log_warn("another_instance", LOG_TEXT("id", rival),
                 LOG_TEXT("help", "two instances of this service serve; the other one steps back"));
}

void peer_io_hear(struct peer_io *peer_io, struct bus_message *message, int64_t now_ms)
{
    char name[BUS_SUBJECT_MAX];
    if (bus_message_status(message))
        return;
    snprintf(name, sizeof(name), "\"%s\"", peer_io->outbound->self.service);
    if (json_text_is(
            json_text_find(json_text_of(bus_message_data(message), bus_message_length(message)),
                           "name"),
            name))
        peer_io_reply(peer_io, message, now_ms);
}

/* ---- What follows --------------------------------------------------------------------------- */

static void note_role(struct peer_io *peer_io)
{
    struct status *status = peer_io->outbound->status;
    atomic_store(&peer_io->role, peer_role(&peer_io->peer));
    atomic_store(&peer_io->since_ms, peer_io->peer.since_ms);
    atomic_store(&status->standby, peer_io->peer.state == PEER_STANDBY);
    pthread_mutex_lock(&peer_io->lock);
    snprintf(peer_io->other, sizeof(peer_io->other), "%s",
             peer_io->peer.state == PEER_STANDBY ? peer_io->peer.other : "");
    pthread_mutex_unlock(&peer_io->lock);
}

static void show(struct peer_io *peer_io)
{
    if (peer_io->hooks->show(peer_io->hooks->context) < 0 ||
        endpoints_subscribe_status(peer_io->endpoints) < 0 ||
        bus_flush(peer_io->outbound->bus, SHOW_FLUSH_MS) < 0)
        log_warn("not_shown", LOG_TEXT("reason", failure_text()));
}

static void listen(struct peer_io *peer_io, _Bool listens)
{
    if (!listens)
        endpoints_leave(peer_io->endpoints);
    else if (endpoints_subscribe(peer_io->endpoints) < 0)
        log_error("not_ready", LOG_TEXT("reason", failure_text()));
    log_warn(listens ? "requests_refused" : "requests_left_to_others",
             LOG_TEXT("reason", listens ? "this instance has forked, and no other one is there"
                                        : "this instance has forked"));
}

static void carry_out(struct peer_io *peer_io, enum peer_action_kind action)
{
    const struct peer *peer = &peer_io->peer;
    const struct status *status = peer_io->outbound->status;
    switch (action) {
    case PEER_NOTHING:
    case PEER_SERVE:   break;
    case PEER_ASK:     ask(peer_io); break;
    case PEER_SHOW:    show(peer_io); break;
    case PEER_LEAVE:   listen(peer_io, 0); break;
    case PEER_RETURN:  listen(peer_io, 1); break;
    case PEER_STAND_BY:
        log_warn("standby", LOG_TEXT("serving", peer->other),
                 LOG_TEXT("reason", "another instance of this service serves"),
                 LOG_TEXT("help",
                          "nothing: it follows, and leads when it is asked to, or by itself with "
                          "--take-over auto"));
        break;
    case PEER_DESERTED:
        log_warn(
            "nobody_serves", LOG_TEXT("served", peer->other),
            LOG_TEXT("reason", "the instance that served does not answer any more"),
            LOG_TEXT("help",
                     "start that one again; only if its file is lost, ask for take-over: what it "
                     "has answered and not published is then lost"));
        break;
    case PEER_STEP_BACK:
        log_warn("stepping_back", LOG_TEXT("serving", peer->other),
                 LOG_INT("unpublished",
                         atomic_load(&status->position) - atomic_load(&status->published)),
                 LOG_TEXT("reason", "another instance of this service serves, and goes before"));
        peer_io->hooks->step_back(peer_io->hooks->context);
        break;
    }
}

_Bool peer_io_act(struct peer_io *peer_io, int64_t now_ms)
{
    enum peer_action_kind action;
    _Bool begins = 0;
    owner_assert(&peer_io->outbound->owner);
    if (!peer_io->hooks)
        return 0;
    while ((action = peer_next(&peer_io->peer, now_ms, clock_wall_ms())) != PEER_NOTHING) {
        note_role(peer_io); /* before others can ask */
        carry_out(peer_io, action);
        begins |= action == PEER_SERVE;
    }
    note_role(peer_io);
    return begins;
}

/* ---- What others see of it ------------------------------------------------------------------ */

void peer_io_write_metadata(struct peer_io *peer_io, struct buf *out)
{
    const struct status *status = peer_io->outbound->status;
    char other[PEER_ID_SIZE];
    pthread_mutex_lock(&peer_io->lock);
    memcpy(other, peer_io->other, sizeof(other));
    pthread_mutex_unlock(&peer_io->lock);
    buf_put_format(out,
                   "\"role\":\"%s\",\"state\":\"%s\",\"published\":\"%lld\",\"seen\":\"%lld\","
                   "\"since\":\"%lld\"",
                   peer_role_name((enum peer_role)atomic_load(&peer_io->role)), status_name(status),
                   (long long)atomic_load(&status->published),
                   (long long)atomic_load(&status->stream_seen),
                   (long long)atomic_load(&peer_io->since_ms));
    if (*other)
        buf_put_format(out, ",\"serving\":\"%s\"", other);
}

/* ---- Opening and closing -------------------------------------------------------------------- */

void peer_io_init(struct peer_io *peer_io, struct outbound *outbound,
                  const struct peer_hooks *hooks, struct endpoints *endpoints)
{
    *peer_io = (struct peer_io){ .outbound = outbound, .hooks = hooks, .endpoints = endpoints };
    pthread_mutex_init(&peer_io->lock, NULL);
    peer_init(&peer_io->peer, &peer_defaults, hooks ? "-" : NULL);
}

void peer_io_subscribed(struct peer_io *peer_io)
{
    if (!peer_io->hooks)
        return;
    snprintf(peer_io->peer.id, sizeof(peer_io->peer.id), "%s", peer_io->hooks->id);
    snprintf(peer_io->subject, sizeof(peer_io->subject), "$SRV.PING.%s",
             peer_io->outbound->self.service);
}

void peer_io_deinit(struct peer_io *peer_io)
{
    pthread_mutex_destroy(&peer_io->lock);
}
