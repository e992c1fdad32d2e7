/* Names: values that a story does not choose, such as ids. A pattern binds `$order` to the value
 * that it meets first; from then on the name means that value. ' stands for ", * for any value. */
#pragma once
#include "base/arena.h"

#define NAMES_MAX 32

struct names {
    struct bound {
        char name[32], value[128];
    } all[NAMES_MAX];
    int count;
};

/* The text with its names replaced, in the arena; NULL, and *ret_unbound, when a name is not
 * bound. */
const char *names_fill_in(const struct names *names, const char *text, struct arena *arena,
                          const char **ret_unbound);

/* Does actual match the pattern? Binds new names. */
_Bool names_match(struct names *names, const char *pattern, const char *actual);
