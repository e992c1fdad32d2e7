/* Set clock: a wall clock that jumps while the service runs: JOURNEY_CLOCK names a file with the
 * milliseconds that it is ahead (behind: negative) at this moment; empty is 0. By the linker's
 * --wrap, so that no build needs a library before it; what libnats does by itself goes by the
 * machine's clock. */
#include "base/clock.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int64_t __real_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void);

static int clock_file = -1;

static void __attribute__((constructor)) open_clock(void)
{
    const char *path = getenv("JOURNEY_CLOCK");
    clock_file = path ? open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (path && clock_file < 0) {
        perror(path);
        exit(70);
    }
}

int64_t __wrap_clock_wall_ms(void)
{
    char text[24] = "";
    if (clock_file >= 0 && pread(clock_file, text, sizeof(text) - 1, 0) < 0)
        abort();
    return __real_clock_wall_ms() + atoll(text);
}
