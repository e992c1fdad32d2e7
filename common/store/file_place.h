/* File place: are the files that were opened still those that their paths name? A database that was
 * removed, moved or replaced under a running service goes on taking writes that nobody finds again.
 * Looks at device and inode of each path; costs a stat() each. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#define FILE_PLACES_MAX 4

struct file_place {
    int count; /* 0: nothing is watched, as with a database in memory */
    struct {
        char path[4112];
        dev_t device;
        ino_t inode;
    } files[FILE_PLACES_MAX];
    /* of files[0], to notice that somebody else has written to it: nanoseconds of its mtime */
    int64_t written_ns;
};

/* What the paths name now. Files that are not there are not watched; the first of `paths` must be
 * there, or nothing is. paths: ends with NULL. */
void file_place_note(struct file_place *place, const char *const *paths);

/* NULL: all is as it was; else the path of the first file that is not, and whether it is gone or
 * another stands there. Valid until the thread's next call. */
const char *file_place_changed(const struct file_place *place);

/* We have written to files[0] ourselves: so from now on. */
void file_place_wrote(struct file_place *place);
/* Has somebody else written to files[0] since? */
_Bool file_place_was_written(const struct file_place *place);
