/* What a provider's no means, and money that goes back: soft declines, cards that are declined
 * once, orders without a price, voids that are refused, refunds. */
#include "schemas/psp.refund.reply.h"
#include "service.h"
#include "shop.h"
#include <criterion/criterion.h>

#define RUN_ALL(stories) \
    stories_run(&order_service, stories, sizeof(stories) / sizeof(stories[0]), order_folds)

#define PROVIDED OPTION("payment", "nats")
#define CHARGED PROVIDED, ANNA_WITH("tok_1"), PLACE, PLACED, CHARGE("1", "tok_1")
#define ANSWER(attempt, says) PROVIDER("$order", attempt, says)
#define PAID_UP CHARGED, ANSWER(1, SAYS_PAID), PAID(CARD_1, "1")

/* ---- Declines -------------------------------------------------------------------------------- */

#define OTHER_ORDER(name, card)                                                                \
    THEN_EVENT("OrderPlaced",                                                                  \
               "{'order_id':'$" name "','account_id':'" ANNA "','lines':["                     \
               "{'sku':'tea','name':'Tea','quantity':2,'unit_price':{'amount':500,'currency':" \
               "'EUR'}}],'total':{'amount':1000,'currency':'EUR'},'card_id':'" card            \
               "','ship_to':{'name':'Anna','address':" HOME "},'pay_until':'*'}")
#define OTHER_FAILED(name, card, attempt)                                         \
    THEN_EVENT("PaymentFailed",                                                   \
               "{'order_id':'$" name "','account_id':'" ANNA "','card_id':'" card \
               "','reason':'card_declined','attempt':" attempt ",'decline':'known'}")
#define OTHER_CHARGE(name, attempt, token)                                                 \
    THEN_CALL("psp.charge",                                                                \
              "{'key':'$" name "/" attempt "','order_id':'$" name "','card_token':'" token \
              "','amount':{'amount':1000,'currency':'EUR'}}")

Test(money_back, F17_a_soft_decline_leaves_the_card_usable)
{
    const struct story stories[] = {
        STORY("the next card is tried", PROVIDED, ANNA_WITH("tok_1"), CARD_ADDED(CARD_2, "tok_2"),
              PLACE, PLACED_BY(CARD_2), CHARGE("1", "tok_2"), ANSWER(1, SAYS_SOFTLY),
              SOFTLY_FAILED(CARD_2, "1", NEXT(CARD_1)), CHARGE("2", "tok_1"), ANSWER(2, SAYS_PAID),
              PAID(CARD_1, "2")),
        STORY("a later order is charged to it", CHARGED, ANSWER(1, SAYS_SOFTLY),
              SOFTLY_FAILED(CARD_1, "1", NO_NEXT), PLACE, OTHER_ORDER("second", CARD_1),
              OTHER_CHARGE("second", "1", "tok_1")),
        STORY("the provider's own word counts before its reason", CHARGED,
              ANSWER(1, "{'status':'declined','reason':'insufficient_funds','decline':'hard'}"),
              FAILED(CARD_1, "1", NO_NEXT), PLACE, THEN_REFUSED("no_valid_card", "")),
        STORY("and the other way round", CHARGED,
              ANSWER(1, "{'status':'declined','reason':'restricted','decline':'soft'}"),
              SOFTLY_FAILED(CARD_1, "1", NO_NEXT)),
        STORY("the sandbox knows it", ANNA_WITH("tok_soft"), PLACE, PLACED,
              SOFTLY_FAILED(CARD_1, "1", NO_NEXT), STATUS("payment_failed")),
    };
    RUN_ALL(stories);
}

Test(money_back, F18_a_card_is_declined_once)
{
    const struct story stories[] = {
        STORY("the orders that were placed with it meanwhile fail without a charge", PROVIDED,
              OPTION("payment-inflight-per-account", "1"), ANNA_WITH("tok_1"), TOGETHER, PLACE,
              PLACE, RUN, PLACED, OTHER_ORDER("second", CARD_1), CHARGE("1", "tok_1"), WAIT(1000),
              ANSWER(1, SAYS_DECLINED), FAILED(CARD_1, "1", NO_NEXT),
              OTHER_FAILED("second", CARD_1, "1"), WAIT(60000)),
        STORY(
            "one that may have been charged is asked for to its end (P1)", PROVIDED,
            ANNA_WITH("tok_1"), TOGETHER, PLACE, PLACE, RUN, PLACED, OTHER_ORDER("second", CARD_1),
            CHARGE("1", "tok_1"), OTHER_CHARGE("second", "1", "tok_1"), ANSWER(1, SAYS_DECLINED),
            FAILED(CARD_1, "1", NO_NEXT), PROVIDER("$second", 1, "timeout"), WAIT(200),
            OTHER_CHARGE("second", "1", "tok_1"), PROVIDER("$second", 1, SAYS_PAID), THEN_WHATEVER),
        STORY("one that was declined beside it is known to be", PROVIDED, ANNA_WITH("tok_1"),
              TOGETHER, PLACE, PLACE, RUN, PLACED, OTHER_ORDER("second", CARD_1),
              CHARGE("1", "tok_1"), OTHER_CHARGE("second", "1", "tok_1"), TOGETHER,
              ANSWER(1, SAYS_DECLINED), PROVIDER("$second", 1, SAYS_DECLINED), RUN,
              FAILED(CARD_1, "1", NO_NEXT), OTHER_FAILED("second", CARD_1, "1")),
        STORY("so it is after a restart", PROVIDED, OPTION("payment-inflight-per-account", "1"),
              ANNA_WITH("tok_1"), TOGETHER, PLACE, PLACE, RUN, PLACED,
              OTHER_ORDER("second", CARD_1), CHARGE("1", "tok_1"), RESTART, CHARGE("1", "tok_1"),
              ANSWER(1, SAYS_DECLINED), FAILED(CARD_1, "1", NO_NEXT),
              OTHER_CHARGE("second", "1", "tok_1")),
        STORY("no order is placed with it, though account-svc has not heard of it", CHARGED,
              ANSWER(1, SAYS_DECLINED), FAILED(CARD_1, "1", NO_NEXT), PLACE,
              THEN_REFUSED("no_valid_card", "")),
        STORY("a new card is tried by one of the orders that wait, and the others are spared",
              PROVIDED, ANNA_WITH("tok_1"), TOGETHER, PLACE, PLACE, PLACE, RUN, PLACED,
              OTHER_ORDER("second", CARD_1), OTHER_ORDER("third", CARD_1), THEN_WHATEVER,
              CARD_DECLINED(CARD_1),
              RESTART_AFTER("UPDATE orders SET status = 2, attempt = 2, card_id = NULL"), WAIT(100),
              CARD_ADDED(CARD_2, "tok_2"), CHARGE("2", "tok_2"), WAIT(1000),
              ANSWER(2, SAYS_DECLINED), FAILED(CARD_2, "2", NO_NEXT), WAIT(60000)),
        STORY("a good one is tried by one after another", PROVIDED, ANNA_WITH("tok_1"), TOGETHER,
              PLACE, PLACE, RUN, PLACED, OTHER_ORDER("second", CARD_1), THEN_WHATEVER,
              CARD_DECLINED(CARD_1),
              RESTART_AFTER("UPDATE orders SET status = 2, attempt = 2, card_id = NULL"), WAIT(100),
              CARD_ADDED(CARD_2, "tok_2"), CHARGE("2", "tok_2"), ANSWER(2, SAYS_PAID),
              PAID(CARD_2, "2"), OTHER_CHARGE("second", "2", "tok_2"),
              PROVIDER("$second", 2, SAYS_PAID), THEN_WHATEVER,
              THEN_ROW("SELECT count(*) FROM orders WHERE status = 3", "2")),
    };
    stories_run(&order_service, stories, 5, order_folds);
    /* In the others the tables are changed by hand. */
    stories_run(&order_service, stories + 5, 2, NULL);
}

Test(money_back, F18_an_account_has_so_many_orders_that_wait_and_charges_in_flight)
{
    const struct story stories[] = {
        STORY("two orders that wait", OPTION("orders-waiting-max", "2"), ANNA_WITH("tok_soft"),
              PLACE, PLACED, SOFTLY_FAILED(CARD_1, "1", NO_NEXT), PLACE, THEN_WHATEVER, PLACE,
              THEN_REFUSED("too_many_waiting", "account_id: 2 orders"), CANCEL,
              CANCELLED("requested"), PLACE, THEN_WHATEVER),
        STORY("one charge in flight: what waits for its turn still ends at its deadline", PROVIDED,
              OPTION("payment-inflight-per-account", "1"), OPTION("payment-deadline-s", "3"),
              ANNA_WITH("tok_1"), TOGETHER, PLACE, PLACE, RUN, PLACED,
              OTHER_ORDER("second", CARD_1), CHARGE("1", "tok_1"), WAIT(3000), THEN_WHATEVER,
              THEN_ROW("SELECT count(*) FROM orders WHERE status = 5", "2")),
    };
    RUN_ALL(stories);
}

Test(money_back, F17_an_order_without_a_price_is_paid_at_once)
{
#define FREE PRODUCT_OF("tea", "Tea", "0", "EUR", "10")
#define FREE_PLACED                                                                           \
    THEN_EVENT("OrderPlaced",                                                                 \
               "{'order_id':'$order','account_id':'" ANNA                                     \
               "','lines':[{'sku':'tea','name':'Tea','quantity':2,'unit_price':{'amount':0,'" \
               "currency':'EUR'}}],'total':{'amount':0,'currency':'EUR'},'card_id':'" CARD_1  \
               "','ship_to':{'name':'Anna','address':" HOME "},'pay_until':'*'}")
    const struct story stories[] = {
        STORY("and nobody is asked", PROVIDED, REGISTERED(ANNA), CARD_ADDED(CARD_1, "tok_declined"),
              FREE, PLACE, FREE_PLACED,
              THEN_EVENT("OrderPaid",
                         "{'order_id':'$order','account_id':'" ANNA "','card_id':'" CARD_1
                         "','attempt':1,'amount':{'amount':0,'currency':'EUR'}}"),
              WAIT(60000)),
    };
    RUN_ALL(stories);
}

/* ---- Voids that are refused ------------------------------------------------------------------ */

#define VOIDED_AGAIN(wait_ms) ANSWER(-1, SAYS_REFUSED), WAIT(wait_ms), VOID("1")
#define VOID_REFUSED(reason)                                                             \
    THEN_EVENT("VoidRefused", "{'order_id':'$order','account_id':'" ANNA                 \
                              "','attempt':1,'amount':{'amount':1000,'currency':'EUR'}," \
                              "'reason':'" reason "'}")
#define CANCELLED_IN_FLIGHT CHARGED, CANCEL, CANCELLED("requested"), VOID("1")
#define REFUSED_FIVE_TIMES                                                        \
    CANCELLED_IN_FLIGHT, VOIDED_AGAIN(200), VOIDED_AGAIN(400), VOIDED_AGAIN(800), \
        VOIDED_AGAIN(1600), ANSWER(-1, SAYS_REFUSED), VOID_REFUSED("already_settled")
#define UNSETTLED(amount, cause)                                                                   \
    WHEN("order.unsettled", "{}"),                                                                 \
        THEN_REPLY("{'unsettled':[{'order_id':'$order','account_id':'" ANNA                        \
                   "','attempt':1,'amount':{'amount':" amount ",'currency':'EUR'},'cause':'" cause \
                   "','reason':'*','since':'*','position':*}]}")
#define NOTHING_UNSETTLED WHEN("order.unsettled", "{}"), THEN_REPLY("{'unsettled':[]}")

Test(money_back, F17_a_void_that_is_refused_ends_and_is_a_persons_to_settle)
{
    const struct story stories[] = {
        STORY("after five times", REFUSED_FIVE_TIMES, WAIT(60000),
              UNSETTLED("1000", "void_refused"), RESTART, WAIT(60000)),
        STORY("a provider that cannot say it right is no better", CANCELLED_IN_FLIGHT,
              ANSWER(-1, "invalid"), WAIT(200), VOID("1"), ANSWER(-1, "{}"), WAIT(400), VOID("1"),
              ANSWER(-1, "invalid"), WAIT(800), VOID("1"), ANSWER(-1, "timeout"), WAIT(1600),
              VOID("1"), ANSWER(-1, "unreachable"), WAIT(3200), VOID("1"), ANSWER(-1, "{}"),
              WAIT(6400), VOID("1"), ANSWER(-1, "{}"), VOID_REFUSED("refused")),
        STORY("refused once, then voided: it is settled", CANCELLED_IN_FLIGHT, VOIDED_AGAIN(200),
              ANSWER(-1, SAYS_VOIDED), NOTHING_UNSETTLED),
        STORY("the sandbox knows it", ANNA_WITH("tok_timeout_kept"), PLACE, PLACED, CANCEL,
              CANCELLED("requested"), WAIT(60000), VOID_REFUSED("already_settled")),
    };
    RUN_ALL(stories);
}

/* ---- Refunds --------------------------------------------------------------------------------- */

#define STATUS_NOW(name, refunded)                                                            \
    WHEN("order.list", "{'account_id':'" ANNA "'}"),                                          \
        THEN_REPLY("{'orders':[{'order_id':'$order','status':'" name                          \
                   "','total':{'amount':1000,'currency':'EUR'},'placed_at':'*','refunded':{'" \
                   "amount':" refunded ",'currency':'EUR'}}]}")
#define REFUND(body) WHEN("order.refund", "{'order_id':'$order'" body "}")
#define REQUESTED(n, amount)                                                                 \
    THEN_EVENT("RefundRequested", "{'order_id':'$order','account_id':'" ANNA "','refund':" n \
                                  ",'attempt':1,'amount':{'amount':" amount ",'currency':'EUR'}}")
#define REFUND_CALL(n, amount)                                                                  \
    THEN_CALL("psp.refund", "{'key':'$order/1/r" n "','charge':'$order/1','order_id':'$order'," \
                            "'amount':{'amount':" amount ",'currency':'EUR'}}")
#define REFUND_ANSWER(n, says) WORK_ANSWER("refund", "$order", n, &psp_refund_reply_schema, says)
#define SAYS_REFUNDED "{'status':'refunded'}"
#define REFUNDED(n, amount, so_far)                                                             \
    THEN_EVENT("OrderRefunded", "{'order_id':'$order','account_id':'" ANNA "','refund':" n      \
                                ",'attempt':1,'amount':{'amount':" amount ",'currency':'EUR'}," \
                                "'refunded':{'amount':" so_far ",'currency':'EUR'}}")
#define REFUND_FAILED(n, amount)                                                          \
    THEN_EVENT("RefundFailed", "{'order_id':'$order','account_id':'" ANNA "','refund':" n \
                               ",'attempt':1,'amount':{'amount':" amount                  \
                               ",'currency':'EUR'},'reason':'already_settled'}")

Test(money_back, F20_a_paid_order_is_refunded)
{
    const struct story stories[] = {
        STORY(
            "whole: the stock of an order that was not shipped returns", PAID_UP, REFUND(""),
            REQUESTED("1", "1000"),
            THEN_REPLY("{'order_id':'$order','refund':1,'amount':{'amount':1000,'currency':'EUR'},"
                       "'position':*}"),
            REFUND_CALL("1", "1000"), STATUS("paid"), REFUND_ANSWER(1, SAYS_REFUNDED),
            REFUNDED("1", "1000", "1000"), STATUS_NOW("cancelled", "1000"), STOCK("10/0/0"), SHIP,
            THEN_REFUSED("wrong_state", "order_id: the order is cancelled"), REFUND(""),
            THEN_REFUSED("wrong_state", "order_id: all of the charge is given back")),
        STORY("a shipped one: what has left the house stays away", PAID_UP, SHIP, SHIPPED,
              REFUND(""), REQUESTED("1", "1000"), REFUND_CALL("1", "1000"),
              REFUND_ANSWER(1, SAYS_REFUNDED), REFUNDED("1", "1000", "1000"),
              STATUS_NOW("shipped", "1000"), STOCK("8/0/2")),
        STORY("in parts, up to what was paid", PAID_UP, REFUND(",'amount':400"),
              REQUESTED("1", "400"), REFUND_CALL("1", "400"), REFUND(",'amount':700"),
              THEN_REFUSED("invalid_request", "amount: of the charge 600 are left"),
              REFUND_ANSWER(1, SAYS_REFUNDED), REFUNDED("1", "400", "400"),
              STATUS_NOW("paid", "400"), REFUND(""), REQUESTED("2", "600"), REFUND_CALL("2", "600"),
              REFUND_ANSWER(2, SAYS_REFUNDED), REFUNDED("2", "600", "1000"),
              STATUS_NOW("cancelled", "1000"), STOCK("10/0/0")),
        STORY("shipped while it is under way", PAID_UP, REFUND(""), REQUESTED("1", "1000"),
              REFUND_CALL("1", "1000"), SHIP, SHIPPED, REFUND_ANSWER(1, SAYS_REFUNDED),
              REFUNDED("1", "1000", "1000"), STATUS_NOW("shipped", "1000"), STOCK("8/0/2")),
        STORY("no answer: again under its key; said twice is said once", PAID_UP, REFUND(""),
              REQUESTED("1", "1000"), REFUND_CALL("1", "1000"), REFUND_ANSWER(1, "timeout"),
              WAIT(200), REFUND_CALL("1", "1000"), RESTART, REFUND_CALL("1", "1000"),
              REFUND_ANSWER(1, SAYS_REFUNDED), REFUNDED("1", "1000", "1000"),
              REFUND_ANSWER(1, SAYS_REFUNDED), RESTART, WAIT(60000)),
        STORY("its key brings the same refund", PAID_UP,
              WHEN_KEY("order.refund", "{'order_id':'$order','amount':100}", "k"),
              REQUESTED("1", "100"), REFUND_CALL("1", "100"),
              WHEN_KEY("order.refund", "{'order_id':'$order','amount':100}", "k"),
              THEN_REPLY("{'order_id':'$order','refund':1,'amount':{'amount':100,'currency':'EUR'},"
                         "'position':*}")),
        STORY("an order that is not paid", CHARGED, REFUND(""),
              THEN_REFUSED("wrong_state", "order_id: the order is placed")),
        STORY("no order", PROVIDED, ANNA_WITH("tok_1"),
              WHEN("order.refund", "{'order_id':'ord_00000000-0000-0000-0000-000000000009'}"),
              THEN_REFUSED("not_found", "order_id")),
        STORY("another attempt than that of the payment", PAID_UP, REFUND(",'attempt':2"),
              THEN_REFUSED("wrong_state", "order_id: the order is paid, and no such charge")),
        STORY("the sandbox gives back", ANNA_WITH("tok_ok"), PLACE, PLACED, PAID(CARD_1, "1"),
              REFUND(""), REQUESTED("1", "1000"), REFUNDED("1", "1000", "1000")),
    };
    RUN_ALL(stories);
}

#define ASKED_AGAIN(wait_ms) REFUND_ANSWER(1, SAYS_REFUSED), WAIT(wait_ms), REFUND_CALL("1", "400")

Test(money_back, F20_a_refund_that_is_refused_is_a_persons_to_settle)
{
    const struct story stories[] = {
        STORY("it ends after five times; another pays it off", PAID_UP, REFUND(",'amount':400"),
              REQUESTED("1", "400"), REFUND_CALL("1", "400"), ASKED_AGAIN(200), ASKED_AGAIN(400),
              ASKED_AGAIN(800), ASKED_AGAIN(1600), REFUND_ANSWER(1, SAYS_REFUSED),
              REFUND_FAILED("1", "400"), STATUS("paid"), UNSETTLED("400", "refund_failed"),
              REFUND_ANSWER(1, SAYS_REFUNDED), REFUND(""), REQUESTED("2", "1000"),
              REFUND_CALL("2", "1000"), REFUND_ANSWER(2, SAYS_REFUNDED),
              REFUNDED("2", "1000", "1000"), STATUS_NOW("cancelled", "1000"), NOTHING_UNSETTLED),
        STORY("money of a charge that could not be voided is given back by a refund",
              REFUSED_FIVE_TIMES, REFUND(""), REQUESTED("1", "1000"), REFUND_CALL("1", "1000"),
              REFUND_ANSWER(1, SAYS_REFUNDED), REFUNDED("1", "1000", "0"), STATUS("cancelled"),
              NOTHING_UNSETTLED, STOCK("10/0/0")),
        STORY("the sandbox refuses, too", ANNA_WITH("tok_kept"), PLACE, PLACED, PAID(CARD_1, "1"),
              REFUND(""), REQUESTED("1", "1000"), WAIT(60000),
              THEN_EVENT("RefundFailed", "{'order_id':'$order','account_id':'" ANNA
                                         "','refund':1,'attempt':1,'amount':{'amount':1000,'"
                                         "currency':'EUR'},'reason':'card_closed'}")),
    };
    RUN_ALL(stories);
}
