/* File watch: see file_watch.h. */
#include "runtime/writer/file_watch.h"
#include "base/log.h"
#include "base/result.h"
#include "store/generation.h"
#include <stdio.h>
#include <string.h>

#define LOOK_MS 1000

void file_watch_begin(struct file_watch *watch, const char *database_path)
{
    char wal[4112], shm[4112], lock[4112];
    const size_t length = strlen(database_path);
    const int stem = length > 3 && strcmp(database_path + length - 3, ".db") == 0 ? (int)length - 3
                                                                                  : (int)length;
    snprintf(wal, sizeof(wal), "%s-wal", database_path);
    snprintf(shm, sizeof(shm), "%s-shm", database_path);
    snprintf(lock, sizeof(lock), "%.*s.lock", stem, database_path);
    file_place_note(&watch->place, (const char *const[]){ database_path, wal, shm, lock, NULL });
    watch->next_ms = 0;
}

void file_watch_wrote(struct file_watch *watch)
{
    file_place_wrote(&watch->place);
}

/* Another process may checkpoint, though it should not (CONVENTIONS); another file may have been
 * copied over ours. */
static int look_at_writing(struct file_watch *watch, struct db *db)
{
    if (!file_place_was_written(&watch->place))
        return 0;
    int r = generation_check(db);
    if (r == -ERR_CONFIG)
        return fail(ERR_READONLY, "%s was overwritten with another database", db_path(db));
    log_warn("written_by_another", LOG_TEXT("database", db_path(db)),
             LOG_TEXT("reason", r < 0 ? failure_reason() : "another process has changed the file"));
    file_place_wrote(&watch->place);
    return 0;
}

int file_watch_look(struct file_watch *watch, struct db *db, int64_t now_ms)
{
    if (now_ms < watch->next_ms)
        return 0;
    watch->next_ms = now_ms + LOOK_MS;
    const char *changed = file_place_changed(&watch->place);
    return changed ? fail(ERR_READONLY, "%s", changed) : trace(look_at_writing(watch, db));
}
