/* Schema: the form of a message. schemas/generate.py compiles a JSON Schema 2020-12 file to static
 * tables. They say how to validate a JSON value and where its parts go in a C struct, so one walk
 * does both. The generated code is data only; schema.c, scan.c, encode.c and pattern.c interpret
 * it.
 *
 * A decoded value and all that it points to live in the caller's arena. Any thread: the tables
 * never change.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "contract/pattern.h"

#define SCHEMA_DEPTH_MAX 32 /* of nested JSON: deeper than any contract of ours */

enum schema_type { /* bits of struct schema.types */
                   TYPE_NULL = 1,
                   TYPE_BOOLEAN = 2,
                   TYPE_INTEGER = 4,
                   TYPE_NUMBER = 8,
                   TYPE_STRING = 16,
                   TYPE_ARRAY = 32,
                   TYPE_OBJECT = 64,
};

/* What a value of the schema is in C. */
enum schema_shape {
    SHAPE_NONE,    /* nothing: the value is validated only */
    SHAPE_TEXT,    /* const char *; NULL when absent */
    SHAPE_INTEGER, /* int64_t; when optional, with bool has_<name> */
    SHAPE_BOOLEAN, /* bool; when optional, with bool has_<name> */
    SHAPE_STRUCT,  /* embedded; when optional a pointer, NULL when absent */
    SHAPE_LIST,    /* pointer to the elements, and size_t <name>_count */
};

struct schema_field {
    const char *name;
    const struct schema *schema;
    size_t offset;
    size_t extra_offset; /* of has_<name> or <name>_count; 0: none */
    _Bool required;
};

struct schema {
    const char *name; /* "order.place"; NULL for inner ones */
    unsigned types;   /* which types are valid; 0: any */
    enum schema_shape shape;
    size_t size;                       /* of the C value: of the struct, of an element's storage */
    const struct schema_field *fields; /* properties, in the order of the file */
    int field_count;
    _Bool closed; /* additionalProperties: false */
    /* names that must be there, also those without a property; NULL ends */
    const char *const *required;
    const struct schema *items;
    const char *const *values; /* enum of strings, NULL ends */
    const struct pattern *pattern;
    _Bool printable; /* x-printable: every character of a new text must be (base/utf8.h) */
    int64_t length_min, length_max; /* code points of a string; -1: no limit */
    int64_t items_min, items_max;
    int64_t properties_min, properties_max;
    double minimum, maximum; /* -INFINITY, INFINITY: no limit */
    /* What the schema says of itself, or its title; NULL for inner ones. */
    const char *description;
    /* The schema itself, compact JSON with the pieces that it uses in $defs; NULL for inner
     * ones. */
    const char *text;
    /* x-account: the field, a text, that names whom the message concerns; NULL: none, or an inner
     * one. */
    const char *account;
};

struct invalid {
    char field[128];   /* "lines[2].quantity"; "" for the whole body */
    char message[160]; /* "must be at least 1": never the value itself */
};

/* 0; REFUSED_INVALID_REQUEST with *ret_invalid; or < 0. Duplicate keys, invalid UTF-8 and a NUL in
 * a string are invalid. *ret_value is a struct of the schema, in the arena; with arena NULL the
 * message is validated only. */
int schema_decode(const struct schema *schema, const char *data, size_t length, struct arena *arena,
                  void **ret_value, struct invalid *ret_invalid);

/* The same for the answer of somebody who is no service of ours, and whose final word must not get
 * lost over a trifle: an optional field that does not fit its schema is left out. */
int schema_decode_answer(const struct schema *schema, const char *data, size_t length,
                         struct arena *arena, void **ret_value, struct invalid *ret_invalid);

/* The same of a request: its texts are new, so x-printable counts. What events and replies have may
 * be older than a rule, and is read as it is. */
int schema_decode_request(const struct schema *schema, const char *data, size_t length,
                          struct arena *arena, void **ret_value, struct invalid *ret_invalid);

/* The same as schema_decode, always by jansson: what schema_decode does with a message that is not
 * plain (scan.h). */
int schema_decode_tree(const struct schema *schema, const char *data, size_t length,
                       struct arena *arena, void **ret_value, struct invalid *ret_invalid);

/* Compact JSON: fields in the order of the schema, absent ones left out. Written without a tree
 * between, because this is on the writer's path (measured by bench/bench_contract). 0 or
 * -ERR_MEMORY. */
int schema_encode(const struct schema *schema, const void *value, struct buf *out);

/* The field of this name; NULL: the schema has no such field. */
const struct schema_field *schema_find_field(const struct schema *schema, const char *name);

const char *schema_library_version(void); /* of jansson */
