/* Number: which numbers are integers is said by their text, not by the double that is next to it.
 * And of a request: which texts are printable. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "base/refusal.h"
#include "contract/number.h"
#include "schemas/account.register.h"
#include "schemas/evt.account.AccountRegistered.h"
#include "schemas/order.place.h"

#define ACC "acc_019abc12-3456-7def-8123-456789abcdef"
#define COUNT(table) (sizeof(table) / sizeof(*(table)))

Test(number, numbers_are_written_so_that_a_double_cannot_change_them)
{
    static const struct {
        const char *text, *written;
    } cases[] = {
        { "1", "1" },
        { "-0", "-0" },
        { "1.0", "1" },
        { "1e0", "1" },
        { "-1.50e1", "-15" },
        { "100e-2", "1" },
        { "0.0", "0" },
        { "-0.0", "0" },
        { "0e400", "0" },
        { "1.5", "1.5" },
        { "0.99999999999999999999", "1.5" },
        { "-0.99999999999999999999", "-0.5" },
        { "1.00000000000000000001", "1.5" },
        { "1e-400", "0.5" },
        { "9007199254740992.5", "4000000000000000.5" },
        { "9007199254740993.0", "9007199254740993" },
        { "123456789012345678e0", "123456789012345678" },
        { "1e18", "1e18" },
        { "1e300", "1e300" },
        { "[1.0,\"1.0\",{\"a\\\"1.0\":2.0}]", "[1,\"1.0\",{\"a\\\"1.0\":2}]" },
        { "[1.,2.0]", "[1.,2]" },
        { "01.0", "01.0" },
        { "1.0e", "1.0e" },
        { "\"1.0", "\"1.0" },
        { "-", "-" },
        { "", "" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        _deinit_(arena) struct arena arena = { 0 };
        const char *out;
        size_t length;
        cr_assert_eq(
            numbers_write_exactly(cases[i].text, strlen(cases[i].text), &arena, &out, &length), 0);
        cr_expect(length == strlen(cases[i].written) && memcmp(out, cases[i].written, length) == 0,
                  "%s: %.*s", cases[i].text, (int)length, out);
    }
}

Test(number, a_quantity_is_an_integer_when_it_is_written_as_one)
{
    static const struct {
        const char *quantity;
        int64_t value; /* 0: refused */
    } cases[] = {
        { "1", 1 },
        { "1.0", 1 },
        { "1e0", 1 },
        { "1E+2", 100 },
        { "250e-1", 25 },
        { "0.99999999999999999999", 0 },
        { "1.00000000000000000001", 0 },
        { "1.5", 0 },
        { "1e-400", 0 },
        { "9007199254740993", 0 },
        { "1e6", 1000000 },
        { "1000000.00000000000000000001", 0 },
        { "1e400", 0 },
        { "99999999999999999999", 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[300];
        void *value = NULL;
        struct invalid invalid;
        _deinit_(arena) struct arena arena = { 0 };
        int length = snprintf(text, sizeof(text),
                              "{\"account_id\":\"" ACC "\",\"lines\":[{\"sku\":\"tea\","
                              "\"quantity\":%s}]}",
                              cases[i].quantity);
        int r = schema_decode_request(&order_place_schema, text, (size_t)length, &arena, &value,
                                      &invalid);
        cr_expect_eq(r, cases[i].value ? 0 : REFUSED_INVALID_REQUEST, "%s", text);
        if (r == 0)
            cr_expect_eq(((struct order_place *)value)->lines[0].quantity, cases[i].value, "%s",
                         text);
    }
}

Test(printable, new_text_must_be_and_old_text_is_read)
{
    static const char *const hidden[] = { "\\u009b", "\xc2\x9b", "\\u2028", "\u202e",    "\u2066",
                                          "\u200b",  "\ufeff",   "\ue000",  "\U000e0041" };
    static const char *const fine[] = { "Björn Çelik", "李", "\\u00e9", "😀", "佐藤\u3000花子" };
    for (size_t i = 0; i < COUNT(hidden) + COUNT(fine); i++) {
        const char *name = i < COUNT(hidden) ? hidden[i] : fine[i - COUNT(hidden)];
        char text[400];
        void *value = NULL;
        struct invalid invalid = { 0 };
        _deinit_(arena) struct arena arena = { 0 };
        int length = snprintf(text, sizeof(text),
                              "{\"name\":\"A%s\",\"email\":\"a@b.c\",\"address\":{\"street\":"
                              "\"S\",\"city\":\"C\",\"postal_code\":\"1\",\"country\":\"DE\"}}",
                              name);
        int r = schema_decode_request(&account_register_schema, text, (size_t)length, &arena,
                                      &value, &invalid);
        cr_expect_eq(r, i < COUNT(hidden) ? REFUSED_INVALID_REQUEST : 0, "case %zu: %s", i, text);
        if (r > 0)
            cr_expect(strcmp(invalid.field, "name") == 0 && strstr(invalid.message, "printable"),
                      "case %zu: %s %s", i, invalid.field, invalid.message);
        cr_expect_eq(
            schema_decode(&account_register_schema, text, (size_t)length, &arena, &value, &invalid),
            0, "case %zu, not as a request: %s", i, text);
    }
}
