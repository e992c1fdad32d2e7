/* Values: see values.h. */
#include "contract/values.h"
#include <assert.h>
#include <string.h>

#define MANY (INT64_MAX / 4)

static int64_t add(int64_t a, int64_t b)
{
    return a + b > MANY ? MANY : a + b;
}

/* Depth bounds a schema that has itself in it. */
static int64_t most_of(const struct schema *schema, int depth)
{
    int64_t most = 1;
    if (depth > SCHEMA_DEPTH_MAX)
        return MANY;
    if (schema->items) {
        int64_t each = most_of(schema->items, depth + 1);
        if (schema->items_max < 0 || each > MANY / (schema->items_max + 1))
            return MANY;
        most = add(most, each * schema->items_max);
    } else if (schema->types & TYPE_ARRAY) {
        return MANY;
    }
    for (int i = 0; i < schema->field_count; i++)
        most = add(most, most_of(schema->fields[i].schema, depth + 1));
    return most;
}

int64_t schema_values_max(const struct schema *schema)
{
    int64_t most = most_of(schema, 0);
    return most == MANY ? INT64_MAX : most + VALUES_UNKNOWN_MAX;
}

/* Behind the quote that ends the text. */
static const char *skip_text(const char *c, const char *end)
{
    while (c < end && *c != '"')
        c += *c == '\\' ? 2 : 1;
    return c < end ? c + 1 : end;
}

int64_t values_count(const char *data, size_t length, int64_t max)
{
    const char *c = data, *end = data + length;
    int64_t count = 1;
    assert(max > 0);
    while (c < end && count <= max) {
        char now = *c++;
        if (now == '"')
            c = skip_text(c, end);
        else
            count += now == '{' || now == '[' || now == ',';
    }
    return count;
}
