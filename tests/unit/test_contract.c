/* Contracts: every example of every schema, and every way in which a request can be invalid. */
#include "contract/scan.h"
#include "schemas/psp.charge.reply.h"
#include "schemas/contracts_examples.h"
#include "base/refusal.h"
#include "schemas/account.change-profile.h"
#include "schemas/account.close.h"
#include "schemas/evt.account.AccountClosed.h"
#include "schemas/evt.order.ProductAdded.h"
#include "schemas/order.place.h"
#include "contract/values.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static int decode(const struct schema *schema, const char *text, size_t length, struct arena *arena,
                  void **value, struct invalid *invalid)
{
    *invalid = (struct invalid){ 0 };
    return schema_decode(schema, text, length, arena, value, invalid);
}

Test(contract, every_example_is_valid_and_encodes_to_itself)
{
    for (size_t i = 0; i < sizeof(contract_examples) / sizeof(*contract_examples); i++) {
        const struct schema *schema = contract_examples[i].schema;
        const char *text = contract_examples[i].text;
        _deinit_(arena) struct arena arena = { 0 };
        _deinit_(buf) struct buf out = { 0 };
        struct invalid invalid;
        void *value;
        cr_assert(decode(schema, text, strlen(text), &arena, &value, &invalid) == 0, "%s: %s %s",
                  schema->name, invalid.field, invalid.message);
        cr_assert(schema_encode(schema, value, &out) == 0);
        cr_assert_str_eq(out.data, text, "%s", schema->name);
    }
}

#define STOCK "\"sku\":\"tea\",\"price\":{\"amount\":1,\"currency\":\"EUR\"},\"stock\":"

/* A plain message is decoded without jansson, to the value that jansson gives. No invalid message
 * is plain. */
Test(contract, the_scan_decodes_plain_messages_and_leaves_the_rest)
{
    static const struct {
        const char *text;
        _Bool is_plain;
    } cases[] = {
        { "{\"name\":\"o\"," STOCK "1}", 1 },
        { " { \"stock\" : 123 ,\r\n\t\"sku\":\"tea\", "
          "\"name\":\"o\",\"price\":{\"currency\":\"EUR\", \"amount\":1} } ",
          1 },
        { "{\"name\":\"\xc3\xa9\"," STOCK "1,\"new\":{\"a\":[1,true,\"x\",{}]},\"newer\":false}",
          1 },
        { "{\"name\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t.\"," STOCK "1}", 0 },
        { "{\"name\":\"\\\"a\\\\\\/\"," STOCK "1}", 1 },
        { "{\"name\":\"a\\x\"," STOCK "1}", 0 },
        { "{\"name\":\"a\\", 0 },
        { "{\"name\":\"o\"," STOCK "1,\"new\":1.5}", 0 },
        { "{\"name\":\"o\"," STOCK "1,\"new\":1,\"new\":2}", 0 },
        { "{\"name\":\"o\"," STOCK "1,\"stock\":1}", 0 },
        { "{\"name\":\"\\u006f\"," STOCK "1}", 0 },
        { "{\"name\":\"\xc0\xaf\"," STOCK "1}", 0 },
        { "{\"name\":\"a\tb\"," STOCK "1}", 0 },
        { "{\"name\":\"o\"," STOCK "1e0}", 0 },
        { "{\"name\":\"o\"," STOCK "01}", 0 },
        { "{\"name\":\"o\"," STOCK "-0}", 0 },
        { "{\"name\":\"o\"," STOCK "9223372036854775808}", 0 },
        { "{\"name\":\"o\"," STOCK "1}x", 0 },
        { "{\"name\":\"o\"," STOCK "1", 0 },
        { "{\"name\":\"o\"," STOCK "1,}", 0 },
        { "{\"name\":\"o\",\"sku\":\"tea\",\"price\":{\"amount\":1,\"currency\":\"EUR\"}}", 0 },
        { "{\"name\":\"o", 0 },
        { "", 0 },
        { "[", 0 },
        { "{", 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        _deinit_(arena) struct arena arena = { 0 };
        _deinit_(buf) struct buf scanned = { 0 }, read = { 0 };
        const struct schema *schema = &product_added_schema;
        const char *text = cases[i].text;
        struct invalid invalid;
        void *value = NULL, *tree = NULL;
        cr_assert_eq(scan_read(schema, text, strlen(text), 0, &arena, &value),
                     cases[i].is_plain ? 0 : NOT_PLAIN, "%s", text);
        if (!cases[i].is_plain)
            continue;
        cr_assert(schema_decode_tree(schema, text, strlen(text), &arena, &tree, &invalid) == 0,
                  "%s", text);
        cr_assert(schema_encode(schema, value, &scanned) == 0 &&
                  schema_encode(schema, tree, &read) == 0);
        cr_assert_str_eq(scanned.data, read.data);
    }
    for (size_t i = 0; i < sizeof(contract_examples) / sizeof(*contract_examples); i++) {
        _deinit_(arena) struct arena arena = { 0 };
        const char *text = contract_examples[i].text;
        void *value = NULL;
        cr_expect(scan_read(contract_examples[i].schema, text, strlen(text), 0, &arena, &value) ==
                      0,
                  "not plain: %s", text);
    }
}

#define ACC "acc_019abc12-3456-7def-8123-456789abcdef"
#define PLACE(lines) "{\"account_id\":\"" ACC "\",\"lines\":" lines "}"

Test(contract, the_invalid_field_is_named)
{
    static const struct {
        const char *text, *field, *message;
    } cases[] = {
        { "", "", "not valid JSON" },
        { "nonsense", "", "not valid JSON" },
        { "[]", "", "must be an object" },
        { "{}", "account_id", "is required" },
        { "{\"account_id\":\"" ACC "\",\"account_id\":\"" ACC "\",\"lines\":[]}", "account_id",
          "appears twice" },
        { PLACE("[]"), "lines", "at least 1 elements" },
        { PLACE("\"x\""), "lines", "must be an array" },
        { PLACE("[{\"sku\":\"tea\"}]"), "lines[0].quantity", "is required" },
        { PLACE("[{\"sku\":\"tea\",\"quantity\":1},{\"sku\":\"tea\",\"quantity\":0}]"),
          "lines[1].quantity", "at least 1" },
        { PLACE("[{\"sku\":\"tea\",\"quantity\":-3}]"), "lines[0].quantity", "at least 1" },
        { PLACE("[{\"sku\":\"tea\",\"quantity\":1000001}]"), "lines[0].quantity",
          "at most 1000000" },
        { PLACE("[{\"sku\":\"tea\",\"quantity\":1.5}]"), "lines[0].quantity",
          "must be an integer" },
        { PLACE("[{\"sku\":\"tea\",\"quantity\":\"1\"}]"), "lines[0].quantity",
          "must be an integer" },
        { PLACE("[{\"sku\":\"tea\",\"quantity\":99999999999999999999999}]"), "",
          "a number that is too large" },
        { PLACE("[{\"sku\":\"tea\",\"quantity\":1e300}]"), "lines[0].quantity", "at most 1000000" },
        { PLACE("[{\"sku\":\"'; DROP TABLE orders;--\",\"quantity\":1}]"), "lines[0].sku",
          "must match" },
        { PLACE("[{\"sku\":\"tea\",\"quantity\":1,\"price\":0}]"), "lines[0].price",
          "is not a field" },
        { PLACE("[{\"sku\":\"tea\",\"quantity\":1,\"\\u001b[2J\":0}]"),
          "lines[0].(a name with unusual characters)", "is not a field" },
        { PLACE("[{\"sku\":\"te\xff\",\"quantity\":1}]"), "", "not valid UTF-8" },
        { PLACE("[{\"sku\":\"te\\u0000a\",\"quantity\":1}]"), "", "a NUL character" },
        { "{\"account_id\":\"acc_\\r\\nPUB evil\",\"lines\":[]}", "account_id", "must match" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        _deinit_(arena) struct arena arena = { 0 };
        struct invalid invalid;
        void *value = NULL;
        cr_assert_eq(decode(&order_place_schema, cases[i].text, strlen(cases[i].text), &arena,
                            &value, &invalid),
                     REFUSED_INVALID_REQUEST, "%s", cases[i].text);
        cr_assert_str_eq(invalid.field, cases[i].field, "%s: field %s", cases[i].text,
                         invalid.field);
        cr_assert(strstr(invalid.message, cases[i].message), "%s: %s", cases[i].text,
                  invalid.message);
        cr_assert_null(value);
    }
}

Test(contract, deep_nesting_is_refused)
{
    char text[5000];
    for (int i = 0; i < 2500; i++) {
        text[i] = '[';
        text[2500 + i] = ']';
    }
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *value;
    cr_assert_eq(decode(&order_place_schema, text, sizeof(text), &arena, &value, &invalid),
                 REFUSED_INVALID_REQUEST);
    cr_assert_str_eq(invalid.message, "the body is nested too deep (line 1, column 2049)");
}

Test(contract, names_allow_any_letter_and_no_control_character)
{
    static const struct {
        const char *name;
        int r;
    } cases[] = {
        { "Robert'); DROP TABLE accounts;--", 0 }, { "Björn Çelik 李", 0 },
        { "", REFUSED_INVALID_REQUEST },           { "a\\u000db", REFUSED_INVALID_REQUEST },
        { "a\\nb", REFUSED_INVALID_REQUEST },      { "\\u007f", REFUSED_INVALID_REQUEST },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[200];
        snprintf(text, sizeof(text), "{\"account_id\":\"" ACC "\",\"name\":\"%s\"}", cases[i].name);
        _deinit_(arena) struct arena arena = { 0 };
        struct invalid invalid;
        void *value;
        cr_assert_eq(
            decode(&account_change_profile_schema, text, strlen(text), &arena, &value, &invalid),
            cases[i].r, "%s", text);
    }
}

Test(contract, lengths_count_code_points)
{
    char text[2000] = "{\"account_id\":\"" ACC "\",\"name\":\"";
    for (int i = 0; i < 200; i++)
        strcat(text, "ö");
    strcat(text, "\"}");
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *value;
    cr_assert_eq(
        decode(&account_change_profile_schema, text, strlen(text), &arena, &value, &invalid), 0,
        "%s", invalid.message);
    text[strlen(text) - 2] = '\0';
    strcat(text, "x\"}");
    cr_assert_eq(
        decode(&account_change_profile_schema, text, strlen(text), &arena, &value, &invalid),
        REFUSED_INVALID_REQUEST);
}

Test(contract, events_may_have_unknown_fields_and_requests_may_not)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *value;
    const char *event = "{\"account_id\":\"" ACC "\",\"from_the_future\":{\"x\":[1]}}";
    cr_assert_eq(decode(&account_closed_schema, event, strlen(event), &arena, &value, &invalid), 0);
    cr_assert_eq(decode(&account_close_schema, event, strlen(event), &arena, &value, &invalid),
                 REFUSED_INVALID_REQUEST);
}

Test(contract, an_integer_may_be_written_as_1_0)
{
    const char *text = PLACE("[{\"sku\":\"tea\",\"quantity\":3.0}]");
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *value;
    cr_assert_eq(decode(&order_place_schema, text, strlen(text), &arena, &value, &invalid), 0);
    cr_assert_eq(((struct order_place *)value)->lines[0].quantity, 3);
}

/* order.place has room for itself, account_id, lines, and 100 lines of three values each; 256 are
 * for what it does not know. */
Test(contract, a_body_with_more_values_than_its_schema_has_room_for_is_counted_and_not_read)
{
    static const char text[] = "{\"a\":\"{[,\\\",\",\"b\":[1,2,{}]}";
    static char many[60000];
    cr_assert_eq(schema_values_max(&order_place_schema), 1 + 1 + 1 + 100 * 3 + 256);
    cr_expect_eq(values_count(text, strlen(text), 100), 7);
    cr_expect_eq(values_count(text, strlen(text), 3), 4, "it stops behind the bound");
    cr_expect_eq(values_count("\"", 1, 9), 1);
    cr_expect_eq(values_count("\"\\", 2, 9), 1);
    memset(many, '{', sizeof(many));
    cr_expect_eq(values_count(many, sizeof(many), 559), 560);
}

/* ---- Answers of somebody outside ------------------------------------------------------------- */

/* Optional fields never cost the status; what is needed is held to the contract. */
Test(contract, F17_an_optional_field_of_an_answer_never_costs_its_status)
{
    static const struct {
        const char *text, *status, *reason; /* status NULL: refused */
    } rows[] = {
        { "{\"status\":\"paid\"}", "paid", NULL },
        { "{\"status\":\"paid\",\"reason\":null}", "paid", NULL },
        { "{\"status\":\"paid\",\"reason\":7,\"decline\":\"what\"}", "paid", NULL },
        { "{\"reason\":{\"a\":[1]},\"status\":\"declined\"}", "declined", NULL },
        { "{\"status\":\"declined\",\"reason\":\"\"}", "declined", NULL },
        { "{\"status\":\"declined\",\"reason\":\"a\\u0000b\"}", "declined", NULL },
        { "{\"status\":\"declined\",\"reason\":\"no money\"}", "declined", "no money" },
        { "{\"status\":\"paid\",\"id\":123456789012345678901234567890}", "paid", NULL },
        { "{\"status\":\"paid\",\"more\":{\"a\":[null,1.5]}}", "paid", NULL },
        { "{\"status\":null}", NULL, NULL },
        { "{\"status\":\"perhaps\"}", NULL, NULL },
        { "{\"status\":\"paid\",\"status\":\"declined\"}", NULL, NULL },
        { "{\"reason\":\"paid\"}", NULL, NULL },
        { "[]", NULL, NULL },
        { "paid", NULL, NULL },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena arena;
        struct invalid invalid;
        void *value = NULL;
        arena_init(&arena);
        int r = schema_decode_answer(&psp_charge_reply_schema, rows[i].text, strlen(rows[i].text),
                                     &arena, &value, &invalid);
        cr_expect_eq(r == 0, rows[i].status != NULL, "%s", rows[i].text);
        const struct psp_charge_reply *reply = value;
        if (r == 0) {
            cr_expect_str_eq(reply->status, rows[i].status, "%s", rows[i].text);
            cr_expect_eq(!reply->reason, !rows[i].reason, "%s", rows[i].text);
            cr_expect_eq(reply->decline, NULL, "%s", rows[i].text);
        }
        arena_deinit(&arena);
    }
}

Test(contract, F17_a_reason_of_300_characters_is_left_out)
{
    struct arena arena;
    struct invalid invalid;
    char text[400];
    void *value = NULL;
    arena_init(&arena);
    snprintf(text, sizeof(text), "{\"status\":\"paid\",\"reason\":\"%0300d\"}", 0);
    cr_assert_eq(schema_decode_answer(&psp_charge_reply_schema, text, strlen(text), &arena, &value,
                                      &invalid),
                 0);
    cr_assert_str_eq(((const struct psp_charge_reply *)value)->status, "paid");
    cr_assert_null(((const struct psp_charge_reply *)value)->reason);
    arena_deinit(&arena);
}
