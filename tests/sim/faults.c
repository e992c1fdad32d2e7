/* Faults: what breaks, drawn from the seed.
 *
 * One thing is not drawn among them: that both copies of an event, the one in its service's
 * database and the one in its stream, are lost. Nothing can heal that. So a stream is damaged only
 * while the database has all, and a database only while the stream has all; both together are lost
 * once, at the end of a run, to see it named. */
#include "world.h"
#include <stdlib.h>

static struct node *any_node(struct world *world)
{
    return &world->nodes[draw(world, world->node_count)];
}

/* ---- Services -------------------------------------------------------------------------------- */

static _Bool crash(struct world *world)
{
    struct node *node = any_node(world);
    _Bool runs = node->runs;
    node_crash(world, node, 0);
    return runs;
}

/* In the middle of what it does. */
static _Bool crash_at_point(struct world *world)
{
    struct node *node = any_node(world);
    node->crash_points = 1 + draw(world, 30);
    return node->runs;
}

static _Bool restore(struct world *world, _Bool from_copy)
{
    struct node *node = any_node(world);
    if (!node->runs || (from_copy && !node->copy) || !database_may_go(world, node->log))
        return 0;
    node_crash(world, node, 0);
    node_restore(world, node, from_copy);
    return 1;
}

static _Bool restore_older(struct world *world)
{
    return restore(world, 1);
}

static _Bool lose_database(struct world *world)
{
    return restore(world, 0);
}

/* A folder is copied to another machine, where an instance of the same service begins with it. */
static _Bool copy_folder(struct world *world)
{
    struct node *node = any_node(world);
    const struct node *from = any_node(world);
    if (node == from || node->log != from->log || !from->runs || disk_is_dead(from->index) ||
        !database_may_go(world, node->log))
        return 0;
    node_crash(world, node, 0);
    struct disk_copy *copy = disk_copy(from->index);
    tell(world, "%s begins with the folder of %s", node->name, from->name);
    disk_restore(node->index, copy);
    disk_copy_free(copy);
    instance_forgets(node);
    node->knows_longer = from->knows_longer;
    world->logs[node->log].restores++;
    return 1;
}

/* As by SIGSTOP: longer than many time-outs, now and then longer than all. */
static _Bool freeze_service(struct world *world)
{
    struct node *node = any_node(world);
    if (!node->runs || node->frozen_until_ms > 0)
        return 0;
    node_freeze(world, node, world->now_ms + 50 + draw(world, one_in(world, 4) ? 20000 : 3000));
    return 1;
}

/* Than its stream had. */
static _Bool another_has_more(const struct world *world, const struct node *node)
{
    for (int i = 0; i < world->node_count; i++) {
        const struct node *other = &world->nodes[i];
        if (other->log == node->log && other != node &&
            other->line.count > world->logs[node->log].in_stream)
            return 1;
    }
    return 0;
}

/* The machine with its disk, and all that is on its way from there, at a moment in which the stream
 * need not have all: the rest was never answered. What the stream once had must still be there. */
static _Bool lose_machine(struct world *world)
{
    struct node *node = any_node(world);
    struct history *history = &world->logs[node->log];
    if (!node->runs || !history->answers_wait || stream_is_being_deleted(world, node->log) ||
        !world->server.streams[node->log].exists || another_has_more(world, node) ||
        !stream_reaches(world, node->log, history->in_stream, 1))
        return 0;
    node_crash(world, node, 0);
    net_forget(world, node);
    node_restore(world, node, 0);
    disk_copy_free(node->copy);
    node->copy = NULL;
    tell(world, "%s: what came after %lld of %lld is lost", node->name,
         (long long)history->in_stream, (long long)history->line.count);
    history->line.count = history->in_stream;
    return 1;
}

/* Both connections of a service, or one of them. */
static _Bool disconnect(struct world *world)
{
    struct node *node = any_node(world);
    _Bool was_up = node->links[BUS_URGENT].is_up || node->links[BUS_BULK].is_up;
    if (one_in(world, 2))
        node_cut_off(world, node);
    else
        node_cut(world, node, (int)draw(world, LINKS));
    return was_up;
}

static _Bool fill_disk(struct world *world)
{
    struct node *node = any_node(world);
    if (!node->runs)
        return 0;
    node->disk_full_until_ms = world->now_ms + 1 + draw(world, 1000);
    disk_fill(node->index, 1);
    tell(world, "%s: the disk is full", node->name);
    return 1;
}

/* At this moment, or in the middle of one of the next writes. */
static _Bool cut_service_power(struct world *world)
{
    struct node *node = any_node(world);
    if (!node->runs)
        return 0;
    if (one_in(world, 3))
        node_crash(world, node, 1);
    else
        disk_fail_after(node->index, 1 + draw(world, 40), 1);
    return 1;
}

static _Bool fail_write(struct world *world)
{
    struct node *node = any_node(world);
    if (!node->runs)
        return 0;
    disk_fail_after(node->index, 1 + draw(world, 40), 0);
    return 1;
}

static _Bool jump_clock(struct world *world)
{
    static const int64_t jumps_ms[] = { -3600000, 3600000, 864000000, -5000 };
    struct node *node = any_node(world);
    if (!one_in(world, 4))
        return 0;
    node->clock_ms += jumps_ms[draw(world, 4)];
    if (node->clock_ms < -36000000)
        node->clock_ms = 0;
    if (node->clock_ms > node->clock_max_ms)
        node->clock_max_ms = node->clock_ms;
    tell(world, "%s: the clock is %lld ms ahead", node->name, (long long)node->clock_ms);
    return 1;
}

static _Bool break_program(struct world *world)
{
    bug_begin(world);
    return 1;
}

/* ---- The server ------------------------------------------------------------------------------ */

static void stop_server(struct world *world, int64_t down_ms)
{
    world->server.is_up = 0;
    world->server.up_at_ms = world->now_ms + 1 + draw(world, down_ms);
    for (int i = 0; i < world->node_count; i++)
        node_cut_off(world, &world->nodes[i]);
    server_forget(world, 0, -1);
}

static _Bool restart_server(struct world *world)
{
    stop_server(world, 1500);
    return 1;
}

/* A power cut: what was not synced is gone, of the stream and of the durable, each by itself. */
static _Bool cut_power(struct world *world)
{
    stop_server(world, 500);
    for (int i = 0; i < STREAMS_MAX; i++) {
        struct stream *stream = &world->server.streams[i];
        if (!stream_may_go(world, i))
            continue;
        int64_t lost = draw(world, one_in(world, 4) ? 400 : 10);
        int64_t last = stream->last > lost ? stream->last - lost : 0;
        operator_look(world, i);
        stream_cut(stream, last < stream->first ? stream->first - 1 : last); /* purges are synced */
        for (int d = 0; d < DURABLES_MAX; d++)
            if (stream->durables[d].exists && !*stream->durables[d].config && one_in(world, 2)) {
                struct durable *durable = &stream->durables[d];
                durable->acked -= draw(world, durable->acked + 1);
                durable->delivered = durable->acked;
            }
        tell(world, "stream %d ends at %lld", i, (long long)stream->last);
    }
    return 1;
}

static _Bool wipe_server(struct world *world)
{
    if (!stream_may_go(world, ACCOUNT) || !stream_may_go(world, ORDER))
        return 0;
    stop_server(world, 500);
    for (int i = 0; i < STREAMS_MAX; i++)
        stream_delete(world, &world->server.streams[i], 0);
    return 1;
}

static struct stream *stream_to_damage(struct world *world)
{
    int log = (int)draw(world, STREAMS_MAX);
    return stream_may_go(world, log) && world->server.is_up ? &world->server.streams[log] : NULL;
}

static _Bool delete_stream(struct world *world)
{
    struct stream *stream = stream_to_damage(world);
    if (stream)
        stream_delete(world, stream, one_in(world, 2));
    return stream != NULL;
}

static _Bool purge_stream(struct world *world)
{
    struct stream *stream = stream_to_damage(world);
    if (stream) {
        stream_purge(stream);
        edits_stream_purged(world, (int)(stream - world->server.streams));
    }
    return stream != NULL;
}

static _Bool lose_middle(struct world *world)
{
    struct stream *stream = stream_to_damage(world);
    if (!stream || stream->messages == 0)
        return 0;
    int64_t first = stream->first + draw(world, stream->last - stream->first + 1),
            count = 1 + draw(world, 50);
    _Bool is_noticed = one_in(world, 2); /* else the server counts them, and cannot read them */
    for (int64_t s = first; s <= stream->last && s < first + count; s++)
        if (is_noticed)
            stream_forget(stream, s);
        else if (stream->at[s].wire)
            stream->at[s].unreadable = 1;
    stream_look_at_terms(stream);
    tell(world, "a stream loses %lld messages from %lld on", (long long)count, (long long)first);
    return 1;
}

/* Not the adversary's: of an empty sequence at the end nobody can tell whether an event stood
 * there, so a service that knows no more than its log must say `forked`. */
static _Bool lose_last(struct world *world)
{
    struct stream *stream = stream_to_damage(world);
    const struct stored *stored = stream ? stream_at(stream, stream->last) : NULL;
    if (!stored || stored->position <= 0)
        return 0;
    stream_forget(stream, stream->last);
    stream_look_at_terms(stream);
    return 1;
}

static _Bool fill_stream(struct world *world)
{
    struct stream *stream = &world->server.streams[draw(world, STREAMS_MAX)];
    stream->capacity = stream->last + draw(world, 20);
    stream->full_until_ms = world->now_ms + draw(world, 800);
    return stream->exists;
}

static _Bool change_leader(struct world *world)
{
    struct stream *stream = &world->server.streams[draw(world, STREAMS_MAX)];
    stream_change_leader(world, stream, 1 + draw(world, 5000));
    return stream->exists;
}

/* ---- The durable ----------------------------------------------------------------------------- */

static struct durable *any_durable(struct stream *stream, struct world *world)
{
    return &stream->durables[one_in(world, 4) ? draw(world, DURABLES_MAX) : 0];
}

static struct stream *any_stream(struct world *world)
{
    return &world->server.streams[draw(world, STREAMS_MAX)];
}

static _Bool delete_durable(struct world *world)
{
    struct durable *durable = any_durable(any_stream(world), world);
    _Bool existed = durable->exists;
    if (*durable->config) /* edits.c */
        return 0;
    durable_delete(world, durable, world->server.is_up && one_in(world, 2));
    return existed;
}

static _Bool redeliver(struct world *world)
{
    struct stream *stream = any_stream(world);
    struct durable *durable = any_durable(stream, world);
    durable->delivered = durable->acked;
    if (world->server.is_up)
        durable_serve(world, stream);
    return durable->exists;
}

/* By an operator, or by a file that was restored: nothing that was sent is asked for again. */
static _Bool move_durable_ahead(struct world *world)
{
    struct stream *stream = any_stream(world);
    struct durable *durable = any_durable(stream, world);
    if (!durable->exists || *durable->config)
        return 0;
    durable->acked = durable->delivered = stream->last + draw(world, 20);
    return 1;
}

static _Bool forget_pulls(struct world *world)
{
    struct durable *durable = any_durable(any_stream(world), world);
    _Bool had = durable->pull_count > 0;
    durable->pull_count = 0;
    return had;
}

/* ---- Others ---------------------------------------------------------------------------------- */

static _Bool provider_goes(struct world *world)
{
    world->provider.away_until_ms = world->now_ms + draw(world, 3000);
    return 1;
}

/* Everything that is on its way takes longer than every time-out. */
static _Bool freeze(struct world *world)
{
    int64_t until_ms = world->now_ms + 200 + draw(world, 3000);
    net_delay(world, until_ms);
    return 1;
}

/* What the server and the other service answer cannot be read. */
static _Bool garble(struct world *world)
{
    world->net.garble_until_ms = world->now_ms + draw(world, 2000);
    return 1;
}

static _Bool copy_database(struct world *world)
{
    struct node *node = any_node(world);
    if (!node->runs)
        return 0;
    disk_copy_free(node->copy);
    node->copy = disk_copy(node->index);
    node->copy_head = node->promise;
    return 0; /* a backup is no fault */
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    _Bool (*act)(struct world *);
    int weight;
} faults[] = {
    { "service crashes", crash, 6 },
    { "service crashes at a point", crash_at_point, 8 },
    { "older database restored", restore_older, 6 },
    { "database lost", lose_database, 4 },
    { "machine lost", lose_machine, 6 },
    { "connection breaks", disconnect, 8 },
    { "disk full", fill_disk, 4 },
    { "clock jumps", jump_clock, 3 },
    { "server restarts", restart_server, 4 },
    { "power cut at the server", cut_power, 6 },
    { "server wiped", wipe_server, 2 },
    { "stream deleted", delete_stream, 3 },
    { "stream purged", purge_stream, 3 },
    { "stream loses its middle", lose_middle, 6 },
    { "stream loses its last message", lose_last, 3 },
    { "stream full", fill_stream, 4 },
    { "stream changes its leader", change_leader, 4 },
    { "durable deleted", delete_durable, 4 },
    { "durable delivers again", redeliver, 5 },
    { "durable ahead", move_durable_ahead, 3 },
    { "pulls forgotten", forget_pulls, 3 },
    { "provider away", provider_goes, 3 },
    { "everything stands still", freeze, 3 },
    { "service frozen", freeze_service, 4 },
    { "leader frozen", fault_freeze_leader, 6 },
    { "leader's machine goes", fault_leader_goes, 6 },
    { "leader cut off", fault_cut_leader_off, 4 },
    { "heartbeats lost", fault_lose_heartbeats, 3 },
    { "take-over by hand", fault_take_over, 3 },
    { "folder copied to another", copy_folder, 4 },
    { "answers cannot be read", garble, 4 },
    { "program has a bug", break_program, 3 },
    { "backup taken", copy_database, 4 },
    { "operator sets what is borne", edit_bear, 4 },
    { "operator sets what holds", edit_hold, 3 },
    { "durable of others", edit_other, 3 },
    { "power cut at a service", cut_service_power, 6 },
    { "write or sync fails", fail_write, 6 },
};
#define FAULT_COUNT (int)(sizeof(faults) / sizeof(*faults))
_Static_assert(FAULT_COUNT <= FAULTS_MAX, "the world counts too few faults");

const char *fault_name(int i)
{
    return i < FAULT_COUNT ? faults[i].name : NULL;
}

/* Which of them. When hardly anything happens any more, what happens is broken off: a loss that
 * nothing comes after is one that nothing heals. */
static int pick(struct world *world)
{
    int64_t weights = 0;
    int i = 0;
    if (world->load.is_over && one_in(world, 3)) {
        while (faults[i].act != crash_at_point)
            i++;
        return i;
    }
    for (i = 0; i < FAULT_COUNT; i++)
        weights += faults[i].weight;
    int64_t weight = draw(world, weights);
    for (i = 0; (weight -= faults[i].weight) >= 0; i++)
        ;
    return i;
}

void fault_act(struct world *world)
{
    int i = pick(world);
    tell(world, "fault: %s", faults[i].name);
    if (faults[i].act(world)) {
        world->fault_counts[i]++;
        world->faults++;
    }
    world->fault_ms = world->now_ms + draw(world, 2 * world->mean_fault_ms + 1);
}

void faults_end(struct world *world)
{
    tell(world, "nothing is broken any more");
    world->calm = world->load.is_over = 1;
    world->fault_ms = INT64_MAX;
    world->provider.away_until_ms = 0;
    world->net.garble_until_ms = world->server.mute_until_ms = 0;
    world->bug.until_ms = 0;
    edits_end(world);
    for (int i = 0; i < STREAMS_MAX; i++)
        world->server.streams[i].full_until_ms = world->server.streams[i].leaderless_until_ms = 0;
    int64_t newest_ms[LOGS] = { 0 };
    for (int i = 0; i < world->node_count; i++)
        if (world->nodes[i].clock_max_ms > newest_ms[world->nodes[i].log])
            newest_ms[world->nodes[i].log] = world->nodes[i].clock_max_ms;
    for (int i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        /* deadlines must come that were set by it, or by whoever led before */
        node->clock_ms = newest_ms[node->log];
        node->disk_full_until_ms = node->crash_points = 0;
        if (node->frozen_until_ms > world->now_ms)
            node->frozen_until_ms = world->now_ms;
        disk_fill(i, 0);
        if (!disk_is_dead(i))
            disk_fail_after(i, 0, 0);
    }
}
