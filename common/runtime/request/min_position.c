/* Min position: see min_position.h. */
#include "runtime/request/min_position.h"
#include "base/clock.h"
#include <assert.h>
#include <stdio.h>

/* 0, or a refusal at once: the position cannot come while the query waits. */
static int check_ahead(const struct status *status, int i, const char *log, int64_t demanded,
                       struct invalid *ret_invalid)
{
    int64_t position = atomic_load(i == 0 ? &status->position : &status->sources[i - 1].position);
    if (demanded - position <= MIN_POSITION_AHEAD_MAX)
        return 0;
    snprintf(ret_invalid->field, sizeof(ret_invalid->field), "min_position.%s", log);
    snprintf(ret_invalid->message, sizeof(ret_invalid->message),
             "is %lld events ahead, and at most %d can come while a query waits; try again later",
             (long long)(demanded - position), MIN_POSITION_AHEAD_MAX);
    return REFUSED_REPLAYING;
}

int min_position_take(struct item *item, const struct endpoints_options *options,
                      const struct schema *request, struct invalid *ret_invalid)
{
    const struct service *service = options->service;
    const struct schema_field *field = schema_find_field(request, "min_position");
    const char *demanded = field
                               ? *(const char *const *)((const char *)item->request + field->offset)
                               : NULL;
    if (!demanded)
        return 0;
    int64_t *positions = arena_alloc(&item->arena, (1 + SOURCES_MAX) * sizeof(*positions));
    if (!positions)
        return fail(ERR_MEMORY, "no memory for a request");
    for (int i = 0; i == 0 || (service->sources && service->sources[i - 1].log); i++) {
        assert(i <= SOURCES_MAX);
        const char *name = i == 0 ? service->log : service->sources[i - 1].log;
        const struct schema_field *log = schema_find_field(field->schema, name);
        if (log && *(const _Bool *)(demanded + log->extra_offset))
            positions[i] = *(const int64_t *)(demanded + log->offset);
        int r = check_ahead(options->status, i, name, positions[i], ret_invalid);
        if (r != 0)
            return r;
    }
    item->min_positions = positions;
    item->give_up_ms = clock_monotonic_ms() + MIN_POSITION_WAIT_MS;
    return 0;
}
