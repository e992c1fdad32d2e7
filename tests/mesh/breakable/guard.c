/* Guards that can be left out: see base/guard.h. */
#include "base/guard.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const guards[] = {
    "ack_after_commit",
    "chain_check",
    "cursor_in_transaction",
    "expected_sequence",
    "fence",
    "gap_rule",
    "gate",
    "idempotency_key",
    "parking_behind",
    "react_once",
    "reply_after_commit",
    "sync_before_reply",
};

static const char *removed;

/* A name that nobody knows would be a test that cannot fail. */
static void __attribute__((constructor)) read_environment(void)
{
    removed = getenv("JOURNEY_WITHOUT_GUARD");
    for (size_t i = 0; removed && i < sizeof(guards) / sizeof(*guards); i++)
        if (strcmp(removed, guards[i]) == 0)
            return;
    if (removed) {
        fprintf(stderr, "there is no guard %s\n", removed);
        exit(78);
    }
}

_Bool guard_stands(const char *name)
{
    return !removed || strcmp(removed, name) != 0;
}
