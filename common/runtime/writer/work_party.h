/* Work party: whoever does the work of one list, as far as its answers tell. That it is away is
 * said once: when nobody has listened for AWAY_MS, in AWAY_CALLS calls that followed one another,
 * and not more often than each AWAY_LOG_MS. One call that finds nobody says nothing of it. */
#pragma once
#include "work.h"

#define AWAY_CALLS 3
#define AWAY_MS 1000
#define AWAY_LOG_MS 60000

struct work_party {
    int calls;         /* that found nobody, since the last answer */
    int64_t since_ms;  /* wall time of the first of them */
    int64_t logged_ms; /* of the newest line that says so; 0: none yet */
    _Bool is_away;
};

/* Takes an answer to a call of this type into account, and logs a change. */
void work_party_note(struct work_party *party, const struct work_type *type,
                     const struct answer *answer, int64_t now_ms);
