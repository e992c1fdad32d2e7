/* The journeys of order-svc as tables: every request and each refusal, and the projection of
 * customers. Payments: test_payment.c. */
#include "service.h"
#include "shop.h"
#include <criterion/criterion.h>

const char *const order_folds[] = {
    "SELECT group_concat(sku || name || amount || currency || ' ' || stock || ' ' || reserved || ' "
    "' || shipped || ' ' || is_retired, ' ')"
    " FROM (SELECT * FROM products ORDER BY sku)",
    "SELECT group_concat(order_id || account_id || status || ' ' || amount || currency || attempt "
    "|| ifnull(card_id, '-')"
    " || refunded || ' ' || last_position || ' ' || pay_until_ms || placed_ms || placed_position "
    "|| ' ' || "
    "ifnull(paid_ms, '-')"
    " || ifnull(paid_position, '-') || ' ' || ifnull(ended_ms, '-') || ifnull(ended_position, '-')"
    " || ifnull(ended_reason, '-') || ship_name || street || city || postal_code || country, ' ')"
    " FROM (SELECT * FROM orders ORDER BY order_id)",
    "SELECT group_concat(order_id || line || sku || name || quantity || ' ' || amount, ' ')"
    " FROM (SELECT * FROM order_lines ORDER BY order_id, line)",
    "SELECT group_concat(order_id || attempt || card_id || reason || failed_ms || ' ' || position, "
    "' ')"
    " FROM (SELECT * FROM payment_failures ORDER BY order_id, attempt)",
    "SELECT group_concat(account_id || card_id || ifnull(reason, '-'), ' ') FROM"
    " (SELECT * FROM failed_cards ORDER BY account_id, card_id)",
    "SELECT group_concat(order_id || attempt || ' ' || arrived_ms || ' ' || position, ' ')"
    " FROM (SELECT * FROM late_payments ORDER BY order_id, attempt)",
    "SELECT group_concat(order_id || refund || ' ' || attempt || ' ' || amount || ' ' || status ||"
    " ifnull(asked_for, '-') || requested_ms || ' ' || position || ifnull(ended_ms, '-') || ' ' ||"
    " ifnull(ended_position, '-') || ifnull(ended_reason, '-'), ' ')"
    " FROM (SELECT * FROM refunds ORDER BY order_id, refund)",
    "SELECT group_concat(order_id || attempt || cause || ' ' || amount || reason || since_ms || ' '"
    " || position, ' ') FROM (SELECT * FROM unsettled ORDER BY order_id, attempt, cause)",
    "SELECT group_concat(account_id || is_open || name || street || city || postal_code || "
    "country, ' ')"
    " FROM (SELECT * FROM customers ORDER BY account_id)",
    "SELECT group_concat(account_id || card_id || is_usable || expires || token, ' ')"
    " FROM (SELECT * FROM customer_cards ORDER BY account_id, card_id)",
    NULL,
};
#define RUN_ALL(stories) \
    stories_run(&order_service, stories, sizeof(stories) / sizeof(stories[0]), order_folds)

#define ADD_TEA "{'sku':'tea','name':'Tea','price':{'amount':500,'currency':'EUR'},'stock':10}"

Test(order, a_product_is_added)
{
    const struct story stories[] = {
        STORY("a new product", WHEN("order.add-product", ADD_TEA),
              THEN_EVENT(
                  "ProductAdded",
                  "{'sku':'tea','name':'Tea','price':{'amount':500,'currency':'EUR'},'stock':10}"),
              THEN_REPLY("{'sku':'tea','position':1}"), STOCK("10/0/0")),
        STORY("a sku that there is", TEA, WHEN("order.add-product", ADD_TEA),
              THEN_REFUSED("conflict", "sku")),
        STORY("the same key twice, and with another body",
              WHEN_KEY("order.add-product", ADD_TEA, "k"),
              THEN_EVENT(
                  "ProductAdded",
                  "{'sku':'tea','name':'Tea','price':{'amount':500,'currency':'EUR'},'stock':10}"),
              WHEN_KEY("order.add-product", ADD_TEA, "k"), THEN_REPLY("{'sku':'tea','position':1}"),
              WHEN_KEY("order.add-product",
                       "{'sku':'cup','name':'Cup','price':{'amount':1,'currency':'EUR'},'stock':1}",
                       "k"),
              THEN_REFUSED("conflict", "")),
        STORY("broken requests",
              WHEN("order.add-product",
                   "{'sku':'a b','name':'A','price':{'amount':1,'currency':'EUR'},'stock':1}"),
              THEN_REFUSED("invalid_request", "sku"),
              WHEN("order.add-product",
                   "{'sku':'a','name':'A','price':{'amount':-1,'currency':'EUR'},'stock':1}"),
              THEN_REFUSED("invalid_request", "price.amount"),
              WHEN("order.add-product",
                   "{'sku':'a','name':'A','price':{'amount':1,'currency':'EUR'},'stock':-1}"),
              THEN_REFUSED("invalid_request", "stock"),
              WHEN("order.add-product",
                   "{'sku':'a','name':'A','price':{'amount':1,'currency':'EUR'},'stock':1,'x':1}"),
              THEN_REFUSED("invalid_request", "x")),
    };
    RUN_ALL(stories);
}

Test(order, stock_is_received)
{
    const struct story stories[] = {
        STORY("the level rises", TEA, WHEN("order.receive-stock", "{'sku':'tea','quantity':5}"),
              THEN_EVENT("StockReceived", "{'sku':'tea','quantity':5,'stock':15}"),
              THEN_REPLY("{'sku':'tea','stock':15,'position':2}"), STOCK("15/0/0")),
        STORY("a repeated key says the level of then", TEA,
              WHEN_KEY("order.receive-stock", "{'sku':'tea','quantity':5}", "k"),
              THEN_EVENT("StockReceived", "{'sku':'tea','quantity':5,'stock':15}"),
              WHEN("order.receive-stock", "{'sku':'tea','quantity':1}"),
              THEN_EVENT("StockReceived", "{'sku':'tea','quantity':1,'stock':16}"),
              WHEN_KEY("order.receive-stock", "{'sku':'tea','quantity':5}", "k"),
              THEN_REPLY("{'sku':'tea','stock':15,'position':2}")),
        STORY("refusals", WHEN("order.receive-stock", "{'sku':'tea','quantity':5}"),
              THEN_REFUSED("not_found", "sku"),
              PRODUCT_OF("tea", "Tea", "1", "EUR", "1000000000000"),
              WHEN("order.receive-stock", "{'sku':'tea','quantity':1}"),
              THEN_REFUSED("invalid_request", "quantity"),
              WHEN("order.receive-stock", "{'sku':'tea','quantity':0}"),
              THEN_REFUSED("invalid_request", "quantity")),
    };
    RUN_ALL(stories);
}

#define TEA_ROW                                                                                   \
    "{'sku':'tea','name':'Tea','price':{'amount':500,'currency':'EUR'},'stock':10,'reserved':0,'" \
    "shipped':0}"
#define CUP_ROW                                                                                   \
    "{'sku':'cup','name':'Cup','price':{'amount':1200,'currency':'EUR'},'stock':3,'reserved':0,'" \
    "shipped':0}"

Test(order, products_are_listed)
{
    const struct story stories[] = {
        STORY("none", WHEN("order.products", "{}"), THEN_REPLY("{'products':[]}")),
        STORY("by sku", TEA, CUP, WHEN("order.products", "{}"),
              THEN_REPLY("{'products':[" CUP_ROW "," TEA_ROW "]}")),
        STORY("a page at a time", TEA, CUP, WHEN("order.products", "{'limit':1}"),
              THEN_REPLY("{'products':[" CUP_ROW "],'next':'cup'}"),
              WHEN("order.products", "{'limit':1,'after':'cup'}"),
              THEN_REPLY("{'products':[" TEA_ROW "]}"), WHEN("order.products", "{'limit':101}"),
              THEN_REFUSED("invalid_request", "limit")),
    };
    RUN_ALL(stories);
}

#define MIXED                                                                                    \
    "{'account_id':'" ANNA "','lines':[{'sku':'tea','quantity':1},{'sku':'cup','quantity':1},{'" \
    "sku':'tea','quantity':2}]}"
#define ORDER_OF(lines) "{'account_id':'" ANNA "','lines':[" lines "]}"

Test(order, an_order_is_placed)
{
    const struct story stories[] = {
        STORY("stock is reserved, the sandbox is paid", ANNA_WITH("tok_ok"), PLACE, PLACED,
              THEN_REPLY("{'order_id':'$order','status':'placed','position':2}"), PAID(CARD_1, "1"),
              STOCK("8/2/0"), STATUS("paid")),
        STORY("the same sku on two lines is one wish", ANNA_WITH("tok_ok"), CUP,
              WHEN("order.place", MIXED),
              THEN_EVENT("OrderPlaced",
                         "{'order_id':'$order','account_id':'" ANNA "','lines':["
                         "{'sku':'tea','name':'Tea','quantity':3,'unit_price':{'amount':500,'"
                         "currency':'EUR'}},"
                         "{'sku':'cup','name':'Cup','quantity':1,'unit_price':{'amount':1200,'"
                         "currency':'EUR'}}],"
                         "'total':{'amount':2700,'currency':'EUR'},'card_id':'" CARD_1
                         "','ship_to':{'name':'Anna','address':" HOME "},"
                         "'pay_until':'*'}"),
              STOCK("7/3/0"),
              THEN_EVENT("OrderPaid", "{'order_id':'$order','account_id':'" ANNA
                                      "','card_id':'" CARD_1 "','attempt':1,"
                                      "'amount':{'amount':2700,'currency':'EUR'}}")),
        STORY("the newest usable card", ANNA_WITH("tok_ok"), CARD_ADDED(CARD_2, "tok_ok"),
              CARD_ADDED(CARD_3, "tok_ok"), CARD_REMOVED(CARD_3), PLACE, PLACED_BY(CARD_2),
              PAID(CARD_2, "1")),
        STORY("a card is good until its month ends", REGISTERED(ANNA), TEA,
              CARD_ADDED_UNTIL(CARD_1, "tok_ok", "2026-11"),
              CARD_ADDED_UNTIL(CARD_2, "tok_ok", "2026-10"), PLACE, PLACED, PAID(CARD_1, "1")),
        STORY("the same key twice is one order, whatever became of it", ANNA_WITH("tok_ok"),
              WHEN_KEY("order.place", TWO_TEAS, "k"), PLACED, PAID(CARD_1, "1"),
              WHEN_KEY("order.place", TWO_TEAS, "k"),
              THEN_REPLY("{'order_id':'$order','status':'placed','position':2}"), STOCK("8/2/0")),
        STORY("the same key with another body", ANNA_WITH("tok_ok"),
              WHEN_KEY("order.place", TWO_TEAS, "k"), PLACED, PAID(CARD_1, "1"),
              WHEN_KEY("order.place", ORDER_OF("{'sku':'tea','quantity':1}"), "k"),
              THEN_REFUSED("conflict", ""), STOCK("8/2/0")),
        STORY("a refusal under a key stays, and nothing happened", ANNA_WITH("tok_ok"),
              WHEN_KEY("order.place", ORDER_OF("{'sku':'tea','quantity':11}"), "k"),
              THEN_REFUSED("out_of_stock", "lines[0]"),
              GIVEN("ORDER StockReceived", "tea", "{'sku':'tea','quantity':5,'stock':15}"),
              WHEN_KEY("order.place", ORDER_OF("{'sku':'tea','quantity':11}"), "k"),
              THEN_REFUSED("out_of_stock", "lines[0]"), STOCK("15/0/0")),
    };
    RUN_ALL(stories);
}

#define REFUSES(body, code, message) WHEN("order.place", body), THEN_REFUSED(code, message)

Test(order, an_order_is_refused_for_each_reason)
{
    const struct story stories[] = {
        STORY("an account that is not known, before all else",
              REFUSES(TWO_TEAS, "unknown_account", "account_id")),
        STORY("a closed account, before its cards", REGISTERED(ANNA), ACCOUNT_CLOSED,
              REFUSES(TWO_TEAS, "account_closed", "account_id")),
        STORY("no card", REGISTERED(ANNA), REFUSES(TWO_TEAS, "no_valid_card", "account_id")),
        STORY("only a removed card", REGISTERED(ANNA), CARD_ADDED(CARD_1, "tok_ok"),
              CARD_REMOVED(CARD_1), REFUSES(TWO_TEAS, "no_valid_card", "account_id")),
        STORY("only a declined card", REGISTERED(ANNA), CARD_ADDED(CARD_1, "tok_ok"),
              CARD_DECLINED(CARD_1), REFUSES(TWO_TEAS, "no_valid_card", "account_id")),
        STORY("only an expired card", REGISTERED(ANNA),
              CARD_ADDED_UNTIL(CARD_1, "tok_ok", "2026-10"),
              REFUSES(TWO_TEAS, "no_valid_card", "account_id")),
        STORY("a product that there is not, named by its line", ANNA_WITH("tok_ok"),
              REFUSES(ORDER_OF("{'sku':'tea','quantity':99},{'sku':'sea','quantity':1}"),
                      "not_found", "lines[1].sku")),
        STORY("two currencies, before the stock", ANNA_WITH("tok_ok"),
              PRODUCT_OF("map", "Map", "1", "CHF", "0"),
              REFUSES(ORDER_OF("{'sku':'tea','quantity':1},{'sku':'map','quantity':1}"),
                      "invalid_request", "lines[1].sku")),
        STORY("more than there is, also over two lines", ANNA_WITH("tok_ok"),
              REFUSES(ORDER_OF("{'sku':'tea','quantity':11}"), "out_of_stock", "lines[0]"),
              REFUSES(ORDER_OF("{'sku':'tea','quantity':6},{'sku':'tea','quantity':5}"),
                      "out_of_stock", "lines[0]"),
              STOCK("10/0/0")),
        STORY(
            "a total that no money can have", REGISTERED(ANNA), CARD_ADDED(CARD_1, "tok_ok"),
            PRODUCT_OF("jet", "Jet", "1000000000000", "EUR", "1000000000"),
            REFUSES(ORDER_OF("{'sku':'jet','quantity':2}"), "invalid_request", "lines[0].quantity"),
            REFUSES(ORDER_OF("{'sku':'jet','quantity':1000000}"), "invalid_request",
                    "lines[0].quantity")),
        STORY("more of one product than a line can say", REGISTERED(ANNA),
              CARD_ADDED(CARD_1, "tok_ok"), PRODUCT_OF("nut", "Nut", "0", "EUR", "1000000000"),
              REFUSES(ORDER_OF("{'sku':'nut','quantity':1000000},{'sku':'nut','quantity':1}"),
                      "invalid_request", "lines[0].quantity")),
        STORY(
            "broken requests",
            REFUSES("{'account_id':'" ANNA "','lines':[]}", "invalid_request", "lines"),
            REFUSES(ORDER_OF("{'sku':'tea','quantity':0}"), "invalid_request", "lines[0].quantity"),
            REFUSES(ORDER_OF("{'sku':'tea','quantity':-1}"), "invalid_request",
                    "lines[0].quantity"),
            REFUSES(ORDER_OF("{'sku':'tea','quantity':9223372036854775808}"), "invalid_request",
                    ""),
            REFUSES(ORDER_OF("{'sku':'tea'}"), "invalid_request", "lines[0].quantity"),
            REFUSES("{'account_id':'x','lines':[{'sku':'tea','quantity':1}]}", "invalid_request",
                    "account_id"),
            REFUSES("[]", "invalid_request", "")),
    };
    RUN_ALL(stories);
}

Test(order, an_order_is_cancelled_or_shipped)
{
    const struct story stories[] = {
        STORY("a placed order is cancelled, its stock returns", OPTION("payment", "nats"),
              ANNA_WITH("tok_ok"), PLACE, PLACED, CHARGE("1", "tok_ok"), STOCK("8/2/0"), CANCEL,
              CANCELLED("requested"),
              THEN_REPLY("{'order_id':'$order','status':'cancelled','position':3}"), VOID("1"),
              STOCK("10/0/0"), STATUS("cancelled"), CANCEL, THEN_REFUSED("wrong_state", "order_id"),
              SHIP, THEN_REFUSED("wrong_state", "order_id")),
        STORY("the same key twice cancels once", OPTION("payment", "nats"), ANNA_WITH("tok_ok"),
              PLACE, PLACED, CHARGE("1", "tok_ok"),
              WHEN_KEY("order.cancel", "{'order_id':'$order'}", "k"), CANCELLED("requested"),
              VOID("1"), WHEN_KEY("order.cancel", "{'order_id':'$order'}", "k"),
              THEN_REPLY("{'order_id':'$order','status':'cancelled','position':3}"),
              STOCK("10/0/0")),
        STORY("a waiting order can be cancelled", ANNA_WITH("tok_declined"), PLACE, PLACED,
              FAILED(CARD_1, "1", NO_NEXT), STATUS("payment_failed"), CANCEL,
              CANCELLED("requested"), STOCK("10/0/0")),
        STORY("a paid order is shipped, not cancelled", ANNA_WITH("tok_ok"), PLACE, PLACED,
              PAID(CARD_1, "1"), CANCEL, THEN_REFUSED("wrong_state", "order_id: the order is paid"),
              SHIP, SHIPPED, THEN_REPLY("{'order_id':'$order','status':'shipped','position':4}"),
              STOCK("8/0/2"), STATUS("shipped"), SHIP,
              THEN_REFUSED("wrong_state", "order_id: the order is shipped"), CANCEL,
              THEN_REFUSED("wrong_state", "order_id: the order is shipped")),
        STORY("a paid order is shipped when shipping says so, once", ANNA_WITH("tok_ok"), PLACE,
              PLACED, PAID(CARD_1, "1"), PARCEL, SHIPPED, STOCK("8/0/2"), STATUS("shipped"), PARCEL,
              STOCK("8/0/2"), SHIP, THEN_REFUSED("wrong_state", "order_id: the order is shipped")),
        STORY("a parcel of an order that was cancelled, is not paid, or is not there",
              OPTION("payment", "nats"), ANNA_WITH("tok_ok"), PLACE, PLACED, CHARGE("1", "tok_ok"),
              PARCEL, STATUS("placed"), CANCEL, CANCELLED("requested"), VOID("1"), PARCEL,
              STATUS("cancelled"), PARCEL_OF("ord_00000000-0000-0000-0000-000000000001")),
        STORY("an unpaid order is not shipped", OPTION("payment", "nats"), ANNA_WITH("tok_ok"),
              PLACE, PLACED, CHARGE("1", "tok_ok"), SHIP,
              THEN_REFUSED("wrong_state", "order_id: the order is placed")),
        STORY("an order that there is not",
              WHEN("order.cancel", "{'order_id':'ord_00000000-0000-0000-0000-000000000001'}"),
              THEN_REFUSED("not_found", "order_id"),
              WHEN("order.ship", "{'order_id':'ord_00000000-0000-0000-0000-000000000001'}"),
              THEN_REFUSED("not_found", "order_id"),
              WHEN("order.get", "{'order_id':'ord_00000000-0000-0000-0000-000000000001'}"),
              THEN_REFUSED("not_found", "order_id"), WHEN("order.get", "{'order_id':'x'}"),
              THEN_REFUSED("invalid_request", "order_id")),
    };
    RUN_ALL(stories);
}

#define THE_ORDER(status)                                                                    \
    "{'order_id':'$order','account_id':'" ANNA "','status':'" status "','lines':["           \
    "{'sku':'tea','name':'Tea','quantity':2,'unit_price':{'amount':500,'currency':'EUR'}}]," \
    "'total':{'amount':1000,'currency':'EUR'},'ship_to':{'name':'Anna','address':" HOME "}," \
    "'placed_at':'*','pay_until':'$until','history':[{'what':'OrderPlaced','at':'*','position':2}"

Test(order, an_order_is_shown_with_its_history)
{
    const struct story stories[] = {
        STORY("shipped, with all that happened and when", OPTION("payment", "nats"),
              REGISTERED(ANNA), CARD_ADDED(CARD_1, "tok_1"), CARD_ADDED(CARD_2, "tok_2"), TEA,
              PLACE, PLACED_BY(CARD_2), CHARGE("1", "tok_2"), WAIT(1000),
              PROVIDER("$order", 1, SAYS_DECLINED), FAILED(CARD_2, "1", NEXT(CARD_1)),
              CHARGE("2", "tok_1"), WAIT(1000), PROVIDER("$order", 2, SAYS_PAID), PAID(CARD_1, "2"),
              WAIT(1000), SHIP, SHIPPED, WHEN("order.get", "{'order_id':'$order'}"),
              THEN_REPLY(THE_ORDER("shipped") ","
                                              "{'what':'PaymentFailed','at':'2026-11-18T11:06:41."
                                              "000Z','position':3,'attempt':1,'card_id':'" CARD_2
                                              "','reason':'card_declined'},"
                                              "{'what':'OrderPaid','at':'2026-11-18T11:06:42.000Z',"
                                              "'position':4,'attempt':2,'card_id':'" CARD_1 "'},"
                                              "{'what':'OrderShipped','at':'2026-11-18T11:06:43."
                                              "000Z','position':5}]}")),
        STORY(
            "cancelled, with the reason; and as it was placed, whatever the customer changed since",
            OPTION("payment", "nats"), ANNA_WITH("tok_ok"), PLACE, PLACED, CHARGE("1", "tok_ok"),
            GIVEN("ACCOUNT ProfileChanged", ANNA,
                  "{'account_id':'" ANNA "','name':'Bea','email':'b@example.com'}"),
            GIVEN("ACCOUNT AddressChanged", ANNA,
                  "{'account_id':'" ANNA "','address':"
                  "{'street':'Ring 2','city':'Bern','postal_code':'3000','country':'CH'}}"),
            CANCEL, CANCELLED("requested"), VOID("1"), WHEN("order.get", "{'order_id':'$order'}"),
            THEN_REPLY(THE_ORDER("cancelled") ",{'what':'OrderCancelled','at':'*','position':3,'"
                                              "reason':'requested'}]}"),
            WHEN("order.place", TWO_TEAS),
            THEN_EVENT("OrderPlaced",
                       "{'order_id':'$second','account_id':'" ANNA "','lines':["
                       "{'sku':'tea','name':'Tea','quantity':2,'unit_price':{'amount':500,'"
                       "currency':'EUR'}}],"
                       "'total':{'amount':1000,'currency':'EUR'},'card_id':'" CARD_1
                       "','ship_to':{'name':'Bea','address':"
                       "{'street':'Ring "
                       "2','city':'Bern','postal_code':'3000','country':'CH'}},'pay_until':'*'}"),
            THEN_CALL("psp.charge", "{'key':'$second/1','order_id':'$second','card_token':'tok_ok',"
                                    "'amount':{'amount':1000,'currency':'EUR'}}")),
    };
    RUN_ALL(stories);
}

#define BRIEF(name)       \
    "{'order_id':'$" name \
    "','status':'paid','total':{'amount':1000,'currency':'EUR'},'placed_at':'*'}"
#define PLACE_NAMED(name)                                                                    \
    PLACE,                                                                                   \
        THEN_EVENT("OrderPlaced",                                                            \
                   "{'order_id':'$" name "','account_id':'" ANNA                             \
                   "','lines':[{'sku':'tea','name':'Tea','quantity':2,"                      \
                   "'unit_price':{'amount':500,'currency':'EUR'}}],'total':{'amount':1000,'" \
                   "currency':'EUR'},'card_id':'" CARD_1 "',"                                \
                   "'ship_to':{'name':'Anna','address':" HOME "},'pay_until':'*'}"),         \
        THEN_EVENT("OrderPaid", "{'order_id':'$" name "','account_id':'" ANNA                \
                                "','card_id':'" CARD_1 "','attempt':1,"                      \
                                "'amount':{'amount':1000,'currency':'EUR'}}")

Test(order, orders_are_listed)
{
    const struct story stories[] = {
        STORY("of nobody", WHEN("order.list", "{'account_id':'" ANNA "'}"),
              THEN_REFUSED("unknown_account", "account_id")),
        STORY("none", REGISTERED(ANNA), WHEN("order.list", "{'account_id':'" ANNA "'}"),
              THEN_REPLY("{'orders':[]}")),
        STORY("newest first, a page at a time, only one's own", ANNA_WITH("tok_ok"),
              REGISTERED(BERT), PLACE_NAMED("a"), PLACE_NAMED("b"), PLACE_NAMED("c"),
              WHEN("order.list", "{'account_id':'" ANNA "'}"),
              THEN_REPLY("{'orders':[" BRIEF("c") "," BRIEF("b") "," BRIEF("a") "]}"),
              WHEN("order.list", "{'account_id':'" ANNA "','limit':2}"),
              THEN_REPLY("{'orders':[" BRIEF("c") "," BRIEF("b") "],'next':'$b'}"),
              WHEN("order.list", "{'account_id':'" ANNA "','limit':2,'after':'$b'}"),
              THEN_REPLY("{'orders':[" BRIEF("a") "]}"),
              WHEN("order.list", "{'account_id':'" BERT "'}"), THEN_REPLY("{'orders':[]}")),
    };
    RUN_ALL(stories);
}

Test(order, the_projection_keeps_only_what_an_order_needs)
{
    const struct story stories[] = {
        STORY("neither e-mail nor birthday of a customer", ANNA_WITH("tok_ok"),
              GIVEN("ACCOUNT ProfileChanged", ANNA,
                    "{'account_id':'" ANNA
                    "','name':'Bea','email':'b@example.com','birthday':'1981-01-01'}"),
              THEN_ROW("SELECT group_concat(name) FROM pragma_table_info('customers')",
                       "account_id,is_open,name,street,city,postal_code,country"),
              THEN_ROW("SELECT name FROM customers", "Bea")),
    };
    RUN_ALL(stories);
}
