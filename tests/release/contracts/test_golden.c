/* Golden samples: every event that a released version has published must still be read. They lie in
 * golden/VERSION/LOG.jsonl, whole streams as they were stored: headers, data and chains to the
 * letter. Each goes the way of an event from outside (journeys/samples.h); by its leader and by who
 * reads it. */
#include "../../journeys/samples.h"
#include "runtime/core/context.h"
#include "runtime/core/runtime_events.h"
#include "runtime/writer/fold.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 256 /* of one stream */
#define VERSIONS_MAX 64

extern const struct service account_service, order_service;
static const struct service *const services[] = { &account_service, &order_service };
#define SERVICES 2

static const struct source leaders[] = {
    { .log = "ACCOUNT", .service = "account-svc", .prefix = "account" },
    { .log = "ORDER", .service = "order-svc", .prefix = "order" },
    { .log = "SHIPPING", .service = "shipping", .prefix = "shipping" },
};
#define LOGS (sizeof(leaders) / sizeof(*leaders))

struct stream {
    struct event events[EVENTS_MAX];
    struct log_head head;
};
struct version {
    struct arena arena;
    struct stream streams[LOGS];
};

static char why[512]; /* what is wrong with the first sample that is wrong */

static int wrong(const char *log, int64_t position, const char *what, const char *detail)
{
    snprintf(why, sizeof(why), "%s %" PRId64 ": %s%s%s", log, position, what, *detail ? ": " : "",
             detail);
    return 1;
}

/* ---- Reading samples ------------------------------------------------------------------------- */

/* The contract of a type, where one of the services leads the log, or reads it, or each log may
 * have it. */
static const struct schema *contract_of(const struct source *leader, const char *type)
{
    for (int i = 0; i < SERVICES; i++) {
        const struct event_type *found = strcmp(services[i]->log, leader->log) == 0
                                             ? event_type_of_name(services[i]->events, type)
                                             : NULL;
        for (const struct source *source = services[i]->sources; !found && source->log; source++)
            if (strcmp(source->log, leader->log) == 0)
                found = event_type_of_name(source->events, type);
        if (found)
            return found->schema;
    }
    const struct event_type *of_all = event_type_of_name(runtime_events, type);
    return of_all ? of_all->schema : NULL;
}

/* Appends the sample in a line of a file to its stream. 0; 1 with `why`. */
static int read_sample(const char *line, const struct source *leader, struct arena *arena,
                       struct stream *stream)
{
    struct event event;
    int r = sample_read(line, leader, contract_of, arena, &stream->head, &event, why);
    if (r != 0)
        return r;
    /* whatever else an outsider publishes is its own affair */
    if (!contract_of(leader, event.type) && leader != &leaders[LOGS - 1])
        return wrong(leader->log, event.position, "no contract knows its type", event.type);
    cr_assert_lt(event.position, EVENTS_MAX);
    stream->events[event.position - 1] = event;
    return 0;
}

/* All streams of a version; of each file the lines that `change` makes of its lines (NULL: as they
 * are). */
static int read_version(const char *folder, char *(*change)(char *line),
                        struct version *ret_version)
{
    int r = 0;
    *why = '\0';
    for (size_t i = 0; r == 0 && i < LOGS; i++) {
        char path[1024], *line = NULL;
        size_t size = 0;
        snprintf(path, sizeof(path), "%s/%s.jsonl", folder, leaders[i].log);
        FILE *file = fopen(path, "r");
        while (file && r == 0 && getline(&line, &size, file) > 0) {
            char *changed = change ? change(line) : line;
            r = read_sample(changed, &leaders[i], &ret_version->arena, &ret_version->streams[i]);
            if (changed != line)
                free(changed);
        }
        free(line);
        if (file)
            fclose(file);
    }
    return r;
}

static void free_version(struct version *version)
{
    arena_deinit(&version->arena);
    free(version);
}

/* ---- Folding them ---------------------------------------------------------------------------- */

static int fold_stream(const struct service *service, size_t log, struct db *db,
                       struct stream *stream)
{
    const struct source *source = strcmp(service->log, leaders[log].log) == 0 ? NULL
                                                                              : service->sources;
    while (source && source->log && strcmp(source->log, leaders[log].log) != 0)
        source++;
    for (int64_t i = 0; i < stream->head.position && !(source && !source->log); i++)
        if (fold_event(service, source, db, &stream->events[i]) < 0)
            return wrong(leaders[log].log, i + 1, service->name, failure_text());
    return 0;
}

/* Into tables of its own. 0; 1 with `why`. */
static int fold_version(const struct service *service, struct version *version, struct db **ret_db)
{
    struct db *db = NULL;
    cr_assert_eq(db_open(&(struct db_options){ .path = ":memory:" }, &db), 0, "%s", failure_text());
    cr_assert_eq(db_script(db, service->tables), 0, "%s", failure_text());
    int r = 0;
    for (size_t i = 0; r == 0 && i < LOGS; i++)
        r = fold_stream(service, i, db, &version->streams[i]);
    *ret_db = db;
    return r;
}

static int64_t events_of(const struct version *version, const char *type)
{
    int64_t count = 0;
    for (size_t log = 0; log < LOGS; log++)
        for (int64_t i = 0; i < version->streams[log].head.position; i++)
            count += strcmp(version->streams[log].events[i].type, type) == 0;
    return count;
}

/* ---- The versions ---------------------------------------------------------------------------- */

static char *versions[VERSIONS_MAX];
static int version_count;

static void find_versions(void)
{
    const char *golden = getenv("GOLDEN");
    cr_assert(golden, "the variable GOLDEN does not say where the samples are");
    DIR *folder = opendir(golden);
    cr_assert(folder, "%s cannot be read", golden);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.' && version_count < VERSIONS_MAX)
            cr_assert(asprintf(&versions[version_count++], "%s/%s", golden, entry->d_name) > 0);
    closedir(folder);
    cr_assert_gt(version_count, 0, "%s has no samples", golden);
}

static struct version *read_whole(const char *folder)
{
    struct version *version = calloc(1, sizeof(*version));
    cr_assert_eq(read_version(folder, NULL, version), 0, "%s: %s", folder, why);
    return version;
}

TestSuite(golden, .init = find_versions);

Test(golden, every_published_event_is_read_and_folded)
{
    static const struct {
        const struct service *service;
        const char *rows, *type;
    } tables[] = {
        { &account_service, "SELECT count(*) FROM accounts", "AccountRegistered" },
        { &account_service, "SELECT count(*) FROM purchases", "OrderPlaced" },
        { &order_service, "SELECT count(*) FROM products", "ProductAdded" },
        { &order_service, "SELECT count(*) FROM orders", "OrderPlaced" },
        { &order_service, "SELECT count(*) FROM customers", "AccountRegistered" },
    };
    for (int v = 0; v < version_count; v++) {
        struct version *version = read_whole(versions[v]);
        for (int i = 0; i < SERVICES; i++) {
            struct db *db = NULL;
            cr_expect_eq(fold_version(services[i], version, &db), 0, "%s: %s", versions[v], why);
            for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++) {
                int64_t rows = -1, events = events_of(version, tables[t].type);
                if (tables[t].service != services[i])
                    continue;
                cr_expect_eq(db_find_number(db, &rows, tables[t].rows, ""), 0, "%s",
                             failure_text());
                cr_expect(events > 0 && rows == events, "%s: %s: %" PRId64 " %s, %" PRId64 " rows",
                          versions[v], tables[t].rows, events, tables[t].type, rows);
            }
            db_free(db);
        }
        free_version(version);
    }
}

/* ---- Would it notice? ------------------------------------------------------------------------ */

static const char *from, *to; /* what is replaced, once in all samples */
static _Bool is_replaced;

static char *replace(char *line)
{
    char *at = is_replaced ? NULL : strstr(line, from), *changed = NULL;
    if (!at)
        return line;
    is_replaced = 1;
    cr_assert(asprintf(&changed, "%.*s%s%s", (int)(at - line), line, to, at + strlen(from)) > 0);
    return changed;
}

Test(golden, a_sample_that_is_not_read_any_more_is_named)
{
    static const struct {
        const char *from, *to, *why;
    } damages[] = {
        { "[\"ce-time\",", "[\"ce-moment\",", "the envelope is refused: ce-time is missing" },
        { "[\"ce-specversion\",\"1.0\"]", "[\"ce-specversion\",\"2.0\"]",
          "ce-specversion is not 1.0" },
        { "order.OrderPaid.v1", "order.OrderPaid.v2", "does not fit the subject" },
        { "[\"Journey-Position\",\"2\"]", "[\"Journey-Position\",\"3\"]",
          "it does not follow the one before" },
        { "\\\"last4\\\":\\\"0002\\\"", "\\\"last4\\\":\\\"0003\\\"",
          "it does not follow the one before" },
        { "\\\"attempt\\\":1", "\\\"attempt\\\":\\\"1\\\"", "attempt: must be" },
        { "\\\"email\\\":", "\\\"mail\\\":", "email: is required" },
        { "{\\\"sku\\\":\\\"tea\\\"", "{\\\"sku\\\":\\\"\\\"", "sku: " },
        { "\"subject\":", "\"about\":", "the line is no sample" },
        { "{", "", "the line is no sample" },
    };
    for (int v = 0; v < version_count; v++)
        for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
            struct version *version = calloc(1, sizeof(*version));
            from = damages[i].from, to = damages[i].to, is_replaced = 0;
            int r = read_version(versions[v], replace, version);
            cr_expect(is_replaced && r == 1 && strstr(why, damages[i].why),
                      "%s: %s for %s gives: %s", versions[v], to, from, why);
            free_version(version);
        }
}

Test(golden, a_type_that_no_contract_knows_any_more_is_named)
{
    cr_expect_null(contract_of(&leaders[0], "OrderPaid"));
    cr_expect_null(contract_of(&leaders[1], "OrderLost"));
    cr_expect_not_null(contract_of(&leaders[2], "Shipped"));
}

Test(golden, an_event_that_the_tables_do_not_take_is_named)
{
    struct version *version = read_whole(versions[0]);
    for (int i = 0; i < SERVICES; i++) {
        struct db *db = NULL;
        cr_assert_eq(fold_version(services[i], version, &db), 0, "%s", why);
        size_t own = strcmp(services[i]->log, leaders[0].log) == 0 ? 0 : 1;
        cr_expect_eq(fold_stream(services[i], own, db, &version->streams[own]), 1,
                     "%s takes its log twice", services[i]->name);
        db_free(db);
    }
    free_version(version);
}
