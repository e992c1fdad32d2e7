/* What customers may ask for, on the subjects of their accounts: their own, and nothing of others;
 * and whose idempotency keys are whose. */
#include "service.h"
#include "shop.h"
#include <criterion/criterion.h>

#define RUN_ALL(stories) \
    stories_run(&order_service, stories, sizeof(stories) / sizeof(stories[0]), order_folds)

#define NOBODY "acc_00000000-0000-0000-0000-00000000000c"
#define NO_ORDER "'order_id':'ord_00000000-0000-0000-0000-000000000001'"
#define THE_ORDER "'order_id':'$order'"
#define OF(account) ",'account_id':'" account "'"
#define TEAS(more) "{" more "'lines':[{'sku':'tea','quantity':2}]}"
#define BERTS(name)                                                                                \
    THEN_EVENT("OrderPlaced",                                                                      \
               "{'order_id':'$" name "','account_id':'" BERT "','lines':["                         \
               "{'sku':'tea','name':'Tea','quantity':2,'unit_price':{'amount':500,'currency':'E"   \
               "UR'}}],'total':{'amount':1000,'currency':'EUR'},'card_id':'" CARD_2                \
               "','ship_to':{'name':'Anna','address':" HOME "},'pay_until':'*'}"),                 \
        THEN_CALL("psp.charge", "{'key':'$" name "/1','order_id':'$" name                          \
                                "','card_token':'tok_b','amount':{'amount':1000,'currency':'EUR'}" \
                                "}")
#define BERT_WITH_A_CARD                                                                        \
    REGISTERED(BERT),                                                                           \
        GIVEN("ACCOUNT CardAdded", BERT,                                                        \
              "{'account_id':'" BERT "','card_id':'" CARD_2 "','card_token':'tok_b','brand':'V" \
              "isa','last4':'4242','expires':'2030-12'}")
#define BOTH OPTION("payment", "nats"), ANNA_WITH("tok_ok"), BERT_WITH_A_CARD
#define ANNA_PLACES                              \
    WHEN("order.place." ANNA, TEAS("")), PLACED, \
        THEN_REPLY("{'order_id':'$order','status':'placed','position':2}"), CHARGE("1", "tok_ok")
#define NOT_FOUND_THERE THEN_REFUSED("not_found", "order_id: no such order")

Test(customers, an_account_places_and_sees_its_own)
{
    const struct story stories[] = {
        STORY(
            "without its name in the body, or with it", BOTH, ANNA_PLACES,
            WHEN("order.list." ANNA, "{}"),
            THEN_REPLY("{'orders':[{'order_id':'$order','status':'placed','total':{'amount':1000,'"
                       "currency':'EUR'},'placed_at':'*'}]}"),
            WHEN("order.list." BERT, "{'account_id':'" BERT "'}"), THEN_REPLY("{'orders':[]}"),
            WHEN("order.place." BERT, TEAS("'account_id':'" BERT "',")), BERTS("other"),
            STOCK("6/4/0")),
        STORY("its order, and cancels it", BOTH, ANNA_PLACES,
              WHEN("order.get." ANNA, "{" THE_ORDER "}"),
              THEN_REPLY(
                  "{'order_id':'$order','account_id':'" ANNA "','status':'placed','lines':[{'sku':'"
                  "tea','name':'Tea','quantity':2,'unit_price':{'amount':500,'currency':'EUR'}}],'"
                  "total':{'amount':1000,'currency':'EUR'},'ship_to':{'name':'Anna','address':" HOME
                  "},'placed_at':'*','pay_until':'$until','history':[{'what':'OrderPlaced','at':'*'"
                  ",'position':2}]}"),
              WHEN("order.cancel." ANNA, "{" THE_ORDER "}"), CANCELLED("requested"),
              THEN_REPLY("{'order_id':'$order','status':'cancelled','position':3}"), VOID("1")),
        STORY("an account that is not known here", WHEN("order.place." NOBODY, TEAS("")),
              THEN_REFUSED("unknown_account", "account_id"), WHEN("order.list." NOBODY, "{}"),
              THEN_REFUSED("unknown_account", "account_id")),
        STORY("what is no account", WHEN("order.place.nobody", TEAS("")),
              THEN_REFUSED("invalid_request", "the subject"), WHEN("order.place.*", TEAS("")),
              THEN_REFUSED("invalid_request", "the subject")),
    };
    RUN_ALL(stories);
}

Test(customers, what_is_anothers_is_as_if_it_were_not_there)
{
    const struct story stories[] = {
        STORY("an order of somebody else, and one that there is not", BOTH, ANNA_PLACES,
              WHEN("order.get." BERT, "{" THE_ORDER "}"), NOT_FOUND_THERE,
              WHEN("order.get." BERT, "{" NO_ORDER "}"), NOT_FOUND_THERE,
              WHEN("order.cancel." BERT, "{" THE_ORDER "}"), NOT_FOUND_THERE,
              WHEN("order.cancel." BERT, "{" NO_ORDER "}"), NOT_FOUND_THERE, STOCK("8/2/0")),
        STORY("a body that names somebody else, known or not", BOTH, ANNA_PLACES,
              WHEN("order.place." BERT, TEAS("'account_id':'" ANNA "',")),
              THEN_REFUSED("not_found", "account_id: no such account"),
              WHEN("order.place." BERT, TEAS("'account_id':'" NOBODY "',")),
              THEN_REFUSED("not_found", "account_id: no such account"),
              WHEN("order.list." BERT, "{'account_id':'" ANNA "'}"),
              THEN_REFUSED("not_found", "account_id: no such account"),
              WHEN("order.get." BERT, "{" THE_ORDER OF(ANNA) "}"),
              THEN_REFUSED("not_found", "account_id: no such account"),
              WHEN("order.cancel." BERT, "{" THE_ORDER OF(ANNA) "}"),
              THEN_REFUSED("not_found", "account_id: no such account"), STOCK("8/2/0")),
        STORY("on the plain subject with the account as a check", BOTH, ANNA_PLACES,
              WHEN("order.get", "{" THE_ORDER OF(BERT) "}"), NOT_FOUND_THERE,
              WHEN("order.cancel", "{" THE_ORDER OF(BERT) "}"), NOT_FOUND_THERE,
              WHEN("order.cancel", "{" THE_ORDER OF(ANNA) "}"), CANCELLED("requested"), VOID("1")),
    };
    RUN_ALL(stories);
}

#define PLACES(account, key) WHEN_KEY("order.place." account, TEAS(""), key)
#define ANNAS_ANSWER THEN_REPLY("{'order_id':'$order','status':'placed','position':2}")
#define SCOPED(account, key) "request." account "/" key

Test(customers, keys_are_those_of_the_account)
{
    const struct story stories[] = {
        STORY("one key of two accounts and of the shop is three", BOTH, PLACES(ANNA, "k"), PLACED,
              CHARGE("1", "tok_ok"), PLACES(BERT, "k"), BERTS("b"),
              WHEN_KEY("order.place", TEAS("'account_id':'" BERT "',"), "k"), BERTS("c"),
              PLACES(ANNA, "k"), ANNAS_ANSWER, STOCK("4/6/0"),
              THEN_ROW("SELECT group_concat(cause, ' ') FROM (SELECT cause FROM event_log WHERE"
                       " cause IS NOT NULL ORDER BY position)",
                       SCOPED(ANNA, "k") " " SCOPED(BERT, "k") " request/k")),
        STORY("a key of the shop that looks like one of an account", BOTH, PLACES(ANNA, "k"),
              PLACED, CHARGE("1", "tok_ok"),
              WHEN_KEY("order.cancel", "{" THE_ORDER "}", "." ANNA "/k"), CANCELLED("requested"),
              VOID("1"), PLACES(ANNA, "k"), ANNAS_ANSWER,
              WHEN_KEY("order.cancel", "{" THE_ORDER "}", SCOPED(ANNA, "k")),
              THEN_REFUSED("wrong_state", "order_id")),
        STORY("a key of one account that looks like one of another", BOTH, PLACES(ANNA, "k"),
              PLACED, CHARGE("1", "tok_ok"), PLACES(BERT, "/k"), BERTS("b"),
              PLACES(BERT, "../" ANNA "/k"), BERTS("c"), PLACES(ANNA, "k"), ANNAS_ANSWER),
        STORY("refusals, too, are those of the account", BOTH,
              WHEN_KEY("order.place." ANNA, "{'lines':[{'sku':'tea','quantity':11}]}", "k"),
              THEN_REFUSED("out_of_stock", "lines[0]"), PLACES(BERT, "k"), BERTS("b"),
              WHEN_KEY("order.place." ANNA, "{'lines':[{'sku':'tea','quantity':11}]}", "k"),
              THEN_REFUSED("out_of_stock", "lines[0]: tea: 11 wanted, 10 left"), PLACES(ANNA, "k"),
              THEN_REFUSED("conflict", "")),
        STORY(
            "the same key, with another order or with the account spelt out", BOTH,
            PLACES(ANNA, "k"), PLACED, CHARGE("1", "tok_ok"),
            WHEN_KEY("order.place." ANNA, TEAS("'account_id':'" ANNA "',"), "k"),
            THEN_REFUSED("conflict", ""), WHEN_KEY("order.list." ANNA, "{}", "k"),
            THEN_REPLY("{'orders':[{'order_id':'$order','status':'placed','total':{'amount':1000,'"
                       "currency':'EUR'},'placed_at':'*'}]}")),
    };
    RUN_ALL(stories);
}
