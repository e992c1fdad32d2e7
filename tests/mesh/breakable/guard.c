/* Guards that can be left out: see base/guard.h. */
#include "base/guard.h"
#include "guard_names.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *removed;

/* A name that nobody knows would be a test that cannot fail. */
static void __attribute__((constructor)) read_environment(void)
{
    removed = getenv("JOURNEY_WITHOUT_GUARD");
    if (removed && !is_guard(removed)) {
        fprintf(stderr, "there is no guard %s\n", removed);
        exit(78);
    }
}

_Bool guard_stands(const char *name)
{
    return !removed || strcmp(removed, name) != 0;
}
