/* Tools: see tools.h. */
#include "runtime/tools.h"
#include "store/event_log.h"
#include <inttypes.h>
#include <string.h>

static int open_read_only(const char *path, struct db **ret_db)
{
    struct db_options options = { .path = path, .read_only = 1, .lock_timeout_ms = 1000 };
    return trace(db_open(&options, ret_db));
}

/* ---- backup FILE ---------------------------------------------------------------------------- */

static int backup(const struct service *service, const struct config *config, const char *database_path)
{
    (void)service;
    _free_(db) struct db *db = NULL;
    int r = open_read_only(database_path, &db);
    if (r == 0)
        r = db_backup(db, config->arguments[1]);
    if (r == 0)
        printf("%s: copied to %s\n", database_path, config->arguments[1]);
    return trace(r);
}

/* ---- verify --------------------------------------------------------------------------------- */

/* Positions without a gap, and each chain made of the one before and the event. */
static int verify_chain(struct db *db, const char *log, int64_t *ret_count)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct log_head head = { 0 };
    struct event event;
    int r = event_reader_open(&reader, db, log, 0, INT64_MAX);
    while (r >= 0 && (r = event_reader_next(&reader, &event)) > 0) {
        struct digest digest, chain;
        if (event.position != head.position + 1)
            return fail(ERR_CORRUPT, "position %" PRId64 " follows %" PRId64, event.position, head.position);
        r = event_digest(&event, &digest);
        if (r == 0)
            r = event_chain(&head.chain, &digest, &chain);
        if (r < 0)
            return trace(r);
        if (!digest_equal(&chain, &event.chain))
            return fail(ERR_CORRUPT, "position %" PRId64 ": the chain does not follow", event.position);
        head = (struct log_head){ .position = event.position, .chain = event.chain };
    }
    if (r == 0)
        *ret_count = head.position;
    return trace(r);
}

static int verify(const struct service *service, const struct config *config, const char *database_path)
{
    (void)config;
    _free_(db) struct db *db = NULL;
    int64_t count = 0;
    int r = open_read_only(database_path, &db);
    if (r == 0)
        r = db_integrity_check(db);
    if (r == 0)
        r = db_begin(db);
    if (r == 0)
        r = verify_chain(db, service->log, &count);
    if (r == 0)
        printf("%s: the file is whole; %" PRId64 " events, positions without a gap, the chain follows\n", database_path, count);
    return trace(r);
}

/* ---- The table ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int arguments;
    const char *usage;
    int (*run)(const struct service *service, const struct config *config, const char *database_path);
} tools[] = {
    { "backup", 1, "backup FILE", backup },
    { "verify", 0, "verify", verify },
};

int tool_run(const struct service *service, const struct config *config, const char *database_path)
{
    for (size_t i = 0; i < sizeof(tools) / sizeof(*tools); i++) {
        if (strcmp(tools[i].name, config->arguments[0]) != 0)
            continue;
        if (config->argument_count - 1 != tools[i].arguments) {
            fprintf(stderr, "usage: %s [OPTIONS] %s\n", service->name, tools[i].usage);
            return EXIT_USAGE;
        }
        if (tools[i].run(service, config, database_path) == 0)
            return EXIT_FINE;
        fprintf(stderr, "%s: %s\n", tools[i].name, failure_text());
        return EXIT_FAILED;
    }
    fprintf(stderr, "%s: %s is not a command; see --help\n", service->name, config->arguments[0]);
    return EXIT_USAGE;
}
