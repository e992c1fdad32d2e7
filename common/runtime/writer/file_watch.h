/* File watch: does the database that is open still stand where its path says? The writer looks once
 * a second: a database that was removed, moved or replaced would go on taking writes that nobody
 * finds again, and one that was overwritten in its place would be a mixture of two. */
#pragma once
#include "store/db.h"
#include "store/file_place.h"

struct file_watch {
    struct file_place place;
    int64_t next_ms; /* monotonic */
};

/* Of the database, its -wal and -shm, and the lock file beside it, as they are now. */
void file_watch_begin(struct file_watch *watch, const char *database_path);

/* We have moved the WAL into the file. */
void file_watch_wrote(struct file_watch *watch);

/* 0: all is in its place, or it was looked at within the last second. ERR_READONLY: a file is not,
 * and failure_reason() says which; or what is in the file is not ours. */
int file_watch_look(struct file_watch *watch, struct db *db, int64_t now_ms);
