/* The table of contents of order-svc: its commands, queries and events, the logs of others that it
 * reads, and its process. The requests are listed in journeys.h. */
#include "service.h"
#include "journeys.h"
#include "schemas/contracts.h"
#include "tables.h"

// clang-format off: tables
static const struct command commands[] = {
    ORDER_COMMANDS(COMMAND_ROW)
    { 0 },
};

static const struct query_type queries[] = {
    ORDER_QUERIES(QUERY_ROW)
    { 0 },
};

static const struct refusal_type refusals[] = {
    { REFUSED_UNKNOWN_ACCOUNT, "unknown_account", 404, 0 },
    { REFUSED_NO_VALID_CARD,   "no_valid_card",   422, 0 },
    { REFUSED_OUT_OF_STOCK,    "out_of_stock",    422, 0 },
    { REFUSED_ACCOUNT_CLOSED,  "account_closed",  422, 0 },
    { REFUSED_WRONG_STATE,     "wrong_state",     422, 0 },
    { REFUSED_TOO_MANY_WAITING, "too_many_waiting", 429, 0 },
    { 0 },
};

static const struct event_type events[] = {
    { &product_added_schema,   "ProductAdded",   product_added_apply,   NULL },
    { &stock_received_schema,  "StockReceived",  stock_received_apply,  NULL },
    { &stock_corrected_schema, "StockCorrected", stock_corrected_apply, NULL },
    { &price_changed_schema,   "PriceChanged",   price_changed_apply,   NULL },
    { &product_retired_schema, "ProductRetired", product_retired_apply, NULL },
    { &order_placed_schema,    "OrderPlaced",    order_placed_apply,    NULL },
    { &order_paid_schema,      "OrderPaid",      order_paid_apply,      NULL },
    { &payment_failed_schema,  "PaymentFailed",  payment_failed_apply,  NULL },
    { &order_shipped_schema,   "OrderShipped",   order_shipped_apply,   NULL },
    { &order_cancelled_schema, "OrderCancelled", order_cancelled_apply, NULL },
    { &payment_arrived_late_schema, "PaymentArrivedLate", payment_arrived_late_apply, NULL },
    { &void_refused_schema,     "VoidRefused",     void_refused_apply,     NULL },
    { &refund_requested_schema, "RefundRequested", refund_requested_apply, NULL },
    { &order_refunded_schema,   "OrderRefunded",   order_refunded_apply,   NULL },
    { &refund_failed_schema,    "RefundFailed",    refund_failed_apply,    NULL },
    { 0 },
};

static const struct source sources[] = {
    { .log = "ACCOUNT",
      .service = "account-svc",
      .prefix = "account",
      .events = project_customers },
    { .log = "SHIPPING",
      .service = "shipping",
      .prefix = "shipping",
      .events = take_up_shipments,
      .option = "shipping=stream" },
    { 0 },
};

static const struct call_type calls[] = {
    { "psp.charge", &psp_charge_schema, &psp_charge_reply_schema },
    { "psp.void",   &psp_void_schema,   &psp_void_reply_schema },
    { "psp.refund", &psp_refund_schema, &psp_refund_reply_schema },
    { 0 },
};

static const char *const providers[] = { "sandbox", "nats", NULL };
static const char *const shippers[] = { "request", "stream", NULL };

static const struct option options[] = {
    { "payment", "sandbox",
      "who takes the money: sandbox (built in; the card's token decides) or nats (whoever answers "
      "psp.charge)",
      0, providers },
    { "payment-timeout-ms", "5000",
      "how long to wait for the provider's answer before asking again; doubled each time, up to "
      "eight times, and a later answer counts all the same",
      1, NULL },
    { "payment-deadline-s", "259200",
      "an order that is not paid after so many seconds is cancelled", 1, NULL },
    { "payment-inflight-max", "1024", "at most so many charges wait for an answer at a time", 1,
      NULL },
    { "payment-inflight-per-account", "4",
      "of them so many for one account; 0: no limit. The sandbox, which answers at once, has none",
      1, NULL },
    { "orders-waiting-max", "100",
      "an account with so many orders that wait for a card places no other; 0: no limit", 1, NULL },
    { "shipping", "request",
      "who says that an order is shipped: request (order.ship alone) or stream (the service "
      "shipping, too)",
      0, shippers },
    { 0 },
};
// clang-format on

const struct service order_service = {
    .name = "order-svc",
    .log = "ORDER",
    .prefix = "order",
    .description = "Ordering something: products, stock, orders and their payment",
    .schema_base = "https://journey-mesh.example/schemas/",
    .tables = order_tables,
    .tables_version = 4,
    .scratch_tables = order_scratch_tables,
    .events = events,
    .sources = sources,
    .commands = commands,
    .queries = queries,
    .refusals = refusals,
    .calls = calls,
    .options = options,
    .work = take_payment,
};
