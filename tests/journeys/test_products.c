/* The shop's own journeys as tables: prices, stock corrections, and products that are not sold any
 * more. */
#include "service.h"
#include "shop.h"
#include <criterion/criterion.h>

#define RUN_ALL(stories) \
    stories_run(&order_service, stories, sizeof(stories) / sizeof(stories[0]), order_folds)

#define PRICE(amount) "{'sku':'tea','price':{'amount':" amount ",'currency':'EUR'}}"
#define RETIRE WHEN("order.retire-product", "{'sku':'tea'}")
#define RETIRED RETIRE, THEN_EVENT("ProductRetired", "{'sku':'tea'}")
#define LISTED(amount, stock, reserved, more)                                                      \
    WHEN("order.products", "{}"),                                                                  \
        THEN_REPLY("{'products':[{'sku':'tea','name':'Tea','price':{'amount':" amount              \
                   ",'currency':'EUR'},'stock':" stock ",'reserved':" reserved ",'shipped':0" more \
                   "}]}")
#define DEARER                                                                                   \
    THEN_EVENT("OrderPlaced",                                                                    \
               "{'order_id':'$dearer','account_id':'" ANNA "','lines':["                         \
               "{'sku':'tea','name':'Tea','quantity':2,'unit_price':{'amount':650,'currency':'E" \
               "UR'}}],'total':{'amount':1300,'currency':'EUR'},'card_id':'" CARD_1              \
               "','ship_to':{'name':'Anna','address':" HOME "},'pay_until':'*'}")

Test(products, a_price_is_changed)
{
    const struct story stories[] = {
        STORY("the next order pays it, the one before keeps its price", OPTION("payment", "nats"),
              ANNA_WITH("tok_ok"), PLACE, PLACED, CHARGE("1", "tok_ok"),
              WHEN("order.change-price", PRICE("650")), THEN_EVENT("PriceChanged", PRICE("650")),
              THEN_REPLY("{'sku':'tea','price':{'amount':650,'currency':'EUR'},'position':3}"),
              LISTED("650", "8", "2", ""), PROVIDER("$order", 1, SAYS_PAID), PAID(CARD_1, "1"),
              STATUS("paid"), THEN_ROW("SELECT amount FROM order_lines WHERE line = 1", "500"),
              PLACE, DEARER,
              THEN_CALL("psp.charge",
                        "{'key':'$dearer/1','order_id':'$dearer','card_token':'tok_ok',"
                        "'amount':{'amount':1300,'currency':'EUR'}}")),
        STORY("the same key twice says the price of then", TEA,
              WHEN_KEY("order.change-price", PRICE("650"), "k"),
              THEN_EVENT("PriceChanged", PRICE("650")), WHEN("order.change-price", PRICE("0")),
              THEN_EVENT("PriceChanged", PRICE("0")),
              WHEN_KEY("order.change-price", PRICE("650"), "k"),
              THEN_REPLY("{'sku':'tea','price':{'amount':650,'currency':'EUR'},'position':2}"),
              LISTED("0", "10", "0", "")),
        STORY("another currency", TEA,
              WHEN("order.change-price", "{'sku':'tea','price':{'amount':7,'currency':'CHF'}}"),
              THEN_EVENT("PriceChanged", "{'sku':'tea','price':{'amount':7,'currency':'CHF'}}"),
              THEN_ROW("SELECT amount || currency FROM products", "7CHF")),
        STORY("refusals", WHEN("order.change-price", PRICE("1")), THEN_REFUSED("not_found", "sku"),
              TEA, WHEN("order.change-price", PRICE("-1")),
              THEN_REFUSED("invalid_request", "price.amount"),
              WHEN("order.change-price", "{'sku':'tea'}"), THEN_REFUSED("invalid_request", "price"),
              RETIRED, WHEN("order.change-price", PRICE("1")),
              THEN_REFUSED("wrong_state", "sku: the product is retired")),
    };
    RUN_ALL(stories);
}

#define BY(by) "{'sku':'tea','by':" by ",'reason':'broken'}"
#define COUNTED(counted) "{'sku':'tea','counted':" counted ",'reason':'count'}"
#define CORRECTED(by, stock, reason) \
    THEN_EVENT("StockCorrected",     \
               "{'sku':'tea','by':" by ",'stock':" stock ",'reason':'" reason "'}")
#define CORRECT(body) WHEN("order.correct-stock", body)

Test(products, stock_is_corrected)
{
    const struct story stories[] = {
        STORY("fewer and more, by the difference", TEA, CORRECT(BY("-3")),
              CORRECTED("-3", "7", "broken"), THEN_REPLY("{'sku':'tea','stock':7,'position':2}"),
              STOCK("7/0/0"), CORRECT(BY("5")), CORRECTED("5", "12", "broken"), STOCK("12/0/0"),
              CORRECT(BY("-12")), CORRECTED("-12", "0", "broken"), STOCK("0/0/0")),
        STORY("to what was counted, reserved pieces among it", ANNA_WITH("tok_ok"), PLACE, PLACED,
              PAID(CARD_1, "1"), CORRECT(COUNTED("9")), CORRECTED("-1", "7", "count"),
              THEN_REPLY("{'sku':'tea','stock':7,'position':4}"), STOCK("7/2/0"),
              CORRECT(COUNTED("9")), CORRECTED("0", "7", "count"), CORRECT(COUNTED("2")),
              CORRECTED("-7", "0", "count"), STOCK("0/2/0"), SHIP, SHIPPED, STOCK("0/0/2")),
        STORY("never below what is reserved", ANNA_WITH("tok_ok"), PLACE, PLACED, PAID(CARD_1, "1"),
              CORRECT(COUNTED("1")), THEN_REFUSED("out_of_stock", "counted: tea: 2 are reserved"),
              CORRECT(BY("-9")), THEN_REFUSED("out_of_stock", "by: tea: only 8 are there"),
              STOCK("8/2/0")),
        STORY("the same key twice corrects once", TEA,
              WHEN_KEY("order.correct-stock", BY("-3"), "k"), CORRECTED("-3", "7", "broken"),
              WHEN_KEY("order.correct-stock", BY("-3"), "k"),
              THEN_REPLY("{'sku':'tea','stock':7,'position':2}"), STOCK("7/0/0"),
              WHEN_KEY("order.correct-stock", BY("-2"), "k"), THEN_REFUSED("conflict", "")),
        STORY("a retired product is written off", TEA, RETIRED, CORRECT(COUNTED("0")),
              CORRECTED("-10", "0", "count"), STOCK("0/0/0")),
        STORY("refusals", CORRECT(BY("1")), THEN_REFUSED("not_found", "sku"), TEA, CUP,
              CORRECT(BY("0")), THEN_REFUSED("invalid_request", "by"),
              CORRECT("{'sku':'tea','reason':'x'}"), THEN_REFUSED("invalid_request", "by"),
              CORRECT("{'sku':'tea','by':1,'counted':1,'reason':'x'}"),
              THEN_REFUSED("invalid_request", "by"), CORRECT("{'sku':'tea','by':1}"),
              THEN_REFUSED("invalid_request", "reason"), CORRECT(COUNTED("-1")),
              THEN_REFUSED("invalid_request", "counted"), CORRECT(BY("1000000000000")),
              THEN_REFUSED("invalid_request", "by: more than"), CORRECT(BY("1000000000001")),
              THEN_REFUSED("invalid_request", "by"), STOCK("10/0/0")),
    };
    RUN_ALL(stories);
}

Test(products, a_product_is_retired)
{
    const struct story stories[] = {
        STORY("it is not sold, and listed as retired", ANNA_WITH("tok_ok"), RETIRED,
              THEN_REPLY("{'sku':'tea','position':2}"), PLACE,
              THEN_REFUSED("wrong_state", "lines[0].sku: the product is retired"),
              LISTED("500", "10", "0", ",'retired':true"), RETIRE,
              THEN_REFUSED("wrong_state", "sku: the product is retired")),
        STORY("open orders go on: paid, shipped", OPTION("payment", "nats"), ANNA_WITH("tok_ok"),
              PLACE, PLACED, CHARGE("1", "tok_ok"), RETIRED, PROVIDER("$order", 1, SAYS_PAID),
              PAID(CARD_1, "1"), SHIP, SHIPPED, STOCK("8/0/2")),
        STORY("… or cancelled, and what they give back is not sold", OPTION("payment", "nats"),
              ANNA_WITH("tok_ok"), PLACE, PLACED, CHARGE("1", "tok_ok"), RETIRED, CANCEL,
              CANCELLED("requested"), VOID("1"), STOCK("10/0/0"), PLACE,
              THEN_REFUSED("wrong_state", "lines[0].sku")),
        STORY("its sku stays taken, and it gets no stock", TEA, RETIRED,
              WHEN("order.add-product",
                   "{'sku':'tea','name':'T','price':{'amount':1,'currency':'EUR'},'stock':1}"),
              THEN_REFUSED("conflict", "sku: there is a retired product of this sku"),
              WHEN("order.receive-stock", "{'sku':'tea','quantity':5}"),
              THEN_REFUSED("wrong_state", "sku: the product is retired"), STOCK("10/0/0")),
        STORY("the same key twice retires once", TEA,
              WHEN_KEY("order.retire-product", "{'sku':'tea'}", "k"),
              THEN_EVENT("ProductRetired", "{'sku':'tea'}"),
              WHEN_KEY("order.retire-product", "{'sku':'tea'}", "k"),
              THEN_REPLY("{'sku':'tea','position':2}")),
        STORY("a product that there is not", RETIRE, THEN_REFUSED("not_found", "sku")),
    };
    RUN_ALL(stories);
}
