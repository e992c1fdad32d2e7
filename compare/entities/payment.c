/* Payment: charges a card for an order. The provider is built in, as in order-svc: the card's token
 * decides at once, so that all architectures have the same provider. */
#include "entities.h"
#include "schemas/bench.order.h"
#include "schemas/evt.bench.Charged.h"
#include <string.h>

static const char tables[] = "CREATE TABLE IF NOT EXISTS charges ("
                             "  order_id TEXT PRIMARY KEY,"
                             "  card_id TEXT NOT NULL,"
                             "  currency TEXT NOT NULL,"
                             "  amount INTEGER NOT NULL CHECK (amount >= 0)"
                             ") STRICT, WITHOUT ROWID;";

static int charge(struct journey *j, const void *request)
{
    struct bench_order order = *(const struct bench_order *)request;
    if (!order.order_id || !order.card_id || !order.card_token || !order.currency ||
        !order.has_amount)
        return journey_refuse(j, REFUSED_INVALID_REQUEST,
                              "order_id, card_id, card_token, currency and amount are required");
    if (strncmp(order.card_token, "tok_declined", strlen("tok_declined")) == 0)
        return journey_refuse(j, REFUSED_NO_VALID_CARD, "the card was declined");
    order.status = "paid";
    return trace(journey_emit(j, &charged_schema, order.order_id, &order));
}

static int charged_apply(struct db *db, const struct event *event)
{
    const struct bench_order *order = event->value;
    return trace(db_exec(
        db, "INSERT INTO charges (order_id, card_id, currency, amount) VALUES (?1, ?2, ?3, ?4)",
        "sssi", order->order_id, order->card_id, order->currency, order->amount));
}

static const struct command commands[] = {
    { "payment.charge", &bench_order_schema, &bench_order_schema, charge, order_answer },
    { 0 },
};
static const struct event_type events[] = {
    { &charged_schema, "Charged", charged_apply, NULL },
    { 0 },
};
const struct service payment_service = {
    .name = "payment-svc",
    .log = "PAYMENT",
    .prefix = "payment",
    .description = "Charges",
    .tables = tables,
    .tables_version = 1,
    .events = events,
    .schema_base = "https://journey-mesh.example/schemas/",
    .commands = commands,
    .refusals = entity_refusals,
};
