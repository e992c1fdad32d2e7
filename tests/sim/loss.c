/* Loss: the one fault that nothing can heal, once at the end of a run: both copies of the newest
 * events of a log are gone, the one in the service's database and the one in its stream. It must be
 * named (rule 6): by the leader, whose stream has held more, or by the reader, who has read more.
 *
 * Where a service has several instances, those that stand by may have it all: no such run.
 *
 * In one variant nobody looks before the leader has used the lost positions for other events: then
 * the reader must see by the chain that what comes next does not follow what it has read.
 *
 * In another the operator accepts the loss, and has the reader fold anew what the leader has now:
 * the reader reacts to the events that are at those positions, though its own log has reactions to
 * others that were there. */
#include "world.h"

#define NAMED_MS_MAX 120000

static void lose_to_copy(struct world *world, struct node *node)
{
    struct history *history = &world->logs[node->log];
    tell(world, "%s and its stream lose what came after %lld", node->name,
         (long long)node->copy_head);
    node_crash(world, node, 0);
    node_restore(world, node, 1);
    stream_cut(&world->server.streams[node->log], node->copy_head);
    history->line.count = history->in_stream = node->copy_head; /* the world is another one now */
}

/* Whose newest events are lost; NULL: there are none that a backup does not have. */
static struct node *lose_both_copies(struct world *world)
{
    struct node *node = &world->nodes[draw(world, world->node_count)];
    struct history *history = &world->logs[node->log];
    struct stream *stream = &world->server.streams[node->log];
    if (world->node_count > LOGS || !node->copy || node->copy_head == 0 ||
        node->copy_head >= history->line.count || stream->last != history->line.count)
        return NULL;
    lose_to_copy(world, node);
    return node;
}

static _Bool reads(const struct node *node, int log)
{
    for (int i = 0; node->sources[i].log; i++)
        if (node_source_log(node, i) == log)
            return 1;
    return 0;
}

static _Bool is_named(const struct world *world, int log)
{
    for (int i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (!node->runs)
            continue;
        if (node->log == log && node_relay(node)->state == RELAY_FORKED)
            return 1;
        for (int s = 0; node->sources[s].log; s++)
            if (node_source_log(node, s) == log && node_feed(node, s)->state == FEED_FORKED)
                return 1;
    }
    return 0;
}

/* The readers sleep until the leader has said more than it has lost. */
static void use_positions_again(struct world *world, const struct node *leader, int64_t lost)
{
    for (int i = 0; i < world->node_count; i++)
        if (reads(&world->nodes[i], leader->log))
            node_crash(world, &world->nodes[i], 0);
    const int64_t end_ms = world->now_ms + NAMED_MS_MAX;
    world->load.is_over = 0;
    while (!is_named(world, leader->log) && world->logs[leader->log].in_stream <= lost &&
           world->now_ms < end_ms && !world->violation[0]) {
        for (int i = 0; i < world->node_count; i++)
            if (!world->nodes[i].runs && reads(&world->nodes[i], leader->log))
                world->nodes[i].start_ms = end_ms;
        step(world);
    }
    world->load.is_over = 1;
    for (int i = 0; i < world->node_count; i++)
        if (!world->nodes[i].runs)
            world->nodes[i].start_ms = world->now_ms;
}

_Bool see_loss_named(struct world *world)
{
    int64_t counts[LOGS];
    for (int log = 0; log < LOGS; log++)
        counts[log] = world->logs[log].line.count;
    const struct node *leader = lose_both_copies(world);
    if (!leader)
        return 0;
    if (one_in(world, 2))
        use_positions_again(world, leader, counts[leader->log]);
    const int64_t end_ms = world->now_ms + NAMED_MS_MAX;
    while (!is_named(world, leader->log) && world->now_ms < end_ms && !world->violation[0])
        step(world);
    if (!is_named(world, leader->log))
        violated(world, "rule 6: %s has lost events that were read, and nobody says so",
                 leader->name);
    return 1;
}

/* ---- Reactions to what is at a lost position now --------------------------------------------- */

#define SEGMENT 24      /* events of order-svc that are lost, and as many that come instead */
#define STEPS_MAX 40000 /* of each part */

/* Orders are placed, and all cards are declined, until the log has so many. */
static _Bool order_until(struct world *world, int64_t count)
{
    const int64_t end = world->steps + STEPS_MAX;
    world->load.is_over = 0;
    while (world->logs[ORDER].line.count < count && world->steps < end && !world->violation[0])
        step(world);
    world->load.is_over = 1;
    return world->logs[ORDER].line.count >= count;
}

static _Bool is_read(const struct world *world, const struct node *reader)
{
    const struct node *leader = leader_of(world, ORDER);
    return reader->runs && leader && leader->runs &&
           node_relay(leader)->state == RELAY_PUBLISHING &&
           node_relay(leader)->published == world->logs[ORDER].line.count &&
           node_feed(reader, 0)->cursor == world->logs[ORDER].line.count;
}

static _Bool read_all(struct world *world, const struct node *reader)
{
    const int64_t end = world->steps + STEPS_MAX;
    while (!is_read(world, reader) && world->steps < end && !world->violation[0])
        step(world);
    return is_read(world, reader);
}

static void check_reactions(struct world *world, const struct node *reader,
                            const struct node *leader)
{
    sqlite3_stmt *failed = prepare(world, leader,
                                   "SELECT position, id FROM event_log WHERE type = 'PaymentFailed'"
                                   " AND data ->> 'decline' IS NULL AND position <= ?1");
    sqlite3_stmt *declined = prepare(world, reader,
                                     "SELECT 1 FROM event_log WHERE type = 'CardDeclined' AND"
                                     " causation = ?1");
    sqlite3_bind_int64(failed, 1, node_feed(reader, 0)->cursor);
    while (sqlite3_step(failed) == SQLITE_ROW) {
        sqlite3_reset(declined);
        sqlite3_bind_text(declined, 1, (const char *)sqlite3_column_text(failed, 1), -1,
                          SQLITE_TRANSIENT);
        if (sqlite3_step(declined) != SQLITE_ROW)
            violated(world, "I11: %s has not reacted to the PaymentFailed at position %lld",
                     reader->name, (long long)sqlite3_column_int64(failed, 0));
    }
    sqlite3_finalize(failed);
    sqlite3_finalize(declined);
}

_Bool see_reactions_anew(struct world *world)
{
    struct history *history = &world->logs[ORDER];
    if (world->node_count > LOGS)
        return 0;
    struct node *leader = &world->nodes[ORDER], *reader = &world->nodes[ACCOUNT];
    world->load.declines = 1;
    if (!order_until(world, history->line.count + SEGMENT) || !leader->runs)
        return 0;
    disk_copy_free(leader->copy);
    leader->copy = disk_copy(leader->index);
    leader->copy_head = leader->promise;
    if (!order_until(world, leader->copy_head + SEGMENT) || !read_all(world, reader) ||
        world->server.streams[ORDER].last != history->line.count)
        return 0;
    const int64_t lost = history->line.count;
    lose_to_copy(world, leader);
    if (!order_until(world, lost) || !database_may_go(world, ACCOUNT))
        return 0;
    tell(world, "the operator has %s fold anew what %s has", reader->name, leader->name);
    node_crash(world, reader, 0);
    node_restore(world, reader, 0);
    if (read_all(world, reader))
        check_reactions(world, reader, leader);
    return 1;
}
