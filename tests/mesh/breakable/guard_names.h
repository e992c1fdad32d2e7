/* The guards of the runtime (base/guard.h), each of which can be left out. */
#pragma once
#include <stddef.h>
#include <string.h>

static const char *const guard_names[] = {
    "ack_after_commit",
    "cause_by_id",
    "chain_check",
    "cursor_in_transaction",
    "expected_sequence",
    "fence",
    "gap_rule",
    "gate",
    "group_of_term",
    "idempotency_key",
    "kept_settings",
    "parking_behind",
    "react_once",
    "reply_after_commit",
    "sync_before_reply",
    "term",
    NULL,
};

static inline _Bool is_guard(const char *name)
{
    int i = 0;
    while (guard_names[i] && strcmp(guard_names[i], name) != 0)
        i++;
    return guard_names[i] != NULL;
}
