#include "samples.h"
#include "base/arena.h"
#include "runtime/core/context.h"
#include "runtime/core/runtime_events.h"
#include "runtime/sync/envelope.h"
#include "runtime/writer/fold.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 32
#define WHY_MAX 512

/* ---- One sample ------------------------------------------------------------------------------ */

static int wrong(char *ret_why, const char *log, int64_t position, const char *what,
                 const char *detail)
{
    snprintf(ret_why, WHY_MAX, "%s %" PRId64 ": %s%s%s", log, position, what, *detail ? ": " : "",
             detail);
    return 1;
}

static int view_of(json_t *sample, struct arena *arena, struct bus_view *ret_view)
{
    const char *subject, *data;
    json_t *pairs, *pair;
    size_t i;
    struct bus_header *headers = arena_alloc(arena, HEADERS_MAX * sizeof(*headers));
    if (json_unpack(sample, "{s:s, s:o, s:s !}", "subject", &subject, "headers", &pairs, "data",
                    &data) < 0 ||
        json_array_size(pairs) > HEADERS_MAX)
        return -1;
    *ret_view = (struct bus_view){ .headers = headers,
                                   .header_count = (int)json_array_size(pairs),
                                   .data_length = strlen(data) };
    ret_view->subject = arena_copy(arena, subject, strlen(subject));
    ret_view->data = arena_copy(arena, data, strlen(data));
    json_array_foreach(pairs, i, pair)
    {
        const char *key, *value;
        if (json_unpack(pair, "[s, s !]", &key, &value) < 0)
            return -1;
        headers[i].key = arena_copy(arena, key, strlen(key));
        headers[i].value = arena_copy(arena, value, strlen(value));
    }
    return 0;
}

int sample_read(const char *line, const struct source *leader, contract_finder *contract_of,
                struct arena *arena, struct log_head *head, struct event *ret_event, char *ret_why)
{
    struct event event;
    struct bus_view view;
    struct digest digest, chain;
    struct invalid invalid;
    const char *reason;
    void *value;
    const int64_t position = head->position + 1;
    json_t *sample = json_loads(line, 0, NULL);
    int r = sample ? view_of(sample, arena, &view) : -1;
    json_decref(sample);
    if (r < 0)
        return wrong(ret_why, leader->log, position, "the line is no sample", "");
    r = envelope_decode(&view, leader, arena, &event, &digest, &reason);
    cr_assert_geq(r, 0, "%s", failure_text());
    if (r != 0)
        return wrong(ret_why, leader->log, position, "the envelope is refused", reason);
    const struct schema *schema = contract_of(leader, event.type);
    if (schema &&
        schema_decode(schema, event.data, event.data_length, arena, &value, &invalid) != 0)
        return wrong(ret_why, leader->log, position, invalid.field, invalid.message);
    cr_assert_eq(event_chain(&head->chain, &digest, &chain), 0);
    if (event.position != position || !digest_equal(&chain, &event.chain))
        return wrong(ret_why, leader->log, position, "it does not follow the one before", "");
    *ret_event = event;
    *head = (struct log_head){ .position = position, .chain = chain };
    return 0;
}

/* ---- All samples of a service ---------------------------------------------------------------- */

static const struct service *of; /* the service whose samples are read */

/* NULL for the own log. */
static const struct source *source_of(const char *log)
{
    const struct source *source = of->sources;
    while (source && source->log && strcmp(source->log, log) != 0)
        source++;
    return strcmp(of->log, log) == 0 || !source || !source->log ? NULL : source;
}

static const struct schema *contract_of(const struct source *leader, const char *type)
{
    const struct source *source = source_of(leader->log);
    const struct event_type *found = event_type_of_name(source ? source->events : of->events, type);
    if (!found)
        found = event_type_of_name(runtime_events, type);
    return found ? found->schema : NULL;
}

/* Another service's event may be unknown here, and is then not folded; its own must be known. */
static int read_log(const char *folder, const struct source *leader, struct db *db)
{
    char path[1024], why[WHY_MAX], *line = NULL;
    size_t size = 0;
    struct log_head head = { 0 };
    snprintf(path, sizeof(path), "%s/%s.jsonl", folder, leader->log);
    FILE *file = fopen(path, "r");
    while (file && getline(&line, &size, file) > 0) {
        _deinit_(arena) struct arena arena = { 0 };
        struct event event;
        int r = sample_read(line, leader, contract_of, &arena, &head, &event, why);
        cr_assert_eq(r, 0, "%s: %s", path, why);
        cr_assert(contract_of(leader, event.type) || source_of(leader->log),
                  "%s: no contract knows the type %s of position %" PRId64, path, event.type,
                  event.position);
        r = fold_event(of, source_of(leader->log), db, &event);
        cr_assert_geq(r, 0, "%s: position %" PRId64 " is not folded: %s", path, event.position,
                      failure_text());
    }
    free(line);
    if (file)
        fclose(file);
    return (int)head.position;
}

static int read_version(const char *folder)
{
    struct db *db = NULL;
    const struct source own = { .log = of->log, .service = of->name, .prefix = of->prefix };
    cr_assert_eq(db_open(&(struct db_options){ .path = ":memory:" }, &db), 0, "%s", failure_text());
    cr_assert_eq(db_script(db, of->tables), 0, "%s", failure_text());
    int count = read_log(folder, &own, db);
    cr_assert_gt(count, 0, "%s has no samples of %s", folder, of->log);
    for (const struct source *source = of->sources; source && source->log; source++)
        count += read_log(folder, source, db);
    db_free(db);
    return count;
}

int samples_run(const struct service *service, const char *folder)
{
    int count = 0;
    of = service;
    DIR *versions = opendir(folder);
    for (struct dirent *entry; versions && (entry = readdir(versions)) != NULL;) {
        char path[512];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        count += read_version(path);
    }
    if (versions)
        closedir(versions);
    return count;
}
