/* Names: values that a story does not choose, such as ids. `$order` is bound to what is there the
 * first time it is met in a pattern; from then on it stands for that value. ' stands for ", * for
 * any value. */
#pragma once
#include "base/arena.h"

#define NAMES_MAX 32

struct names {
    struct bound {
        char name[32], value[128];
    } all[NAMES_MAX];
    int count;
};

/* The text with its names replaced, in the arena; NULL and *ret_unbound when one is not bound. */
const char *names_fill_in(const struct names *names, const char *text, struct arena *arena,
                          const char **ret_unbound);

/* Does actual fit the pattern? Binds new names on the way. */
_Bool names_match(struct names *names, const char *pattern, const char *actual);
