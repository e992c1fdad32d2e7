/* Json text: see json_text.h. */
#include "base/json_text.h"
#include <assert.h>
#include <string.h>

static const struct json_text absent = { NULL, 0 };

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* Behind the closing quote; NULL: there is none. at: behind the opening one. */
static const char *skip_string(const char *at, const char *end)
{
    for (; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : NULL;
}

static _Bool is_of_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+' || c == '.';
}

static const char *skip_word(const char *at, const char *end)
{
    const char *begin = at;
    while (at < end && is_of_word(*at))
        at++;
    return at > begin ? at : NULL;
}

/* `"key" :`; NULL: it is none. */
static const char *skip_key(const char *at, const char *end)
{
    if (at >= end || *at != '"')
        return NULL;
    at = skip_string(at + 1, end);
    at = at ? skip_blanks(at, end) : NULL;
    return at && at < end && *at == ':' ? at + 1 : NULL;
}

/* Behind the value that begins here; NULL: there is none. */
static const char *skip_value(const char *at, const char *end)
{
    char closing[JSON_DEPTH_MAX] = { 0 }; /* of what is open */
    int depth = 0;
    _Bool may_close = 0; /* behind an opening or a value */
    at = skip_blanks(at, end);
    do {
        if (depth > 0 && may_close && at < end && *at == closing[depth - 1]) {
            at++;
            depth--;
        } else {
            if (depth > 0 && closing[depth - 1] == '}')
                at = skip_key(at, end);
            at = at ? skip_blanks(at, end) : NULL;
            if (!at || at >= end)
                return NULL;
            if (*at == '{' || *at == '[') {
                if (depth == JSON_DEPTH_MAX)
                    return NULL;
                closing[depth++] = *at == '{' ? '}' : ']';
                at = skip_blanks(at + 1, end);
                may_close = 1;
                continue;
            }
            at = *at == '"' ? skip_string(at + 1, end) : skip_word(at, end);
            if (!at)
                return NULL;
        }
        if (depth == 0)
            return at;
        at = skip_blanks(at, end);
        may_close = at < end && *at != ',';
        if (!may_close)
            at = skip_blanks(at + 1, end);
        else if (at >= end || *at != closing[depth - 1])
            return NULL;
    } while (at < end);
    return NULL;
}

struct json_text json_text_of(const char *text, size_t length)
{
    assert(text || length == 0);
    const char *end = text + length, *begin = skip_blanks(text, end);
    const char *behind = begin < end ? skip_value(begin, end) : NULL;
    if (!behind || skip_blanks(behind, end) != end)
        return absent;
    return (struct json_text){ begin, (size_t)(behind - begin) };
}

void json_text_members_begin(struct json_members *members, struct json_text value)
{
    *members = (struct json_members){ NULL, NULL };
    const struct json_text whole = value.text ? json_text_of(value.text, value.length) : absent;
    if (whole.length > 1 && (*whole.text == '{' || *whole.text == '['))
        *members = (struct json_members){ whole.text, whole.text + whole.length - 1 };
}

_Bool json_text_members_next(struct json_members *members, struct json_text *ret_key,
                             struct json_text *ret_value)
{
    if (!members->at)
        return 0;
    const _Bool is_object = *members->end == '}'; /* the value was found whole at the beginning */
    const char *end = members->end, *at = skip_blanks(members->at + 1, end);
    *ret_key = absent;
    if (at >= end) {
        members->at = NULL;
        return 0;
    }
    if (is_object) {
        const char *behind = skip_key(at, end);
        assert(behind);
        ret_key->text = at + 1;
        ret_key->length = (size_t)(skip_string(at + 1, end) - at) - 2;
        at = skip_blanks(behind, end);
    }
    const char *behind = skip_value(at, end);
    assert(behind);
    *ret_value = (struct json_text){ at, (size_t)(behind - at) };
    behind = skip_blanks(behind, end);
    members->at = behind < end ? behind : NULL; /* the comma */
    return 1;
}

struct json_text json_text_find(struct json_text object, const char *key)
{
    struct json_members members;
    struct json_text name, value;
    json_text_members_begin(&members, object);
    while (json_text_members_next(&members, &name, &value))
        if (name.text && name.length == strlen(key) && memcmp(name.text, key, name.length) == 0)
            return value;
    return absent;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next character; one of ASCII that was escaped without need (Go writes > as \u003e) as
 * itself. */
static char next_character(const char **at, const char *end)
{
    const char *from = *at;
    if (end - from >= 6 && memcmp(from, "\\u00", 4) == 0) {
        const int high = hex_digit(from[4]), low = hex_digit(from[5]), c = high * 16 + low;
        if (high >= 2 && low >= 0 && c < 0x7f && c != '"' && c != '\\') {
            *at += 6;
            return (char)c;
        }
    }
    *at += 1;
    return *from;
}

_Bool json_text_equal(struct json_text value, struct json_text other)
{
    if (value.length == 0 || other.length == 0)
        return value.length == other.length;
    const char *one = value.text, *two = other.text;
    const char *one_end = one + value.length, *two_end = two + other.length;
    while (one < one_end && two < two_end)
        if (next_character(&one, one_end) != next_character(&two, two_end))
            return 0;
    return one == one_end && two == two_end;
}

size_t json_text_plain(struct json_text value, char *ret_text, size_t size)
{
    const char *at = value.length > 0 ? value.text : "", *end = at + value.length;
    size_t length = 0;
    while (at < end && length + 1 < size)
        ret_text[length++] = next_character(&at, end);
    ret_text[length] = '\0';
    return length;
}

_Bool json_text_is(struct json_text value, const char *text)
{
    return json_text_equal(value, (struct json_text){ text, strlen(text) });
}

_Bool json_text_is_empty(struct json_text value)
{
    static const char *const empty[] = { "", "null", "false", "0", "\"\"", "{}", "[]" };
    for (size_t i = 0; i < sizeof(empty) / sizeof(*empty); i++)
        if (json_text_is(value, empty[i]))
            return 1;
    return 0;
}

int64_t json_text_number(struct json_text value, int64_t otherwise)
{
    const _Bool negative = value.length > 0 && *value.text == '-';
    int64_t number = 0;
    if (value.length == (size_t)negative)
        return otherwise;
    for (size_t i = negative; i < value.length; i++) {
        const char c = value.text[i];
        if (c < '0' || c > '9' || number > (INT64_MAX - 9) / 10)
            return otherwise;
        number = number * 10 + (c - '0');
    }
    return negative ? -number : number;
}
