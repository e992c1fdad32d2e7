/* Json text: the members of a JSON text as they stand there, for what is kept and compared without
 * knowing all of it, such as the configuration that a server shows of a stream. Messages of the
 * mesh are decoded by their schemas (contract/schema.h).
 *
 *     struct json_members members;
 *     struct json_text key, value;
 *     json_text_members_begin(&members, config);
 *     while (json_text_members_next(&members, &key, &value)) …
 *
 * All texts are borrowed from the one that was given. A text that is no JSON, or nests deeper than
 * JSON_DEPTH_MAX, has no members. Any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32

struct json_text { /* not terminated; NULL and 0: absent */
    const char *text;
    size_t length;
};

/* The whole of a text that holds one value, without the blanks around it; absent: it is no JSON. */
struct json_text json_text_of(const char *text, size_t length);

struct json_members {
    const char *at, *end;
};
/* Of an object or of an array; of anything else there are none. The key is without its quotes, its
 * escapes are left; of an array it is absent. */
void json_text_members_begin(struct json_members *members, struct json_text value);
_Bool json_text_members_next(struct json_members *members, struct json_text *ret_key,
                             struct json_text *ret_value);

/* The value of a member; absent: it is not there. */
struct json_text json_text_find(struct json_text object, const char *key);

/* The same text, however its characters are escaped; or both absent. */
_Bool json_text_equal(struct json_text value, struct json_text other);
_Bool json_text_is(struct json_text value, const char *text); /* "\"limits\"", "true" */
/* Writes it without needless escapes, cut to what has room; returns the length. */
size_t json_text_plain(struct json_text value, char *ret_text, size_t size);
/* Says nothing: absent, null, false, 0, "", {} or []. */
_Bool json_text_is_empty(struct json_text value);
/* A whole number; anything else: `otherwise`. */
int64_t json_text_number(struct json_text value, int64_t otherwise);
