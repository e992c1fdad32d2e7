/* Requests: bodies from outside, by every contract (also replies, events, and what JetStream says:
 * one decoder reads them all).
 *
 * Input: the name of a schema, a newline, a body. A first line that names none chooses by its sum,
 * so that no input is lost, and an input keeps its meaning when schemas are added.
 *
 * What must hold: a refusal says why without echoing control characters, and leaves the value
 * alone; what is taken is written again as JSON that says the same, is taken again, and is then the
 * same to the byte. */
#include "fuzz.h"
#include "base/refusal.h"
#include "contract/schema.h"
#include "schemas/contracts_examples.h"
#include <jansson.h>
#include <string.h>

#define COUNT (sizeof(contract_examples) / sizeof(*contract_examples))

/* What libFuzzer counts beside edges: contracts are tables, of which edges see nothing. Each
 * refusal of each contract is a place of its own (digits left out, and names that the sender
 * chose), and each number of members that were taken. */
static uint8_t outcomes[1 << 14] __attribute__((section("__libfuzzer_extra_counters")));

static uint32_t hash_text(uint32_t hash, const char *text)
{
    for (; *text; text++)
        if (*text < '0' || *text > '9')
            hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

static void count_outcome(const struct schema *schema, const struct invalid *invalid,
                          size_t member_count)
{
    if (getenv("FUZZ_EDGES_ONLY")) /* to choose few inputs for the tree */
        return;
    uint32_t hash = hash_text(2166136261u, schema->name) +
                    (uint32_t)(member_count < 30 ? member_count : 30) * 2654435761u;
    if (invalid)
        hash = hash_text(hash, invalid->message);
    if (invalid && strncmp(invalid->message, "must", 4) == 0)
        hash = hash_text(hash, invalid->field);
    outcomes[(hash ^ hash >> 14) % sizeof(outcomes)]++;
}

static const struct schema *choose_schema(const uint8_t *name, size_t length)
{
    size_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += name[i];
    for (size_t i = 0; i < COUNT; i++) {
        const char *known = contract_examples[i].schema->name;
        if (strlen(known) == length && memcmp(known, name, length) == 0)
            return contract_examples[i].schema;
    }
    return contract_examples[sum % COUNT].schema;
}

static void expect_harmless(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    expect(length < size);
    for (size_t i = 0; i < length; i++)
        expect((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

/* An integer that was written as 3.0 or 3e0 comes back as 3. */
static _Bool is_same_number(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b))
        return json_integer_value(a) == json_integer_value(b);
    return json_number_value(a) == json_number_value(b);
}

/* All that the first says, the second says too. Unknown fields of an open message are left out, and
 * whatever has no place in C; nothing may be added or changed. */
static _Bool is_part(const json_t *part, json_t *whole)
{
    const char *name;
    json_t *member;
    if (json_is_object(part)) {
        json_object_foreach((json_t *)part, name,
                            member) if (!json_object_get(whole, name) ||
                                        !is_part(member, json_object_get(whole, name))) return 0;
        return json_is_object(whole);
    }
    if (json_is_array(part)) {
        for (size_t i = 0; i < json_array_size(part); i++)
            if (!is_part(json_array_get(part, i), json_array_get(whole, i)))
                return 0;
        return json_is_array(whole) && json_array_size(part) == json_array_size(whole);
    }
    return json_is_number(part) ? json_is_number(whole) && is_same_number(part, whole)
                                : json_equal(part, whole);
}

static void expect_says_the_same(const char *before, size_t length, const struct buf *after)
{
    json_t *whole = json_loadb(before, length, JSON_DECODE_ANY, NULL);
    json_t *part = json_loadb(after->data, after->length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES,
                              NULL);
    expect(whole && part);
    expect(is_part(part, whole));
    json_decref(whole);
    json_decref(part);
}

static void expect_comes_back(const struct schema *schema, const void *value, const char *text,
                              size_t length)
{
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(buf) struct buf once = { 0 }, twice = { 0 };
    struct invalid invalid = { 0 };
    void *again = NULL;
    expect(schema_encode(schema, value, &once) == 0);
    expect_says_the_same(text, length, &once);
    size_t member_count = 0;
    for (size_t i = 0; i < once.length; i++)
        member_count += once.data[i] == ':';
    count_outcome(schema, NULL, member_count);
    int r = schema_decode(schema, once.data, once.length, &arena, &again, &invalid);
    if (r != 0)
        fprintf(stderr, "%s: %s %s: %s\n", schema->name, invalid.field, invalid.message, once.data);
    expect(r == 0 && again);
    expect(schema_encode(schema, again, &twice) == 0);
    expect(once.length == twice.length && memcmp(once.data, twice.data, once.length) == 0);
}

/* Whichever way it was read, the other one reads the same. */
static void expect_same_by_tree(const struct schema *schema, const void *value, const char *body,
                                size_t length)
{
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(buf) struct buf ours = { 0 }, theirs = { 0 };
    struct invalid invalid = { 0 };
    void *tree = NULL;
    expect(schema_decode_tree(schema, body, length, &arena, &tree, &invalid) == 0 && tree);
    expect(schema_encode(schema, value, &ours) == 0 && schema_encode(schema, tree, &theirs) == 0);
    expect(ours.length == theirs.length && memcmp(ours.data, theirs.data, ours.length) == 0);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t name_length = newline ? (size_t)(newline - data) : 0;
    const struct schema *schema = choose_schema(data, name_length);
    const char *body = (const char *)data + name_length + (newline != NULL);
    size_t length = size - name_length - (newline != NULL);
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid = { 0 }, ignored = { 0 };
    void *value = NULL;
    int r = schema_decode(schema, body, length, &arena, &value, &invalid);
    int valid = schema_decode(schema, body, length, NULL, NULL, &ignored);
    if (r != 0) {
        expect(r == REFUSED_INVALID_REQUEST && !value && invalid.message[0]);
        /* valid, but not in C */
        expect(valid == r || strcmp(invalid.message, "is too large an integer") == 0);
        count_outcome(schema, &invalid, 0);
        expect_harmless(invalid.field, sizeof(invalid.field));
        expect_harmless(invalid.message, sizeof(invalid.message));
        return 0;
    }
    expect(value && valid == 0);
    expect_same_by_tree(schema, value, body, length);
    expect_comes_back(schema, value, body, length);
    return 1;
}
