/* File place: see file_place.h. */
#include "store/file_place.h"
#include <assert.h>
#include <stdio.h>
#include <sys/stat.h>

static int64_t written_ns(const struct stat *status)
{
    return (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec;
}

void file_place_note(struct file_place *place, const char *const *paths)
{
    place->count = 0;
    for (int i = 0; paths[i]; i++) {
        struct stat status;
        assert(i < FILE_PLACES_MAX);
        if (stat(paths[i], &status) < 0) {
            if (i == 0)
                return;
            continue;
        }
        place->files[place->count].device = status.st_dev;
        place->files[place->count].inode = status.st_ino;
        snprintf(place->files[place->count].path, sizeof(place->files[0].path), "%s", paths[i]);
        place->count++;
        if (i == 0)
            place->written_ns = written_ns(&status);
    }
}

const char *file_place_changed(const struct file_place *place)
{
    static _Thread_local char text[4200];
    for (int i = 0; i < place->count; i++) {
        struct stat status;
        const _Bool is_there = stat(place->files[i].path, &status) == 0;
        if (is_there && status.st_dev == place->files[i].device &&
            status.st_ino == place->files[i].inode)
            continue;
        snprintf(text, sizeof(text), "%s %s", place->files[i].path,
                 is_there ? "is another file now" : "was removed or moved");
        return text;
    }
    return NULL;
}

void file_place_wrote(struct file_place *place)
{
    struct stat status;
    if (place->count > 0 && stat(place->files[0].path, &status) == 0)
        place->written_ns = written_ns(&status);
}

_Bool file_place_was_written(const struct file_place *place)
{
    struct stat status;
    return place->count > 0 && stat(place->files[0].path, &status) == 0 &&
           written_ns(&status) != place->written_ns;
}
