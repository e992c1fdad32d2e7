/* Orphan file: see orphan_file.h. */
#include "runtime/writer/orphan_file.h"
#include "base/buf.h"
#include "base/result.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAME_NAME_MAX 1000 /* files of one term and the same positions */

/* ---- Its lines ------------------------------------------------------------------------------ */

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

static int write_lines(struct event_reader *reader, FILE *file)
{
    _deinit_(buf) struct buf line = { 0 };
    struct event event;
    int r = 0;
    while (r == 0 && event_reader_has_next(reader, &event)) {
        buf_clear(&line);
        put_line(&line, &event);
        r = buf_status(&line);
        if (r == 0 && fwrite(line.data, 1, line.length, file) != line.length)
            r = fail(ERR_FULL, "the orphans cannot be written: %s", errno_text(errno));
    }
    if (r == 0)
        r = event_reader_status(reader);
    if (r == 0 && (fflush(file) != 0 || fsync(fileno(file)) != 0))
        r = fail(ERR_FULL, "the orphans cannot be synced: %s", errno_text(errno));
    return trace(r);
}

/* The name is in the folder, too, before the commit. */
static int sync_folder(const char *path)
{
    char folder[600];
    snprintf(folder, sizeof(folder), "%s", path);
    int descriptor = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = descriptor < 0 || fsync(descriptor) != 0
                ? fail(ERR_FULL, "the data folder cannot be synced: %s", errno_text(errno))
                : 0;
    if (descriptor >= 0)
        close(descriptor);
    return trace(r);
}

/* ---- The file ------------------------------------------------------------------------------- */

/* Written under this name first, so that no file of orphans is ever half there. */
static int write_new(const char *path, struct event_reader *reader)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    if (!file) {
        if (descriptor >= 0)
            close(descriptor);
        return fail(ERR_FULL, "%s cannot be written: %s", path, errno_text(errno));
    }
    int r = write_lines(reader, file);
    if (fclose(file) != 0 && r == 0)
        r = fail(ERR_FULL, "%s cannot be written: %s", path, errno_text(errno));
    return trace(r);
}

static _Bool has_same_text(const char *path, const char *other)
{
    FILE *one = fopen(path, "re"), *two = fopen(other, "re");
    _Bool same = one && two;
    for (int c = 0; same && c != EOF;) {
        c = getc_unlocked(one);
        same = c == getc_unlocked(two) && !ferror(one) && !ferror(two);
    }
    if (one)
        (void)fclose(one); /* only read */
    if (two)
        (void)fclose(two);
    return same;
}

static int name_of(struct orphan_file *orphans, const char *more)
{
    char folder[600];
    snprintf(folder, sizeof(folder), "%s", orphans->database_path);
    int length = snprintf(orphans->path, sizeof(orphans->path),
                          "%s/orphans-%" PRId64 "-%" PRId64 "-%" PRId64 "%s", dirname(folder),
                          orphans->term, orphans->first, orphans->last, more);
    return length < 0 || (size_t)length >= sizeof(orphans->path)
               ? fail(ERR_CONFIG, "the path of the data folder is too long")
               : 0;
}

/* Gives it the first name that no other file has, unless one has the same text. */
static int give_name(struct orphan_file *orphans, const char *written)
{
    char more[24];
    for (int n = 1; n <= SAME_NAME_MAX; n++) {
        snprintf(more, sizeof(more), n == 1 ? ".jsonl" : "-%d.jsonl", n);
        int r = name_of(orphans, more);
        if (r < 0)
            return trace(r);
        if (link(written, orphans->path) == 0 ||
            (errno == EEXIST && has_same_text(written, orphans->path)))
            return 0;
        if (errno != EEXIST)
            return fail(ERR_FULL, "%s cannot be written: %s", orphans->path, errno_text(errno));
    }
    return fail(ERR_FULL, "%s and %d more names of orphans are taken", orphans->path,
                SAME_NAME_MAX - 1);
}

int orphan_file_write(struct orphan_file *orphans, struct event_reader *reader)
{
    char written[sizeof(orphans->path)];
    assert(orphans->first <= orphans->last);
    int r = name_of(orphans, ".new");
    if (r < 0)
        return trace(r);
    memcpy(written, orphans->path, sizeof(written));
    r = write_new(written, reader);
    if (r == 0)
        r = give_name(orphans, written);
    unlink(written);
    return r < 0 ? trace(r) : trace(sync_folder(orphans->path));
}
