/* Work process: all work lists of a service behind the interface of a process (journey.h), which
 * the loop runs. Its memory goes with a rollback and with a clock that is set back; start() finds
 * everything in the tables again. */
#include "runtime/writer/work_list.h"
#include <stdlib.h>
#include <string.h>

static void works_free(void *state)
{
    struct works *works = state;
    if (!works)
        return;
    for (int i = 0; i < works->count; i++)
        work_list_deinit(&works->lists[i]);
    free(works);
}

static int works_start(struct journey *j, void **ret_state)
{
    struct works *works = calloc(1, sizeof(*works));
    if (!works)
        return fail(ERR_MEMORY, "no memory for work lists");
    int r = 0;
    const struct work_type *const *types = j->service->work;
    struct log_head head = { 0 };
    if (types && *types)
        r = event_log_head(j->db, &head);
    for (; types && *types && r == 0; types++) {
        r = works->count < WORK_TYPES_MAX
                ? work_list_init(&works->lists[works->count++], *types, j)
                : fail(ERR_INTERNAL, "%s has too many types of work", j->service->name);
        if (r == 0)
            works->lists[works->count - 1].old_place = head.position;
    }
    if (r < 0)
        works_free(works);
    else
        *ret_state = works;
    return trace(r);
}

static int works_observe(void *state, struct journey *j, const struct event *event)
{
    struct works *works = state;
    (void)j;
    for (int i = 0; i < works->count; i++)
        work_list_observe(&works->lists[i], event);
    return 0;
}

static int works_step(void *state, struct journey *j, int64_t *ret_due_ms)
{
    struct works *works = j->works = state;
    int64_t due_ms = INT64_MAX;
    int r = 0;
    for (int i = 0; i < works->count && r == 0; i++)
        r = work_list_step(&works->lists[i], j);
    for (int i = 0; i < works->count && r == 0; i++) {
        int64_t list_due_ms = work_list_due_ms(&works->lists[i], journey_now_ms(j));
        due_ms = list_due_ms < due_ms ? list_due_ms : due_ms;
    }
    *ret_due_ms = due_ms;
    return trace(r);
}

static int works_answered(void *state, struct journey *j, const struct answer *answer)
{
    struct works *works = j->works = state;
    for (int i = 0; answer->work && i < works->count; i++)
        if (strcmp(works->lists[i].type->name, answer->work) == 0)
            return trace(work_list_answer(&works->lists[i], j, answer));
    return fail(ERR_INTERNAL, "an answer to no type of work: %s", answer->work ? answer->work : "");
}

/* Single numbers that readers look at: no order between them is needed. */
static void put(atomic_llong *to, int64_t value)
{
    atomic_store_explicit(to, value, memory_order_relaxed);
}

void works_report(const struct works *works, struct status *status)
{
    static const struct work_counts none = { .oldest_ms = INT64_MAX };
    for (int i = 0; i < WORK_TYPES_MAX; i++) {
        struct work_status *to = &status->work[i];
        struct work_counts counts = none;
        if (works && i < works->count)
            work_list_counts(&works->lists[i], &counts);
        else if (works)
            return;
        put(&to->open, counts.open);
        put(&to->in_flight, counts.in_flight);
        put(&to->asked, counts.asked);
        put(&to->again, counts.again);
        put(&to->answered, counts.answered);
        put(&to->late, counts.late);
        put(&to->refused, counts.refused);
        put(&to->expired, counts.expired);
        put(&to->oldest_ms, counts.oldest_ms == INT64_MAX ? 0 : counts.oldest_ms);
        put(&to->stuck, counts.stuck);
        put(&to->away, counts.is_away);
    }
}

int work_add(struct journey *j, const struct work_type *type, const char *key, int64_t number)
{
    for (int i = 0; j->works && i < j->works->count; i++)
        if (j->works->lists[i].type == type)
            return trace(work_list_add(&j->works->lists[i], key, number, j->now_ms));
    return fail(ERR_INTERNAL, "%s has no list here", type->name);
}

const struct process work_process = {
    .start = works_start,
    .free = works_free,
    .observe = works_observe,
    .step = works_step,
    .answered = works_answered,
};
