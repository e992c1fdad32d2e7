/* Account subject: the account in a subject and in a body, and keys that are an account's own. */
#include "base/result.h"
#include "runtime/request/account_subject.h"
#include "schemas/order.place.h"
#include <criterion/criterion.h>
#include <string.h>

#define ANNA "acc_00000000-0000-0000-0000-00000000000a"
#define BERT "acc_00000000-0000-0000-0000-00000000000b"
#define LINES "\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]"
#define KEY_MAX (512 - sizeof("request." ANNA "/") + 1)

static struct item *item;
static struct account_request *of;
static struct invalid invalid;

static void begin(void)
{
    item = item_new(ITEM_COMMAND);
    cr_assert_eq(account_request_make(&order_place_schema, &item->arena, &of), 0);
}
static void end(void)
{
    item_free(item);
}

static int take_from(const char *subject)
{
    memset(&invalid, 0, sizeof(invalid));
    return account_take(of, subject, item, &invalid);
}

static int decode(const char *body, struct order_place **ret_place)
{
    void *request = NULL;
    int r = schema_decode(&of->schema, body, strlen(body), &item->arena, &request, &invalid);
    *ret_place = request;
    return r == 0 ? account_fill_in(of, item, request, &invalid) : r;
}

TestSuite(account_subject, .init = begin, .fini = end);

Test(account_subject, only_an_account_is_taken_from_a_subject)
{
    static const char *const wrong[] = {
        "order.place.",          "order.place.acc_",     "order.place.acc_x",     "order.place.*",
        "order.place." ANNA "a", "order.place.\xff\xfe", "order.place.ord_" ANNA,
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        cr_expect_eq(take_from(wrong[i]), REFUSED_INVALID_REQUEST, "%s", wrong[i]);
        cr_expect_str_eq(invalid.message, "the subject: its last part is no account_id");
    }
    cr_assert_eq(take_from("order.place." ANNA), 0);
    cr_assert_str_eq(item->account, ANNA);
}

Test(account_subject, the_body_may_leave_the_account_out_and_name_no_other)
{
    struct order_place *place;
    cr_assert_eq(take_from("order.place." ANNA), 0);
    cr_assert_eq(decode("{" LINES "}", &place), 0);
    cr_expect_str_eq(place->account_id, ANNA);
    cr_assert_eq(decode("{\"account_id\":\"" ANNA "\"," LINES "}", &place), 0);
    cr_expect_eq(decode("{\"account_id\":\"" BERT "\"," LINES "}", &place), REFUSED_NOT_FOUND);
    cr_expect_str_eq(invalid.message, "account_id: no such account");
    cr_expect_eq(decode("{\"account_id\":\"" ANNA "\"}", &place), REFUSED_INVALID_REQUEST);
    cr_expect_str_eq(invalid.field, "lines"); /* all else is needed as before */
    cr_expect_eq(decode("{\"account_id\":\"x\"," LINES "}", &place), REFUSED_INVALID_REQUEST);
    cr_expect_eq(decode("{\"account_id\":null," LINES "}", &place), REFUSED_INVALID_REQUEST);
}

Test(account_subject, the_schema_of_the_request_itself_stays)
{
    void *request = NULL;
    cr_assert_eq(schema_decode(&order_place_schema, "{" LINES "}", strlen("{" LINES "}"),
                               &item->arena, &request, &invalid),
                 REFUSED_INVALID_REQUEST);
    cr_assert_str_eq(invalid.field, "account_id");
}

Test(account_subject, keys_of_accounts_and_plain_ones_never_meet)
{
    cr_assert_eq(account_take_key(item, "k", &invalid), 0);
    cr_expect_str_eq(item->key, "k");
    cr_expect_str_eq(item->origin.cause, "request/k");
    cr_expect_str_eq(item->origin.causation, "k");
    struct item *annas = item_new(ITEM_COMMAND);
    annas->account = ANNA;
    cr_assert_eq(account_take_key(annas, "k", &invalid), 0);
    cr_expect_str_eq(annas->key, ANNA "\nk");
    cr_expect_str_eq(annas->origin.cause, "request." ANNA "/k");
    cr_expect_str_eq(annas->origin.causation, "k");
    item_free(annas);
}

Test(account_subject, a_key_is_as_long_as_a_cause_has_room)
{
    char key[KEY_MAX + 2];
    memset(key, 'k', sizeof(key));
    key[KEY_MAX + 1] = '\0';
    item->account = ANNA;
    cr_assert_eq(account_take_key(item, key, &invalid), REFUSED_INVALID_REQUEST);
    cr_expect_str_eq(invalid.field, "Idempotency-Key");
    cr_expect_str_eq(invalid.message,
                     "the header must have at most 463 bytes on the subject of an account");
    struct item *second = item_new(ITEM_COMMAND);
    second->account = ANNA;
    key[KEY_MAX] = '\0';
    cr_assert_eq(account_take_key(second, key, &invalid), 0);
    cr_expect_eq(strlen(second->origin.cause), 512);
    item_free(second);
}
