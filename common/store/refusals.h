/* Refusals that were answered under an idempotency key, so that the same key gets the same answer.
 * Refusals are not events: a database that was folded anew from its stream has forgotten them. A
 * refusal is kept as its number (base/refusal.h), for as long as --refusals-keep-hours says; then
 * its key is as good as new. */
#pragma once
#include "base/arena.h"
#include "store/db.h"

int refusals_create_table(struct db *db);
int refusals_create_index(struct db *db); /* by time */
int refusals_write(struct db *db, const char *key, const char *digest, int refusal,
                   const char *message, int64_t now_ms);
/* Is there one that is older? 1, 0, < 0. */
int refusals_has_older(struct db *db, int64_t before_ms);
/* Forgets those that are older, the oldest first, at most `max` of them. */
int refusals_forget(struct db *db, int64_t before_ms, int max, int64_t *ret_count);
/* 0, with message and digest in the arena; NOT_FOUND; or < 0. */
int refusals_find_by_key(struct db *db, const char *key, struct arena *arena,
                         const char **ret_digest, int *ret_refusal, const char **ret_message);
