/* Work list: see work_list.h. */
#include "runtime/writer/work_list.h"
#include "base/smaller.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEHIND_SHARE \
    4                 /* one owner's pieces that wait for their turn fill a quarter of the memory */
#define GRACE_MS 5000 /* past the time-out, before an answer counts as lost inside */
#define RESCAN_MS 1000
#define PATIENCE_CALLS 3 /* given up, before a piece makes room for others */
#define LOOK_MIN_MS 10   /* a source does not begin anew more often, whatever it wants */

void work_list_check(const struct work_list *list)
{
    const struct work_queue *queue = &list->queue;
    assert(queue->open <= list->limits.open_max);                 /* V1 */
    assert(queue->in_flight.count <= list->limits.in_flight_max); /* V1 */
    assert(list->source_count >= 0 && list->source_count <= WORK_SOURCES_MAX);
    for (int i = 0; i < list->source_count; i++) {
        const struct work_source_state *state = &list->sources[i];
        assert(state->key_count >= 0 && state->key_count <= WORK_PREPARE_MAX); /* V2 */
        assert(state->keys || state->key_count == 0);                          /* V2 */
        assert(!state->source->mark_read || state->mark <= state->after);      /* V3 */
    }
    assert(list->late >= 0 && list->late <= list->answered); /* V4 */
}

/* ---- Beginning, ending ----------------------------------------------------------------------- */

static void source_rewind(struct work_source_state *state)
{
    state->after = state->mark;
    state->after_key[0] = '\0';
    state->has_more = 1;
    state->look_ms = INT64_MAX;
}

static int source_init(struct work_source_state *state, const struct work_source *source,
                       struct journey *j)
{
    *state = (struct work_source_state){ .source = source,
                                         .prepares_all = source->prepare != NULL };
    if (source->prepare) {
        state->keys = calloc(WORK_PREPARE_MAX, sizeof(*state->keys));
        if (!state->keys)
            return fail(ERR_MEMORY, "no memory for the keys of opened work");
    }
    int r = source->mark_read ? source->mark_read(j, &state->mark) : 0;
    source_rewind(state);
    return trace(r);
}

int work_list_init(struct work_list *list, const struct work_type *type, struct journey *j)
{
    *list = (struct work_list){ .type = type,
                                .rescan_ms = INT64_MAX,
                                .recounts_stuck = type->count_stuck != NULL };
    int r = work_limits_read(type, j, &list->limits);
    if (r == 0)
        r = work_queue_init(&list->queue, type->name, list->limits.open_max,
                            list->limits.in_flight_max, list->limits.in_flight_each_max);
    const struct work_source *source = type->sources;
    for (; r == 0 && source && source->find; source++)
        r = list->source_count < WORK_SOURCES_MAX
                ? source_init(&list->sources[list->source_count++], source, j)
                : fail(ERR_INTERNAL, "%s has too many sources", type->name);
    if (r == 0)
        work_list_check(list);
    return trace(r);
}

void work_list_deinit(struct work_list *list)
{
    for (int i = 0; i < list->source_count; i++)
        free(list->sources[i].keys);
    list->source_count = 0;
    work_queue_deinit(&list->queue);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* A party that is slower than the time-out is asked again under the same key: each time it is given
 * twice as long. */
static int timeout_ms_of(const struct work_list *list, const struct piece *piece)
{
    int64_t timeout_ms = list->limits.timeout_ms;
    for (int i = 0; i < piece->timeouts && timeout_ms < list->limits.timeout_max_ms; i++)
        timeout_ms *= 2;
    return (int)smaller(timeout_ms, list->limits.timeout_max_ms);
}

static struct work work_of(const struct work_list *list, const struct piece *piece, const void *row)
{
    return (struct work){
        .type = list->type,
        .key = piece->key,
        .number = piece->number,
        .tries = piece->tries,
        .refusals = piece->refusals,
        .timeout_ms = timeout_ms_of(list, piece),
        .may_have_left = piece->asks > 0 || piece->found_place <= list->old_place,
        .until_ms = piece->until_ms,
        .row = row,
    };
}

static _Bool has_more(const struct work_list *list)
{
    for (int i = 0; i < list->source_count; i++)
        if (list->sources[i].has_more)
            return 1;
    return 0;
}

/* What the tables still have is found again, and may have been asked for until then. */
static void evict(struct work_list *list, struct piece *piece)
{
    assert(piece->is_in_tables);
    if (piece->asks > 0)
        list->old_place = larger(list->old_place, piece->found_place);
    list->has_evicted = 1;
    work_queue_remove(&list->queue, piece);
}

/* Its owner has as many in flight as it may. Not all of them need to be remembered. */
static void hold(struct work_list *list, struct piece *piece)
{
    if (piece->is_in_tables &&
        work_queue_owner_behind(&list->queue, piece) > list->queue.open_max / BEHIND_SHARE)
        evict(list, piece);
    else
        work_queue_hold(&list->queue, piece);
}

/* Those that nobody answers, while others wait for room. */
static _Bool makes_room(const struct work_list *list, const struct piece *piece, int64_t rest_ms)
{
    return piece->is_in_tables && !list->type->in_order &&
           list->queue.open == list->queue.open_max &&
           (rest_ms >= list->limits.backoff_max_ms / 2 || piece->timeouts >= PATIENCE_CALLS) &&
           has_more(list);
}

/* Back-off; or eviction, see work_list.h. */
static void rest(struct work_list *list, struct piece *piece, int64_t now_ms)
{
    int64_t rest_ms = piece_backoff_ms(piece, list->limits.backoff_min_ms,
                                       list->limits.backoff_max_ms);
    if (makes_room(list, piece, rest_ms)) {
        evict(list, piece);
        return;
    }
    work_queue_rest(&list->queue, piece, now_ms + rest_ms);
}

/* The piece is due. */
static int ask(struct work_list *list, struct journey *j, struct piece *piece, const void *row)
{
    const struct work work = work_of(list, piece, row);
    struct outbound_call **before = j->last_call;
    assert(!j->asking);
    if (!work_queue_owner_may_send(&list->queue, piece)) {
        hold(list, piece);
        return 0;
    }
    j->asking = &work;
    int r = list->type->ask(j, &work);
    j->asking = NULL;
    switch (r) {
    case 0:
        if (j->last_call == before)
            return fail(ERR_INTERNAL, "%s was asked for without a call", list->type->name);
        list->asked++;
        list->again += piece->asks > 0;
        work_queue_send(&list->queue, piece, j->now_ms + work.timeout_ms + GRACE_MS);
        return 0;
    case WORK_AGAIN: rest(list, piece, j->now_ms); return 0;
    case WORK_GONE:  work_queue_remove(&list->queue, piece); return 0;
    default:
        return r < 0 ? trace(r) : fail(ERR_INTERNAL, "ask() of %s says %d", list->type->name, r);
    }
}

static int expire(struct work_list *list, struct journey *j, const struct work *work)
{
    assert(work->until_ms <= j->now_ms);
    list->expired++;
    return list->type->expired ? trace(list->type->expired(j, work)) : 0;
}

/* ---- Finding: from the tables into the memory ------------------------------------------------ */

/* How many pieces a page may bring. Those that nobody is asked for need no place in flight. */
static int room(const struct work_list *list)
{
    const struct work_queue *queue = &list->queue;
    int room = queue->open_max - queue->open;
    if (list->type->ask && room > queue->in_flight_max - queue->in_flight.count)
        room = queue->in_flight_max - queue->in_flight.count;
    return room < WORK_PAGE_MAX ? room : WORK_PAGE_MAX;
}

static int take_up(struct work_list *list, struct journey *j, const struct work_found *found)
{
    int64_t until_ms = found->until_ms ? found->until_ms : INT64_MAX;
    if (!found->key || strlen(found->key) >= WORK_KEY_SIZE)
        return fail(ERR_INTERNAL, "%s: a key that is too long", list->type->name);
    if (found->owner && strlen(found->owner) >= WORK_KEY_SIZE)
        return fail(ERR_INTERNAL, "%s: an owner that is too long", list->type->name);
    if (work_queue_find(&list->queue, found->key, found->number))
        return 0;
    if (until_ms <= j->now_ms) {
        struct work work = { .type = list->type,
                             .key = found->key,
                             .number = found->number,
                             .until_ms = until_ms,
                             .row = found->row };
        return trace(expire(list, j, &work));
    }
    struct piece *piece = work_queue_add(&list->queue, found->key, found->number, j->now_ms,
                                         until_ms);
    piece->is_in_tables = 1;
    piece->found_place = found->place;
    work_queue_own(&list->queue, piece, found->owner);
    if (list->type->ask)
        return trace(ask(list, j, piece, found->row));
    work_queue_rest(&list->queue, piece, until_ms);
    return 0;
}

static int prepare(struct work_source_state *state, struct journey *j)
{
    int r = 0;
    assert(state->source->prepare || (!state->prepares_all && state->key_count == 0));
    if (!state->prepares_all && state->key_count == 0)
        return 0;
    if (state->prepares_all)
        r = state->source->prepare(j, NULL);
    for (int i = 0; i < state->key_count && r == 0 && !state->prepares_all; i++)
        r = state->source->prepare(j, state->keys[i]);
    state->prepares_all = 0;
    state->key_count = 0;
    source_rewind(state);
    return trace(r);
}

static int find(struct work_list *list, struct work_source_state *state, struct journey *j)
{
    if (state->look_ms <= j->now_ms)
        source_rewind(state);
    const int wanted = room(list);
    if (!state->has_more || wanted <= 0)
        return 0;
    struct work_found pieces[WORK_PAGE_MAX + 1];
    struct work_page page = { .after = state->after,
                              .after_key = state->after_key,
                              .max = wanted + 1, /* whether there is one more */
                              .found = pieces,
                              .look_ms = INT64_MAX };
    int r = state->source->find(j, &page);
    if (r == 0 && page.count > page.max)
        r = fail(ERR_INTERNAL, "find() of %s has filled more than the page", list->type->name);
    const int count = page.count < wanted ? page.count : wanted;
    for (int i = 0; i < count && r == 0; i++)
        r = take_up(list, j, &pieces[i]);
    if (r < 0)
        return trace(r);
    state->look_ms = larger(page.look_ms, j->now_ms + LOOK_MIN_MS);
    state->has_more = page.count > wanted;
    if (count > 0) {
        state->after = pieces[count - 1].place;
        const char *key = pieces[count - 1].key; /* take_up() has measured it */
        memcpy(state->after_key, key, strlen(key) + 1);
    }
    return 0;
}

static int find_all(struct work_list *list, struct journey *j)
{
    int r = 0;
    for (int i = 0; i < list->source_count && r == 0; i++)
        r = prepare(&list->sources[i], j);
    if (list->rescan_ms <= j->now_ms) {
        list->rescan_ms = INT64_MAX;
        for (int i = 0; i < list->source_count; i++)
            source_rewind(&list->sources[i]);
    }
    for (int i = 0; i < list->source_count && r == 0; i++)
        r = find(list, &list->sources[i], j);
    if (r == 0 && list->has_evicted && !has_more(list)) {
        list->has_evicted = 0;
        list->rescan_ms = j->now_ms + RESCAN_MS;
    }
    return trace(r);
}

/* ---- What is due ----------------------------------------------------------------------------- */

static int look_at(struct work_list *list, struct journey *j, struct piece *piece)
{
    if (piece->until_ms <= j->now_ms) {
        const struct work work = work_of(list, piece, NULL);
        int r = expire(list, j, &work);
        if (r == 0)
            work_queue_remove(&list->queue, piece);
        return trace(r);
    }
    if (piece->state == PIECE_IN_FLIGHT) { /* its answer got lost inside */
        piece->timeouts++;
        rest(list, piece, j->now_ms);
        return 0;
    }
    if (piece->state == PIECE_RESTING)
        work_queue_wake(&list->queue, piece);
    return trace(ask(list, j, piece, NULL));
}

static int look_at_all_due(struct work_list *list, struct journey *j)
{
    int r = 0;
    for (int i = 0; i < WORK_PAGE_MAX && r == 0; i++) {
        struct piece *piece = work_queue_first_in_flight(&list->queue, j->now_ms);
        if (!piece && work_queue_may_send(&list->queue))
            piece = work_queue_first_waiting(&list->queue, j->now_ms);
        if (!piece)
            return 0;
        r = look_at(list, j, piece);
    }
    return trace(r);
}

/* A mark moves when nothing is open before it: a restart asks for a few once more, never for
 * fewer. */
static int move_marks(struct work_list *list, struct journey *j)
{
    if (list->queue.open > 0 || list->has_evicted || list->rescan_ms != INT64_MAX)
        return 0;
    int r = 0;
    for (int i = 0; i < list->source_count && r == 0; i++) {
        struct work_source_state *state = &list->sources[i];
        if (!state->source->mark_write || state->has_more || state->after == state->mark)
            continue;
        state->mark = state->after;
        r = state->source->mark_write(j, state->mark);
    }
    return trace(r);
}

static int count_stuck(struct work_list *list, struct journey *j)
{
    if (!list->recounts_stuck)
        return 0;
    int r = list->type->count_stuck(j, &list->stuck);
    list->recounts_stuck = r < 0;
    return trace(r);
}

int work_list_step(struct work_list *list, struct journey *j)
{
    int r = find_all(list, j);
    if (r == 0)
        r = look_at_all_due(list, j);
    if (r == 0)
        r = move_marks(list, j);
    if (r == 0)
        r = count_stuck(list, j);
    work_list_check(list);
    return trace(r);
}

/* What waits for room is told by an answer. */
int64_t work_list_due_ms(const struct work_list *list, int64_t now_ms)
{
    if (has_more(list) && room(list) > 0)
        return now_ms;
    int64_t due_ms = smaller(list->rescan_ms, work_queue_due_ms(&list->queue));
    for (int i = 0; i < list->source_count; i++)
        due_ms = smaller(due_ms, list->sources[i].look_ms);
    return due_ms;
}

/* ---- What happens ---------------------------------------------------------------------------- */

void work_list_observe(struct work_list *list, const struct event *event)
{
    if (list->type->changes_stuck && list->type->changes_stuck(event))
        list->recounts_stuck = 1;
    for (int i = 0; i < list->source_count; i++) {
        struct work_source_state *state = &list->sources[i];
        const char *key = state->source->opened_by ? state->source->opened_by(event) : NULL;
        if (!key)
            continue;
        if (!*key || !state->keys)
            state->has_more = 1;
        else if (state->key_count < WORK_PREPARE_MAX)
            snprintf(state->keys[state->key_count++], WORK_KEY_SIZE, "%s", key);
        else
            state->prepares_all = 1;
    }
}

/* What an answer of the party means, by its type: 0; WORK_AGAIN; < 0. */
static int judge(struct work_list *list, struct journey *j, const struct work *work,
                 const struct answer *answer)
{
    const struct work_type *type = list->type;
    int r = 0;
    if (answer->outcome == ANSWER_RECEIVED)
        r = type->answered ? type->answered(j, work, answer->body) : 0;
    else
        r = type->unreadable ? type->unreadable(j, work) : WORK_AGAIN;
    if (r > 0 && r != WORK_AGAIN)
        r = fail(ERR_INTERNAL, "answered() of %s says %d", type->name, r);
    return trace(r);
}

int work_list_answer(struct work_list *list, struct journey *j, const struct answer *answer)
{
    assert(answer->tag);
    struct piece *piece = work_queue_find(&list->queue, answer->tag, answer->number);
    _Bool is_in_flight = piece && piece->state == PIECE_IN_FLIGHT;
    work_party_note(&list->party, list->type, answer, j->now_ms);
    if (answer->outcome == ANSWER_TIMEOUT || answer->outcome == ANSWER_UNREACHABLE) {
        if (is_in_flight) {
            piece->timeouts += answer->outcome == ANSWER_TIMEOUT;
            rest(list, piece, j->now_ms);
        }
        return 0;
    }
    list->answered++;
    list->late += answer->is_late || !is_in_flight;
    struct work work = {
        .type = list->type, .key = answer->tag, .number = answer->number, .may_have_left = 1
    };
    if (piece)
        work = work_of(list, piece, NULL);
    int r = judge(list, j, &work, answer);
    if (r < 0)
        return trace(r);
    if (r == 0 && piece) {
        work_queue_remove(&list->queue, piece);
    } else if (r == WORK_AGAIN) {
        list->refused++;
        if (piece)
            piece->refusals++;
        if (is_in_flight && !answer->is_late)
            rest(list, piece, j->now_ms);
    }
    return 0;
}

int work_list_add(struct work_list *list, const char *key, int64_t number, int64_t now_ms)
{
    if (strlen(key) >= WORK_KEY_SIZE)
        return fail(ERR_INTERNAL, "%s: a key that is too long", list->type->name);
    if (work_queue_find(&list->queue, key, number))
        return WORK_KNOWN;
    return work_queue_add(&list->queue, key, number, now_ms, INT64_MAX) ? 0 : WORK_FULL;
}

void work_list_counts(const struct work_list *list, struct work_counts *ret_counts)
{
    *ret_counts = (struct work_counts){
        .name = list->type->name,
        .open = list->queue.open,
        .in_flight = list->queue.in_flight.count,
        .asked = list->asked,
        .again = list->again,
        .answered = list->answered,
        .late = list->late,
        .refused = list->refused,
        .expired = list->expired,
        .oldest_ms = work_queue_oldest_ms(&list->queue),
        .stuck = list->stuck,
        .is_away = list->party.is_away,
    };
}
