/* Text: UTF-8, what of it is printable, and what may become part of an event. */
#include <criterion/criterion.h>
#include <string.h>
#include "base/utf8.h"
#include "runtime/core/event_text.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

Test(utf8, code_points_are_counted)
{
    cr_assert(utf8_count("", 0) == 0 && utf8_count("abc", 3) == 3 && utf8_count("Köln", 5) == 4);
    cr_assert(utf8_count("\xf0\x9f\x8d\xb5x", 5) == 2);
}

Test(utf8, printable_is_what_has_a_shape_or_is_a_space)
{
    static const char *const printable[] = {
        "",        "plain ~",    "K\u00f6ln \u20ac", "\u674e",       "\u00a0\u3000",
        "e\u0301", "\U0001f600", "\u2764\ufe0f",     "\u0645\u062d",
    };
    static const char *const hidden[] = {
        "\x01",       "\t",         "\n",     "\x7f",   "\xc2\x80",     "\xc2\x9b",   "\xc2\x9f",
        "\u00ad",     "\u061c",     "\u180e", "\u200b", "\u200d",       "\u200e",     "\u2028",
        "\u2029",     "\u202a",     "\u202e", "\u2060", "\u2066",       "\u2069",     "\ufeff",
        "\ufff9",     "\ue000",     "\uffff", "\u0378", "\u3164",       "\U000e0041", "\U000f0000",
        "\U0010ffff", "\U00050000", "\xc3",   "\xff",   "\xed\xa0\x80",
    };
    for (size_t i = 0; i < sizeof(printable) / sizeof(*printable); i++)
        cr_expect(utf8_is_printable(printable[i], strlen(printable[i])), "case %zu", i);
    for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
        cr_expect(!utf8_is_printable(hidden[i], strlen(hidden[i])), "case %zu", i);
}

Test(utf8, text_is_shown_without_what_is_not_printable)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        { "plain", "plain" },
        { "\x1b[2J", "\ufffd[2J" },
        { "a\u202eb", "a\ufffd\ufffd\ufffdb" },
        { "0123456789012345", "0123456789012345" },
        { "01234567890123456", "0123456789012345\u2026" },
        { "012345678901234\u20ac", "012345678901234\u2026" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[20];
        utf8_show(cases[i].text, out, sizeof(out));
        cr_expect_str_eq(out, cases[i].shown, "case %zu: %s", i, out);
    }
}

Test(event_text, a_traceparent_is_as_w3c_has_it)
{
#define IDS "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
    static const struct {
        const char *text;
        _Bool valid;
    } cases[] = {
        { "00-" IDS "-01", 1 },
        { "00-" IDS "-00", 1 },
        { "01-" IDS "-01", 1 },
        { "01-" IDS "-01-more", 1 },
        { "00-" IDS "-01-more", 0 },
        { "01-" IDS "-01more", 0 },
        { "ff-" IDS "-01", 0 },
        { "00-" IDS "-0", 0 },
        { "00-" IDS, 0 },
        { "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", 0 },
        { "00-00000000000000000000000000000000-b7ad6b7169203331-01", 0 },
        { "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", 0 },
        { "00", 0 },
        { "", 0 },
        { "hello", 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect_eq(traceparent_is_valid(cases[i].text), cases[i].valid, "case %zu", i);
}
