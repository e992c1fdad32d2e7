/* Encoding: a struct to JSON text by its schema's tables. See schema.h. */
#include "contract/schema.h"
#include <assert.h>
#include <string.h>

static void encode(const struct schema *schema, const void *value, size_t count, struct buf *out);

static _Bool is_absent(const struct schema_field *field, const char *value)
{
    if (field->schema->shape == SHAPE_TEXT ||
        (field->schema->shape == SHAPE_STRUCT && !field->required))
        return *(void *const *)(value + field->offset) == NULL;
    if (field->schema->shape == SHAPE_LIST)
        return !field->required && *(void *const *)(value + field->offset) == NULL;
    return field->extra_offset && !*(const _Bool *)(value + field->extra_offset);
}

/* ,"name": in one piece. The generator allows only names that need no escape. */
static void put_name(struct buf *out, const char *name, _Bool first)
{
    size_t length = strlen(name);
    buf_reserve(out, length + sizeof(",\"\":"));
    if (out->failed)
        return;
    char *at = out->data + out->length;
    if (!first)
        *at++ = ',';
    *at++ = '"';
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): the next memcpy brings the NUL */
    memcpy(at, name, length);
    memcpy(at + length, "\":", sizeof("\":"));
    out->length = (size_t)(at - out->data) + length + 2;
}

static void encode_object(const struct schema *schema, const char *value, struct buf *out)
{
    _Bool first = 1;
    buf_put_char(out, '{');
    for (int i = 0; i < schema->field_count; i++) {
        const struct schema_field *field = &schema->fields[i];
        if (field->schema->shape == SHAPE_NONE || is_absent(field, value))
            continue;
        put_name(out, field->name, first);
        first = 0;
        const void *place = value + field->offset;
        if (field->schema->shape == SHAPE_STRUCT && !field->required)
            place = *(void *const *)place;
        size_t count = field->schema->shape == SHAPE_LIST
                           ? *(const size_t *)(value + field->extra_offset)
                           : 0;
        encode(field->schema, place, count, out);
    }
    buf_put_char(out, '}');
}

static void encode(const struct schema *schema, const void *value, size_t count, struct buf *out)
{
    switch (schema->shape) {
    case SHAPE_NONE: break;
    case SHAPE_TEXT: {
        const char *text = *(const char *const *)value;
        buf_put_json(out, text, strlen(text));
        break;
    }
    case SHAPE_INTEGER: buf_put_int(out, *(const int64_t *)value); break;
    case SHAPE_BOOLEAN: buf_put_text(out, *(const _Bool *)value ? "true" : "false"); break;
    case SHAPE_STRUCT:  encode_object(schema, value, out); break;
    case SHAPE_LIST:    {
        const char *element = *(const char *const *)value;
        buf_put_char(out, '[');
        for (size_t i = 0; i < count; i++) {
            if (i > 0)
                buf_put_char(out, ',');
            encode(schema->items, element + i * schema->items->size, 0, out);
        }
        buf_put_char(out, ']');
        break;
    }
    }
}

int schema_encode(const struct schema *schema, const void *value, struct buf *out)
{
    assert(schema && value && out);
    encode(schema, value, 0, out);
    return buf_status(out);
}
