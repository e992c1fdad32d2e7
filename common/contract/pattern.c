/* Pattern: see pattern.h. Thompson's construction, as in
 * https://swtch.com/~rsc/regexp/regexp2.html. */
#include "contract/pattern.h"
#include <assert.h>
#include <string.h>

struct threads {
    int count;
    uint16_t at[PATTERN_LENGTH_MAX];
    _Bool is_in[PATTERN_LENGTH_MAX];
};

/* Adds a thread and follows the steps that take no character. True: the thread has matched. */
static _Bool add_thread(const struct pattern *pattern, struct threads *threads, int at,
                        _Bool is_start, _Bool is_end)
{
    if (threads->is_in[at])
        return 0;
    threads->is_in[at] = 1;
    const struct pattern_step *step = &pattern->steps[at];
    switch ((enum pattern_op)step->op) {
    case PATTERN_MATCH: return 1;
    case PATTERN_JUMP:  return add_thread(pattern, threads, step->to, is_start, is_end);
    case PATTERN_START: return is_start && add_thread(pattern, threads, at + 1, is_start, is_end);
    case PATTERN_END:   return is_end && add_thread(pattern, threads, at + 1, is_start, is_end);
    case PATTERN_SPLIT:
        return add_thread(pattern, threads, step->to, is_start, is_end) ||
               add_thread(pattern, threads, step->or_to, is_start, is_end);
    case PATTERN_CLASS: threads->at[threads->count++] = (uint16_t)at;
    }
    return 0;
}

static _Bool is_member(const struct pattern_class *class, unsigned char c)
{
    if (c >= 0x80)
        return class->others;
    return (c < 64 ? class->low >> c : class->high >> (c - 64)) & 1;
}

/* Follows the one thread of a pattern that begins with ^, as far as the thread has no choice:
 * identifiers are matched this way. Moves *at along the pattern, and returns how many bytes of the
 * text the thread took. */
static size_t follow_one(const struct pattern *pattern, int *at, const char *text, size_t length)
{
    size_t i = 0;
    while (i < length && (unsigned char)text[i] < 0x80 &&
           pattern->steps[*at + 1].op == PATTERN_CLASS &&
           is_member(&pattern->steps[*at].class, (unsigned char)text[i])) {
        i++;
        ++*at;
    }
    return i;
}

_Bool pattern_matches(const struct pattern *pattern, const char *text, size_t length)
{
    assert(pattern->length > 0 && pattern->length <= PATTERN_LENGTH_MAX);
    assert(text || length == 0);
    const _Bool only_at_start = pattern->steps[0].op == PATTERN_START;
    struct threads lists[2];
    struct threads *now = &lists[0], *next = &lists[1];
    now->count = 0;
    memset(now->is_in, 0, (size_t)pattern->length);
    if (add_thread(pattern, now, 0, 1, length == 0))
        return 1;
    for (size_t i = 0; i < length;) {
        if (only_at_start && now->count == 1) {
            int at = now->at[0];
            i += follow_one(pattern, &at, text + i, length - i);
            now->at[0] = (uint16_t)at;
            if (i == length)
                return 0; /* the text ends before the pattern does */
        }
        size_t width = 1; /* a code point is one step, however many bytes it has */
        while (i + width < length && ((unsigned char)text[i + width] & 0xc0) == 0x80)
            width++;
        _Bool is_end = i + width == length;
        next->count = 0;
        memset(next->is_in, 0, (size_t)pattern->length);
        for (int t = 0; t < now->count; t++)
            if (is_member(&pattern->steps[now->at[t]].class, (unsigned char)text[i]) &&
                add_thread(pattern, next, now->at[t] + 1, 0, is_end))
                return 1;
        i += width;
        if (!only_at_start &&
            add_thread(pattern, next, 0, 0, is_end)) /* the pattern may also begin here */
            return 1;
        if (only_at_start && next->count == 0)
            return 0;
        struct threads *swap = now;
        now = next;
        next = swap;
    }
    return 0;
}
