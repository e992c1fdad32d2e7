/* Scan: see scan.h. The text is copied once; the strings of the value are pieces of that copy. */
#include "contract/scan.h"
#include "base/result.h"
#include "base/utf8.h"
#include <math.h>
#include <string.h>

#define PLAIN 1        /* results: it is; 0: it is not; < 0 */
#define DIGITS_MAX 18  /* always an int64_t */
#define FIELDS_MAX 64  /* of a schema: a bit each */
#define UNKNOWN_MAX 16 /* fields of one object that the schema does not name */
#define ELEMENTS_MIN 4 /* room for so many at first */

struct scan {
    char *at; /* the text ends with a NUL, which nothing plain takes */
    struct arena *arena;
    int depth;
};

struct text {
    const char *start;
    size_t length;
};

static const struct schema anything = {
    .length_min = -1,
    .length_max = -1,
    .items_min = -1,
    .items_max = -1,
    .properties_min = -1,
    .properties_max = -1,
    .minimum = -INFINITY,
    .maximum = INFINITY,
};

static int scan_value(struct scan *scan, const struct schema *schema, void *out);

/* ---- Tokens ---------------------------------------------------------------------------------- */

static void skip_blanks(struct scan *scan)
{
    while (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t')
        scan->at++;
}

/* The next token is this character. */
static _Bool takes(struct scan *scan, char c)
{
    skip_blanks(scan);
    if (*scan->at != c)
        return 0;
    scan->at++;
    return 1;
}

/* What stands for itself behind a backslash, or what it stands for; 0: something else. */
static char unescaped(char c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = c ? strchr(from, c) : NULL;
    return (char)(at ? to[at - from] : '\0');
}

/* Behind the opening quote. The text is shortened where it stands, and gets its NUL at the latest
 * where the closing quote is. */
static _Bool scan_text(struct scan *scan, struct text *ret_text)
{
    char *at = scan->at, *out = scan->at;
    for (;;) {
        unsigned char c = (unsigned char)*at;
        if (c == '"')
            break;
        if (c == '\\') {
            if (!(*out++ = unescaped(at[1])))
                return 0;
            at += 2;
            continue;
        }
        size_t width = c >= 0x80 ? utf8_length(at) : c >= 0x20;
        if (width == 0)
            return 0;
        if (out != at) /* an escape has made the text before shorter */
            memmove(out, at, width);
        out += width;
        at += width;
    }
    *ret_text = (struct text){ scan->at, (size_t)(out - scan->at) };
    *out = '\0';
    scan->at = at + 1;
    return 1;
}

static _Bool scan_integer(struct scan *scan, int64_t *ret_value)
{
    _Bool negative = *scan->at == '-';
    const char *first = scan->at += negative;
    int64_t value = 0;
    while (*scan->at >= '0' && *scan->at <= '9' && scan->at - first < DIGITS_MAX)
        value = value * 10 + (*scan->at++ - '0');
    _Bool zero_first = *first == '0' && (scan->at - first > 1 || negative);
    if (scan->at == first || zero_first || strchr("0123456789.eE", *scan->at ? *scan->at : '.'))
        return 0;
    *ret_value = negative ? -value : value;
    return 1;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static _Bool has_type(const struct schema *schema, unsigned type)
{
    return !schema->types || schema->types & type;
}

static size_t count_code_points(const struct text *text)
{
    size_t count = 0;
    for (size_t i = 0; i < text->length; i++)
        count += ((unsigned char)text->start[i] & 0xc0) != 0x80;
    return count;
}

static _Bool text_fits(const struct schema *schema, const struct text *text)
{
    if (schema->length_min >= 0 || schema->length_max >= 0) {
        int64_t points = (int64_t)count_code_points(text);
        if (points < schema->length_min || (schema->length_max >= 0 && points > schema->length_max))
            return 0;
    }
    const char *const *listed = schema->values;
    while (listed && *listed && strcmp(*listed, text->start) != 0)
        listed++;
    return (!listed || *listed) &&
           (!schema->pattern || pattern_matches(schema->pattern, text->start, text->length));
}

static int take_text(struct scan *scan, const struct schema *schema, void *out)
{
    struct text text;
    if (!has_type(schema, TYPE_STRING) || !scan_text(scan, &text) || !text_fits(schema, &text))
        return 0;
    if (out && schema->shape == SHAPE_TEXT)
        *(const char **)out = text.start;
    return PLAIN;
}

static int take_integer(struct scan *scan, const struct schema *schema, void *out)
{
    int64_t value;
    if (!has_type(schema, TYPE_INTEGER | TYPE_NUMBER) || schema->values ||
        !scan_integer(scan, &value) || (double)value < schema->minimum ||
        (double)value > schema->maximum)
        return 0;
    if (out && schema->shape == SHAPE_INTEGER)
        *(int64_t *)out = value;
    return PLAIN;
}

static int take_boolean(struct scan *scan, const struct schema *schema, void *out)
{
    _Bool value = *scan->at == 't';
    const char *word = value ? "true" : "false";
    if (!has_type(schema, TYPE_BOOLEAN) || schema->values ||
        strncmp(scan->at, word, strlen(word)) != 0)
        return 0;
    scan->at += strlen(word);
    if (out && schema->shape == SHAPE_BOOLEAN)
        *(_Bool *)out = value;
    return PLAIN;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

struct list {
    char *elements; /* NULL: they are looked at and not kept */
    size_t count, room, size;
};

/* Where the next element goes; with more of them than there is room for, all move to twice the
 * room. */
static int next_element(struct scan *scan, struct list *list, void **ret_place)
{
    if (list->elements && list->count == list->room) {
        char *more = arena_alloc(scan->arena, 2 * list->room * list->size);
        if (!more)
            return fail(ERR_MEMORY, "no memory for a message");
        memcpy(more, list->elements, list->room * list->size);
        list->elements = more;
        list->room *= 2;
    }
    *ret_place = list->elements ? list->elements + list->count * list->size : NULL;
    list->count++;
    return PLAIN;
}

static int take_elements(struct scan *scan, const struct schema *schema, struct list *list)
{
    const struct schema *items = schema->items ? schema->items : &anything;
    void *place = NULL;
    if (takes(scan, ']'))
        return PLAIN;
    do {
        int r = next_element(scan, list, &place);
        if (r == PLAIN)
            r = scan_value(scan, items, place);
        if (r != PLAIN)
            return r;
    } while (takes(scan, ','));
    return takes(scan, ']');
}

/* out: where the pointer to the elements goes; NULL: they are not kept. */
static int take_list(struct scan *scan, const struct schema *schema, void *out, size_t *ret_count)
{
    struct list list = { 0 };
    if (!has_type(schema, TYPE_ARRAY) || schema->values)
        return 0;
    if (out) {
        list = (struct list){ .room = ELEMENTS_MIN, .size = schema->items->size };
        list.elements = arena_alloc(scan->arena, list.room * list.size);
        if (!list.elements)
            return fail(ERR_MEMORY, "no memory for a message");
    }
    scan->at++; /* [ */
    int r = take_elements(scan, schema, &list);
    if (r != PLAIN)
        return r;
    if ((int64_t)list.count < schema->items_min ||
        (schema->items_max >= 0 && (int64_t)list.count > schema->items_max))
        return 0;
    if (out) {
        *(void **)out = list.elements;
        *ret_count = list.count;
    }
    return PLAIN;
}

/* ---- Objects --------------------------------------------------------------------------------- */

struct members {
    uint64_t known; /* fields that were there, a bit each */
    int expected;   /* the field that comes next, if they come in the schema's order */
    struct text unknown[UNKNOWN_MAX];
    int unknown_count;
    int64_t count;
};

/* Index of the field, or -1. */
static int find_field(const struct schema *schema, const struct members *members,
                      const struct text *name)
{
    for (int i = 0; i < schema->field_count; i++) {
        int at = (members->expected + i) % schema->field_count;
        if (strcmp(schema->fields[at].name, name->start) == 0)
            return at;
    }
    return -1;
}

/* False: it is there twice, or there are too many of them to tell. */
static _Bool note_unknown(struct members *members, const struct text *name)
{
    for (int i = 0; i < members->unknown_count; i++)
        if (strcmp(members->unknown[i].start, name->start) == 0)
            return 0;
    if (members->unknown_count == UNKNOWN_MAX)
        return 0;
    members->unknown[members->unknown_count++] = *name;
    return 1;
}

static int take_field(struct scan *scan, const struct schema_field *field, char *out)
{
    void *place = out ? out + field->offset : NULL;
    if (place && field->schema->shape == SHAPE_LIST)
        return *scan->at == '['
                   ? take_list(scan, field->schema, place, (size_t *)(out + field->extra_offset))
                   : 0;
    if (place && field->schema->shape == SHAPE_STRUCT && !field->required) {
        void *embedded = arena_alloc(scan->arena, field->schema->size);
        if (!embedded)
            return fail(ERR_MEMORY, "no memory for a message");
        *(void **)place = embedded;
        place = embedded;
    }
    if (out && field->extra_offset)
        *(_Bool *)(out + field->extra_offset) = 1;
    return scan_value(scan, field->schema, place);
}

static int take_member(struct scan *scan, const struct schema *schema, struct members *members,
                       char *out)
{
    struct text name;
    if (!takes(scan, '"') || !scan_text(scan, &name) || !takes(scan, ':'))
        return 0;
    skip_blanks(scan);
    members->count++;
    int index = find_field(schema, members, &name);
    if (index < 0)
        return schema->closed || !note_unknown(members, &name) ? 0
                                                               : scan_value(scan, &anything, NULL);
    if (members->known >> index & 1)
        return 0;
    members->known |= UINT64_C(1) << index;
    members->expected = index + 1;
    return take_field(scan, &schema->fields[index], out);
}

/* Every name of `required` that has a field was there, and none is without a field. */
static _Bool has_all_required(const struct schema *schema, const struct members *members)
{
    int wanted = 0, there = 0;
    for (const char *const *name = schema->required; name && *name; name++)
        wanted++;
    for (int i = 0; i < schema->field_count; i++)
        there += schema->fields[i].required && (members->known >> i & 1);
    return wanted == there;
}

static int take_object(struct scan *scan, const struct schema *schema, char *out)
{
    struct members members = { .count = 0 };
    if (!has_type(schema, TYPE_OBJECT) || schema->values || schema->field_count > FIELDS_MAX)
        return 0;
    scan->at++; /* { */
    if (!takes(scan, '}')) {
        do {
            int r = take_member(scan, schema, &members, out);
            if (r != PLAIN)
                return r;
        } while (takes(scan, ','));
        if (!takes(scan, '}'))
            return 0;
    }
    return has_all_required(schema, &members) && members.count >= schema->properties_min &&
           (schema->properties_max < 0 || members.count <= schema->properties_max);
}

static int scan_value(struct scan *scan, const struct schema *schema, void *out)
{
    int r = 0;
    skip_blanks(scan);
    if (scan->depth == SCHEMA_DEPTH_MAX)
        return 0;
    scan->depth++;
    switch (*scan->at) {
    case '{': r = take_object(scan, schema, out); break;
    case '[': r = take_list(scan, schema, NULL, NULL); break;
    case '"': scan->at++, r = take_text(scan, schema, out); break;
    case 't':
    case 'f': r = take_boolean(scan, schema, out); break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': r = take_integer(scan, schema, out); break;
    }
    scan->depth--;
    return r;
}

int scan_decode(const struct schema *schema, const char *data, size_t length, struct arena *arena,
                void **ret_value)
{
    if (memchr(data, '\0', length))
        return 0;
    struct scan scan = { .at = arena_copy(arena, data, length), .arena = arena };
    void *value = schema->size ? arena_alloc(arena, schema->size) : NULL;
    if (!scan.at || (schema->size && !value))
        return fail(ERR_MEMORY, "no memory for a message");
    const char *end = scan.at + length;
    int r = scan_value(&scan, schema, value);
    skip_blanks(&scan);
    if (r == PLAIN && scan.at != end)
        return 0;
    if (r == PLAIN)
        *ret_value = value;
    return r;
}
