/* Mutator: changes a body of the target requests as JSON, where libFuzzer alone would mostly break
 * its grammar. What the contracts say stands in tables, which coverage does not see; so values are
 * swapped, doubled, left out and put to limits, and another contract reads the same body. A third
 * is left to libFuzzer. */
#include "schemas/contracts_examples.h"
#include "contract/schema.h"
#include <stdint.h>
#include <string.h>

#define SPANS_MAX 512
#define DEPTH_MAX 40
#define EXAMPLES (sizeof(contract_examples) / sizeof(*contract_examples))

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

struct span {
    size_t from, to;
}; /* of a value, a key, or a key with its value */

static const char *const values[] = {
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1e0",
    "1.5",
    "1e300",
    "-1e-300",
    "999999",
    "1000000",
    "1000001",
    "9007199254740992",
    "9007199254740992.0",
    "9007199254740993",
    "9007199254740994.0",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "\"\"",
    "\" \"",
    "\"a\\u0000b\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\xf0\x9f\x98\x80\"",
    "\"\xc3\xa9\"",
    "\"\xff\"",
    "\"\\u001f\"",
    "\"\\u007f\"",
    "\"\x7f\"",
    "\"\\\"\\\\\\/\\n\"",
    "[]",
    "{}",
    "[null]",
    "[[[[[[[[]]]]]]]]",
    "{\"\":0}",
    "{\"a\":{\"a\":{\"a\":1}}}",
    "\"2024-02-29\"",
    "\"9999-12-31T23:59:59.999Z\"",
};

static size_t skip_string(const uint8_t *text, size_t at, size_t size)
{
    for (at++; at < size && text[at] != '"'; at++)
        at += text[at] == '\\';
    return at < size ? at + 1 : size;
}

static size_t skip_word(const uint8_t *text, size_t at, size_t size)
{
    while (at < size && !strchr("{}[],:\" \t\r\n", text[at] ? text[at] : ' '))
        at++;
    return at;
}

/* Strings, numbers, words, objects, lists, as far as they can be told apart in broken text too. */
static int find_spans(const uint8_t *text, size_t from, size_t size, struct span spans[SPANS_MAX])
{
    int count = 0, depth = 0, open[DEPTH_MAX];
    size_t at = from;
    while (at < size && count < SPANS_MAX) {
        size_t start = at;
        if (text[at] == '"') {
            at = skip_string(text, at, size);
            spans[count++] = (struct span){ start, at };
        } else if (text[at] == '{' || text[at] == '[') {
            if (depth < DEPTH_MAX)
                open[depth++] = count;
            spans[count++] = (struct span){ at, at + 1 };
            at++;
        } else if ((at = skip_word(text, at, size)) > start) {
            spans[count++] = (struct span){ start, at };
        } else {
            at++;
            if ((text[start] == '}' || text[start] == ']') && depth > 0)
                spans[open[--depth]].to = at;
        }
    }
    return count;
}

/* A key with its value, when the span is a key; and the comma behind, when there is one. */
static struct span with_value(const uint8_t *data, size_t size, const struct span *spans, int count,
                              int which)
{
    struct span span = spans[which];
    if (span.to < size && data[span.to] == ':' && which + 1 < count)
        span.to = spans[which + 1].to;
    span.to += span.to < size && data[span.to] == ',';
    return span;
}

/* Puts text in place of the span; the size that results, the old one when there is no room. */
static size_t replace(uint8_t *data, size_t size, size_t max_size, struct span span,
                      const void *text, size_t length)
{
    size_t result = size - (span.to - span.from) + length;
    if (result > max_size)
        return size;
    memmove(data + span.from + length, data + span.to, size - span.to);
    memcpy(data + span.from, text, length);
    return result;
}

static size_t put_example(uint8_t *data, size_t size, size_t max_size, unsigned which)
{
    const char *name = contract_examples[which % EXAMPLES].schema->name,
               *text = contract_examples[which % EXAMPLES].text;
    size_t length = strlen(name) + 1 + strlen(text);
    if (length > max_size)
        return size;
    memcpy(data, name, strlen(name));
    data[strlen(name)] = '\n';
    memcpy(data + strlen(name) + 1, text, strlen(text));
    return length;
}

/* The text of a string said so often that it has about as many characters as contracts allow. */
static size_t stretch(uint8_t *data, size_t size, size_t max_size, struct span span,
                      unsigned choice)
{
    static const size_t lengths[] = {
        1, 2, 16, 40, 64, 80, 100, 128, 200, 254, 255, 320, 500, 1000
    };
    uint8_t text[1100];
    size_t length = lengths[choice % (sizeof(lengths) / sizeof(*lengths))] + choice / 16 % 3 - 1;
    size_t inner = span.to - span.from >= 3 ? span.to - span.from - 2 : 0;
    for (size_t i = 0; i < length; i++)
        text[i + 1] = inner ? data[span.from + 1 + i % inner] : 'a';
    text[0] = text[length + 1] = '"';
    return replace(data, size, max_size, span, text, length + 2);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static uint8_t copy[1 << 16];
    struct span spans[SPANS_MAX];
    unsigned choice = seed / 24, other = (seed ^ seed >> 11) * 2654435761u >> 8;
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t body = newline ? (size_t)(newline - data) + 1 : 0;
    int count = find_spans(data, body, size, spans);
    if (seed % 3 == 0 || size > sizeof(copy))
        return LLVMFuzzerMutate(data, size, max_size);
    if (count == 0)
        return put_example(data, size, max_size, choice);
    int which = (int)(other % (unsigned)count);
    struct span span = spans[which], source = spans[choice % (unsigned)count];
    memcpy(copy, data, size);
    switch (seed / 3 % 8) {
    case 0: {
        const char *name = contract_examples[choice % EXAMPLES].schema->name;
        return replace(data, size, max_size, (struct span){ 0, body ? body - 1 : 0 }, name,
                       strlen(name));
    }
    case 1: return replace(data, size, max_size, span, copy + source.from, source.to - source.from);
    case 2:
        return replace(data, size, max_size, with_value(copy, size, spans, count, which), "", 0);
    case 3:
        span = with_value(copy, size, spans, count, which);
        return replace(data, size, max_size, (struct span){ span.from, span.from },
                       copy + span.from, span.to - span.from);
    case 4:  return stretch(data, size, max_size, span, choice);
    case 5:  return choice % 16 ? size : put_example(data, size, max_size, other);
    default: {
        const char *value = values[choice % (sizeof(values) / sizeof(*values))];
        return replace(data, size, max_size, span, value, strlen(value));
    }
    }
}
