/* Orphans: see orphans.h. */
#include "runtime/repair/orphans.h"
#include "base/log.h"
#include "runtime/request/reply.h"
#include "schemas/nats/orphan_line.h"
#include "schemas/runtime.orphans.h"
#include "schemas/runtime.orphans.reply.h"
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX 100         /* the first of them, by name */
#define PAGE_MAX 50           /* events, unless a limit is given */
#define PAGE_BYTES_MAX 200000 /* about so much of text */

struct page {
    struct arena *arena;
    const char *folder;
    const struct runtime_orphans *request;
    struct runtime_orphans_reply_files_item *files;
    struct runtime_orphans_reply_events_item *events;
    size_t file_count, event_count, event_max, bytes;
    _Bool more;
};

/* ---- Files ---------------------------------------------------------------------------------- */

/* "orphans-1-125-130.jsonl", or "orphans-1-125-130-2.jsonl". False: another file. */
static _Bool read_name(const char *name, struct runtime_orphans_reply_files_item *ret_file)
{
    static const char begin[] = "orphans-", end[] = ".jsonl";
    int64_t numbers[4] = { 0 };
    char *at = NULL;
    if (strncmp(name, begin, strlen(begin)) != 0)
        return 0;
    name += strlen(begin);
    int count = 0;
    do {
        numbers[count++] = strtoll(name, &at, 10);
        if (at == name)
            return 0;
        name = at + 1;
    } while (*at == '-' && count < 4);
    if (count < 3 || strcmp(at, end) != 0)
        return 0;
    ret_file->term = numbers[0];
    ret_file->first = numbers[1];
    ret_file->last = numbers[2];
    ret_file->count = numbers[2] - numbers[1] + 1;
    return 1;
}

static int is_orphans(const struct dirent *entry)
{
    struct runtime_orphans_reply_files_item file;
    return read_name(entry->d_name, &file);
}

#define PATH_SIZE 1024
static void path_of(const struct page *page, const char *file, char ret_path[PATH_SIZE])
{
    snprintf(ret_path, PATH_SIZE, "%.700s/%.255s", page->folder, file);
}

static int add_file(struct page *page, const char *name)
{
    char path[PATH_SIZE];
    struct stat state;
    struct runtime_orphans_reply_files_item *file = &page->files[page->file_count];
    path_of(page, name, path);
    if (stat(path, &state) != 0)
        return 0;
    *file = (struct runtime_orphans_reply_files_item){
        .file = arena_copy(page->arena, name, strlen(name)), .bytes = state.st_size
    };
    if (!file->file)
        return fail(ERR_MEMORY, "no memory for the list of orphans");
    if (!read_name(name, file))
        return 0;
    page->file_count++;
    return 0;
}

static int list_files(struct page *page)
{
    struct dirent **entries = NULL;
    int r = 0, count = scandir(page->folder, &entries, is_orphans, versionsort);
    if (count < 0)
        return fail(ERR_IO, "the data folder cannot be read: %s", errno_text(errno));
    page->files = arena_alloc(page->arena, FILES_MAX * sizeof(*page->files));
    if (!page->files)
        r = fail(ERR_MEMORY, "no memory for the list of orphans");
    for (int i = 0; i < count; i++) {
        if (r == 0 && page->file_count < FILES_MAX)
            r = add_file(page, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return trace(r);
}

/* ---- Events --------------------------------------------------------------------------------- */

static int add_event(struct page *page, const char *file, const char *line, size_t length)
{
    struct invalid invalid;
    void *decoded = NULL;
    int r = schema_decode(&orphan_line_schema, line, length, page->arena, &decoded, &invalid);
    if (r != 0)
        return r < 0 ? trace(r)
                     : fail(ERR_CORRUPT, "%s has a line that cannot be read: %s", file,
                            invalid.message);
    const struct orphan_line *event = decoded;
    page->events[page->event_count++] = (struct runtime_orphans_reply_events_item){
        .file = file,
        .position = event->position,
        .type = event->type,
        .entity = event->entity,
        .id = event->id,
        .time_ms = event->time_ms,
        .cause = event->cause,
        .data = page->request->has_with_data && page->request->with_data ? event->data : NULL,
    };
    page->bytes += 300 + (page->events[page->event_count - 1].data ? length : 0);
    return 0;
}

/* A line is long, too long for a page together with others, or not all there. */
static int read_file(struct page *page, const struct runtime_orphans_reply_files_item *from,
                     int64_t skipped)
{
    char path[PATH_SIZE], *line = NULL;
    size_t size = 0;
    int r = 0;
    path_of(page, from->file, path);
    FILE *file = fopen(path, "re");
    if (!file)
        return fail(ERR_IO, "%s cannot be read: %s", from->file, errno_text(errno));
    for (int64_t at = from->first; r == 0 && !page->more; at++) {
        const ssize_t length = getline(&line, &size, file);
        if (length <= 0)
            break;
        if (at <= skipped)
            continue;
        page->more = page->event_count == page->event_max || page->bytes > PAGE_BYTES_MAX;
        if (!page->more)
            r = add_event(page, from->file, line, (size_t)length);
    }
    free(line);
    if (fclose(file) != 0 && r == 0)
        r = fail(ERR_IO, "%s cannot be read: %s", from->file, errno_text(errno));
    return trace(r);
}

static int list_events(struct page *page)
{
    const struct runtime_orphans *request = page->request;
    _Bool begins = !request->after_file;
    int r = 0;
    page->event_max = request->has_limit ? (size_t)request->limit : PAGE_MAX;
    page->events = arena_alloc(page->arena, page->event_max * sizeof(*page->events));
    if (!page->events)
        return fail(ERR_MEMORY, "no memory for the list of orphans");
    for (size_t i = 0; r == 0 && i < page->file_count && !page->more; i++) {
        const _Bool is_after = request->after_file &&
                               strcmp(page->files[i].file, request->after_file) == 0;
        begins |= is_after;
        if (begins)
            r = read_file(page, &page->files[i],
                          is_after && request->has_after_position ? request->after_position : 0);
    }
    return trace(r);
}

/* ---- The answer ----------------------------------------------------------------------------- */

static int fill(struct item *item, const char *database_path, const char *instance)
{
    char folder[700];
    struct page page = { .arena = &item->arena, .folder = folder, .request = item->request };
    char path[700];
    snprintf(path, sizeof(path), "%s", database_path);
    snprintf(folder, sizeof(folder), "%s", dirname(path));
    int r = list_files(&page);
    if (r == 0)
        r = list_events(&page);
    if (r < 0)
        return trace(r);
    const struct runtime_orphans_reply reply = {
        .instance = instance,
        .files = page.files,
        .files_count = page.file_count,
        .events = page.events,
        .events_count = page.event_count,
        .more = page.more,
    };
    return trace(schema_encode(&runtime_orphans_reply_schema, &reply, &item->body));
}

void orphans_answer(struct item *request, struct bus *bus, const char *database_path,
                    const char *instance, _Bool leads)
{
    _free_(item) struct item *item = request;
    const struct runtime_orphans *wanted = item->request;
    if (wanted->instance ? strcmp(wanted->instance, instance) != 0 : !leads)
        return;
    item->outcome = OUTCOME_DONE;
    if (fill(item, database_path, instance) < 0) {
        log_error("orphans_not_listed", LOG_TEXT("reason", failure_text()));
        item->outcome = OUTCOME_REFUSED;
        item->refusal = refusal_of(REFUSED_INTERNAL);
        item->message = "the files of orphans cannot be read; its log says why";
    }
    reply_send(bus, BUS_URGENT, item);
}
