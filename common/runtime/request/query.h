/* Query: one question answered from a read-only connection, in one read transaction, with the
 * positions that the answer reflects and how old it may be (`as_of`). */
#pragma once
#include "base/thread_owner.h"
#include "runtime/core/context.h"
#include "runtime/core/status.h"

struct reader { /* one reader thread's own */
    const struct service *service;
    const char *const *option_values;
    const struct status *status;
    struct db *db; /* read-only, owned; NULL: it could not be opened yet */
    struct id_source ids;
    struct thread_owner owner;
};

/* Sets the item's outcome and body. Never fails: what goes wrong becomes the refusal `internal`,
 * and a line in the log. */
void query_run(struct reader *reader, struct item *item, int64_t wall_ms);
