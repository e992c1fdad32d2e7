/* Pattern: a regular expression of a schema. schemas/generate.py compiles it to a small program.
 * The program is run by following all its threads at once, so that its time is linear in the text,
 * whatever the text is. Any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define PATTERN_LENGTH_MAX 256 /* instructions; the generator refuses longer ones */

enum pattern_op {
    PATTERN_CLASS,
    PATTERN_SPLIT,
    PATTERN_JUMP,
    PATTERN_START,
    PATTERN_END,
    PATTERN_MATCH
};

struct pattern_class {
    uint64_t low, high; /* ASCII, one bit for each character */
    _Bool others;       /* all other code points */
};

struct pattern_step {
    uint8_t op;
    uint16_t to, or_to; /* where SPLIT and JUMP go */
    struct pattern_class class;
};

struct pattern {
    const char *source;
    const struct pattern_step *steps;
    int length;
};

/* Does the pattern occur in the text (well-formed UTF-8)? As in JSON Schema it may occur anywhere,
 * unless it has ^ and $. */
_Bool pattern_matches(const struct pattern *pattern, const char *text, size_t length);
