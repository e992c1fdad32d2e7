/* Undo: see undo.h. */
#include "undo.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 2

static int undo_file = -1;
/* changes that no sync covers; that no later sync will */
static _Bool dirty[FILES], has_failed[FILES];

void undo_open(const char *path)
{
    struct stat status;
    undo_file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (undo_file < 0 || fstat(undo_file, &status) < 0) {
        perror(path);
        exit(70);
    }
    dirty[0] = dirty[1] = status.st_size > 0; /* of a life before this one */
    struct undo_record record;
    for (int64_t at = 0; pread(undo_file, &record, sizeof(record), at) == sizeof(record);
         at += (int64_t)sizeof(record) + record.old_length)
        has_failed[record.file] |= record.kind == UNDO_SYNC_FAILED;
}

_Bool undo_is_open(void)
{
    return undo_file >= 0;
}

static void put(const void *data, int64_t length)
{
    const char *bytes = data;
    while (length > 0) {
        ssize_t written = write(undo_file, bytes, (size_t)length);
        if (written <= 0)
            abort(); /* a power cut that is not noted would prove nothing */
        bytes += written;
        length -= written;
    }
}

void undo_note(const struct undo_record *record, const void *old_data)
{
    const int file = record->file;
    const _Bool change = record->kind == UNDO_WRITE || record->kind == UNDO_TRUNCATE;
    put(record, sizeof(*record));
    put(old_data, record->old_length);
    dirty[file] = change || (dirty[file] && record->kind == UNDO_SYNC_FAILED);
    has_failed[file] = (has_failed[file] || record->kind == UNDO_SYNC_FAILED) &&
                       record->kind != UNDO_DELETE;
    for (int i = 0; i < FILES; i++)
        if (dirty[i] || has_failed[i])
            return;
    if (ftruncate(undo_file, 0) < 0) /* all is safe: nothing to forget */
        abort();
}
