/* The table of contents of account-svc: its commands, queries and events, and the logs of others
 * that it reads. Start reading here. */
#include "service.h"
#include "journeys.h"
#include "schemas/contracts.h"
#include "tables.h"

// clang-format off: tables
static const struct command commands[] = {
    { "account.register", &account_register_schema, &account_register_reply_schema,
      register_account, register_account_answer },
    { "account.change-profile", &account_change_profile_schema,
      &account_change_profile_reply_schema, change_profile, change_profile_answer },
    { "account.change-address", &account_change_address_schema,
      &account_change_address_reply_schema, change_address, change_address_answer },
    { "account.add-card", &account_add_card_schema, &account_add_card_reply_schema, add_card,
      add_card_answer },
    { "account.remove-card", &account_remove_card_schema, &account_remove_card_reply_schema,
      remove_card, remove_card_answer },
    { "account.close", &account_close_schema, &account_close_reply_schema, close_account,
      close_account_answer },
    { 0 },
};

static const struct query_type queries[] = {
    { "account.get", &account_get_schema, &account_get_reply_schema, get_account },
    { 0 },
};

static const struct refusal_type refusals[] = {
    { REFUSED_UNKNOWN_ACCOUNT, "unknown_account", 404, 0 },
    { REFUSED_ACCOUNT_CLOSED, "account_closed", 422, 0 },
    { REFUSED_WRONG_STATE, "wrong_state", 422, 0 },
    { 0 },
};

static const struct event_type events[] = {
    { &account_registered_schema, "AccountRegistered", account_registered_apply, NULL },
    { &profile_changed_schema, "ProfileChanged", profile_changed_apply, NULL },
    { &address_changed_schema, "AddressChanged", address_changed_apply, NULL },
    { &card_added_schema, "CardAdded", card_added_apply, NULL },
    { &card_removed_schema, "CardRemoved", card_removed_apply, NULL },
    { &card_declined_schema, "CardDeclined", card_declined_apply, NULL },
    { &account_closed_schema, "AccountClosed", account_closed_apply, NULL },
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
    .tables_version = 1,
    .events = events,
    .sources = sources,
    .commands = commands,
    .queries = queries,
    .refusals = refusals,
};
