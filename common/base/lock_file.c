/* Lock file: see lock_file.h. */
#include "base/lock_file.h"
#include "base/clock.h"
#include "base/result.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define TICK_MS 20

/* The owner's process id stands in the file for people and for messages; the lock itself is the
 * kernel's. */
static void write_owner(int fd)
{
    char text[32];
    int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) < 0)
        return; /* a full disk: the lock is held all the same */
}

static int read_owner(int fd)
{
    char text[32] = "";
    return pread(fd, text, sizeof(text) - 1, 0) > 0 ? (int)strtol(text, NULL, 10) : 0;
}

int lock_file_take(const char *path, int timeout_ms, int *ret_fd)
{
    assert(path && ret_fd && timeout_ms >= 0);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(errno == ENOSPC                      ? ERR_FULL
                    : errno == EMFILE || errno == ENFILE ? ERR_IO
                                                         : ERR_READONLY,
                    "%s: %s", path, errno_text(errno));
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int reason = errno, owner = read_owner(fd);
        if (reason != EINTR && (reason != EWOULDBLOCK || clock_monotonic_ms() >= deadline_ms)) {
            close(fd);
            return fail(ERR_LOCKED, "%s: %s (process %d)", path,
                        reason == EWOULDBLOCK ? "another process works on this folder"
                                              : errno_text(reason),
                        owner);
        }
        poll(NULL, 0, TICK_MS);
    }
    write_owner(fd);
    *ret_fd = fd;
    return 0;
}
