/* Relay's look: see relay_look.h. */
#include "runtime/sync/relay_look.h"
#include <assert.h>
#include <string.h>

void look_begin(struct look_judge *judge, struct relay_tail *tail)
{
    *judge = (struct look_judge){ .tail = tail };
}

_Bool look_has_event(const struct look_judge *judge)
{
    return judge->tail->has_last || judge->pending.count > 0;
}

_Bool look_has_strangers(const struct look_judge *judge)
{
    return judge->pending.strangers > 0 && !judge->has_known;
}

static void count_voids(struct look_judge *judge, int64_t count)
{
    judge->tail->voids += count;
    if (!judge->tail->has_last)
        judge->tail->voids_behind += count;
}

/* Nobody who has led wrote it: since terms began, each event says its own. */
static void count_foreign(struct look_judge *judge, int64_t count)
{
    judge->tail->foreign += count;
    if (!judge->tail->has_last)
        judge->tail->foreign_behind += count;
}

static void note_newest(struct relay_tail *tail, int64_t position, int64_t sequence)
{
    if (tail->has_last)
        return;
    tail->has_last = 1;
    tail->position = position;
    tail->message_sequence = sequence;
}

/* Events that our log does not have, and that are not void: the stream has them. */
static void let_stand(struct look_judge *judge)
{
    struct relay_tail *tail = judge->tail;
    const struct look_pending *pending = &judge->pending;
    tail->has_gap |= pending->has_gap || judge->later_position > pending->newest_position + 1;
    judge->later_position = pending->oldest_position;
    note_newest(tail, pending->newest_position, pending->newest_sequence);
    if (pending->fit > tail->fit)
        tail->fit = pending->fit;
    tail->leaves_at = pending->oldest_position;
    tail->fence_term = pending->begins_at == pending->oldest_position ? pending->begins : 0;
    memcpy(tail->fence_instance, pending->instance, sizeof(tail->fence_instance));
}

/* An event of this term stands before what is pending; -1: none is known. */
static void resolve(struct look_judge *judge, int64_t term)
{
    struct look_pending *pending = &judge->pending;
    if (pending->strangers > 0 && pending->strangers_term < term) {
        count_voids(judge, pending->strangers);
    } else {
        judge->tail->foreign += pending->strangers;
        judge->tail->foreign_behind += look_has_event(judge) ? 0 : pending->strangers;
    }
    if (pending->count > 0 && pending->term > 0 && pending->term < term)
        count_voids(judge, pending->count);
    else if (pending->count > 0)
        let_stand(judge);
    *pending = (struct look_pending){ 0 };
}

static void begin_pending(struct look_pending *pending, int64_t sequence,
                          const struct look_message *message)
{
    pending->count = 0;
    pending->newest_position = message->place;
    pending->newest_sequence = sequence;
    pending->has_gap = 0;
    pending->fit = TAIL_EQUAL;
    pending->begins_at = 0;
    pending->has_begun = 0;
    pending->term = message->term;
}

static void add_pending(struct look_judge *judge, int64_t sequence,
                        const struct look_message *message)
{
    struct look_pending *pending = &judge->pending;
    if (pending->count > 0 && message->term > 0 && message->term < pending->term &&
        !pending->has_begun) {
        judge->tail->voids++; /* before the event that made it void */
        return;
    }
    if (pending->count > 0 && message->term > pending->term) {
        if (pending->term > 0)
            count_voids(judge, pending->count);
        else
            count_foreign(judge, pending->count);
        pending->count = 0;
    }
    if (pending->count == 0)
        begin_pending(pending, sequence, message);
    else
        pending->has_gap |= pending->oldest_position > message->place + 1;
    if (message->term != pending->term)
        pending->has_begun = 0;
    pending->count++;
    pending->term = message->term;
    pending->oldest_position = message->place;
    if (message->fit > pending->fit)
        pending->fit = message->fit;
    if (message->begins > 0) {
        pending->has_begun = 1;
        pending->begins_at = message->place;
        pending->begins = message->begins;
        memcpy(pending->instance, message->instance, sizeof(pending->instance));
    }
}

static void add_known(struct look_judge *judge, int64_t sequence,
                      const struct look_message *message)
{
    struct relay_tail *tail = judge->tail;
    resolve(judge, message->term);
    judge->has_known = 1;
    note_newest(tail, message->place, sequence);
    tail->has_gap |= judge->later_position > message->place + 1;
    judge->later_position = message->place;
}

/* Where our log goes on otherwise, what the stream has up to our head cannot follow it, and is a
 * stranger; the TermBegan of what is pending may be among it. */
static void add_stranger(struct look_pending *pending, const struct look_message *message)
{
    pending->strangers++;
    if (message->term > pending->strangers_term)
        pending->strangers_term = message->term;
    if (message->begins > 0 && message->begins == pending->term && pending->count > 0)
        pending->has_begun = 1;
}

void look_judge(struct look_judge *judge, int64_t sequence, const struct look_message *message)
{
    struct relay_tail *tail = judge->tail;
    assert(message->place != 0 && message->place != PLACE_NO_STORE);
    if (message->place == PLACE_HOLE) {
        tail->has_gap |= !tail->expires && !tail->marked;
    } else if (message->place == PLACE_FOREIGN && message->is_event && message->term > 0) {
        add_stranger(&judge->pending, message);
    } else if (message->place == PLACE_FOREIGN) {
        tail->foreign++;
        tail->foreign_behind += !look_has_event(judge);
    } else if (message->place > 0 && message->fit == TAIL_EQUAL) {
        add_known(judge, sequence, message);
    } else if (message->place > 0) {
        add_pending(judge, sequence, message);
    }
}

void look_end(struct look_judge *judge)
{
    resolve(judge, -1);
}
