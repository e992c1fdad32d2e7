/* Scan: see scan.h. The text is copied once; the strings of the value are pieces of that copy.
 *
 * Functions that return an int say 0, NOT_PLAIN, or < 0. Invariants, checked at each value:
 *
 *   C1  the scan stands inside of the copy, at most at the NUL behind it
 *   C2  values nest at most SCHEMA_DEPTH_MAX deep
 */
#include "contract/scan.h"
#include "base/result.h"
#include "base/utf8.h"
#include <assert.h>
#include <math.h>
#include <string.h>

#define DIGITS_MAX 18  /* so many digits always fit an int64_t */
#define FIELDS_MAX 64  /* of a schema: one bit for each */
#define UNKNOWN_MAX 16 /* fields of one object that the schema does not name */
#define ELEMENTS_MIN 4 /* a list begins with room for so many */

struct scan {
    char *at;        /* no plain value takes the NUL at the end */
    const char *end; /* the NUL */
    struct arena *arena;
    int depth;
    _Bool is_request; /* x-printable counts */
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

/* The character that is written as a backslash and c; 0: there is none, or it is not plain. */
static char unescaped(char c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = c ? strchr(from, c) : NULL;
    return (char)(at ? to[at - from] : '\0');
}

/* The scan stands behind the opening quote. Escapes shorten the text in its place; its NUL goes to
 * the closing quote or before. */
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
        if (out != at) /* an escape before this character has made the text shorter */
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

static _Bool text_fits(const struct scan *scan, const struct schema *schema,
                       const struct text *text)
{
    if (schema->printable && scan->is_request && !utf8_is_printable(text->start, text->length))
        return 0;
    if (schema->length_min >= 0 || schema->length_max >= 0) {
        int64_t points = (int64_t)utf8_count(text->start, text->length);
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
    if (!has_type(schema, TYPE_STRING) || !scan_text(scan, &text) ||
        !text_fits(scan, schema, &text))
        return NOT_PLAIN;
    if (out && schema->shape == SHAPE_TEXT)
        *(const char **)out = text.start;
    return 0;
}

static int take_integer(struct scan *scan, const struct schema *schema, void *out)
{
    int64_t value;
    if (!has_type(schema, TYPE_INTEGER | TYPE_NUMBER) || schema->values ||
        !scan_integer(scan, &value) || (double)value < schema->minimum ||
        (double)value > schema->maximum)
        return NOT_PLAIN;
    if (out && schema->shape == SHAPE_INTEGER)
        *(int64_t *)out = value;
    return 0;
}

static int take_boolean(struct scan *scan, const struct schema *schema, void *out)
{
    _Bool value = *scan->at == 't';
    const char *word = value ? "true" : "false";
    if (!has_type(schema, TYPE_BOOLEAN) || schema->values ||
        strncmp(scan->at, word, strlen(word)) != 0)
        return NOT_PLAIN;
    scan->at += strlen(word);
    if (out && schema->shape == SHAPE_BOOLEAN)
        *(_Bool *)out = value;
    return 0;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

struct list {
    char *elements; /* NULL: the elements are checked and not kept */
    size_t count, room, size;
};

/* The place of the next element. A full list moves to twice the room. */
static int next_element(struct scan *scan, struct list *list, void **ret_place)
{
    assert(!list->elements || list->count <= list->room);
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
    return 0;
}

static int take_elements(struct scan *scan, const struct schema *schema, struct list *list)
{
    const struct schema *items = schema->items ? schema->items : &anything;
    void *place = NULL;
    if (takes(scan, ']'))
        return 0;
    do {
        int r = next_element(scan, list, &place);
        if (r == 0)
            r = scan_value(scan, items, place);
        if (r != 0)
            return r;
    } while (takes(scan, ','));
    return takes(scan, ']') ? 0 : NOT_PLAIN;
}

/* out: where the pointer to the elements goes; NULL: the elements are not kept. */
static int take_list(struct scan *scan, const struct schema *schema, void *out, size_t *ret_count)
{
    struct list list = { 0 };
    if (!has_type(schema, TYPE_ARRAY) || schema->values)
        return NOT_PLAIN;
    if (out) {
        list = (struct list){ .room = ELEMENTS_MIN, .size = schema->items->size };
        list.elements = arena_alloc(scan->arena, list.room * list.size);
        if (!list.elements)
            return fail(ERR_MEMORY, "no memory for a message");
    }
    scan->at++; /* [ */
    int r = take_elements(scan, schema, &list);
    if (r != 0)
        return r;
    if ((int64_t)list.count < schema->items_min ||
        (schema->items_max >= 0 && (int64_t)list.count > schema->items_max))
        return NOT_PLAIN;
    if (out) {
        *(void **)out = list.elements;
        *ret_count = list.count;
    }
    return 0;
}

/* ---- Objects --------------------------------------------------------------------------------- */

struct members {
    uint64_t known; /* the fields that were there, one bit for each */
    int expected;   /* the next field, when they come in the schema's order */
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

/* False: the name was there before, or there are too many unknown names to tell. */
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
                   : NOT_PLAIN;
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
        return NOT_PLAIN;
    skip_blanks(scan);
    members->count++;
    int index = find_field(schema, members, &name);
    if (index < 0)
        return schema->closed || !note_unknown(members, &name) ? NOT_PLAIN
                                                               : scan_value(scan, &anything, NULL);
    if (members->known >> index & 1)
        return NOT_PLAIN;
    members->known |= UINT64_C(1) << index;
    members->expected = index + 1;
    return take_field(scan, &schema->fields[index], out);
}

/* All required names were there. A required name that has no field is never there: then the scan
 * leaves the message to jansson. */
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
        return NOT_PLAIN;
    scan->at++; /* { */
    if (!takes(scan, '}')) {
        do {
            int r = take_member(scan, schema, &members, out);
            if (r != 0)
                return r;
        } while (takes(scan, ','));
        if (!takes(scan, '}'))
            return NOT_PLAIN;
    }
    _Bool fits = has_all_required(schema, &members) && members.count >= schema->properties_min &&
                 (schema->properties_max < 0 || members.count <= schema->properties_max);
    return fits ? 0 : NOT_PLAIN;
}

static int scan_value(struct scan *scan, const struct schema *schema, void *out)
{
    int r = NOT_PLAIN;
    skip_blanks(scan);
    assert(scan->at <= scan->end);                               /* C1 */
    assert(scan->depth >= 0 && scan->depth <= SCHEMA_DEPTH_MAX); /* C2 */
    if (scan->depth == SCHEMA_DEPTH_MAX)
        return NOT_PLAIN;
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

int scan_read(const struct schema *schema, const char *data, size_t length, _Bool is_request,
              struct arena *arena, void **ret_value)
{
    assert(schema && arena && (data || length == 0));
    if (memchr(data, '\0', length))
        return NOT_PLAIN;
    struct scan scan = { .at = arena_copy(arena, data, length),
                         .arena = arena,
                         .is_request = is_request };
    void *value = schema->size ? arena_alloc(arena, schema->size) : NULL;
    if (!scan.at || (schema->size && !value))
        return fail(ERR_MEMORY, "no memory for a message");
    scan.end = scan.at + length;
    int r = scan_value(&scan, schema, value);
    skip_blanks(&scan);
    if (r == 0 && scan.at != scan.end)
        r = NOT_PLAIN;
    if (r == 0)
        *ret_value = value;
    return r;
}
