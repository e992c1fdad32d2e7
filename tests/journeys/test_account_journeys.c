/* The journeys of account-svc as tables: every request, each refusal, the reaction, the
 * projection. */
#include "harness.h"
#include "service.h"
#include <criterion/criterion.h>

#define ANNA "acc_00000000-0000-0000-0000-00000000000a"
#define BERT "acc_00000000-0000-0000-0000-00000000000b"
#define VISA "crd_00000000-0000-0000-0000-000000000001"
#define OTHER_CARD "crd_00000000-0000-0000-0000-000000000002"
#define ORDER_1 "ord_00000000-0000-0000-0000-000000000001"
#define ORDER_2 "ord_00000000-0000-0000-0000-000000000002"
#define HOME "{'street':'Main St 1','city':'Ulm','postal_code':'89073','country':'DE'}"

#define REGISTERED(id, email)                                    \
    GIVEN("ACCOUNT AccountRegistered", id,                       \
          "{'account_id':'" id "','name':'Anna','email':'" email \
          "','birthday':'1980-02-03','address':" HOME "}")
#define CARD_ADDED(card)                              \
    GIVEN("ACCOUNT CardAdded", ANNA,                  \
          "{'account_id':'" ANNA "','card_id':'" card \
          "','card_token':'tok_ok','brand':'Visa','last4':'4242','expires':'2030-12'}")
#define CLOSED GIVEN("ACCOUNT AccountClosed", ANNA, "{'account_id':'" ANNA "'}")
#define PLACED(order, amount, currency)                                   \
    GIVEN("ORDER OrderPlaced", order,                                     \
          "{'order_id':'" order "','account_id':'" ANNA                   \
          "','lines':[{'sku':'tea','name':'Tea','quantity':1,"            \
          "'unit_price':{'amount':" amount ",'currency':'" currency       \
          "'}}],'total':{'amount':" amount ",'currency':'" currency "'}," \
          "'card_id':'" VISA "','ship_to':{'name':'Anna','address':" HOME \
          "},'pay_until':'2026-11-21T00:00:00.000Z'}")
#define PAID(order, amount, currency)                                                         \
    GIVEN("ORDER OrderPaid", order,                                                           \
          "{'order_id':'" order "','account_id':'" ANNA "','card_id':'" VISA "','attempt':1," \
          "'amount':{'amount':" amount ",'currency':'" currency "'}}")
/* so much now, so much of the order's payment so far */
#define REFUNDED(order, amount, so_far)                                             \
    GIVEN("ORDER OrderRefunded", order,                                             \
          "{'order_id':'" order "','account_id':'" ANNA "','refund':1,'attempt':1," \
          "'amount':{'amount':" amount ",'currency':'EUR'},"                        \
          "'refunded':{'amount':" so_far ",'currency':'EUR'}}")
#define FAILED(order, card)                                                  \
    GIVEN("ORDER PaymentFailed", order,                                      \
          "{'order_id':'" order "','account_id':'" ANNA "','card_id':'" card \
          "','reason':'card_declined','attempt':1}")
#define FAILED_AS(order, card, decline)                                      \
    GIVEN("ORDER PaymentFailed", order,                                      \
          "{'order_id':'" order "','account_id':'" ANNA "','card_id':'" card \
          "','reason':'no','attempt':1,'decline':'" decline "'}")
#define DECLINED(order, card)                                                                     \
    THEN_EVENT("CardDeclined", "{'account_id':'" ANNA "','card_id':'" card "','order_id':'" order \
                               "','reason':'card_declined'}")
#define ANNAS_CARD_STATUS "SELECT status FROM cards"
#define ADD_VISA           \
    "{'account_id':'" ANNA \
    "','card_token':'tok_ok','brand':'Visa','last4':'4242','expires':'2030-12'}"
#define THE_ACCOUNT "{'account_id':'" ANNA "'}"

static const char *const folds[] = {
    "SELECT group_concat(account_id || is_open || name || email || ifnull(birthday, '-') || street "
    "|| city, ' ')"
    " FROM (SELECT * FROM accounts ORDER BY account_id)",
    "SELECT group_concat(account_id || card_id || status || brand || last4 || expires, ' ')"
    " FROM (SELECT * FROM cards ORDER BY account_id, card_id)",
    "SELECT group_concat(account_id || order_id || status || amount || currency || placed_ms, ' ')"
    " FROM (SELECT * FROM purchases ORDER BY account_id, order_id)",
    "SELECT group_concat(account_id || currency || orders || ' ' || paid, ' ')"
    " FROM (SELECT * FROM purchase_totals ORDER BY account_id, currency)",
    NULL,
};
#define RUN_ALL(stories) \
    stories_run(&account_service, stories, sizeof(stories) / sizeof(stories[0]), folds)

/* Anna's requests, and the events that they make. */
#define SAYS_NO_TO(email)                                                            \
    WHEN("account.register", "{'name':'A','email':'" email "','address':" HOME "}"), \
        THEN_REFUSED("invalid_request", "email")
#define ANNAS "{'name':'Anna','email':'anna@example.com','address':" HOME "}"
#define ANNA_REGISTERED \
    "{'account_id':'$id','name':'Anna','email':'anna@example.com','address':" HOME "}"

Test(account, an_account_is_registered)
{
    const struct story stories[] = {
        STORY(
            "a new customer",
            WHEN("account.register",
                 "{'name':'Anna','email':'anna@example.com','birthday':'1980-02-03','address':" HOME
                 "}"),
            THEN_EVENT("AccountRegistered",
                       "{'account_id':'$id','name':'Anna','email':'anna@example.com',"
                       "'birthday':'1980-02-03','address':" HOME "}"),
            THEN_REPLY("{'account_id':'$id','position':1}")),
        STORY("without a birthday", WHEN("account.register", ANNAS),
              THEN_EVENT("AccountRegistered", ANNA_REGISTERED),
              THEN_REPLY("{'account_id':'$id','position':1}")),
        STORY("the same key twice is one account", WHEN_KEY("account.register", ANNAS, "k1"),
              THEN_EVENT("AccountRegistered", ANNA_REGISTERED),
              THEN_REPLY("{'account_id':'$id','position':1}"),
              WHEN_KEY("account.register", ANNAS, "k1"),
              THEN_REPLY("{'account_id':'$id','position':1}")),
        STORY("the same key with another body", WHEN_KEY("account.register", ANNAS, "k1"),
              THEN_EVENT("AccountRegistered", ANNA_REGISTERED),
              WHEN_KEY("account.register",
                       "{'name':'Bert','email':'bert@example.com','address':" HOME "}", "k1"),
              THEN_REFUSED("conflict", "")),
        STORY("an e-mail of an open account, in whatever case",
              REGISTERED(BERT, "anna@example.com"),
              WHEN("account.register",
                   "{'name':'Anna','email':'Anna@Example.com','address':" HOME "}"),
              THEN_REFUSED("conflict", "email")),
        STORY("an address of other letters than ASCII has many spellings, and is refused",
              SAYS_NO_TO("\u00e9@example.org"), SAYS_NO_TO("\u00c9@example.org"),
              SAYS_NO_TO("e\u0301@example.org"), SAYS_NO_TO("a@b\u00fccher.example"),
              SAYS_NO_TO("a@bu\u0308cher.example"), SAYS_NO_TO("a@example.org."),
              SAYS_NO_TO("a@example..org"), SAYS_NO_TO("a@-example.org"), SAYS_NO_TO("a@b@c"),
              SAYS_NO_TO("\u0430nna@example.com")),
        STORY("a domain in its xn-- form, in whatever case, is one",
              REGISTERED(BERT, "info@xn--bcher-kva.example"),
              WHEN("account.register",
                   "{'name':'A','email':'Info@XN--BCHER-KVA.example','address':" HOME "}"),
              THEN_REFUSED("conflict", "email")),
        STORY("an address that was taken before it had to be ASCII stays taken",
              REGISTERED(BERT, "anna@example.com."), WHEN("account.register", ANNAS),
              THEN_REFUSED("conflict", "email")),
        STORY("a refusal under a key stays", REGISTERED(ANNA, "anna@example.com"),
              WHEN_KEY("account.register", ANNAS, "k1"), THEN_REFUSED("conflict", "email"), CLOSED,
              WHEN_KEY("account.register", ANNAS, "k1"), THEN_REFUSED("conflict", "email")),
        STORY("the e-mail of a closed account is free", REGISTERED(ANNA, "anna@example.com"),
              CLOSED, WHEN("account.register", ANNAS),
              THEN_EVENT("AccountRegistered", ANNA_REGISTERED)),
        STORY("broken requests",
              WHEN("account.register", "{'email':'anna@example.com','address':" HOME "}"),
              THEN_REFUSED("invalid_request", "name"),
              WHEN("account.register", "{'name':'A','email':'x','address':" HOME "}"),
              THEN_REFUSED("invalid_request", "email"),
              WHEN("account.register",
                   "{'name':'A','email':'a@b','birthday':'x','address':" HOME "}"),
              THEN_REFUSED("invalid_request", "birthday"),
              WHEN("account.register", "{'name':'A','email':'a@b','address':{'street':'S'}}"),
              THEN_REFUSED("invalid_request", "address")),
    };
    RUN_ALL(stories);
}

Test(account, an_account_is_found_by_its_address)
{
    const struct story stories[] = {
        STORY("in whatever case", REGISTERED(BERT, "bert@example.com"),
              REGISTERED(ANNA, "anna@example.com"),
              WHEN("account.find", "{'email':'ANNA@Example.com'}"), THEN_REPLY(THE_ACCOUNT)),
        STORY("its new address, and no more its old one", REGISTERED(ANNA, "anna@example.com"),
              GIVEN("ACCOUNT ProfileChanged", ANNA,
                    "{'account_id':'" ANNA "','name':'Anna','email':'a@example.com'}"),
              WHEN("account.find", "{'email':'a@example.com'}"), THEN_REPLY(THE_ACCOUNT),
              WHEN("account.find", "{'email':'anna@example.com'}"),
              THEN_REFUSED("not_found", "email")),
        STORY("of several with an address the one that is open",
              REGISTERED(ANNA, "anna@example.com"), CLOSED,
              WHEN("account.find", "{'email':'anna@example.com'}"),
              THEN_REFUSED("not_found", "email"), REGISTERED(BERT, "anna@example.com"),
              WHEN("account.find", "{'email':'anna@example.com'}"),
              THEN_REPLY("{'account_id':'" BERT "'}")),
        STORY("a form that nobody can register, unless somebody did before",
              REGISTERED(BERT, "é@example.com"), REGISTERED(ANNA, "anna@example.com."),
              WHEN("account.find", "{'email':'é@example.com'}"),
              THEN_REPLY("{'account_id':'" BERT "'}"),
              WHEN("account.find", "{'email':'anna@example.com'}"), THEN_REPLY(THE_ACCOUNT),
              WHEN("account.find", "{'email':'É@example.com'}"),
              THEN_REFUSED("invalid_request", "email"),
              WHEN("account.find", "{'email':'bert@example.com.'}"),
              THEN_REFUSED("invalid_request", "email")),
        STORY("refusals", WHEN("account.find", "{'email':'x'}"),
              THEN_REFUSED("invalid_request", "email"), WHEN("account.find", "{}"),
              THEN_REFUSED("invalid_request", "email")),
    };
    RUN_ALL(stories);
}

#define NOBODYS THEN_REFUSED("not_found", "account_id: no such account")

Test(account, an_account_asks_for_its_own_and_no_other)
{
    const struct story stories[] = {
        STORY("its own, without its name in the body", REGISTERED(ANNA, "anna@example.com"),
              CARD_ADDED(VISA), WHEN("account.get." ANNA, "{}"),
              THEN_REPLY("{'account_id':'" ANNA "','name':'Anna','email':'anna@example.com',"
                         "'birthday':'1980-02-03','address':" HOME ",'status':'open','cards':["
                         "{'card_id':'" VISA "','brand':'Visa','last4':'4242','expires':'2030-12',"
                         "'status':'usable'}],'purchases':[],'totals':{'orders':0,'paid':[]}}"),
              WHEN("account.change-profile." ANNA, "{}"), THEN_REFUSED("invalid_request", ""),
              WHEN("account.change-profile." ANNA, THE_ACCOUNT),
              THEN_REFUSED("invalid_request", "name: at least one"),
              WHEN("account.change-profile." ANNA, "{'name':'Bea'}"),
              THEN_EVENT("ProfileChanged",
                         "{'account_id':'" ANNA "','name':'Bea','email':'anna@example.com',"
                         "'birthday':'1980-02-03'}"),
              WHEN("account.change-address." ANNA, "{'address':" HOME "}"),
              THEN_EVENT("AddressChanged", "{'account_id':'" ANNA "','address':" HOME "}"),
              WHEN("account.remove-card." ANNA, "{'card_id':'" VISA "'}"),
              THEN_EVENT("CardRemoved", "{'account_id':'" ANNA "','card_id':'" VISA "'}"),
              WHEN("account.close." ANNA, "{}"), THEN_EVENT("AccountClosed", THE_ACCOUNT)),
        STORY(
            "somebody else's, known or not", REGISTERED(ANNA, "anna@example.com"),
            REGISTERED(BERT, "bert@example.com"), CARD_ADDED(VISA),
            WHEN("account.get." BERT, THE_ACCOUNT), NOBODYS,
            WHEN("account.get." BERT, "{'account_id':'acc_00000000-0000-0000-0000-00000000000c'}"),
            NOBODYS, WHEN("account.close." BERT, THE_ACCOUNT), NOBODYS,
            WHEN("account.add-card." BERT, ADD_VISA), NOBODYS,
            WHEN("account.remove-card." BERT, "{'card_id':'" VISA "'}"),
            THEN_REFUSED("not_found", "card_id: the account has no such card"),
            WHEN("account.remove-card." BERT, "{'card_id':'" OTHER_CARD "'}"),
            THEN_REFUSED("not_found", "card_id: the account has no such card")),
    };
    RUN_ALL(stories);
}

Test(account, a_profile_is_changed)
{
    const struct story stories[] = {
        STORY("the event carries all, also what stays", REGISTERED(ANNA, "anna@example.com"),
              WHEN("account.change-profile", "{'account_id':'" ANNA "','name':'Anna B'}"),
              THEN_EVENT("ProfileChanged",
                         "{'account_id':'" ANNA
                         "','name':'Anna B','email':'anna@example.com','birthday':'1980-02-03'}"),
              THEN_REPLY("{'account_id':'" ANNA "','position':2}")),
        STORY("e-mail and birthday; the own e-mail is no conflict",
              REGISTERED(ANNA, "anna@example.com"),
              WHEN("account.change-profile",
                   "{'account_id':'" ANNA "','email':'ANNA@example.com','birthday':'1981-01-01'}"),
              THEN_EVENT("ProfileChanged",
                         "{'account_id':'" ANNA
                         "','name':'Anna','email':'ANNA@example.com','birthday':'1981-01-01'}")),
        STORY(
            "refusals", WHEN("account.change-profile", "{'account_id':'" ANNA "','name':'A'}"),
            THEN_REFUSED("unknown_account", "account_id"), REGISTERED(ANNA, "anna@example.com"),
            REGISTERED(BERT, "bert@example.com"),
            WHEN("account.change-profile", "{'account_id':'" ANNA "'}"),
            THEN_REFUSED("invalid_request", ""),
            WHEN("account.change-profile", "{'account_id':'" ANNA "','email':'bert@example.com'}"),
            THEN_REFUSED("conflict", "email"), CLOSED,
            WHEN("account.change-profile", "{'account_id':'" ANNA "','name':'A'}"),
            THEN_REFUSED("account_closed", "account_id")),
    };
    RUN_ALL(stories);
}

Test(account, an_address_is_changed)
{
    const struct story stories[] = {
        STORY("a new address", REGISTERED(ANNA, "anna@example.com"),
              WHEN("account.change-address",
                   "{'account_id':'" ANNA "','address':"
                   "{'street':'Ring 2','city':'Bern','postal_code':'3000','country':'CH'}}"),
              THEN_EVENT("AddressChanged",
                         "{'account_id':'" ANNA "','address':"
                         "{'street':'Ring 2','city':'Bern','postal_code':'3000','country':'CH'}}"),
              THEN_REPLY("{'account_id':'" ANNA "','position':2}")),
        STORY("refusals",
              WHEN("account.change-address", "{'account_id':'" ANNA "','address':" HOME "}"),
              THEN_REFUSED("unknown_account", ""), REGISTERED(ANNA, "anna@example.com"), CLOSED,
              WHEN("account.change-address", "{'account_id':'" ANNA "','address':" HOME "}"),
              THEN_REFUSED("account_closed", "")),
    };
    RUN_ALL(stories);
}

Test(account, cards_are_added_and_removed)
{
    const struct story stories[] = {
        STORY("a card is added", REGISTERED(ANNA, "anna@example.com"),
              WHEN("account.add-card", ADD_VISA),
              THEN_EVENT("CardAdded", "{'account_id':'" ANNA
                                      "','card_id':'$card','card_token':'tok_ok','brand':'Visa',"
                                      "'last4':'4242','expires':'2030-12'}"),
              THEN_REPLY("{'card_id':'$card','position':2}"), THEN_ROW(ANNAS_CARD_STATUS, "1")),
        STORY("a card of this month is good, one of last month is not",
              REGISTERED(ANNA, "anna@example.com"),
              WHEN("account.add-card",
                   "{'account_id':'" ANNA
                   "','card_token':'tok_ok','brand':'V','last4':'4242','expires':'2026-11'}"),
              THEN_EVENT("CardAdded", "{'account_id':'" ANNA
                                      "','card_id':'$card','card_token':'tok_ok','brand':'V',"
                                      "'last4':'4242','expires':'2026-11'}"),
              WHEN("account.add-card",
                   "{'account_id':'" ANNA
                   "','card_token':'tok_ok','brand':'V','last4':'4242','expires':'2026-10'}"),
              THEN_REFUSED("invalid_request", "expires")),
        STORY("a card is removed, once", REGISTERED(ANNA, "anna@example.com"), CARD_ADDED(VISA),
              WHEN("account.remove-card", "{'account_id':'" ANNA "','card_id':'" VISA "'}"),
              THEN_EVENT("CardRemoved", "{'account_id':'" ANNA "','card_id':'" VISA "'}"),
              THEN_REPLY("{'account_id':'" ANNA "','card_id':'" VISA "','position':3}"),
              WHEN("account.remove-card", "{'account_id':'" ANNA "','card_id':'" VISA "'}"),
              THEN_REFUSED("not_found", "card_id")),
        STORY("refusals", WHEN("account.add-card", ADD_VISA), THEN_REFUSED("unknown_account", ""),
              WHEN("account.remove-card", "{'account_id':'" ANNA "','card_id':'" VISA "'}"),
              THEN_REFUSED("unknown_account", ""), REGISTERED(ANNA, "anna@example.com"),
              WHEN("account.remove-card", "{'account_id':'" ANNA "','card_id':'" VISA "'}"),
              THEN_REFUSED("not_found", "card_id"),
              WHEN("account.add-card",
                   "{'account_id':'" ANNA
                   "','card_token':'4111','brand':'V','last4':'1','expires':'2030-13'}"),
              THEN_REFUSED("invalid_request", "card_token"), CLOSED,
              WHEN("account.add-card", ADD_VISA), THEN_REFUSED("account_closed", ""),
              WHEN("account.remove-card", "{'account_id':'" ANNA "','card_id':'" VISA "'}"),
              THEN_REFUSED("account_closed", "")),
    };
    RUN_ALL(stories);
}

#define ADD_AND_SEE                                          \
    WHEN("account.add-card", ADD_VISA),                      \
        THEN_EVENT("CardAdded",                              \
                   "{'account_id':'" ANNA "','card_id':'*'," \
                   "'card_token':'tok_ok','brand':'Visa','last4':'4242','expires':'2030-12'}")
#define FIVE(x) x, x, x, x, x

Test(account, an_account_has_a_limit_of_cards)
{
    const struct story stories[] = {
        STORY("twenty cards, not counting removed ones", REGISTERED(ANNA, "anna@example.com"),
              CARD_ADDED(VISA), CARD_ADDED(OTHER_CARD),
              GIVEN("ACCOUNT CardRemoved", ANNA, "{'account_id':'" ANNA "','card_id':'" VISA "'}"),
              FIVE(ADD_AND_SEE), FIVE(ADD_AND_SEE), FIVE(ADD_AND_SEE), ADD_AND_SEE, ADD_AND_SEE,
              ADD_AND_SEE, ADD_AND_SEE, WHEN("account.add-card", ADD_VISA),
              THEN_REFUSED("wrong_state", "account_id")),
    };
    RUN_ALL(stories);
}

Test(account, an_account_is_closed)
{
    const struct story stories[] = {
        STORY("closing removes the cards", REGISTERED(ANNA, "anna@example.com"), CARD_ADDED(VISA),
              WHEN("account.close", THE_ACCOUNT), THEN_EVENT("AccountClosed", THE_ACCOUNT),
              THEN_REPLY("{'account_id':'" ANNA "','position':3}"),
              THEN_ROW(ANNAS_CARD_STATUS, "3"), WHEN("account.close", THE_ACCOUNT),
              THEN_REFUSED("account_closed", "")),
        STORY("unknown", WHEN("account.close", THE_ACCOUNT), THEN_REFUSED("unknown_account", "")),
        STORY("the same key twice closes once", REGISTERED(ANNA, "anna@example.com"),
              WHEN_KEY("account.close", THE_ACCOUNT, "k"), THEN_EVENT("AccountClosed", THE_ACCOUNT),
              WHEN_KEY("account.close", THE_ACCOUNT, "k"),
              THEN_REPLY("{'account_id':'" ANNA "','position':2}")),
    };
    RUN_ALL(stories);
}

Test(account, a_card_is_declined_after_a_failed_payment)
{
    const struct story stories[] = {
        STORY("a failed payment declines the card", REGISTERED(ANNA, "anna@example.com"),
              CARD_ADDED(VISA), PLACED(ORDER_1, "500", "EUR"), FAILED(ORDER_1, VISA),
              DECLINED(ORDER_1, VISA), THEN_ROW(ANNAS_CARD_STATUS, "2")),
        STORY("not what says nothing of the card, or nothing new",
              REGISTERED(ANNA, "anna@example.com"), CARD_ADDED(VISA), PLACED(ORDER_1, "500", "EUR"),
              PLACED(ORDER_2, "500", "EUR"), FAILED_AS(ORDER_1, VISA, "soft"),
              FAILED_AS(ORDER_2, VISA, "known"), THEN_ROW(ANNAS_CARD_STATUS, "1"),
              THEN_ROW("SELECT group_concat(status) FROM purchases",
                       "payment_failed,payment_failed")),
        STORY("a removed card stays removed", REGISTERED(ANNA, "anna@example.com"),
              CARD_ADDED(VISA), PLACED(ORDER_1, "500", "EUR"),
              GIVEN("ACCOUNT CardRemoved", ANNA, "{'account_id':'" ANNA "','card_id':'" VISA "'}"),
              FAILED(ORDER_1, VISA), DECLINED(ORDER_1, VISA), THEN_ROW(ANNAS_CARD_STATUS, "3")),
        STORY("a card that nobody knows makes no row", PLACED(ORDER_1, "500", "EUR"),
              FAILED(ORDER_1, VISA), DECLINED(ORDER_1, VISA),
              THEN_ROW("SELECT count(*) FROM cards", "0")),
    };
    RUN_ALL(stories);
}

#define GET WHEN("account.get", THE_ACCOUNT)
#define ANNA_IS            \
    "{'account_id':'" ANNA \
    "','name':'Anna','email':'anna@example.com','birthday':'1980-02-03','address':" HOME

Test(account, F19_a_card_whose_month_is_over_is_not_usable)
{
    const struct story stories[] = {
        STORY("a card whose month is over is not usable", REGISTERED(ANNA, "anna@example.com"),
              GIVEN("ACCOUNT CardAdded", ANNA,
                    "{'account_id':'" ANNA "','card_id':'" VISA
                    "','card_token':'tok_1','brand':'Visa','last4':'4242','expires':'2026-10'}"),
              GIVEN("ACCOUNT CardAdded", ANNA,
                    "{'account_id':'" ANNA "','card_id':'" OTHER_CARD
                    "','card_token':'tok_1','brand':'Visa','last4':'4242','expires':'2026-11'}"),
              GET,
              THEN_REPLY(ANNA_IS
                         ",'status':'open','cards':["
                         "{'card_id':'" VISA "','brand':'Visa','last4':'4242','expires':'2026-10','"
                         "status':'declined','expired':true},"
                         "{'card_id':'" OTHER_CARD
                         "','brand':'Visa','last4':'4242','expires':'2026-11','status':'usable'}],"
                         "'purchases':[],'totals':{'orders':0,'paid':[]}}")),
    };
    RUN_ALL(stories);
}

Test(account, F20_what_was_given_back_is_not_paid_any_more)
{
    const struct story stories[] = {
        STORY("what was given back is not paid any more", REGISTERED(ANNA, "anna@example.com"),
              PLACED(ORDER_1, "500", "EUR"), PLACED(ORDER_2, "700", "EUR"),
              PAID(ORDER_1, "500", "EUR"), PAID(ORDER_2, "700", "EUR"),
              REFUNDED(ORDER_1, "100", "100"), REFUNDED(ORDER_2, "700", "700"),
              REFUNDED(ORDER_1, "500", "100"), GET,
              THEN_REPLY(ANNA_IS
                         ",'status':'open','cards':[],'purchases':[{'order_id':'" ORDER_2
                         "','status':'cancelled','total':{'amount':700,'currency':'EUR'},"
                         "'placed_at':'*','refunded':{'amount':700,'currency':'EUR'}},"
                         "{'order_id':'" ORDER_1
                         "','status':'paid','total':{'amount':500,'currency':'EUR'},"
                         "'placed_at':'*','refunded':{'amount':100,'currency':'EUR'}}],"
                         "'totals':{'orders':2,'paid':[{'amount':400,'currency':'EUR'}]}}")),
    };
    RUN_ALL(stories);
}

Test(account, an_account_is_shown_with_its_cards_and_purchases)
{
    const struct story stories[] = {
        STORY("unknown", GET, THEN_REFUSED("unknown_account", "account_id")),
        STORY("a new account", REGISTERED(ANNA, "anna@example.com"), GET,
              THEN_REPLY(
                  ANNA_IS
                  ",'status':'open','cards':[],'purchases':[],'totals':{'orders':0,'paid':[]}}")),
        STORY("cards in the order of adding, each with its status",
              REGISTERED(ANNA, "anna@example.com"), CARD_ADDED(VISA), CARD_ADDED(OTHER_CARD),
              PLACED(ORDER_1, "500", "EUR"), FAILED(ORDER_1, VISA), DECLINED(ORDER_1, VISA), GET,
              THEN_REPLY(ANNA_IS
                         ",'status':'open','cards':["
                         "{'card_id':'" VISA
                         "','brand':'Visa','last4':'4242','expires':'2030-12','status':'declined'},"
                         "{'card_id':'" OTHER_CARD
                         "','brand':'Visa','last4':'4242','expires':'2030-12','status':'usable'}],"
                         "'purchases':[{'order_id':'" ORDER_1
                         "','status':'payment_failed','total':{'amount':500,'currency':'EUR'},"
                         "'placed_at':'*'}],'totals':{'orders':1,'paid':[]}}")),
        STORY("purchases newest first, totals by currency", REGISTERED(ANNA, "anna@example.com"),
              PLACED(ORDER_1, "500", "EUR"), PLACED(ORDER_2, "700", "CHF"),
              PAID(ORDER_1, "500", "EUR"), PAID(ORDER_2, "700", "CHF"),
              GIVEN("ORDER OrderShipped", ORDER_2,
                    "{'order_id':'" ORDER_2 "','account_id':'" ANNA "'}"),
              GET,
              THEN_REPLY(
                  ANNA_IS
                  ",'status':'open','cards':[],'purchases':["
                  "{'order_id':'" ORDER_2
                  "','status':'shipped','total':{'amount':700,'currency':'CHF'},'placed_at':'*'},"
                  "{'order_id':'" ORDER_1
                  "','status':'paid','total':{'amount':500,'currency':'EUR'},'placed_at':'*'}],"
                  "'totals':{'orders':2,'paid':[{'amount':700,'currency':'CHF'},{'amount':500,'"
                  "currency':'EUR'}]}}")),
        STORY("totals add up", REGISTERED(ANNA, "anna@example.com"), PLACED(ORDER_1, "500", "EUR"),
              PLACED(ORDER_2, "700", "EUR"), PAID(ORDER_1, "500", "EUR"),
              PAID(ORDER_2, "700", "EUR"),
              THEN_ROW("SELECT account_id || ' ' || currency || ' ' || orders || ' ' || paid FROM "
                       "purchase_totals",
                       ANNA " EUR 2 1200")),
        STORY(
            "a cancelled one, and a closed account; products and stock are nobody's business here",
            REGISTERED(ANNA, "anna@example.com"),
            GIVEN("ORDER ProductAdded", "tea",
                  "{'sku':'tea','name':'Tea','price':{'amount':1,'currency':'EUR'},'stock':1}"),
            PLACED(ORDER_1, "500", "EUR"),
            GIVEN("ORDER OrderCancelled", ORDER_1,
                  "{'order_id':'" ORDER_1 "','account_id':'" ANNA "','reason':'requested'}"),
            CLOSED, GET,
            THEN_REPLY(
                ANNA_IS
                ",'status':'closed','cards':[],'purchases':["
                "{'order_id':'" ORDER_1
                "','status':'cancelled','total':{'amount':500,'currency':'EUR'},'placed_at':'*'}],"
                "'totals':{'orders':1,'paid':[]}}")),
    };
    RUN_ALL(stories);
}

Test(account, a_total_may_be_larger_than_one_amount)
{
    const struct story stories[] = {
        STORY("a total may be larger than one amount may be", REGISTERED(ANNA, "anna@example.com"),
              PLACED(ORDER_1, "1000000000000", "EUR"), PLACED(ORDER_2, "1000000000000", "EUR"),
              PAID(ORDER_1, "1000000000000", "EUR"), PAID(ORDER_2, "1000000000000", "EUR"), GET,
              THEN_REPLY(
                  ANNA_IS
                  ",'status':'open','cards':[],'purchases':["
                  "{'order_id':'" ORDER_2
                  "','status':'paid','total':{'amount':1000000000000,'currency':'EUR'},"
                  "'placed_at':'*'},{'order_id':'" ORDER_1
                  "','status':'paid','total':{'amount':1000000000000,'currency':'EUR'},"
                  "'placed_at':'*'}],"
                  "'totals':{'orders':2,'paid':[{'amount':2000000000000,'currency':'EUR'}]}}")),
    };
    RUN_ALL(stories);
}
