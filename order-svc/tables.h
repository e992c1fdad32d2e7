/* Tables of order-svc. Only the files named here hold SQL.
 *
 *     leading     products, orders, order_lines, payment_failures,    folded from our own log
 *                 failed_cards, late_payments, refunds, unsettled
 *     projection  customers, customer_cards                           folded from account-svc's log
 *     scratch     card_choices, void_mark                             may be lost without harm
 *
 * The first two groups are disjoint (rule 2): no apply of one group reads or writes a table of the
 * other, so that the two logs can be folded in any interleaving. Text that a function returns lives
 * in the journey's arena.
 */
#pragma once
#include "work.h"
#include "schemas/common.h"

struct order_products_reply_products_item;
struct order_get_reply;
struct order_list_reply_orders_item;
struct order_unsettled_reply_unsettled_item;

extern const char order_tables[];
extern const char order_scratch_tables[];

/* ---- An order's life -------------------------------------------------------------------------
 *
 *              OrderPaid            OrderShipped
 *     placed ─────────────► paid ───────────────► shipped
 *      │  │                  ▲
 *      │  │ PaymentFailed    │ OrderPaid
 *      │  └────────► payment_failed ◄─┐
 *      │                  │  └────────┘ PaymentFailed (the next card)
 *      │ OrderCancelled   │ OrderCancelled
 *      └──────────────► cancelled
 *
 *     paid ── OrderRefunded, the last of the payment ──► refunded, shown as cancelled
 */
enum order_status {
    ORDER_PLACED = 1,
    ORDER_PAYMENT_FAILED, /* the next card is charged, or the order waits for a card */
    ORDER_PAID,
    ORDER_SHIPPED,
    ORDER_CANCELLED,
    ORDER_REFUNDED, /* whole, before it was shipped; its stock has returned */
    ORDER_STATUS_MAX,
};
const char *order_status_name(enum order_status status); /* as in the contract: "placed" */
_Bool order_may_become(enum order_status status, enum order_status next);

/* Conditions in SQL that name a status. SQLite uses a partial index only for a statement that holds
 * the condition of the index as text, so these statuses cannot be parameters. All other statuses
 * are bound from the enum. o is "", or in a join the name of the table, "o." */
#define ORDER_IS_UNPAID(o) o "status <= 2" /* placed, or a payment has failed */
#define ORDER_IS_TO_CHARGE(o) ORDER_IS_UNPAID(o) " AND " o "card_id IS NOT NULL"
#define ORDER_WAITS_FOR_CARD(o) o "status = 2 AND " o "card_id IS NULL"
#define ORDER_IS_CANCELLED(o) o "status = 5"
#define CARD_IS_USABLE(c) c "is_usable <> 0"
#define CARD_WAS_DECLINED(f) f "reason IS NOT NULL" /* for good, of a row of failed_cards */
#define REFUND_IS_OPEN "status = 1"
#define IS_UNSETTLED "amount > 0"
_Static_assert(ORDER_PLACED == 1 && ORDER_PAYMENT_FAILED == 2 && ORDER_CANCELLED == 5,
               "the conditions above name the statuses by number");

/* ---- Products (products_table.c) ------------------------------------------------------------- */

struct product {
    const char *name;
    struct money price;
    int64_t stock, reserved, shipped;
    _Bool is_retired;
};
/* of one product: in stock, reserved and shipped; as in schemas/common.json */
#define PIECES_MAX INT64_C(1000000000000)

/* 0, NOT_FOUND or < 0 */
int product_find(struct journey *j, const char *sku, struct product *ret_product);

/* The product that a command of the shop wants to change: 0, the refusal (unknown, retired), or
 * < 0. */
int product_find_for_sale(struct journey *j, const char *sku, struct product *ret_product);

/* A page by sku, of at most `max`, after a sku ("": from the first). 0 or < 0. */
int products_list(struct journey *j, const char *after, int max,
                  struct order_products_reply_products_item *ret_products, int *ret_count);

int product_added_apply(struct db *db, const struct event *event);
int stock_received_apply(struct db *db, const struct event *event);
int stock_corrected_apply(struct db *db, const struct event *event);
int price_changed_apply(struct db *db, const struct event *event);
int product_retired_apply(struct db *db, const struct event *event);
int products_reserve(struct db *db, const char *sku, int64_t quantity); /* stock -> reserved */
int products_return(struct db *db, const char *order_id); /* reserved -> stock, all lines */
int products_ship(struct db *db, const char *order_id);   /* reserved -> shipped, all lines */

/* ---- Orders (orders_table.c) ----------------------------------------------------------------- */

struct order_head {
    const char *account_id;
    enum order_status status;
};
/* 0, NOT_FOUND or < 0 */
int order_find(struct journey *j, const char *order_id, struct order_head *ret_head);

/* Everything about one order, with its history; with an account only an order of that account. 0,
 * NOT_FOUND or < 0. */
int order_find_whole(struct journey *j, const char *order_id, const char *account_id,
                     struct order_get_reply *ret_order);

/* A page of a customer's orders, of at most `max`, newest first, older than `after` (NULL: from the
 * newest). 0 or < 0. */
int orders_list(struct journey *j, const char *account_id, const char *after, int max,
                struct order_list_reply_orders_item *ret_orders, int *ret_count);

/* Of PaymentFailed.decline. An event without it is hard, as all were in 0.1.0. */
_Bool decline_is_hard(const char *decline);

int order_placed_apply(struct db *db, const struct event *event);
int order_paid_apply(struct db *db, const struct event *event);
int payment_failed_apply(struct db *db, const struct event *event);
int order_shipped_apply(struct db *db, const struct event *event);
int order_cancelled_apply(struct db *db, const struct event *event);

/* ---- Payments: the orders as take_payment.c sees them (payments_table.c) --------------------- */

struct payment {
    const char *order_id, *account_id;
    enum order_status status;
    int64_t attempt; /* of the charge that is wanted now, or of the last one */
    struct money amount;
    const char *card_id;       /* NULL: waits for a card */
    const char *card_token;    /* NULL: the card has not reached our projection yet */
    const char *card_declined; /* why the card was declined for good; NULL: it was not */
    _Bool card_is_chosen;      /* by card_choices, because the log names none */
    int64_t pay_until_ms;
    int64_t position; /* of the order's newest event */
};
/* Without card_token and card_declined, which few need: payment_find_card reads them. 0, NOT_FOUND
 * or < 0; payment_find_card: 0 or < 0. */
int payment_find(struct journey *j, const char *order_id, struct payment *ret_payment);
int payment_find_card(struct journey *j, struct payment *payment);

/* Pages of work (work.h): the key is the order, the number its attempt, the row a struct payment.
 * 0 or < 0. */
int charges_find(struct journey *j, struct work_page *page);         /* by last_position */
int chosen_charges_find(struct journey *j, struct work_page *page);  /* by order_id */
int waiting_overdue_find(struct journey *j, struct work_page *page); /* past pay_until_ms */
int voids_find(struct journey *j, struct work_page *page);           /* by position, no row */

/* Chooses a card for one order of the account that waits for one, unless an order of it has one
 * already (NULL: of each account): so a new card is tried by one order first. */
int charges_choose_cards(struct journey *j, const char *account_id);
int payment_forget_choice(struct journey *j, const char *order_id);

/* Every charge of an order cancelled, and every late payment, at or before the mark is voided. */
int void_mark_read(struct journey *j, int64_t *ret_position);
int void_mark_write(struct journey *j, int64_t position);

/* ---- Money that goes back (refunds_table.c) -------------------------------------------------- */

enum refund_status { REFUND_REQUESTED = 1, REFUND_DONE, REFUND_FAILED };
_Static_assert(REFUND_REQUESTED == 1, "REFUND_IS_OPEN names it by number");

enum unsettled_cause { UNSETTLED_VOID = 1, UNSETTLED_REFUND };

struct refund {
    const char *order_id, *account_id, *currency;
    const char *card_token; /* NULL: not known here any more */
    int64_t refund, attempt, amount;
    int64_t order_amount, order_refunded; /* of the payment of the order */
    _Bool is_of_payment;                  /* else of another charge, which could not be voided */
    enum refund_status status;
    int64_t position; /* of RefundRequested */
};
/* 0, NOT_FOUND or < 0 */
int refund_find(struct journey *j, const char *order_id, int64_t refund, struct refund *ret_refund);
int refunds_find(struct journey *j,
                 struct work_page *page); /* by position; the row: struct refund */

/* What can still be given back of the order's charge: of the attempt, or of the one that money is
 * there of (0). *ret_refund: its number, if there will be one. 0, NOT_FOUND (the order) or < 0. */
struct refundable {
    const char *account_id, *currency;
    enum order_status status;
    int64_t attempt; /* 0: no charge of this order holds money */
    int64_t left;    /* of it: neither given back nor asked for */
    int64_t next_refund;
};
int refundable_find(struct journey *j, const char *order_id, int64_t attempt,
                    struct refundable *ret_refundable);

/* 1, 0, < 0 */
int late_payment_is_known(struct journey *j, const char *order_id, int64_t attempt);
int void_is_refused(struct journey *j, const char *order_id, int64_t attempt);

/* 0 or < 0 */
int unsettled_count(struct journey *j, enum unsettled_cause cause, int64_t *ret_count);
int unsettled_list(struct journey *j, int64_t after, int max,
                   struct order_unsettled_reply_unsettled_item *ret_rows, int *ret_count);

int payment_arrived_late_apply(struct db *db, const struct event *event);
int void_refused_apply(struct db *db, const struct event *event);
int refund_requested_apply(struct db *db, const struct event *event);
int order_refunded_apply(struct db *db, const struct event *event);
int refund_failed_apply(struct db *db, const struct event *event);

/* ---- Customers (project_customers.c) --------------------------------------------------------- */

struct customer {
    _Bool is_open;
    struct ship_to ship_to;
    const char *card_id;        /* the newest usable card; NULL: none */
    _Bool has_too_many_waiting; /* orders that wait for a card: orders-waiting-max or more */
};
/* 0, NOT_FOUND or < 0 */
int customer_find(struct journey *j, const char *account_id, struct customer *ret_customer);
int customer_is_known(struct journey *j, const char *account_id); /* 1 yes, 0 no, < 0 */

/* The newest usable card that this order has not been charged to; NULL in *ret_card_id: none. 0 or
 * < 0. */
int customer_next_card(struct journey *j, const struct payment *payment, const char **ret_card_id);
