/* Orphans: what fenced instances set aside. This file stands in the place of
 * runtime/writer/orphan_file.c: the names are kept here instead of on a disk, and what is not in
 * the log of the leader in the end must be among them. */
#include "runtime/writer/orphan_file.h"
#include "base/result.h"
#include "world.h"
#include <stdlib.h>
#include <string.h>

static int request_of(const struct event *event)
{
    const char *key = event->cause && strncmp(event->cause, "request", 7) == 0
                          ? strrchr(event->cause, '/')
                          : NULL;
    return key && key[1] == 'k' ? atoi(key + 2) : -1;
}

_Bool is_orphan(const struct history *history, const struct digest *chain)
{
    for (int64_t i = 1; i <= history->orphans.count; i++)
        if (digest_equal(&history->orphans.at[i].chain, chain))
            return 1;
    return 0;
}

_Bool is_orphans_request(const struct history *history, int request)
{
    for (int64_t i = 1; i <= history->orphans.count; i++)
        if (history->orphans.at[i].request == request)
            return 1;
    return 0;
}

void orphans_of_lost_file(struct world *world, const struct node *node, int64_t from)
{
    for (int64_t p = from; p <= node->line.count; p++)
        line_put(&world->logs[node->log].orphans, &node->line.at[p]);
}

int orphan_file_write(struct orphan_file *orphans, struct event_reader *reader)
{
    struct node *node = current_node();
    struct history *history = &node->world->logs[node->log];
    struct event event;
    int64_t position = orphans->first;
    if (disk_is_dead(node->index))
        return fail(ERR_FULL, "the orphans cannot be written");
    while (event_reader_has_next(reader, &event)) {
        struct committed orphan = { .chain = event.chain, .request = request_of(&event) };
        if (event.position != position++)
            violated(node->world, "orphans: %s sets %lld aside behind %lld", node->name,
                     (long long)event.position, (long long)position - 2);
        if (!is_orphan(history, &orphan.chain)) /* else it is written once more */
            line_put(&history->orphans, &orphan);
    }
    if (position != orphans->last + 1)
        violated(node->world, "orphans: %s names those up to %lld of %lld", node->name,
                 (long long)position - 1, (long long)orphans->last);
    tell(node->world, "%s sets aside %lld to %lld", node->name, (long long)orphans->first,
         (long long)orphans->last);
    snprintf(orphans->path, sizeof(orphans->path), "orphans of %s", node->name);
    return trace(event_reader_status(reader));
}
