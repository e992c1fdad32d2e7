/* The table of contents of account-svc: its commands, queries and events, and the logs of others
 * that it reads. The requests are listed in journeys.h. */
#include "service.h"
#include "journeys.h"
#include "schemas/contracts.h"
#include "tables.h"

// clang-format off: tables
static const struct command commands[] = {
    ACCOUNT_COMMANDS(COMMAND_ROW)
    { 0 },
};

static const struct query_type queries[] = {
    ACCOUNT_QUERIES(QUERY_ROW)
    { 0 },
};

static const struct refusal_type refusals[] = {
    { REFUSED_UNKNOWN_ACCOUNT, "unknown_account", 404, 0 },
    { REFUSED_ACCOUNT_CLOSED,  "account_closed",  422, 0 },
    { REFUSED_WRONG_STATE,     "wrong_state",     422, 0 },
    { 0 },
};

static const struct event_type events[] = {
    { &account_registered_schema, "AccountRegistered", account_registered_apply, NULL },
    { &profile_changed_schema,    "ProfileChanged",    profile_changed_apply,    NULL },
    { &address_changed_schema,    "AddressChanged",    address_changed_apply,    NULL },
    { &card_added_schema,         "CardAdded",         card_added_apply,         NULL },
    { &card_removed_schema,       "CardRemoved",       card_removed_apply,       NULL },
    { &card_declined_schema,      "CardDeclined",      card_declined_apply,      NULL },
    { &account_closed_schema,     "AccountClosed",     account_closed_apply,     NULL },
    { 0 },
};

static const struct source sources[] = {
    { .log = "ORDER", .service = "order-svc", .prefix = "order", .events = project_purchases },
    { 0 },
};
// clang-format on

const struct service account_service = {
    .name = "account-svc",
    .log = "ACCOUNT",
    .prefix = "account",
    .description = "Managing my account: profile, address, cards, and what I bought",
    .schema_base = "https://journey-mesh.example/schemas/",
    .tables = account_tables,
    .tables_version = 2,
    .events = events,
    .sources = sources,
    .commands = commands,
    .queries = queries,
    .refusals = refusals,
};
