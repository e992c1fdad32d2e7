/* Shop: the customer, cards, products and events of order-svc's stories. */
#pragma once
#include "harness.h"
#include "schemas/psp.charge.reply.h"
#include "schemas/psp.void.reply.h"

#define ANNA "acc_00000000-0000-0000-0000-00000000000a"
#define BERT "acc_00000000-0000-0000-0000-00000000000b"
#define CARD_1 "crd_00000000-0000-0000-0000-000000000001"
#define CARD_2 "crd_00000000-0000-0000-0000-000000000002"
#define CARD_3 "crd_00000000-0000-0000-0000-000000000003"
#define HOME "{'street':'Main St 1','city':'Ulm','postal_code':'89073','country':'DE'}"

/* Events of account-svc. */
#define REGISTERED(account)                                                                    \
    GIVEN("ACCOUNT AccountRegistered", account,                                                \
          "{'account_id':'" account                                                            \
          "','name':'Anna','email':'anna@example.com','birthday':'1980-02-03','address':" HOME \
          "}")
#define CARD_ADDED_UNTIL(card, token, expires)                                 \
    GIVEN("ACCOUNT CardAdded", ANNA,                                           \
          "{'account_id':'" ANNA "','card_id':'" card "','card_token':'" token \
          "','brand':'Visa','last4':'4242','expires':'" expires "'}")
#define CARD_ADDED(card, token) CARD_ADDED_UNTIL(card, token, "2030-12")
#define CARD_REMOVED(card) \
    GIVEN("ACCOUNT CardRemoved", ANNA, "{'account_id':'" ANNA "','card_id':'" card "'}")
#define CARD_DECLINED(card)                                \
    GIVEN("ACCOUNT CardDeclined", ANNA,                    \
          "{'account_id':'" ANNA "','card_id':'" card "'," \
          "'order_id':'ord_00000000-0000-0000-0000-000000000009','reason':'card_declined'}")
#define ACCOUNT_CLOSED GIVEN("ACCOUNT AccountClosed", ANNA, "{'account_id':'" ANNA "'}")

/* Events of order-svc. */
#define PRODUCT_OF(sku, name, amount, currency, stock)                                            \
    GIVEN("ORDER ProductAdded", sku,                                                              \
          "{'sku':'" sku "','name':'" name "','price':{'amount':" amount ",'currency':'" currency \
          "'},'stock':" stock "}")
#define TEA PRODUCT_OF("tea", "Tea", "500", "EUR", "10")
#define CUP PRODUCT_OF("cup", "Cup", "1200", "EUR", "3")

/* Anna with one card, and tea. */
#define ANNA_WITH(token) REGISTERED(ANNA), CARD_ADDED(CARD_1, token), TEA

#define TWO_TEAS "{'account_id':'" ANNA "','lines':[{'sku':'tea','quantity':2}]}"
#define PLACED_BY(card)                                                                          \
    THEN_EVENT(                                                                                  \
        "OrderPlaced",                                                                           \
        "{'order_id':'$order','account_id':'" ANNA "','lines':["                                 \
        "{'sku':'tea','name':'Tea','quantity':2,'unit_price':{'amount':500,'currency':'EUR'}}]," \
        "'total':{'amount':1000,'currency':'EUR'},'card_id':'" card                              \
        "','ship_to':{'name':'Anna','address':" HOME "},"                                        \
        "'pay_until':'$until'}")
#define PLACED PLACED_BY(CARD_1)
#define PAID(card, attempt)                                                                      \
    THEN_EVENT("OrderPaid", "{'order_id':'$order','account_id':'" ANNA "','card_id':'" card "'," \
                            "'attempt':" attempt ",'amount':{'amount':1000,'currency':'EUR'}}")
#define FAILED(card, attempt, next)                                             \
    THEN_EVENT("PaymentFailed", "{'order_id':'$order','account_id':'" ANNA "'," \
                                "'card_id':'" card "','reason':'*','attempt':" attempt next "}")
#define NEXT(card) ",'next_card_id':'" card "'"
#define NO_NEXT ""
#define CANCELLED(reason)        \
    THEN_EVENT("OrderCancelled", \
               "{'order_id':'$order','account_id':'" ANNA "','reason':'" reason "'}")
#define SHIPPED THEN_EVENT("OrderShipped", "{'order_id':'$order','account_id':'" ANNA "'}")

#define CHARGE(attempt, token)                                                 \
    THEN_CALL("psp.charge", "{'key':'$order/" attempt "','order_id':'$order'," \
                            "'card_token':'" token "','amount':{'amount':1000,'currency':'EUR'}}")
#define VOID(attempt) THEN_CALL("psp.void", "{'key':'$order/" attempt "'}")
/* Events of the service `shipping`. */
#define PARCEL_OF(order) \
    GIVEN("SHIPPING Shipped", order, "{'order_id':'" order "','account_id':'" ANNA "'}")
#define PARCEL PARCEL_OF("$order")

#define LATE(attempt)                                                            \
    THEN_EVENT("PaymentArrivedLate",                                             \
               "{'order_id':'$order','account_id':'" ANNA "','attempt':" attempt \
               ",'amount':{'amount':1000,'currency':'EUR'}}")
#define SOFTLY_FAILED(card, attempt, next)                                                      \
    THEN_EVENT("PaymentFailed", "{'order_id':'$order','account_id':'" ANNA "','card_id':'" card \
                                "','reason':'*','attempt':" attempt next ",'decline':'soft'}")

/* Answers of the payment provider; a negative attempt means a void. */
#define PROVIDER(order, attempt, reply)                                                           \
    WORK_ANSWER((attempt) > 0 ? "charge" : "void", order, (attempt) > 0 ? (attempt) : -(attempt), \
                (attempt) > 0 ? &psp_charge_reply_schema : &psp_void_reply_schema, reply)
#define SAYS_PAID "{'status':'paid'}"
#define SAYS_DECLINED "{'status':'declined','reason':'card_declined'}"
#define SAYS_SOFTLY "{'status':'declined','reason':'insufficient_funds'}"
#define SAYS_VOIDED "{'status':'voided'}"
#define SAYS_REFUSED "{'status':'refused','reason':'already_settled'}"

#define PLACE WHEN("order.place", TWO_TEAS)
#define CANCEL WHEN("order.cancel", "{'order_id':'$order'}")
#define SHIP WHEN("order.ship", "{'order_id':'$order'}")
#define STATUS(name)                                  \
    WHEN("order.list", "{'account_id':'" ANNA "'}"),  \
        THEN_REPLY("{'orders':[{'order_id':'$order'," \
                   "'status':'" name                  \
                   "','total':{'amount':1000,'currency':'EUR'},'placed_at':'*'}]}")
#define STOCK(text)                                                                               \
    THEN_ROW("SELECT stock || '/' || reserved || '/' || shipped FROM products WHERE sku = 'tea'", \
             text)

/* These texts must be the same after folding the logs anew. */
extern const char *const order_folds[];
