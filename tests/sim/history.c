/* History: what each service has ever committed, by position, as its files say it. It is the
 * measure for everything else: no event may be somewhere that is not in it, and no position may be
 * used for two (I4). */
#include "store/terms.h"
#include "world.h"
#include <stdlib.h>
#include <string.h>

const struct digest *history_at(const struct history *history, int64_t position)
{
    const struct line *line = &history->line;
    return position >= 1 && position <= line->count ? &line->at[position].chain : NULL;
}

void line_put(struct line *line, const struct committed *event)
{
    if (line->count + 1 >= line->room) {
        line->room = line->room ? 2 * line->room : 256;
        line->at = must(realloc(line->at, (size_t)line->room * sizeof(*line->at)));
    }
    line->at[++line->count] = *event;
}

/* The request that an event answers, by its cause; -1. */
static int request_of(const char *cause)
{
    const char *key = cause && strncmp(cause, "request", 7) == 0 ? strrchr(cause, '/') : NULL;
    return key && key[1] == 'k' ? atoi(key + 2) : -1;
}

static void add(struct world *world, struct node *node, int64_t position,
                const struct digest *chain)
{
    struct history *history = &world->logs[node->log];
    struct committed event = { .chain = *chain, .request = -1 };
    const char *type = (const char *)sqlite3_column_text(node->commits, 2),
               *entity = (const char *)sqlite3_column_text(node->commits, 3);
    const int64_t before = history->instances > 1 ? node->line.count : history->line.count;
    if (position != before + 1) {
        violated(world, "I4: %s commits position %lld behind %lld", node->name, (long long)position,
                 (long long)before);
        return;
    }
    tell(world, "%s commits %lld %s %s", node->name, (long long)position, type, entity);
    if (history->instances > 1) {
        event.request = request_of((const char *)sqlite3_column_text(node->commits, 4));
        event.is_of_runtime = event_is_of_runtime(type);
        snprintf(event.entity, sizeof(event.entity), "%s", entity ? entity : "");
        instance_commits(world, node, &event);
        return;
    }
    line_put(&history->line, &event);
    digest_add(world, chain->bytes, sizeof(chain->bytes));
}

/* What we know of a node's file at a position. */
static const struct digest *known_at(const struct world *world, const struct node *node,
                                     int64_t position)
{
    const struct history *history = &world->logs[node->log];
    if (history->instances == 1)
        return history_at(history, position);
    return position <= node->line.count ? &node->line.at[position].chain : NULL;
}

/* From the one before on: it must be the one that we know. Returns the file's head. */
static int64_t read_log(struct world *world, struct node *node, int64_t from)
{
    int64_t position = 0;
    sqlite3_bind_int64(node->commits, 1, from);
    while (sqlite3_step(node->commits) == SQLITE_ROW) {
        position = sqlite3_column_int64(node->commits, 0);
        const void *bytes = sqlite3_column_blob(node->commits, 1);
        const struct digest *known = known_at(world, node, position);
        struct digest chain = { 0 };
        if (bytes && sqlite3_column_bytes(node->commits, 1) == sizeof(chain.bytes))
            memcpy(chain.bytes, bytes, sizeof(chain.bytes));
        if (!known)
            add(world, node, position, &chain);
        else if (!digest_equal(known, &chain))
            violated(world,
                     "I4: the log of %s differs at position %lld from what it has said before",
                     node->name, (long long)position);
    }
    sqlite3_reset(node->commits);
    return position;
}

static void look_at_cursors(struct world *world, struct node *node)
{
    sqlite3_stmt *cursor_of = node->cursor_of;
    sqlite3_bind_text(cursor_of, 1, node->sources[0].log, -1, SQLITE_STATIC);
    int64_t cursor = sqlite3_step(cursor_of) == SQLITE_ROW ? sqlite3_column_int64(cursor_of, 0) : 0;
    sqlite3_reset(cursor_of);
    if (cursor < node->cursor)
        violated(world, "I8: the cursor of %s goes back from %lld to %lld", node->name,
                 (long long)node->cursor, (long long)cursor);
    node->cursor = cursor;
}

static void open_handle(struct world *world, struct node *node)
{
    if (sqlite3_open_v2(node->path, &node->handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        must(NULL);
    node->commits =
        prepare(world, node,
                "SELECT position, chain, type, entity, cause FROM event_log WHERE position >= ?1"
                " ORDER BY 1");
    node->cursor_of = prepare(world, node, "SELECT position FROM cursors WHERE log = ?1");
    node->kept_config = prepare(world, node, "SELECT config FROM kept_streams");
    node->kept_places = prepare(world, node, "SELECT name, position FROM kept_durables");
}

static int64_t head_of(const struct node *node)
{
    return number_of(node->world, node, "SELECT coalesce(max(position), 0) FROM event_log");
}

void history_look(struct world *world, struct node *node)
{
    int64_t commits = atomic_load(&node->instance->status.commits);
    if (commits == node->seen_commits && !guard_removed)
        return;
    node->seen_commits = commits;
    int64_t head = read_log(world, node, node->promise > 0 ? node->promise : 1);
    if (head < node->promise && node->branch > 0) { /* it has set its branch aside */
        instance_sets_aside(world, node, head_of(node));
        head = read_log(world, node, node->promise > 0 ? node->promise : 1);
    }
    if (head < node->promise)
        violated(world, "I1: %s had committed position %lld, and now %lld is its last", node->name,
                 (long long)node->promise, (long long)head);
    node->promise = head;
    look_at_cursors(world, node);
    edits_look_at_file(world, node);
}

/* A commit that failed half way has happened or not, as a whole: now it is seen which (rule 4). */
void history_look_at_start(struct world *world, struct node *node)
{
    const struct history *history = &world->logs[node->log];
    open_handle(world, node);
    int64_t known = history->line.count;
    int64_t head = read_log(world, node, node->promise > 0 ? node->promise : 1);
    if (head < node->promise && node->branch > 0 && node->is_unsure) {
        instance_sets_aside(world, node, head_of(node));
        head = read_log(world, node, node->promise > 0 ? node->promise : 1);
    }
    if (history->line.count > known && !node->is_unsure)
        violated(world, "I4: %s starts at %lld, and nobody has seen it commit more than %lld",
                 node->name, (long long)history->line.count, (long long)known);
    if (node->promise > head)
        violated(world, "I1: %s had committed position %lld, and starts at %lld", node->name,
                 (long long)node->promise, (long long)head);
    node->promise = head;
    if (node->folds_anew)
        node->cursor = 0;
    node->is_unsure = node->folds_anew = 0;
    node->seen_commits = 0;
    look_at_cursors(world, node);
    edits_look_at_file(world, node);
}
