/* Schema: see schema.h. The only file that knows jansson. */
#include "contract/schema.h"
#include "base/refusal.h"
#include "base/result.h"
#include "base/utf8.h"
#include "contract/number.h"
#include "contract/scan.h"
#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct path { /* from the value up to the root */
    const struct path *parent;
    const char *name; /* NULL: an element */
    size_t index;
    int depth;
};

enum reading {
    READ_ANY,
    READ_REQUEST, /* its texts are new: x-printable counts */
    READ_ANSWER,  /* an optional field that does not fit is left out */
};

struct decoding {
    struct arena *arena; /* NULL: validate only */
    struct invalid *invalid;
    enum reading reading;
};

/* ---- Saying what is wrong ------------------------------------------------------------------- */

static size_t put_path(const struct path *path, char *text, size_t size)
{
    if (!path->parent)
        return 0;
    size_t length = put_path(path->parent, text, size);
    int added = path->name
                    ? snprintf(text + length, size - length, "%s%s", length ? "." : "", path->name)
                    : snprintf(text + length, size - length, "[%zu]", path->index);
    length += (size_t)added;
    return length < size ? length : size - 1;
}

/* A name from outside is shown only when its characters are harmless in a reply and in a log. */
static const char *shown(const char *name)
{
    size_t length = strspn(name,
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    return length == strlen(name) && length <= 64 ? name : "(a name with unusual characters)";
}

static int refuse_value(struct decoding *d, const struct path *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse_value(struct decoding *d, const struct path *path, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(d->invalid->message, sizeof(d->invalid->message), format, arguments);
    va_end(arguments);
    d->invalid->field[0] = '\0';
    put_path(path, d->invalid->field, sizeof(d->invalid->field));
    return REFUSED_INVALID_REQUEST;
}

static const char *type_names(unsigned types)
{
    static const char *const names[] = { "null",     "a boolean", "an integer", "a number",
                                         "a string", "an array",  "an object" };
    for (int i = 0; i < 7; i++)
        if (types == 1u << i)
            return names[i];
    return "of another type";
}

/* ---- Validating and decoding ---------------------------------------------------------------- */

static int decode_value(struct decoding *d, const struct schema *schema, json_t *value,
                        const struct path *path, void *out);

static unsigned type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:    return TYPE_NULL;
    case JSON_TRUE:
    case JSON_FALSE:   return TYPE_BOOLEAN;
    case JSON_INTEGER: return TYPE_INTEGER | TYPE_NUMBER;
    case JSON_REAL:
        return rint(json_real_value(value)) == json_real_value(value) ? TYPE_INTEGER | TYPE_NUMBER
                                                                      : TYPE_NUMBER;
    case JSON_STRING: return TYPE_STRING;
    case JSON_ARRAY:  return TYPE_ARRAY;
    case JSON_OBJECT: return TYPE_OBJECT;
    }
    return 0;
}

static int decode_string(struct decoding *d, const struct schema *schema, json_t *value,
                         const struct path *path, void *out)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (strlen(text) < length)
        return refuse_value(d, path, "has a NUL character");
    int64_t points = schema->length_min >= 0 || schema->length_max >= 0
                         ? (int64_t)utf8_count(text, length)
                         : 0;
    if (schema->length_min >= 0 && points < schema->length_min)
        return refuse_value(d, path, "must have at least %" PRId64 " characters",
                            schema->length_min);
    if (schema->length_max >= 0 && points > schema->length_max)
        return refuse_value(d, path, "must have at most %" PRId64 " characters",
                            schema->length_max);
    if (schema->printable && d->reading == READ_REQUEST && !utf8_is_printable(text, length))
        return refuse_value(d, path, "must have printable characters only");
    if (schema->pattern && !pattern_matches(schema->pattern, text, length))
        return refuse_value(d, path, "must match %s", schema->pattern->source);
    if (!out || schema->shape != SHAPE_TEXT)
        return 0;
    const char *copy = arena_copy(d->arena, text, length);
    if (!copy)
        return fail(ERR_MEMORY, "no memory for a request");
    *(const char **)out = copy;
    return 0;
}

static int decode_number(struct decoding *d, const struct schema *schema, json_t *value,
                         const struct path *path, void *out)
{
    double number = json_number_value(value);
    if (number < schema->minimum)
        return refuse_value(d, path, "must be at least %.15g", schema->minimum);
    if (number > schema->maximum)
        return refuse_value(d, path, "must be at most %.15g", schema->maximum);
    if (!out || schema->shape != SHAPE_INTEGER)
        return 0;
    if (json_is_real(value) && (number < -9007199254740992.0 || number > 9007199254740992.0))
        return refuse_value(d, path, "is too large an integer");
    *(int64_t *)out = json_is_integer(value) ? json_integer_value(value) : (int64_t)number;
    return 0;
}

static int decode_list(struct decoding *d, const struct schema *schema, json_t *value,
                       const struct path *path, void *out, size_t *ret_count)
{
    size_t count = json_array_size(value);
    if (schema->items_min >= 0 && (int64_t)count < schema->items_min)
        return refuse_value(d, path, "must have at least %" PRId64 " elements", schema->items_min);
    if (schema->items_max >= 0 && (int64_t)count > schema->items_max)
        return refuse_value(d, path, "must have at most %" PRId64 " elements", schema->items_max);
    char *elements = NULL;
    if (out && schema->shape == SHAPE_LIST) {
        elements = arena_alloc(d->arena, count * schema->items->size);
        if (!elements)
            return fail(ERR_MEMORY, "no memory for a request");
        *(void **)out = elements;
        *ret_count = count;
    }
    for (size_t i = 0; schema->items && i < count; i++) {
        struct path element = { .parent = path, .index = i, .depth = path->depth + 1 };
        int r = decode_value(d, schema->items, json_array_get(value, i), &element,
                             elements ? elements + i * schema->items->size : NULL);
        if (r != 0)
            return r;
    }
    return 0;
}

static int decode_field(struct decoding *d, const struct schema_field *field, json_t *value,
                        const struct path *path, char *out)
{
    struct path inner = { .parent = path, .name = field->name, .depth = path->depth + 1 };
    void *place = out ? out + field->offset : NULL;
    if (place && field->schema->shape == SHAPE_LIST && json_is_array(value))
        return decode_list(d, field->schema, value, &inner, place,
                           (size_t *)(out + field->extra_offset));
    if (place && field->schema->shape == SHAPE_STRUCT && !field->required) {
        void *embedded = arena_alloc(d->arena, field->schema->size);
        if (!embedded)
            return fail(ERR_MEMORY, "no memory for a request");
        *(void **)place = embedded;
        place = embedded;
    }
    if (out && field->extra_offset)
        *(_Bool *)(out + field->extra_offset) = 1;
    return decode_value(d, field->schema, value, &inner, place);
}

/* As if it were not there. */
static void leave_out(const struct schema_field *field, char *out)
{
    static const size_t sizes[] = {
        [SHAPE_TEXT] = sizeof(char *),   [SHAPE_INTEGER] = sizeof(int64_t),
        [SHAPE_BOOLEAN] = sizeof(_Bool), [SHAPE_STRUCT] = sizeof(void *),
        [SHAPE_LIST] = sizeof(void *),
    };
    if (!out)
        return;
    memset(out + field->offset, 0, sizes[field->schema->shape]);
    if (field->extra_offset)
        memset(out + field->extra_offset, 0,
               field->schema->shape == SHAPE_LIST ? sizeof(size_t) : sizeof(_Bool));
}

static int refuse_unknown(struct decoding *d, const struct schema *schema, json_t *value,
                          const struct path *path)
{
    const char *name;
    json_t *ignored;
    json_object_foreach(value, name, ignored)
    {
        if (schema_find_field(schema, name))
            continue;
        struct path inner = { .parent = path, .name = shown(name) };
        return refuse_value(d, &inner, "is not a field of this message");
    }
    return 0;
}

static int decode_object(struct decoding *d, const struct schema *schema, json_t *value,
                         const struct path *path, char *out)
{
    int64_t count = (int64_t)json_object_size(value), known = 0;
    for (const char *const *name = schema->required; name && *name; name++) {
        struct path inner = { .parent = path, .name = *name };
        if (!json_object_get(value, *name))
            return refuse_value(d, &inner, "is required");
    }
    for (int i = 0; i < schema->field_count; i++) {
        json_t *member = json_object_get(value, schema->fields[i].name);
        if (!member)
            continue;
        known++;
        int r = decode_field(d, &schema->fields[i], member, path, out);
        if (r > 0 && d->reading == READ_ANSWER && !schema->fields[i].required) {
            leave_out(&schema->fields[i], out);
            r = 0;
        }
        if (r != 0)
            return r;
    }
    if (schema->closed && known < count)
        return refuse_unknown(d, schema, value, path);
    if (schema->properties_min >= 0 && count < schema->properties_min)
        return refuse_value(d, path, "must have at least %" PRId64 " fields",
                            schema->properties_min);
    if (schema->properties_max >= 0 && count > schema->properties_max)
        return refuse_value(d, path, "must have at most %" PRId64 " fields",
                            schema->properties_max);
    return 0;
}

static _Bool is_listed(const struct schema *schema, const json_t *value)
{
    for (const char *const *v = schema->values; *v; v++)
        if (json_is_string(value) && strcmp(json_string_value(value), *v) == 0 &&
            strlen(*v) == json_string_length(value))
            return 1;
    return 0;
}

static int decode_value(struct decoding *d, const struct schema *schema, json_t *value,
                        const struct path *path, void *out)
{
    unsigned type = type_of(value);
    if (path->depth > SCHEMA_DEPTH_MAX)
        return refuse_value(d, path, "is nested too deep");
    if (schema->types && !(schema->types & type))
        return refuse_value(d, path, "must be %s", type_names(schema->types));
    if (schema->values && !is_listed(schema, value))
        return refuse_value(d, path, "must be one of the values that the contract lists");
    if (type & TYPE_STRING)
        return decode_string(d, schema, value, path, out);
    if (type & TYPE_NUMBER)
        return decode_number(d, schema, value, path, out);
    if (type & TYPE_ARRAY)
        return decode_list(d, schema, value, path, NULL, NULL);
    if (type & TYPE_OBJECT)
        return decode_object(d, schema, value, path, out);
    if (type == TYPE_BOOLEAN && out && schema->shape == SHAPE_BOOLEAN)
        *(_Bool *)out = json_is_true(value);
    return 0;
}

/* jansson 2.14 is not safe when an allocation fails: it silently leaves bytes out of a text, and
 * then writes behind its own buffer (seen by failing each allocation). So jansson gets its memory
 * from an arena that is freed as a whole, and the first failed allocation leaves jansson's code at
 * once, by longjmp. */
struct parser {
    struct arena arena;
    jmp_buf out_of_memory;
};
static _Thread_local struct parser *parsing;

static void *parser_malloc(size_t size_bytes)
{
    if (!parsing)
        return malloc(size_bytes);
    void *memory = arena_alloc(&parsing->arena, size_bytes);
    if (!memory)
        longjmp(parsing->out_of_memory, 1);
    return memory;
}

static void parser_free(void *memory)
{
    if (!parsing)
        free(memory);
}

static void use_parser_memory(void)
{
    json_set_alloc_funcs(parser_malloc, parser_free);
}

/* *ret_root lives as long as the parser's arena; NULL: the data is not JSON. */
static int parse(struct parser *parser, const char *data, size_t length, size_t flags,
                 json_t **ret_root, json_error_t *ret_error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, use_parser_memory);
    assert(!parsing); /* one parse at a time on a thread */
    parsing = parser;
    if (setjmp(parser->out_of_memory) != 0) {
        parsing = NULL;
        return fail(ERR_MEMORY, "no memory to read JSON");
    }
    *ret_root = json_loadb(data, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | flags,
                           ret_error);
    parsing = NULL;
    return 0;
}

/* jansson's own message quotes the input. Ours says where the fault is, and names at most a key. */
static int refuse_malformed(struct invalid *ret_invalid, const json_error_t *error)
{
    struct decoding d = { .invalid = ret_invalid };
    struct path root = { 0 };
    const char *what = "is not valid JSON";
    switch (json_error_code(error)) {
    case json_error_invalid_utf8:     what = "is not valid UTF-8"; break;
    case json_error_null_character:
    case json_error_null_byte_in_key: what = "has a NUL character"; break;
    case json_error_stack_overflow:   what = "is nested too deep"; break;
    case json_error_numeric_overflow: what = "has a number that is too large"; break;
    case json_error_duplicate_key:    {
        char key[64] = "";
        const char *near = strstr(error->text, "near '\"");
        if (near)
            (void)sscanf(near + 7, "%63[^\"]", key); /* or it stays empty */
        struct path inner = { .parent = &root, .name = shown(key) };
        return refuse_value(&d, &inner, "appears twice");
    }
    default: break;
    }
    return refuse_value(&d, &root, "the body %s (line %d, column %d)", what, error->line,
                        error->column);
}

static int decode_root(const struct schema *schema, json_t *root, enum reading reading,
                       struct arena *arena, void **ret_value, struct invalid *ret_invalid)
{
    struct decoding d = { .arena = arena, .invalid = ret_invalid, .reading = reading };
    struct path path = { 0 };
    void *value = arena && schema->size ? arena_alloc(arena, schema->size) : NULL;
    int r = arena && schema->size && !value ? fail(ERR_MEMORY, "no memory for a request")
                                            : decode_value(&d, schema, root, &path, value);
    if (r == 0 && ret_value)
        *ret_value = value;
    return trace(r);
}

static int decode_tree(const struct schema *schema, const char *data, size_t length,
                       enum reading reading, struct arena *arena, void **ret_value,
                       struct invalid *ret_invalid)
{
    /* A NUL is found with the field that has it; an integer that is too long becomes a real one. */
    const _Bool is_tolerant = reading == READ_ANSWER;
    const size_t flags = is_tolerant ? JSON_ALLOW_NUL : 0;
    json_error_t error;
    json_t *root = NULL;
    struct parser parser;
    arena_init(&parser.arena);
    int r = numbers_write_exactly(data, length, &parser.arena, &data, &length);
    if (r == 0)
        r = parse(&parser, data, length, flags, &root, &error);
    if (r == 0 && !root && is_tolerant && json_error_code(&error) == json_error_numeric_overflow)
        r = parse(&parser, data, length, flags | JSON_DECODE_INT_AS_REAL, &root, &error);
    if (r == 0)
        r = root ? decode_root(schema, root, reading, arena, ret_value, ret_invalid)
                 : refuse_malformed(ret_invalid, &error);
    arena_deinit(&parser.arena);
    return trace(r);
}

int schema_decode_tree(const struct schema *schema, const char *data, size_t length,
                       struct arena *arena, void **ret_value, struct invalid *ret_invalid)
{
    return trace(decode_tree(schema, data, length, READ_ANY, arena, ret_value, ret_invalid));
}

int schema_decode_answer(const struct schema *schema, const char *data, size_t length,
                         struct arena *arena, void **ret_value, struct invalid *ret_invalid)
{
    assert(schema && arena && ret_invalid && (data || length == 0));
    int r = scan_read(schema, data, length, 0, arena, ret_value);
    if (r != NOT_PLAIN)
        return trace(r);
    return trace(decode_tree(schema, data, length, READ_ANSWER, arena, ret_value, ret_invalid));
}

int schema_decode(const struct schema *schema, const char *data, size_t length, struct arena *arena,
                  void **ret_value, struct invalid *ret_invalid)
{
    assert(schema && ret_invalid && (data || length == 0));
    int r = arena ? scan_read(schema, data, length, 0, arena, ret_value) : NOT_PLAIN;
    if (r != NOT_PLAIN)
        return trace(r);
    return trace(schema_decode_tree(schema, data, length, arena, ret_value, ret_invalid));
}

int schema_decode_request(const struct schema *schema, const char *data, size_t length,
                          struct arena *arena, void **ret_value, struct invalid *ret_invalid)
{
    assert(schema && arena && ret_invalid && (data || length == 0));
    int r = scan_read(schema, data, length, 1, arena, ret_value);
    if (r != NOT_PLAIN)
        return trace(r);
    return trace(decode_tree(schema, data, length, READ_REQUEST, arena, ret_value, ret_invalid));
}

const struct schema_field *schema_find_field(const struct schema *schema, const char *name)
{
    for (int i = 0; i < schema->field_count; i++)
        if (strcmp(schema->fields[i].name, name) == 0)
            return &schema->fields[i];
    return NULL;
}

const char *schema_library_version(void)
{
    return jansson_version_str();
}
