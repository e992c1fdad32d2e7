/* Orphan file: the events of a fenced log that the stream never had, kept by name beside the
 * database (writer/set_aside.h): orphans-<term>-<first>-<last>.jsonl, mode 600, each event as a
 * line of `.events`. No file is ever written over: where others have that name, a number follows
 * it, orphans-1-125-130-2.jsonl. A file of its own, so that the simulation can have another place
 * for it. */
#pragma once
#include "store/event_log.h"

struct orphan_file {
    const char *database_path; /* borrowed: whose folder; */
    int64_t term;              /* of the newest of them; */
    int64_t first, last;       /* positions */
    char path[600];            /* set by orphan_file_write */
};

/* All that the reader has. It is synced, and its name in the folder too, when this returns 0; the
 * same events once more, after a commit that failed, get no second file. The writer's thread. 0 or
 * < 0. */
int orphan_file_write(struct orphan_file *orphans, struct event_reader *reader);
