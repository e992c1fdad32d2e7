/* The payment of an order, from the first charge to its end, with a provider whose answers the
 * story gives (option payment=nats), and with the sandbox. Rules P1 and P2:
 * order-svc/take_payment.c. */
#include "service.h"
#include "shop.h"
#include <criterion/criterion.h>

#define RUN_ALL(stories) \
    stories_run(&order_service, stories, sizeof(stories) / sizeof(stories[0]), order_folds)

#define PROVIDED OPTION("payment", "nats")
#define HOURS(n) (INT64_C(3600000) * (n))
#define CHARGED PROVIDED, ANNA_WITH("tok_1"), PLACE, PLACED, CHARGE("1", "tok_1")
#define ANSWER(attempt, says) PROVIDER("$order", attempt, says)
#define WAITING \
    CHARGED, ANSWER(1, SAYS_DECLINED), FAILED(CARD_1, "1", NO_NEXT), STATUS("payment_failed")

Test(payment, a_charge_is_paid_or_declined)
{
    const struct story stories[] = {
        STORY("paid", CHARGED, ANSWER(1, SAYS_PAID), PAID(CARD_1, "1"), STATUS("paid"),
              STOCK("8/2/0")),
        STORY("declined, the next card is paid", PROVIDED, ANNA_WITH("tok_1"),
              CARD_ADDED(CARD_2, "tok_2"), PLACE, PLACED_BY(CARD_2), CHARGE("1", "tok_2"),
              ANSWER(1, SAYS_DECLINED), FAILED(CARD_2, "1", NEXT(CARD_1)), CHARGE("2", "tok_1"),
              STATUS("payment_failed"), ANSWER(2, SAYS_PAID), PAID(CARD_1, "2"), STATUS("paid"),
              STOCK("8/2/0")),
        STORY("every card once, then it waits", PROVIDED, ANNA_WITH("tok_1"),
              CARD_ADDED(CARD_2, "tok_2"), PLACE, PLACED_BY(CARD_2), CHARGE("1", "tok_2"),
              ANSWER(1, SAYS_DECLINED), FAILED(CARD_2, "1", NEXT(CARD_1)), CHARGE("2", "tok_1"),
              ANSWER(2, SAYS_DECLINED), FAILED(CARD_1, "2", NO_NEXT), WAIT(HOURS(71)),
              STATUS("payment_failed"), STOCK("8/2/0")),
        STORY("a provider without words", CHARGED, ANSWER(1, "{'status':'declined'}"),
              THEN_EVENT("PaymentFailed",
                         "{'order_id':'$order','account_id':'" ANNA "','card_id':'" CARD_1
                         "','reason':'declined','attempt':1}")),
    };
    RUN_ALL(stories);
}

Test(payment, an_order_that_waits_is_charged_to_a_new_card)
{
    const struct story stories[] = {
        STORY("makes a waiting order try again", WAITING, CARD_ADDED(CARD_2, "tok_2"),
              CHARGE("2", "tok_2"), ANSWER(2, SAYS_PAID), PAID(CARD_2, "2"), STATUS("paid")),
        STORY("that is declined too: it waits again, and for another", WAITING,
              CARD_ADDED(CARD_2, "tok_2"), CHARGE("2", "tok_2"), ANSWER(2, SAYS_DECLINED),
              FAILED(CARD_2, "2", NO_NEXT), CARD_ADDED(CARD_3, "tok_3"), CHARGE("3", "tok_3"),
              ANSWER(3, SAYS_PAID), PAID(CARD_3, "3")),
        STORY("of two new ones the newest, then the other", WAITING, TOGETHER,
              CARD_ADDED(CARD_2, "tok_2"), CARD_ADDED(CARD_3, "tok_3"), RUN, CHARGE("2", "tok_3"),
              ANSWER(2, SAYS_DECLINED), FAILED(CARD_3, "2", NEXT(CARD_2)), CHARGE("3", "tok_2")),
        STORY("of somebody else changes nothing", WAITING, REGISTERED(BERT),
              GIVEN("ACCOUNT CardAdded", BERT,
                    "{'account_id':'" BERT "','card_id':'" CARD_2
                    "','card_token':'tok_2','brand':'V',"
                    "'last4':'4242','expires':'2030-12'}"),
              WAIT(1000), STATUS("payment_failed")),
        STORY("while a charge is open waits for its turn", CHARGED, CARD_ADDED(CARD_2, "tok_2"),
              WAIT(100), ANSWER(1, SAYS_DECLINED), FAILED(CARD_1, "1", NEXT(CARD_2)),
              CHARGE("2", "tok_2")),
        STORY("that has expired does not help", WAITING,
              CARD_ADDED_UNTIL(CARD_2, "tok_2", "2026-10"), WAIT(1000), STATUS("payment_failed")),
        STORY("comes in the same batch as the decline", CHARGED, TOGETHER, ANSWER(1, SAYS_DECLINED),
              CARD_ADDED(CARD_2, "tok_2"), RUN, FAILED(CARD_1, "1", NO_NEXT), CHARGE("2", "tok_2")),
        STORY("is chosen once: after a restart the same key goes to the same card (P1)", WAITING,
              CARD_ADDED(CARD_2, "tok_2"), CHARGE("2", "tok_2"), CARD_ADDED(CARD_3, "tok_3"),
              RESTART, CHARGE("2", "tok_2"), ANSWER(2, SAYS_PAID), PAID(CARD_2, "2")),
        STORY("that came while nobody looked is found at the start", WAITING,
              CARD_ADDED(CARD_2, "tok_2"), CHARGE("2", "tok_2"),
              RESTART_AFTER("DELETE FROM card_choices"), CHARGE("2", "tok_2"), ANSWER(2, SAYS_PAID),
              PAID(CARD_2, "2"), THEN_ROW("SELECT count(*) FROM card_choices", "0")),
    };
    RUN_ALL(stories);
}

Test(payment, a_removed_card_pays_its_own_order_and_no_other_attempt)
{
    const struct story stories[] = {
        STORY("removed while its charge is open: the order stands, and is paid by it", CHARGED,
              CARD_REMOVED(CARD_1), ANSWER(1, "unreachable"), WAIT(1000), CHARGE("1", "tok_1"),
              ANSWER(1, SAYS_PAID), PAID(CARD_1, "1")),
        STORY("removed or declined before its turn: not tried", PROVIDED, ANNA_WITH("tok_1"),
              CARD_ADDED(CARD_2, "tok_2"), CARD_ADDED(CARD_3, "tok_3"), PLACE, PLACED_BY(CARD_3),
              CHARGE("1", "tok_3"), CARD_REMOVED(CARD_2), CARD_DECLINED(CARD_1),
              ANSWER(1, SAYS_DECLINED), FAILED(CARD_3, "1", NO_NEXT)),
        STORY("the account is closed: no further card is tried", PROVIDED, ANNA_WITH("tok_1"),
              CARD_ADDED(CARD_2, "tok_2"), PLACE, PLACED_BY(CARD_2), CHARGE("1", "tok_2"),
              ACCOUNT_CLOSED, ANSWER(1, SAYS_DECLINED), FAILED(CARD_2, "1", NO_NEXT)),
        STORY("not in the projection, because that is being read anew: it is charged when it comes",
              CHARGED, RESTART_AFTER("DELETE FROM customer_cards"), WAIT(100),
              CARD_ADDED(CARD_1, "tok_1"), WAIT(400), CHARGE("1", "tok_1"), ANSWER(1, SAYS_PAID),
              PAID(CARD_1, "1")),
    };
    stories_run(&order_service, stories, 3, order_folds);
    /* In the last story the projection contradicts the log, so it cannot be folded anew. */
    stories_run(&order_service, stories + 3, 1, NULL);
}

Test(payment, a_charge_without_an_answer_is_repeated)
{
    const struct story stories[] = {
        STORY("the same key again, later and later", CHARGED, ANSWER(1, "timeout"), WAIT(99),
              WAIT(102), CHARGE("1", "tok_1"), ANSWER(1, "unreachable"), WAIT(199), WAIT(202),
              CHARGE("1", "tok_1"), ANSWER(1, "invalid"), WAIT(399), WAIT(402),
              CHARGE("1", "tok_1"), ANSWER(1, "timeout"), WAIT(799), WAIT(802),
              CHARGE("1", "tok_1"), ANSWER(1, SAYS_PAID), PAID(CARD_1, "1")),
        STORY("an answer that got lost inside is asked for once more", CHARGED, WAIT(10000),
              WAIT(201), CHARGE("1", "tok_1"), ANSWER(1, SAYS_PAID), PAID(CARD_1, "1")),
        STORY("a restart asks again with the same key", CHARGED, RESTART, CHARGE("1", "tok_1"),
              ANSWER(1, SAYS_PAID), PAID(CARD_1, "1"), RESTART, STATUS("paid")),
        STORY("a restart between two cards goes on with the second", PROVIDED, ANNA_WITH("tok_1"),
              CARD_ADDED(CARD_2, "tok_2"), PLACE, PLACED_BY(CARD_2), CHARGE("1", "tok_2"),
              ANSWER(1, SAYS_DECLINED), FAILED(CARD_2, "1", NEXT(CARD_1)), CHARGE("2", "tok_1"),
              RESTART, CHARGE("2", "tok_1"), ANSWER(2, SAYS_PAID), PAID(CARD_1, "2")),
    };
    RUN_ALL(stories);
}

Test(payment, a_repeated_or_late_answer_does_no_harm)
{
    const struct story stories[] = {
        STORY("paid twice is paid", CHARGED, ANSWER(1, SAYS_PAID), PAID(CARD_1, "1"),
              ANSWER(1, SAYS_PAID), STATUS("paid")),
        STORY("paid twice in one batch", CHARGED, TOGETHER, ANSWER(1, SAYS_PAID),
              ANSWER(1, SAYS_PAID), RUN, PAID(CARD_1, "1")),
        STORY("paid, shipped, paid", CHARGED, ANSWER(1, SAYS_PAID), PAID(CARD_1, "1"), SHIP,
              SHIPPED, ANSWER(1, SAYS_PAID)),
        STORY("declined twice is one failure", CHARGED, TOGETHER, ANSWER(1, SAYS_DECLINED),
              ANSWER(1, SAYS_DECLINED), RUN, FAILED(CARD_1, "1", NO_NEXT)),
        STORY("declined after it was paid is nothing", CHARGED, ANSWER(1, SAYS_PAID),
              PAID(CARD_1, "1"), ANSWER(1, SAYS_DECLINED), STATUS("paid")),
        STORY("paid after it was declined is taken back", PROVIDED, ANNA_WITH("tok_1"),
              CARD_ADDED(CARD_2, "tok_2"), PLACE, PLACED_BY(CARD_2), CHARGE("1", "tok_2"),
              ANSWER(1, SAYS_DECLINED), FAILED(CARD_2, "1", NEXT(CARD_1)), CHARGE("2", "tok_1"),
              ANSWER(1, SAYS_PAID), LATE("1"), VOID("1"), ANSWER(-1, SAYS_VOIDED),
              ANSWER(1, SAYS_PAID), ANSWER(2, SAYS_PAID), PAID(CARD_1, "2")),
        STORY("a time-out after the answer is nothing", CHARGED, ANSWER(1, SAYS_PAID),
              PAID(CARD_1, "1"), ANSWER(1, "timeout"), WAIT(60000), STATUS("paid")),
        STORY("an answer about nothing that we know", CHARGED,
              PROVIDER("ord_00000000-0000-0000-0000-000000000009", 1, SAYS_PAID),
              ANSWER(7, SAYS_DECLINED), STATUS("placed")),
    };
    RUN_ALL(stories);
}

#define CANCELLED_IN_FLIGHT CHARGED, CANCEL, CANCELLED("requested"), VOID("1")

Test(payment, the_charge_of_a_cancelled_order_is_voided)
{
    const struct story stories[] = {
        STORY("a charge in flight is taken back", CANCELLED_IN_FLIGHT, ANSWER(-1, SAYS_VOIDED),
              WAIT(60000), STOCK("10/0/0")),
        STORY("its late success is noted, and changes nothing", CANCELLED_IN_FLIGHT,
              ANSWER(1, SAYS_PAID), LATE("1"), ANSWER(-1, SAYS_VOIDED), STATUS("cancelled")),
        STORY("a success after the void is taken back once more", CANCELLED_IN_FLIGHT,
              ANSWER(-1, SAYS_VOIDED), ANSWER(1, SAYS_PAID), LATE("1"), VOID("1"),
              ANSWER(-1, SAYS_VOIDED), STATUS("cancelled")),
        STORY("also after a restart", CANCELLED_IN_FLIGHT, ANSWER(-1, SAYS_VOIDED),
              ANSWER(1, SAYS_PAID), LATE("1"), VOID("1"), RESTART, VOID("1"),
              ANSWER(-1, SAYS_VOIDED), RESTART, WAIT(60000)),
        STORY("its late decline is nothing", CANCELLED_IN_FLIGHT, ANSWER(1, SAYS_DECLINED),
              ANSWER(-1, SAYS_VOIDED), STATUS("cancelled")),
        STORY("no answer to the void: again, later and later", CANCELLED_IN_FLIGHT,
              ANSWER(-1, "unreachable"), WAIT(201), VOID("1"), ANSWER(-1, "timeout"), WAIT(401),
              VOID("1"), ANSWER(-1, SAYS_VOIDED), ANSWER(-1, SAYS_VOIDED), WAIT(60000)),
        STORY("cancel and answer in one batch: the cancel was first", CHARGED, TOGETHER, CANCEL,
              ANSWER(1, SAYS_PAID), RUN, CANCELLED("requested"), LATE("1"), VOID("1"),
              STATUS("cancelled"), STOCK("10/0/0")),
        STORY("cancel and answer in one batch: the answer was first", CHARGED, TOGETHER,
              ANSWER(1, SAYS_PAID), CANCEL, RUN, THEN_REFUSED("wrong_state", ""), PAID(CARD_1, "1"),
              STATUS("paid")),
        STORY("a restart takes back what has no answer yet, and only that", CANCELLED_IN_FLIGHT,
              RESTART, VOID("1"), ANSWER(-1, SAYS_VOIDED), RESTART, WAIT(60000)),
        STORY("without its scratch tables it takes back once more, which does no harm",
              CANCELLED_IN_FLIGHT, ANSWER(-1, SAYS_VOIDED), RESTART_AFTER("DROP TABLE void_mark"),
              VOID("1"), ANSWER(-1, SAYS_VOIDED)),
        STORY("placed and cancelled in one batch is never charged", PROVIDED, ANNA_WITH("tok_1"),
              PLACE, PLACED, CHARGE("1", "tok_1"), TOGETHER, CANCEL, CARD_ADDED(CARD_2, "tok_2"),
              RUN, CANCELLED("requested"), VOID("1"), WAIT(5000)),
    };
    RUN_ALL(stories);
}

Test(payment, an_order_is_cancelled_at_its_deadline)
{
    const struct story stories[] = {
        STORY("ends the waiting, stock returns", WAITING, WAIT(HOURS(72) - 1),
              STATUS("payment_failed"), WAIT(1), CANCELLED("payment_deadline"), VOID("2"),
              ANSWER(-2, SAYS_VOIDED), STATUS("cancelled"), STOCK("10/0/0"),
              CARD_ADDED(CARD_2, "tok_2"), WAIT(60000), STATUS("cancelled")),
        STORY("ends what nobody knows the outcome of, and takes it back", CHARGED,
              ANSWER(1, "timeout"), WAIT(HOURS(71)), THEN_WHATEVER, WAIT(HOURS(2)), THEN_WHATEVER,
              STATUS("cancelled"), STOCK("10/0/0"), ANSWER(1, SAYS_PAID), LATE("1")),
        STORY("passes while a charge is in flight", OPTION("payment-deadline-s", "3"), CHARGED,
              WAIT(3000), CANCELLED("payment_deadline"), VOID("1"), ANSWER(1, SAYS_PAID), LATE("1"),
              ANSWER(-1, SAYS_VOIDED), STATUS("cancelled")),
        STORY("passes while a new card is charged", OPTION("payment-deadline-s", "3"), WAITING,
              WAIT(1000), CARD_ADDED(CARD_2, "tok_2"), CHARGE("2", "tok_2"), WAIT(2000),
              CANCELLED("payment_deadline"), VOID("2"), STATUS("cancelled")),
        STORY("passed while the service was down", OPTION("payment-deadline-s", "3"), WAITING,
              RESTART_AFTER("UPDATE orders SET pay_until_ms = pay_until_ms - 3600000"),
              CANCELLED("payment_deadline"), VOID("2")),
        STORY("of nothing at all: cancelled before it is charged",
              OPTION("payment-deadline-s", "0"), PROVIDED, ANNA_WITH("tok_1"), PLACE, PLACED,
              CANCELLED("payment_deadline"), VOID("1"), STOCK("10/0/0")),
    };
    /* In the fifth story the clock is set back, which no log records. */
    stories_run(&order_service, stories, 4, order_folds);
    stories_run(&order_service, stories + 4, 1, NULL);
    stories_run(&order_service, stories + 5, 1, order_folds);
}

Test(payment, the_sandbox_answers_by_the_token)
{
    const struct story stories[] = {
        STORY("tok_slow takes its time", ANNA_WITH("tok_slow"), PLACE, PLACED, WAIT(299),
              STATUS("placed"), WAIT(1), PAID(CARD_1, "1")),
        STORY("tok_declined", ANNA_WITH("tok_declined_x"), PLACE, PLACED,
              FAILED(CARD_1, "1", NO_NEXT)),
        STORY("tok_timeout never answers; the deadline ends it", ANNA_WITH("tok_timeout"), PLACE,
              PLACED, WAIT(HOURS(71)), STATUS("placed"), WAIT(HOURS(1)),
              CANCELLED("payment_deadline"), STOCK("10/0/0")),
        STORY("tok_flaky is there at the third try", ANNA_WITH("tok_flaky"), PLACE, PLACED,
              WAIT(99), STATUS("placed"), WAIT(600), PAID(CARD_1, "1")),
    };
    RUN_ALL(stories);
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

#define TEN(x) x, x, x, x, x, x, x, x, x, x
#define BERT_WITH(token)                                                                           \
    REGISTERED(BERT), GIVEN("ACCOUNT CardAdded", BERT,                                             \
                            "{'account_id':'" BERT "','card_id':'" CARD_2 "','card_token':'" token \
                            "','brand':'V',"                                                       \
                            "'last4':'4242','expires':'2030-12'}")
#define MANY_TEAS PRODUCT_OF("tea", "Tea", "500", "EUR", "100000")
#define STATUSES                                                                              \
    "SELECT group_concat(status || 'x' || n) FROM (SELECT status, count(*) AS n FROM orders " \
    "GROUP BY status)"

Test(payment, F38_a_clock_that_is_set_back_delays_no_payment)
{
    const struct story stories[] = {
        STORY("an hour: a built-in answer that was due soon does not wait for it",
              ANNA_WITH("tok_slow"), PLACE, PLACED, CLOCK_BACK(HOURS(1)), WAIT(1000),
              PAID(CARD_1, "1")),
        STORY("an hour: a charge without an answer is asked for again in time, under its key",
              CHARGED, CLOCK_BACK(HOURS(1)), CHARGE("1", "tok_1"), ANSWER(1, SAYS_PAID),
              PAID(CARD_1, "1")),
        STORY("a little, as a clock is that is kept right: nothing happens", CHARGED,
              CLOCK_BACK(500), WAIT(100), ANSWER(1, SAYS_PAID), PAID(CARD_1, "1")),
    };
    RUN_ALL(stories);
}

Test(payment, charges_in_flight_are_bounded)
{
    const struct story stories[] = {
        STORY("one in flight: the second order waits for the first",
              OPTION("payment-inflight-max", "1"), CHARGED, WHEN("order.place", TWO_TEAS),
              THEN_EVENT("OrderPlaced",
                         "{'order_id':'$second','account_id':'" ANNA
                         "','lines':[{'sku':'tea','name':'Tea','quantity':2,"
                         "'unit_price':{'amount':500,'currency':'EUR'}}],'total':{'amount':1000,'"
                         "currency':'EUR'},'card_id':'" CARD_1 "',"
                         "'ship_to':{'name':'Anna','address':" HOME "},'pay_until':'*'}"),
              WAIT(1000), ANSWER(1, SAYS_PAID), PAID(CARD_1, "1"),
              THEN_CALL("psp.charge",
                        "{'key':'$second/1','order_id':'$second','card_token':'tok_1',"
                        "'amount':{'amount':1000,'currency':'EUR'}}"),
              PROVIDER("$second", 1, SAYS_PAID), THEN_WHATEVER, THEN_ROW(STATUSES, "3x2")),
        STORY("more silent charges than the memory holds do not keep others from being paid",
              OPTION("payment-inflight-max", "1"), OPTION("payment-deadline-s", "3600"),
              REGISTERED(ANNA), CARD_ADDED(CARD_1, "tok_timeout"), BERT_WITH("tok_ok"), MANY_TEAS,
              TOGETHER, TEN(PLACE), TEN(PLACE), RUN, THEN_WHATEVER,
              WHEN("order.place", "{'account_id':'" BERT "','lines':[{'sku':'tea','quantity':1}]}"),
              THEN_WHATEVER, WAIT(1800000), THEN_WHATEVER, THEN_ROW(STATUSES, "1x20,3x1"),
              WAIT(1860000), THEN_WHATEVER, THEN_ROW(STATUSES, "3x1,5x20"),
              THEN_ROW("SELECT stock || '/' || reserved FROM products", "99999/1")),
        STORY("the provider is away, then all are paid", OPTION("payment-inflight-max", "2"),
              REGISTERED(ANNA), CARD_ADDED(CARD_1, "tok_flaky"), MANY_TEAS, TOGETHER, TEN(PLACE),
              TEN(PLACE), TEN(PLACE), RUN, THEN_WHATEVER, TOGETHER, TEN(PLACE), TEN(PLACE),
              TEN(PLACE), RUN, THEN_WHATEVER, WAIT(HOURS(1)), THEN_WHATEVER,
              THEN_ROW(STATUSES, "3x60")),
        STORY("and once more after a restart in the middle", OPTION("payment-inflight-max", "2"),
              REGISTERED(ANNA), CARD_ADDED(CARD_1, "tok_slow"), MANY_TEAS, TOGETHER, TEN(PLACE),
              TEN(PLACE), RUN, THEN_WHATEVER, WAIT(1000), THEN_WHATEVER, RESTART, WAIT(HOURS(1)),
              THEN_WHATEVER, THEN_ROW(STATUSES, "3x20")),
        STORY("many cancelled ones are taken back, a few at a time",
              OPTION("payment-inflight-max", "2"), REGISTERED(ANNA),
              CARD_ADDED(CARD_1, "tok_timeout"), MANY_TEAS, OPTION("payment-deadline-s", "10"),
              TOGETHER, TEN(PLACE), TEN(PLACE), RUN, THEN_WHATEVER, WAIT(HOURS(1)), THEN_WHATEVER,
              THEN_ROW(STATUSES, "5x20"),
              THEN_ROW("SELECT position = (SELECT max(ended_position) FROM orders) FROM void_mark",
                       "1")),
    };
    RUN_ALL(stories);
}
