/* Instances: several of one service, each with a disk, links and clocks of its own. One serves, the
 * others stand by (sync/peer.h). The world sees in their files what each has committed, and the
 * stream judges: the line of a service is what its stream has had, and behind it what an instance
 * has committed first. An instance that commits something else branches off, and what stands on a
 * branch is set apart: it may be in that one file alone. Who was answered by such an instance may
 * be answered otherwise by another one; everybody else may not (I1 to I3, I10). What an instance on
 * a branch asks of the provider is asked all the same: an order on a branch may be charged and
 * voided by two. That is the price of answers that do not wait for the stream; where they do wait,
 * nothing of it is excused but a refusal of one that has not heard of the other.
 *
 * So that nothing but that is lost, the world's operator does what OPERATIONS.md says: the instance
 * that served is started again, and another one only where the stream has all of the log, or where
 * that one lives and the stream is not damaged. A forked one loses its folder when another one
 * serves. */
#include "world.h"
#include <stdlib.h>
#include <string.h>

#define UNSERVED_MS 4000 /* nobody serves for so long: the operator starts one anew */

/* ---- Who serves ------------------------------------------------------------------------------ */

const struct lead *node_lead(const struct node *node)
{
    return &node->instance->sender.lead_io.lead;
}

_Bool node_leads(const struct node *node)
{
    return node->world->logs[node->log].instances == 1 ||
           (node->runs && node_lead(node)->state == LEAD_LEADING);
}

/* Of two, of whom one does not know that it is fenced, the one of the higher term. */
const struct node *leader_of(const struct world *world, int log)
{
    const struct node *leader = NULL;
    for (int i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (node->log == log && node_leads(node) &&
            (!leader || node_lead(node)->term > node_lead(leader)->term))
            leader = node;
    }
    return leader;
}

/* Refusals are kept in the file of whoever has given them. */
void instances_note_turn(struct world *world, struct node *node)
{
    struct history *history = &world->logs[node->log];
    if (history->instances == 1 || history->serving == node->index || !node_serves(node) ||
        leader_of(world, node->log) != node)
        return;
    if (history->serving >= 0) {
        history->takeovers++;
        history->restores++;
    }
    history->serving = node->index;
    tell(world, "%s leads, and serves", node->name);
}

_Bool instance_is_complete(const struct world *world, const struct node *node)
{
    return node->branch == 0 && node->line.count == world->logs[node->log].line.count;
}

_Bool instance_may_start(const struct world *world, const struct node *node)
{
    if (world->logs[node->log].instances == 1 || instance_is_complete(world, node))
        return 1;
    const struct history *history = &world->logs[node->log];
    const struct node *leader = leader_of(world, node->log);
    const _Bool lives = leader && leader->links[BUS_URGENT].is_up && leader->frozen_until_ms == 0;
    return stream_reaches(world, node->log, lives ? history->in_stream : history->line.count, 0);
}

/* ---- What they commit ------------------------------------------------------------------------ */

static void set_apart(struct world *world, struct history *history, const struct committed *event)
{
    if (history->answers_wait) /* for the stream: nobody was told of it */
        return;
    if (event->request >= 0 && event->request < world->load.count)
        world->load.requests[event->request]->is_contested = 1;
    line_put(&history->set_apart, event);
}

_Bool is_set_apart(const struct history *history, const char *entity)
{
    for (int64_t i = 1; i <= history->set_apart.count; i++)
        if (strcmp(history->set_apart.at[i].entity, entity) == 0)
            return 1;
    return 0;
}

/* What stands in the line there, and is not in the stream yet, is contested too. */
static void branch_off(struct world *world, struct node *node, int64_t position)
{
    struct history *history = &world->logs[node->log];
    tell(world, "%s branches off at %lld", node->name, (long long)position);
    node->branch = position;
    history->branches++;
    history->restores++;
    for (int64_t p = position; p <= history->line.count; p++)
        if (p > history->in_stream)
            set_apart(world, history, &history->line.at[p]);
}

void instance_commits(struct world *world, struct node *node, const struct committed *event)
{
    struct history *history = &world->logs[node->log];
    line_put(&node->line, event);
    const int64_t position = node->line.count;
    const struct digest *known = history_at(history, position);
    if (node->branch == 0 && !known && position == history->line.count + 1) {
        line_put(&history->line, event);
        digest_add(world, event->chain.bytes, sizeof(event->chain.bytes));
    } else if (node->branch == 0 && !(known && digest_equal(known, &event->chain))) {
        branch_off(world, node, position);
    }
    if (node->branch > 0)
        set_apart(world, history, event);
}

void instance_forgets(struct node *node)
{
    if (node->branch > 0)
        orphans_of_lost_file(node->world, node, node->branch);
    node->line.count = node->branch = node->cursor = node->promise = 0;
    node->kept = (struct kept_view){ .places = { -1, -1, -1 } };
}

/* What it alone had and has no more must be named. */
static void check_set_aside(struct world *world, const struct node *node, int64_t common)
{
    const struct history *history = &world->logs[node->log];
    int64_t of_runtime = 0;
    for (int64_t p = common + 1; p <= node->line.count; p++)
        of_runtime += node->line.at[p].is_of_runtime;
    for (int64_t p = common + 1; p <= node->line.count && of_runtime < node->line.count - common;
         p++)
        if (!is_orphan(history, &node->line.at[p].chain))
            violated(world, "orphans: %s has taken position %lld out of its log, and not named it",
                     node->name, (long long)p);
}

void instance_sets_aside(struct world *world, struct node *node, int64_t common)
{
    tell(world, "%s has taken out of its log what came after %lld", node->name, (long long)common);
    if (common < node->branch - 1)
        violated(world, "orphans: %s sets aside what came after %lld, and the stream has %lld",
                 node->name, (long long)common, (long long)node->branch - 1);
    check_set_aside(world, node, common);
    node->line.count = node->promise = common;
    node->branch = 0;
    node->folds_anew = 1;
}

/* Each against the line, anew. */
static void find_branches(struct world *world, int log)
{
    const struct history *history = &world->logs[log];
    for (int i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        int64_t p = 1;
        if (node->log != log)
            continue;
        while (p <= node->line.count && p <= history->line.count &&
               digest_equal(&node->line.at[p].chain, &history->line.at[p].chain))
            p++;
        node->branch = p <= node->line.count ? p : 0;
    }
}

/* At its position, in its own file, now or once. */
_Bool anybody_has_committed(const struct world *world, const struct history *history,
                            const struct digest *chain)
{
    for (int i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        for (int64_t p = node->line.count; &world->logs[node->log] == history && p > 0; p--)
            if (digest_equal(&node->line.at[p].chain, chain))
                return 1;
    }
    for (int64_t p = history->line.count; p > 0; p--)
        if (digest_equal(&history->line.at[p].chain, chain))
            return 1;
    for (int64_t p = history->set_apart.count; p > 0; p--)
        if (digest_equal(&history->set_apart.at[p].chain, chain))
            return 1;
    return is_orphan(history, chain);
}

_Bool instances_have_committed(struct world *world, int log, int64_t position,
                               const struct digest *chain)
{
    struct history *history = &world->logs[log];
    if (history->instances == 1 || position <= history->in_stream)
        return 0;
    for (int i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (node->log != log || node->branch != position || position > node->line.count ||
            !digest_equal(&node->line.at[position].chain, chain))
            continue;
        tell(world, "the log goes on as %s has it, from %lld on", node->name, (long long)position);
        history->line.count = position - 1;
        for (int64_t p = position; p <= node->line.count; p++)
            line_put(&history->line, &node->line.at[p]);
        find_branches(world, log);
        return 1;
    }
    return 0;
}

/* ---- What they answer ------------------------------------------------------------------------ */

void instances_note_answer(struct world *world, const struct node *node, const struct wire *wire)
{
    static const char inbox[] = "_INBOX.customers.";
    if (world->logs[node->log].instances == 1 || instance_is_complete(world, node))
        return;
    const char *rest = wire_subject(wire) + strlen(inbox);
    const int number = atoi(rest + strcspn(rest, "0123456789"));
    if (number < world->load.count)
        world->load.requests[number]->is_contested = 1;
}

/* ---- What an operator does ------------------------------------------------------------------- */

/* Where its log leaves the stream another's term has begun: it is fenced by that, and no operator
 * has to choose. Unless the stream had its own event there and has lost it. */
static void check_fenced(struct world *world, const struct node *node)
{
    const struct history *history = &world->logs[node->log];
    const struct relay *relay = node_relay(node);
    const int64_t position = node->branch;
    for (int64_t p = position; position > 0 && p <= node->line.count; p++)
        if (node->line.at[p].is_of_runtime) /* its term may be the higher one */
            return;
    if (position > 0 && position <= history->in_stream && relay->own_water < position &&
        history->line.at[position].is_of_runtime && strstr(relay->reason, "different chains"))
        violated(world, "term: %s is forked, and another's term has begun at position %lld",
                 node->name, (long long)position);
}

/* Its folder is kept elsewhere; it begins as one that is new. */
static void mend_forked(struct world *world, struct node *node)
{
    const struct node *leader = leader_of(world, node->log);
    if (!node->runs || node->frozen_until_ms > 0 || node_relay(node)->state != RELAY_FORKED ||
        !leader || leader == node || node_relay(leader)->state == RELAY_FORKED)
        return;
    check_fenced(world, node);
    tell(world, "the operator takes the folder of %s away", node->name);
    node_crash(world, node, 0);
    node_restore(world, node, 0);
    world->operator.set_apart++;
}

/* It follows, and has less than the stream once had, or than another has seen there: it does not
 * claim. */
static _Bool is_behind(const struct node *node)
{
    const struct relay *relay = node_relay(node);
    const enum lead_state state = node_lead(node)->state;
    return (state == LEAD_FOLLOWING || state == LEAD_SUSPECTING) &&
           (relay->head < relay->high_water || relay->head < relay->told);
}

/* One leads, is about to, or will claim by itself. */
static _Bool goes_on(const struct world *world, int log)
{
    for (int i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (node->log != log || !node->runs || node_relay(node)->state == RELAY_FORKED)
            continue;
        if (!is_behind(node) &&
            (node_lead(node)->state != LEAD_FOLLOWING || world->logs[log].takes_over))
            return 1;
    }
    return 0;
}

/* Who is started anew: any whose log is whole, for what another remembers of a stream that is gone
 * holds it back until that one is started anew; where there is none any more, because its folder
 * was lost or another was copied over it, one that serves what the stream has. NULL: nobody yet. */
static struct node *who_may_serve(struct world *world, int log)
{
    struct node *whole = NULL, *other = NULL;
    int whole_count = 0;
    for (int i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        if (node->log != log || !node->runs || node->frozen_until_ms > 0)
            continue;
        if (instance_is_complete(world, node))
            whole = one_in(world, ++whole_count) ? node : whole;
        else if (node->branch == 0 && instance_may_start(world, node))
            other = node;
    }
    return whole ? whole : other;
}

/* Nobody leads, and nobody is about to. */
static void start_one(struct world *world, int log)
{
    int64_t *since_ms = &world->operator.unserved_ms[log];
    if (goes_on(world, log) || !world->server.is_up) {
        *since_ms = 0;
        return;
    }
    if (*since_ms == 0)
        *since_ms = world->now_ms;
    if (world->now_ms < *since_ms + UNSERVED_MS)
        return;
    *since_ms = 0;
    struct node *node = who_may_serve(world, log);
    if (node && instance_is_complete(world, node) && one_in(world, 2)) {
        node_take_over(node);
        return;
    }
    if (!node)
        return;
    tell(world, "the operator starts %s anew: nobody serves", node->name);
    node_crash(world, node, 0);
}

_Bool instances_may_lose_stream(struct world *world, int log)
{
    int whole_count = 0;
    if (world->logs[log].instances == 1)
        return stream_may_go(world, log);
    for (int i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        whole_count += node->log == log && node->runs && node->frozen_until_ms == 0 &&
                       node->links[BUS_URGENT].is_up && instance_is_complete(world, node);
    }
    for (int i = 0; whole_count > 0 && i < world->node_count; i++)
        if (world->nodes[i].log == log && !instance_is_complete(world, &world->nodes[i]))
            node_crash(world, &world->nodes[i], 0);
    return whole_count > 0;
}

void instances_operate(struct world *world)
{
    for (int i = 0; i < world->node_count; i++)
        if (world->logs[world->nodes[i].log].instances > 1)
            mend_forked(world, &world->nodes[i]);
    for (int log = 0; log < LOGS; log++)
        if (world->logs[log].instances > 1)
            start_one(world, log);
}
