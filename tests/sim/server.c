/* Server: connections, subscriptions, and who gets what. See server.h. */
#include "server.h"
#include "net.h"
#include "world.h"
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX 32 /* queue groups on one subject */

static uint64_t hash(const char *subject)
{
    uint64_t value = 14695981039346656037u;
    for (; *subject; subject++)
        value = (value ^ (unsigned char)*subject) * 1099511628211u;
    return value | 1;
}

void server_open(struct world *world)
{
    struct server *server = &world->server;
    static const char *const prefixes[STREAMS_MAX] = {
        [ACCOUNT] = "evt.account.", [ORDER] = "evt.order."
    };
    server->is_up = 1;
    for (int i = 0; i < STREAMS_MAX; i++)
        server->streams[i] = (struct stream){
            .name = world->logs[i].name, .prefix = prefixes[i], .first = 1, .capacity = INT64_MAX
        };
}

void server_close(struct server *server)
{
    for (int i = 0; i < STREAMS_MAX; i++) {
        stream_cut(&server->streams[i], 0);
        free(server->streams[i].at);
    }
    free(server->subscriptions);
    *server = (struct server){ 0 };
}

/* ---- Subscriptions -------------------------------------------------------------------------- */

void server_subscribe(struct world *world, int node, int64_t connection, int64_t sid,
                      const char *subject, const char *queue)
{
    struct server *server = &world->server;
    if (server->subscription_count == server->subscription_room) {
        server->subscription_room = 2 * server->subscription_room + 64;
        server->subscriptions =
            must(realloc(server->subscriptions,
                         (size_t)server->subscription_room * sizeof(*server->subscriptions)));
    }
    struct server_subscription *to = &server->subscriptions[server->subscription_count++];
    *to = (struct server_subscription){ .node = node, .connection = connection, .sid = sid };
    snprintf(to->subject, sizeof(to->subject), "%s", subject);
    snprintf(to->queue, sizeof(to->queue), "%s", queue);
    size_t length = strlen(subject);
    if (subject[length - 1] == '>' || subject[length - 1] == '*')
        to->prefix_length = (int)length - 1;
    else
        to->hash = hash(subject);
}

/* Keeps their order: who subscribed first is asked first. */
static void drop(struct server *server, int i)
{
    server->subscription_count--;
    memmove(&server->subscriptions[i], &server->subscriptions[i + 1],
            (size_t)(server->subscription_count - i) * sizeof(*server->subscriptions));
}

void server_unsubscribe(struct world *world, int node, int64_t connection, int64_t sid)
{
    struct server *server = &world->server;
    for (int i = server->subscription_count - 1; i >= 0; i--) {
        const struct server_subscription *s = &server->subscriptions[i];
        if (s->node == node && s->connection == connection && s->sid == sid)
            drop(server, i);
    }
}

void server_forget(struct world *world, int node, int64_t connection)
{
    struct server *server = &world->server;
    for (int i = server->subscription_count - 1; i >= 0; i--) {
        const struct server_subscription *s = &server->subscriptions[i];
        if (connection < 0 || (s->node == node && s->connection == connection))
            drop(server, i);
    }
    for (int i = 0; i < STREAMS_MAX; i++)
        durable_forget_pulls(&server->streams[i], node, connection);
}

/* ---- Who gets what -------------------------------------------------------------------------- */

static void give(struct world *world, const struct server_subscription *to, struct wire *wire)
{
    net_send_to_node(world, &world->nodes[to->node], to->connection, to->sid, wire_hold(wire));
}

static _Bool matches(const struct server_subscription *s, const char *subject, uint64_t hashed)
{
    if (s->hash == 0)
        return strncmp(s->subject, subject, (size_t)s->prefix_length) == 0 &&
               (s->subject[s->prefix_length] == '>' || !strchr(subject + s->prefix_length, '.'));
    return s->hash == hashed && strcmp(s->subject, subject) == 0;
}

static _Bool has_joined(const struct world *world, int node)
{
    return world->nodes[node].runs && world->nodes[node].instance->endpoints.joined;
}

static _Bool is_command(const struct world *world, int log, const char *subject)
{
    const struct command *command = world->logs[log].service->commands;
    while (command->subject && strcmp(command->subject, subject) != 0)
        command++;
    return command->subject != NULL;
}

/* A command's queue group is that of a term: a frozen one of another term has no part in it, and
 * what is asked of the one that leads is not left to it. Only at a handover both are of one group.
 */
static void check_group(struct world *world, const struct server_subscription *const *members,
                        int groups)
{
    for (int g = 0; g < groups; g++) {
        const struct node *given = &world->nodes[members[g]->node];
        const struct node *leader = leader_of(world, given->log);
        const struct server_subscription *s = world->server.subscriptions;
        if (given->frozen_until_ms == 0 || !is_command(world, given->log, members[g]->subject) ||
            !leader || leader == given || has_joined(world, given->index) ||
            has_joined(world, leader->index))
            continue;
        for (int i = 0; i < world->server.subscription_count; i++)
            if (s[i].node == leader->index && strcmp(s[i].queue, members[g]->queue) == 0 &&
                strcmp(s[i].subject, members[g]->subject) == 0)
                violated(world, "group of the term: %s goes to %s, which is frozen, and %s leads",
                         s[i].subject, given->name, leader->name);
    }
}

/* To one member of each queue group, and to all others. `to` is the subject that is listened to,
 * which a delivery does not show. */
static int give_to_subscribers(struct world *world, const char *to, struct wire *wire)
{
    const struct server *server = &world->server;
    const struct server_subscription *members[GROUPS_MAX];
    int sizes[GROUPS_MAX], groups = 0, given = 0;
    uint64_t hashed = hash(to);
    for (int i = 0; i < server->subscription_count; i++) {
        const struct server_subscription *s = &server->subscriptions[i];
        if (!matches(s, to, hashed))
            continue;
        given++;
        if (!*s->queue) {
            give(world, s, wire);
            continue;
        }
        int g = 0;
        while (g < groups && strcmp(members[g]->queue, s->queue) != 0)
            g++;
        if (g == GROUPS_MAX)
            continue;
        if (g == groups) {
            groups++;
            sizes[g] = 0;
        }
        if (draw(world, ++sizes[g]) == 0)
            members[g] = s;
    }
    for (int g = 0; g < groups; g++)
        give(world, members[g], wire);
    check_group(world, members, groups);
    return given;
}

/* The inboxes of actors, and what the provider listens to. */
static _Bool give_to_actor(struct world *world, const char *to, struct wire *wire)
{
    static const char *const places[ACTORS] = { "_INBOX.customers.", "psp.", "_INBOX.operator.",
                                                "_INBOX.adversary." };
    for (int actor = 0; actor < ACTORS; actor++)
        if (strncmp(to, places[actor], strlen(places[actor])) == 0) {
            if (actor == PROVIDER && world->now_ms < world->provider.away_until_ms)
                return 0;
            net_send_to_actor(world, (enum actor)actor, wire_hold(wire));
            return 1;
        }
    return 0;
}

static _Bool give_to_all(struct world *world, const char *to, struct wire *wire)
{
    return give_to_actor(world, to, wire) || give_to_subscribers(world, to, wire) > 0;
}

_Bool server_send(struct world *world, const char *to, struct wire *wire)
{
    _Bool given = give_to_all(world, to, wire);
    wire_drop(wire);
    return given;
}

void server_reply(struct world *world, const char *to, const char *json, size_t length)
{
    if (*to)
        server_send(
            world, to,
            wire_new(&(struct wire_parts){ .subject = to, .data = json, .data_length = length }));
}

void server_status(struct world *world, const char *to, const char *status)
{
    char block[64];
    int length = snprintf(block, sizeof(block), "NATS/1.0 %s\r\n\r\n", status);
    if (*to)
        server_send(world, to,
                    wire_new(&(struct wire_parts){
                        .subject = to, .block = block, .block_length = (size_t)length }));
}

void server_take(struct world *world, struct wire *wire, struct sender_of from)
{
    const char *subject = wire_subject(wire);
    if (strncmp(subject, "$JS.API.", 8) == 0) {
        api_take(world, wire, from);
        return;
    }
    if (strncmp(subject, "$JS.ACK.", 8) == 0) {
        durable_ack(world, subject);
        return;
    }
    struct stream *stream = stream_of_subject(world, subject);
    if (stream) {
        stream_publish(world, stream, wire);
        return;
    }
    if (strncmp(subject, "journey.", 8) == 0 && world->now_ms < world->server.mute_until_ms)
        return; /* a heartbeat, which nobody sends again */
    if (!give_to_all(world, subject, wire))
        server_status(world, wire_reply(wire), "503");
}

/* ---- Time ----------------------------------------------------------------------------------- */

int64_t server_due_ms(const struct world *world)
{
    const struct server *server = &world->server;
    if (!server->is_up)
        return server->up_at_ms;
    int64_t due_ms = INT64_MAX;
    for (int i = 0; i < STREAMS_MAX; i++) {
        int64_t stream_ms = durable_due_ms(&server->streams[i]);
        due_ms = stream_ms < due_ms ? stream_ms : due_ms;
    }
    return due_ms;
}

void server_look_at_clock(struct world *world)
{
    struct server *server = &world->server;
    if (!server->is_up && world->now_ms >= server->up_at_ms) {
        tell(world, "the server is up again");
        server->is_up = 1;
    }
    for (int i = 0; i < STREAMS_MAX && server->is_up; i++)
        durable_look_at_clock(world, &server->streams[i]);
}
