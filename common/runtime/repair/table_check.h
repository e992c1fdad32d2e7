/* Table check: are the tables what the logs say? The file check (file_check.h) has it done once a
 * day, because SQLite keeps no checksum of a page: a flipped bit in a column without an index, or a
 * row that somebody has changed by hand, is found by this alone. It folds the logs into a scratch
 * file as a rebuild does (rebuild.h), resting nineteen twentieths of the time, and compares in one
 * snapshot. It changes nothing: what differs is named (`tables_differ`), and `<prefix>.rebuild`
 * puts it right. The scratch file may be as large as the database; without twice that room on its
 * disk nothing is compared, which is named, too. */
#pragma once
#include "journey.h"
#include "runtime/core/config.h"
#include "runtime/core/status.h"

struct table_check { /* all borrowed */
    const struct service *service;
    const struct config *config; /* of the server: others' events come from their leaders */
    const char *database_path;
    struct status *status;
    _Bool (*rest)(void *context); /* as in struct rebuild */
    void *context;
};

/* Its result is in the status and in the log. 0; -ERR_CORRUPT: the file is damaged; < 0: nothing is
 * known, tried again later. On the file check's thread. */
int table_check_run(const struct table_check *check);
