/* The table of contents of @name@: what it answers (listed in journeys.h), what it says happened,
 * and what it reads of others. */
#include "service.h"
#include "journeys.h"
#include "schemas/contracts.h"
#include "tables.h"

static const struct command commands[] = {
    @LOG@_COMMANDS(COMMAND_ROW)
    { 0 },
};

static const struct query_type queries[] = {
    { 0 },
};

static const struct refusal_type refusals[] = {
    { REFUSED_ALREADY_TAKEN, "already_taken", 422, 0 },
    { 0 },
};

static const struct event_type events[] = {
    { &taken_schema, "Taken", taken_apply, NULL },
    { 0 },
};

static const struct source sources[] = {
    { .log = "ORDER", .service = "order-svc", .prefix = "order", .events = project_orders },
    { 0 },
};

const struct service @name@_service = {
    .name = "@name@",
    .version = VERSION,
    .log = "@LOG@",
    .prefix = "@name@",
    .description = "Taking paid orders in hand",
    .schema_base = "https://example.org/@name@/schemas/",
    .tables = @name@_tables,
    .tables_version = 1,
    .events = events,
    .sources = sources,
    .commands = commands,
    .queries = queries,
    .refusals = refusals,
};
