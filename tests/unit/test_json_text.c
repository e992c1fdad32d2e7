/* Json text: the members of a text as they stand there; and texts that are none. */
#include "base/json_text.h"
#include <criterion/criterion.h>
#include <string.h>

static struct json_text text_of(const char *text)
{
    return json_text_of(text, strlen(text));
}

static _Bool is(struct json_text value, const char *text)
{
    return text ? json_text_is(value, text) : value.text == NULL;
}

Test(json_text, a_text_is_one_value_without_the_blanks_around_it)
{
    static const struct {
        const char *text, *value;
    } cases[] = {
        // clang-format off: a table
        { " {\"a\": [1, {\"b\":\"}\"}]} \n", "{\"a\": [1, {\"b\":\"}\"}]}" },
        { "[]", "[]" }, { "{}", "{}" }, { "-1.5e3", "-1.5e3" }, { "\"\\\"\"", "\"\\\"\"" },
        { "[[],{}]", "[[],{}]" },
        { "", NULL }, { "{", NULL }, { "[1,]", NULL }, { "{\"a\"}", NULL }, { "{\"a\":}", NULL },
        { "{\"a\":1,}", NULL }, { "{a:1}", NULL }, { "\"", NULL }, { "\"\\", NULL },
        { "1 2", NULL },
        { "[1}", NULL }, { "{]", NULL }, { "[1 2]", NULL }, { ",", NULL }, { "{,}", NULL },
        // clang-format on
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        cr_expect(is(text_of(cases[i].text), cases[i].value), "%s", cases[i].text);
    char deep[2 * JSON_DEPTH_MAX + 3];
    memset(deep, '[', sizeof(deep));
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    cr_expect_eq(json_text_of(deep, (size_t)2 * JSON_DEPTH_MAX).length, 2 * JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, '[', 1);
    memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    cr_expect_null(json_text_of(deep, (size_t)2 * JSON_DEPTH_MAX + 2).text, "too deep");
}

Test(json_text, members_come_in_order_with_key_and_value)
{
    struct json_members members;
    struct json_text key, value;
    json_text_members_begin(&members, text_of("{\"a\" : 1 , \"b\":{\"c\":[true]},\"d\":\"x,}\"}"));
    cr_assert(json_text_members_next(&members, &key, &value) && json_text_is(key, "a") &&
              json_text_is(value, "1"));
    cr_assert(json_text_members_next(&members, &key, &value) &&
              json_text_is(value, "{\"c\":[true]}"));
    cr_assert(json_text_members_next(&members, &key, &value) && json_text_is(value, "\"x,}\""));
    cr_assert_not(json_text_members_next(&members, &key, &value));
    json_text_members_begin(&members, text_of("[1, \"two\"]"));
    cr_assert(json_text_members_next(&members, &key, &value) && !key.text &&
              json_text_is(value, "1"));
    cr_assert(json_text_members_next(&members, &key, &value) && json_text_is(value, "\"two\""));
    cr_assert_not(json_text_members_next(&members, &key, &value));
    json_text_members_begin(&members, text_of("{}"));
    cr_assert_not(json_text_members_next(&members, &key, &value));
    json_text_members_begin(&members, text_of("7"));
    cr_assert_not(json_text_members_next(&members, &key, &value));
}

Test(json_text, a_member_is_found_and_read)
{
    const struct json_text object =
        text_of("{\"n\":-12,\"t\":\"x\",\"f\":false,\"big\":99999999999999999999}");
    cr_expect_eq(json_text_number(json_text_find(object, "n"), 7), -12);
    cr_expect_eq(json_text_number(json_text_find(object, "t"), 7), 7);
    cr_expect_eq(json_text_number(json_text_find(object, "big"), 7), 7);
    cr_expect_eq(json_text_number(json_text_find(object, "no"), 7), 7);
    cr_expect(json_text_is_empty(json_text_find(object, "f")) &&
              json_text_is_empty(json_text_find(object, "no")));
    cr_expect_not(json_text_is_empty(json_text_find(object, "t")));
}
