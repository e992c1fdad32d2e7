/* Pattern: a regular expression of a schema, compiled by schemas/generate.py to a small program,
 * and run here by following all its threads at once, so that no input makes it slow. */
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

/* ASCII as bits; all other code points */
struct pattern_class {
    uint64_t low, high;
    _Bool others;
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

/* Does the pattern occur in the text (UTF-8, valid)? Unanchored unless it has ^ and $, as in JSON
 * Schema. */
_Bool pattern_matches(const struct pattern *pattern, const char *text, size_t length);
