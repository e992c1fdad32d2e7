/* Work party: see work_party.h. */
#include "runtime/writer/work_party.h"
#include "base/log.h"
#include <assert.h>

static const struct work_log_names default_names = {
    .away = "work_away",
    .back = "work_back",
    .invalid = "work_answer_invalid",
};

static const struct work_log_names *names_of(const struct work_type *type)
{
    return type->log_names ? type->log_names : &default_names;
}

static _Bool was_said_lately(const struct work_party *party, int64_t now_ms)
{
    return party->logged_ms > 0 && now_ms >= party->logged_ms &&
           now_ms - party->logged_ms < AWAY_LOG_MS;
}

static void note_nobody(struct work_party *party, const struct work_type *type, int64_t now_ms)
{
    if (party->calls == 0 || now_ms < party->since_ms)
        party->since_ms = now_ms;
    if (party->calls < AWAY_CALLS)
        party->calls++;
    if (party->is_away || party->calls < AWAY_CALLS || now_ms - party->since_ms < AWAY_MS ||
        was_said_lately(party, now_ms))
        return;
    party->is_away = 1;
    party->logged_ms = now_ms;
    log_warn(names_of(type)->away, LOG_TEXT("work", type->name));
}

static void note_somebody(struct work_party *party, const struct work_type *type)
{
    party->calls = 0;
    if (!party->is_away)
        return;
    party->is_away = 0;
    log_info(names_of(type)->back, LOG_TEXT("work", type->name));
}

void work_party_note(struct work_party *party, const struct work_type *type,
                     const struct answer *answer, int64_t now_ms)
{
    assert(answer->tag && party->calls <= AWAY_CALLS);
    if (answer->outcome == ANSWER_INVALID)
        log_warn(names_of(type)->invalid, LOG_TEXT("work", type->name),
                 LOG_TEXT("key", answer->tag), LOG_INT("number", answer->number));
    if (answer->outcome == ANSWER_UNREACHABLE)
        note_nobody(party, type, now_ms);
    else if (answer->outcome != ANSWER_TIMEOUT) /* which says nothing of the party */
        note_somebody(party, type);
}
