/* Set aside: see set_aside.h. */
#include "runtime/writer/set_aside.h"
#include "base/log.h"
#include "runtime/writer/loop.h"
#include "runtime/writer/tables.h"
#include "store/migrate.h"
#include "store/terms.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- The file ------------------------------------------------------------------------------- */

static void put_member(struct buf *out, const char *key, const char *text)
{
    if (!text)
        return;
    buf_put_format(out, ",\"%s\":", key);
    buf_put_json(out, text, strlen(text));
}

/* As `.events` has it. */
static void put_line(struct buf *out, const struct event *event)
{
    char chain[DIGEST_HEX_SIZE];
    digest_format(&event->chain, chain);
    buf_put_format(out, "{\"position\":%" PRId64 ",\"chain\":\"%s\",\"time_ms\":%" PRId64,
                   event->position, chain, event->time_ms);
    put_member(out, "id", event->id);
    put_member(out, "type", event->type);
    put_member(out, "entity", event->entity);
    put_member(out, "correlation", event->correlation);
    put_member(out, "causation", event->causation);
    put_member(out, "cause", event->cause);
    put_member(out, "cause_digest", event->cause_digest);
    put_member(out, "traceparent", event->traceparent);
    put_member(out, "data", event->data);
    buf_put_text(out, "}\n");
}

static int write_lines(struct loop *loop, int64_t common, FILE *file)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    _deinit_(buf) struct buf line = { 0 };
    struct event event;
    int r = event_reader_open(&reader, loop->db, loop->service->log, common, INT64_MAX);
    while (r == 0 && event_reader_has_next(&reader, &event)) {
        buf_clear(&line);
        put_line(&line, &event);
        r = buf_status(&line);
        if (r == 0 && fwrite(line.data, 1, line.length, file) != line.length)
            r = fail(ERR_FULL, "the orphans cannot be written: %s", strerror(errno));
    }
    if (r == 0)
        r = event_reader_status(&reader);
    if (r == 0 && (fflush(file) != 0 || fsync(fileno(file)) != 0))
        r = fail(ERR_FULL, "the orphans cannot be synced: %s", strerror(errno));
    return trace(r);
}

/* The name is in the folder, too, before the commit. */
static int sync_folder(const char *path)
{
    char folder[600];
    snprintf(folder, sizeof(folder), "%s", path);
    int descriptor = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = descriptor < 0 || fsync(descriptor) != 0
                ? fail(ERR_FULL, "the data folder cannot be synced: %s", strerror(errno))
                : 0;
    if (descriptor >= 0)
        close(descriptor);
    return trace(r);
}

static int write_file(struct loop *loop, const struct item *item, int64_t common, char *ret_path,
                      size_t size)
{
    char folder[600];
    snprintf(folder, sizeof(folder), "%s", item->database_path);
    int length = snprintf(ret_path, size, "%s/orphans-%" PRId64 "-%" PRId64 "-%" PRId64 ".jsonl",
                          dirname(folder), loop->at.term, common + 1, loop->at.head.position);
    if (length < 0 || (size_t)length >= size)
        return fail(ERR_CONFIG, "the path of the data folder is too long");
    int descriptor = open(ret_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    if (!file) {
        if (descriptor >= 0)
            close(descriptor);
        return fail(ERR_FULL, "%s cannot be written: %s", ret_path, strerror(errno));
    }
    int r = write_lines(loop, common, file);
    if (fclose(file) != 0 && r == 0)
        r = fail(ERR_FULL, "%s cannot be written: %s", ret_path, strerror(errno));
    return r < 0 ? trace(r) : trace(sync_folder(ret_path));
}

/* ---- The log -------------------------------------------------------------------------------- */

static int take_out(struct loop *loop, int64_t common)
{
    struct term term = { 0 };
    int r = db_exec(loop->db, "DELETE FROM event_log WHERE position > ?1", "i", common);
    if (r == 0)
        r = terms_forget_after(loop->db, common);
    if (r == 0)
        r = event_log_head(loop->db, &loop->at.head);
    if (r == 0)
        r = terms_newest(loop->db, &term);
    loop->at.term = term.term;
    return trace(r);
}

/* What is kept of this: the file, the count, and that the tables are folded anew. */
static int keep_orphans(struct loop *loop, const struct item *item, int64_t common, int64_t count)
{
    char path[600];
    int64_t before = 0;
    int r = write_file(loop, item, common, path, sizeof(path));
    if (r == 0)
        r = meta_read_or(loop->db, META_ORPHANS, 0, &before);
    if (r == 0)
        r = meta_write(loop->db, META_ORPHANS, before + count);
    if (r == 0)
        r = meta_write(loop->db, META_TABLES_VERSION, 0);
    if (r < 0)
        return trace(r);
    loop->at.orphans = before + count;
    log_warn("orphans_set_aside", LOG_INT("count", count), LOG_INT("first", common + 1),
             LOG_INT("last", loop->at.head.position), LOG_INT("term", loop->at.term),
             LOG_TEXT("file", path),
             LOG_TEXT("help", "another instance led when these events were not in the stream yet: "
                              "look whether somebody was answered for them"));
    return 0;
}

int set_aside(struct loop *loop, struct item *item)
{
    const int64_t common = item->common;
    int64_t terms = 0, all = loop->at.head.position - common;
    assert(common >= 0 && all >= 0 && item->database_path);
    int r = db_find_number(loop->db, &terms, "SELECT count(*) FROM terms WHERE position > ?1", "i",
                           common);
    if (r == 0 && all > terms)
        r = keep_orphans(loop, item, common, all - terms);
    if (r == 0)
        r = take_out(loop, common);
    if (r < 0)
        return trace(r);
    loop->at.own_term = 0;
    loop->at.fenced = 1;
    process_stop(&loop->process);
    loop->process.wanted = 0;
    item->outcome = OUTCOME_DONE;
    return 0;
}
