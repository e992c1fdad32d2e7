/* Patterns: every regular expression of the contracts against any text.
 *
 * Input: the text. The oracle runs the same program in another way: it tries one thread after the
 * other, and remembers where it has been. Text that is not UTF-8 is only run; what it matches is
 * not promised. */
#include "fuzz.h"
#include "contract/schema.h"
#include "schemas/contracts_examples.h"
#include <string.h>

#define PATTERNS_MAX 100
#define TEXT_MAX 600 /* longer than any text of a contract */

static const struct pattern *patterns[PATTERNS_MAX];
static int pattern_count;

static void collect(const struct schema *schema)
{
    if (schema->pattern) {
        for (int i = 0; i < pattern_count; i++)
            if (strcmp(patterns[i]->source, schema->pattern->source) == 0)
                return;
        expect(pattern_count < PATTERNS_MAX);
        patterns[pattern_count++] = schema->pattern;
    }
    for (int i = 0; i < schema->field_count; i++)
        collect(schema->fields[i].schema);
    if (schema->items)
        collect(schema->items);
}

/* ---- The oracle ----------------------------------------------------------------------------- */

struct search {
    const struct pattern *pattern;
    const uint32_t *points;
    int count;
    uint8_t seen[TEXT_MAX + 1][PATTERN_LENGTH_MAX / 8];
};

static _Bool has(const struct pattern_class *class, uint32_t point)
{
    if (point > 0x7f)
        return class->others;
    return ((point < 64 ? class->low : class->high) >> (point % 64)) & 1;
}

static _Bool leads_to_match(struct search *s, int step, int at)
{
    for (;;) {
        uint8_t *seen = &s->seen[at][step / 8], bit = (uint8_t)(1 << step % 8);
        if (*seen & bit)
            return 0;
        *seen |= bit;
        const struct pattern_step *now = &s->pattern->steps[step];
        if (now->op == PATTERN_MATCH)
            return 1;
        if ((now->op == PATTERN_START && at > 0) || (now->op == PATTERN_END && at < s->count))
            return 0;
        if (now->op == PATTERN_CLASS && (at == s->count || !has(&now->class, s->points[at])))
            return 0;
        if (now->op == PATTERN_SPLIT && leads_to_match(s, now->to, at))
            return 1;
        at += now->op == PATTERN_CLASS;
        step = now->op == PATTERN_SPLIT ? now->or_to : now->op == PATTERN_JUMP ? now->to : step + 1;
    }
}

static _Bool occurs(const struct pattern *pattern, const uint32_t *points, int count)
{
    static struct search s;
    s.pattern = pattern;
    s.points = points;
    s.count = count;
    memset(s.seen, 0, sizeof(s.seen[0]) * (size_t)(count + 1));
    for (int at = 0; at <= count; at++)
        if (leads_to_match(&s, 0, at))
            return 1;
    return 0;
}

/* Number of code points, -1: not UTF-8 (RFC 3629). */
static int decode_utf8(const uint8_t *data, size_t size, uint32_t *points)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    int count = 0;
    for (size_t i = 0; i < size; count++) {
        uint8_t c = data[i++];
        int more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : -1;
        if (more < 0 || size - i < (size_t)more)
            return -1;
        uint32_t point = more == 0 ? c : c & (0x3fu >> more);
        for (int j = 0; j < more; j++, i++) {
            if ((data[i] & 0xc0) != 0x80)
                return -1;
            point = point << 6 | (data[i] & 0x3f);
        }
        if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return -1;
        points[count] = point;
    }
    return count;
}

int fuzz_one(const uint8_t *data, size_t size)
{
    uint32_t points[TEXT_MAX];
    if (size > TEXT_MAX)
        return 0;
    for (size_t i = 0;
         pattern_count == 0 && i < sizeof(contract_examples) / sizeof(*contract_examples); i++)
        collect(contract_examples[i].schema);
    int count = decode_utf8(data, size, points), taken = 0;
    for (int i = 0; i < pattern_count; i++) {
        _Bool matches = pattern_matches(patterns[i], (const char *)data, size);
        if (count >= 0)
            expect(matches == occurs(patterns[i], points, count));
        taken |= matches && count >= 0;
    }
    return taken;
}
