/* Damage mark: see damage_mark.h. */
#include "store/damage_mark.h"
#include "base/clock.h"
#include "base/result.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4200

static void name_of(const char *database_path, char ret_path[PATH_SIZE])
{
    snprintf(ret_path, PATH_SIZE, "%s" DAMAGE_MARK_SUFFIX, database_path);
}

void damage_mark_write(const char *database_path, const char *reason)
{
    char path[PATH_SIZE], text[700], time[RFC3339_SIZE];
    if (access(database_path, F_OK) < 0) /* in memory, or gone */
        return;
    name_of(database_path, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    rfc3339_format(clock_wall_ms(), time);
    int length = snprintf(text, sizeof(text), "%.600s (found at %s)\n", reason, time);
    /* an empty mark says the same */
    if (write(fd, text, (size_t)length) == length)
        (void)fsync(fd);
    close(fd);
}

int damage_mark_read(const char *database_path, char *ret_text, size_t size)
{
    char path[PATH_SIZE];
    name_of(database_path, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (access(database_path, F_OK) < 0 && errno == ENOENT) {
        close(fd);
        unlink(path);
        return 0;
    }
    ssize_t length = read(fd, ret_text, size - 1);
    close(fd);
    ret_text[length > 0 ? length : 0] = '\0';
    ret_text[strcspn(ret_text, "\n")] = '\0';
    return 1;
}

int damage_mark_remove(const char *database_path)
{
    char path[PATH_SIZE];
    name_of(database_path, path);
    return unlink(path) == 0 || errno == ENOENT
               ? 0
               : fail(ERR_READONLY, "%s: %s", path, errno_text(errno));
}
