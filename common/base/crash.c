/* Crash points: see crash.h. */
#include "base/crash.h"

#ifdef JOURNEY_CRASH_POINTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void crash_point(const char *name)
{
    static atomic_int passes;
    const char *wanted = getenv("JOURNEY_CRASH_AT");
    size_t length = strlen(name);
    if (!wanted || strncmp(wanted, name, length) != 0)
        return;
    long nth = 1;
    if (wanted[length] == ':')
        nth = strtol(wanted + length + 1, NULL, 10);
    else if (wanted[length] != '\0')
        return;
    if (atomic_fetch_add(&passes, 1) + 1 == nth)
        kill(getpid(), SIGKILL);
}
#else
/* ISO C wants a translation unit to hold something. */
typedef int crash_points_are_left_out;
#endif
