/* Tools: see tools.h. */
#include "runtime/repair/tools.h"
#include "base/terminal.h"
#include "bus/bus.h"
#include "runtime/repair/resolve.h"
#include "runtime/repair/restore.h"
#include "runtime/repair/verify.h"
#include <assert.h>
#include <string.h>

/* All pages under one snapshot, by SQLite's backup API, beside a service that runs or not. */
static int backup(const struct service *service, const struct config *config,
                  const char *database_path)
{
    (void)service;
    _free_(db) struct db *db = NULL;
    if (config->argument_count != 2)
        return TOOL_USAGE;
    int r = db_open(
        &(struct db_options){ .path = database_path, .read_only = 1, .lock_timeout_ms = 1000 },
        &db);
    if (r == 0)
        r = db_backup(db, config->arguments[1]);
    if (r == 0)
        terminal_print(stdout, "%s: copied to %s\n", database_path, config->arguments[1]);
    return trace(r);
}

static int verify(const struct service *service, const struct config *config,
                  const char *database_path)
{
    _Bool as_json = config->argument_count == 2 && strcmp(config->arguments[1], "--json") == 0;
    return config->argument_count == 1 || as_json
               ? trace(verify_run(service, config, database_path, as_json))
               : TOOL_USAGE;
}

static const struct {
    const char *name, *usage, *help;
    int (*run)(const struct service *service, const struct config *config,
               const char *database_path);
} tools[] = {
    { "backup", "backup FILE", "copy its database, while it runs or not", backup },
    { "restore", "restore FILE", "put a backup in the place of its database, while it is down",
      restore_run },
    { "verify", "verify [--json]",
      "check that file, log, tables and stream agree, while it runs or not", verify },
    { "resolve", "resolve [--keep log|stream]", "look at a fork; give up one side of it",
      resolve_run },
};

void tools_write_usage(const struct service *service, struct buf *out)
{
    for (size_t i = 0; i < sizeof(tools) / sizeof(*tools); i++)
        buf_put_format(out, "  %s [OPTIONS] %-28s %s\n", service->name, tools[i].usage,
                       tools[i].help);
}

int tool_run(const struct service *service, const struct config *config, const char *database_path)
{
    assert(config->argument_count > 0);
    for (size_t i = 0; i < sizeof(tools) / sizeof(*tools); i++) {
        if (strcmp(tools[i].name, config->arguments[0]) != 0)
            continue;
        int r = tools[i].run(service, config, database_path);
        bus_library_close();
        if (r == 0)
            return EXIT_FINE;
        if (r == TOOL_USAGE) {
            terminal_print(stderr, "usage: %s [OPTIONS] %s\n", service->name, tools[i].usage);
            return EXIT_USAGE;
        }
        if (r < 0)
            terminal_print(stderr, "%s: %s\n", tools[i].name, failure_text());
        return EXIT_FAILED;
    }
    terminal_print(stderr, "%s: %s is not a command; see --help\n", service->name,
                   config->arguments[0]);
    return EXIT_USAGE;
}
