/* Config: see config.h. One table says everything about an option: its flag, its environment, its
 * help. */
#include "runtime/core/config.h"
#include "base/digest.h"
#include "runtime/core/service_table.h"
#include "runtime/core/states.h"
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* NOLINTNEXTLINE(cert-int09-c): LAST_TEXT is no kind, but the end of a range */
enum kind { TEXT, FILE_NAME, FOLDER, LAST_TEXT = FOLDER, NUMBER, SWITCH, LEVEL, FORMAT };

struct row {
    const char *flag; /* NULL: from the environment only, because argv is public */
    const char *variable;
    enum kind kind;
    size_t offset;
    const char *value; /* the default */
    int64_t min, max;
    const char *help;
    _Bool secret;
};

#define AT(member) offsetof(struct config, member)
static const struct row rows[] = {
    { "server", "NATS_URL", TEXT, AT(server), "nats://127.0.0.1:4222", 0, 0,
      "the NATS server, several with commas", 0 },
    { "data-dir", "JOURNEY_DATA_DIR", FOLDER, AT(data_dir), ".", 0, 0,
      "folder of the database; made when it is not there", 0 },
    { "creds", "NATS_CREDS", FILE_NAME, AT(credentials_file), NULL, 0, 0,
      "credentials file (JWT and seed)", 0 },
    { "nkey", "NATS_NKEY", FILE_NAME, AT(nkey_file), NULL, 0, 0, "file with an nkey user's seed",
      0 },
    { "tlscert", "NATS_CERT", FILE_NAME, AT(certificate_file), NULL, 0, 0, "TLS client certificate",
      0 },
    { "tlskey", "NATS_KEY", FILE_NAME, AT(key_file), NULL, 0, 0, "its private key", 0 },
    { "tlsca", "NATS_CA", FILE_NAME, AT(ca_file), NULL, 0, 0, "certificate authorities to trust",
      0 },
    { "user", "NATS_USER", TEXT, AT(user), NULL, 0, 0, "user name", 0 },
    { NULL, "NATS_PASSWORD", TEXT, AT(password), NULL, 0, 0, "its password", 1 },
    { NULL, "NATS_TOKEN", TEXT, AT(token), NULL, 0, 0, "a token instead of user and password", 1 },
    { "source-api", "JOURNEY_SOURCE_API", TEXT, AT(source_api), "$JS.API", 0, 0,
      "prefix of the JetStream API of others' streams, where they are imported from other "
      "accounts; {log} is a log's name",
      0 },
    { "log-level", "JOURNEY_LOG_LEVEL", LEVEL, AT(log_level), "info", 0, 0,
      "debug, info, warn or error", 0 },
    { "log-format", "JOURNEY_LOG_FORMAT", FORMAT, AT(log_format), "logfmt", 0, 0, "logfmt or json",
      0 },
    { "stream-replicas", "JOURNEY_STREAM_REPLICAS", NUMBER, AT(stream_replicas), "1", 1, 5,
      "copies of our stream, when we make it", 0 },
    { "stream-max-bytes", "JOURNEY_STREAM_MAX_BYTES", NUMBER, AT(stream_max_bytes), "0", 0,
      INT64_MAX, "limit of our stream, when we make it; 0: none", 0 },
    { "batch-max", "JOURNEY_BATCH_MAX", NUMBER, AT(batch_max), "512", 1, 4096,
      "items that share one commit", 0 },
    { "queue-max", "JOURNEY_QUEUE_MAX", NUMBER, AT(queue_max), "8192", 1, 1000000,
      "requests that may wait; beyond it: busy", 0 },
    { "backlog-max", "JOURNEY_BACKLOG_MAX", NUMBER, AT(backlog_max), "1000000", 1, INT64_MAX,
      "events that may wait for the stream; beyond it: busy", 0 },
    { "reader-threads", "JOURNEY_READER_THREADS", NUMBER, AT(reader_threads), "2", 1, 8,
      "threads that answer queries", 0 },
    { "client-rate-max", "JOURNEY_CLIENT_RATE_MAX", NUMBER, AT(client_rate_max), "0", 0, 1000000,
      "requests a second of one client; beyond it: busy; 0: no limit", 0 },
    { "http", "JOURNEY_HTTP", TEXT, AT(http), "", 0, 0,
      "ADDRESS:PORT of /metrics, /healthz and /readyz; empty: off", 0 },
    { "no-retry", "JOURNEY_NO_RETRY", SWITCH, AT(no_retry), NULL, 0, 0,
      "end with 69 when no server is there at the start", 0 },
};
#define ROWS (sizeof(rows) / sizeof(*rows))

/* ---- One value ------------------------------------------------------------------------------ */

static int parse_number(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || end == text || value < min || value > max)
        return fail(ERR_CONFIG, "must be a number from %lld to %lld", (long long)min,
                    (long long)max);
    *ret_value = value;
    return 0;
}

static int set(struct config *config, const struct row *row, const char *text, const char *from)
{
    char *place = (char *)config + row->offset;
    assert(text && row->offset < sizeof(*config));
    int r = 0;
    switch (row->kind) {
    case TEXT:
    case FOLDER:
    case FILE_NAME: *(const char **)place = text; break;
    case NUMBER:    r = parse_number(text, row->min, row->max, (int64_t *)place); break;
    case SWITCH:    *(_Bool *)place = strcmp(text, "0") != 0 && strcmp(text, "") != 0; break;
    case LEVEL:     r = log_level_parse(text, (enum log_level *)place); break;
    case FORMAT:    r = log_format_parse(text, (enum log_format *)place); break;
    }
    if (r < 0)
        fprintf(stderr, "%s: %s\n", from, failure_reason());
    return r;
}

static int check_choice(const struct option *option, const char *text)
{
    for (const char *const *choice = option->choices; choice && *choice; choice++)
        if (strcmp(*choice, text) == 0)
            return 0;
    return option->choices ? fail(ERR_CONFIG, "%s is not one of its values; see --help", text) : 0;
}

static int set_option(struct config *config, const struct service *service, int i, const char *text,
                      const char *from)
{
    int64_t number;
    assert(i < SERVICE_OPTIONS_MAX);
    if (check_choice(&service->options[i], text) < 0) {
        fprintf(stderr, "%s: %s\n", from, failure_reason());
        return -ERR_CONFIG;
    }
    if (service->options[i].is_number && parse_number(text, 0, INT64_MAX, &number) < 0) {
        fprintf(stderr, "%s: %s\n", from, failure_reason());
        return -ERR_CONFIG;
    }
    config->option_values[i] = text;
    return 0;
}

/* payment-deadline-s of order-svc -> ORDER_PAYMENT_DEADLINE_S */
static void variable_of(const struct service *service, const char *option, char *ret_name,
                        size_t size)
{
    snprintf(ret_name, size, "%s_%s", service->prefix, option);
    for (char *c = ret_name; *c; c++)
        *c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
}

/* ---- Help ----------------------------------------------------------------------------------- */

_Bool config_option(const struct service *service, int i, struct config_option *ret_option)
{
    static const char *const kinds[] = {
        [TEXT] = "text",     [FILE_NAME] = "file", [FOLDER] = "folder", [NUMBER] = "number",
        [SWITCH] = "switch", [LEVEL] = "choice",   [FORMAT] = "choice"
    };
    static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
    static const char *const formats[] = { "logfmt", "json", NULL };
    if (i < (int)ROWS) {
        const struct row *row = &rows[i];
        *ret_option = (struct config_option){
            .flag = row->flag,
            .kind = kinds[row->kind],
            .value = row->value,
            .min = row->min,
            .max = row->max,
            .choices = row->kind == LEVEL    ? levels
                       : row->kind == FORMAT ? formats
                                             : NULL,
            .help = row->help,
            .is_secret = row->secret,
        };
        snprintf(ret_option->variable, sizeof(ret_option->variable), "%s", row->variable);
        return 1;
    }
    const struct option *option = service->options;
    for (i -= (int)ROWS; option && option->name && i > 0; i--)
        option++;
    if (!option || !option->name)
        return 0;
    *ret_option = (struct config_option){
        .flag = option->name,
        .kind = option->choices     ? "choice"
                : option->is_number ? "number"
                                    : "text",
        .value = option->value,
        .max = option->is_number ? INT64_MAX : 0,
        .choices = option->choices,
        .help = option->help,
        .is_own = 1,
    };
    variable_of(service, option->name, ret_option->variable, sizeof(ret_option->variable));
    return 1;
}

/* What an option wants, as the completions read it: " FILE", " debug|info|warn|error". */
static void format_value(const struct config_option *option, char *ret_text, size_t size)
{
    static const struct {
        const char *kind, *value;
    } values[] = { { "text", " VALUE" }, { "file", " FILE" }, { "folder", " DIR" },
                   { "number", " N" },   { "switch", "" },    { "choice", "" } };
    size_t i = 0;
    while (strcmp(values[i].kind, option->kind) != 0)
        i++;
    snprintf(ret_text, size, "%s", values[i].value);
    for (const char *const *choice = option->choices; choice && *choice; choice++)
        snprintf(ret_text + strlen(ret_text), size - strlen(ret_text), "%c%s",
                 choice == option->choices ? ' ' : '|', *choice);
}

static void print_option(const struct config_option *option)
{
    char value[128];
    format_value(option, value, sizeof(value));
    if (option->flag)
        printf("  --%s%s, or %s in the environment\n", option->flag, value, option->variable);
    else
        printf("  %s in the environment only, because arguments are public\n", option->variable);
    const char *preset = option->value;
    printf("        %s%s%s%s\n", option->help, preset ? " [" : "", preset ? preset : "",
           preset ? "]" : "");
}

static void print_help(const struct service *service, const struct config_program *program)
{
    const char *name = service->name;
    printf("%s - %s\n\nUSAGE\n  %s [OPTIONS] %-28s run the service\n", name, service->description,
           name, "");
    printf("%s", program->tools_usage);
    printf("\nWHAT IT DOES\n  A journey service of the mesh. It keeps its data in DATA-DIR/%s.db, "
           "publishes its events\n"
           "  to the stream %s, and runs until SIGTERM. It may be started before its "
           "server.\n\nOPTIONS\n",
           name, service->log);
    struct config_option option;
    for (int i = 0; config_option(service, i, &option); i++)
        print_option(&option);
    printf("  --check-config\n        check the configuration and end\n"
           "  --print-config\n        print the configuration, without secrets, and end\n"
           "  --print-contract\n        print what it answers, says and asks, as JSON, and end\n"
           "  --print-status-fields\n        print all states, and all fields of $SRV.STATS and "
           "/metrics, as JSON, and end\n"
           "  --version\n        versions of the service and of its libraries\n"
           "  --help\n        this text\n\n"
           "REQUESTS\n  `nats micro info %s` lists them, and shows the status: state, outbox, "
           "queue, lag.\n\n",
           name);
    states_print(stdout);
    printf("\n");
    printf("EXIT CODES\n  0   fine\n  1   failure\n  2   usage\n  69  no server, and --no-retry\n  "
           "70  internal\n"
           "  74  disk I/O: start it again, it checks itself\n  78  configuration\n\n"
           "EXAMPLE\n  %s --server nats://127.0.0.1:4222 --data-dir ./%s\n",
           name, name);
}

static void print_version(const struct service *service, const struct config_program *program)
{
    printf("%s %s\nlibnats %s\nSQLite %s\njansson %s\nlibcrypto %s\nlibmicrohttpd %s\nbuild %s, "
           "compiler %s\n",
           service->name, service_version(service), bus_library_version(), db_library_version(),
           schema_library_version(), digest_library_version(), program->http_version(),
           JOURNEY_BUILD, __VERSION__);
}

/* A server's address may hold a password or a token: nats://user:password@host. */
static void print_without_secrets(const char *text)
{
    const char *start;
    while ((start = strstr(text, "://"))) {
        start += strlen("://");
        size_t length = strcspn(start, ",/");
        const char *at = memrchr(start, '@', length);
        printf("%.*s%s", (int)(start - text), text, at ? "***" : "");
        text = at ? at : start;
    }
    printf("%s", text);
}

static void print_config(const struct config *config, const struct service *service)
{
    for (size_t i = 0; i < ROWS; i++) {
        const char *place = (const char *)config + rows[i].offset;
        printf("%s=", rows[i].variable);
        if (rows[i].secret && *(const char *const *)place)
            printf("(set)");
        else if (rows[i].kind <= LAST_TEXT && *(const char *const *)place)
            print_without_secrets(*(const char *const *)place);
        else if (rows[i].kind == NUMBER)
            printf("%lld", (long long)*(const int64_t *)place);
        else if (rows[i].kind == SWITCH)
            printf("%d", *(const _Bool *)place);
        else if (rows[i].kind == LEVEL)
            printf("%s", (const char *[]){ "debug", "info", "warn",
                                           "error" }[*(const enum log_level *)place]);
        else if (rows[i].kind == FORMAT)
            printf("%s", *(const enum log_format *)place == LOG_JSON ? "json" : "logfmt");
        printf("\n");
    }
    for (int i = 0; service->options && service->options[i].name; i++) {
        char variable[64];
        variable_of(service, service->options[i].name, variable, sizeof(variable));
        printf("%s=%s\n", variable, config->option_values[i]);
    }
}

/* ---- Reading -------------------------------------------------------------------------------- */

static int read_defaults_and_environment(struct config *config, const struct service *service)
{
    char variable[64];
    for (size_t i = 0; i < ROWS; i++) {
        const char *text = getenv(rows[i].variable);
        int r = rows[i].value ? set(config, &rows[i], rows[i].value, rows[i].variable) : 0;
        if (r == 0 && text && *text)
            r = set(config, &rows[i], text, rows[i].variable);
        if (r < 0)
            return r;
    }
    for (int i = 0; service->options && service->options[i].name; i++) {
        variable_of(service, service->options[i].name, variable, sizeof(variable));
        const char *text = getenv(variable);
        int r = set_option(config, service, i, text && *text ? text : service->options[i].value,
                           variable);
        if (r < 0)
            return r;
    }
    return 0;
}

/* One flag, as --flag VALUE or --flag=VALUE. Returns how many arguments it took, 0: unknown, <
 * 0. */
static int read_flag(struct config *config, const struct service *service, const char *argument,
                     const char *next)
{
    const char *equals = strchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    const char *value = equals ? equals + 1 : next;
    int taken = equals ? 1 : 2, r;
    for (size_t i = 0; i < ROWS; i++) {
        if (!rows[i].flag || strlen(rows[i].flag) != length ||
            strncmp(rows[i].flag, argument, length) != 0)
            continue;
        if (rows[i].kind == SWITCH)
            return set(config, &rows[i], equals ? value : "1", argument) < 0 ? -ERR_CONFIG : 1;
        if (!value)
            return fail(ERR_INVALID, "--%s wants a value", argument);
        r = set(config, &rows[i], value, argument);
        return r < 0 ? r : taken;
    }
    for (int i = 0; service->options && service->options[i].name; i++) {
        if (strlen(service->options[i].name) != length ||
            strncmp(service->options[i].name, argument, length) != 0)
            continue;
        if (!value)
            return fail(ERR_INVALID, "--%s wants a value", argument);
        r = set_option(config, service, i, value, argument);
        return r < 0 ? r : taken;
    }
    return 0;
}

/* These answer also when the environment is wrong: who asks may be looking for just that. */
static _Bool answer_help(const struct service *service, const struct config_program *program,
                         int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(service, program);
            return 1;
        }
        if (strcmp(argv[i], "--version") == 0) {
            print_version(service, program);
            return 1;
        }
    }
    return 0;
}

/* What can be known to fail is said now, and not by a service that cannot log in later. */
static int check_files(const struct config *config)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].kind != FILE_NAME)
            continue;
        const char *path = *(const char *const *)((const char *)config + rows[i].offset);
        if (!path || access(path, R_OK) == 0)
            continue;
        fprintf(stderr, "%s (--%s): %s: %s\n", rows[i].variable, rows[i].flag, path,
                errno_text(errno));
        return -ERR_CONFIG;
    }
    if (!config->certificate_file == !config->key_file)
        return 0;
    fprintf(stderr, "NATS_CERT (--tlscert) and NATS_KEY (--tlskey) go together\n");
    return -ERR_CONFIG;
}

static int check_http(const struct config *config, const struct config_program *program)
{
    if (!*config->http || program->check_http(config->http) == 0)
        return 0;
    fprintf(stderr, "JOURNEY_HTTP (--http): %s\n", failure_reason());
    return -ERR_CONFIG;
}

int config_source_api(const struct config *config, const char *log,
                      char ret_prefix[SOURCE_API_SIZE])
{
    assert(config->source_api && log);
    const char *place = strstr(config->source_api, "{log}");
    int length = place ? snprintf(ret_prefix, SOURCE_API_SIZE, "%.*s%s%s",
                                  (int)(place - config->source_api), config->source_api, log,
                                  place + strlen("{log}"))
                       : snprintf(ret_prefix, SOURCE_API_SIZE, "%s", config->source_api);
    if (length >= SOURCE_API_SIZE || !bus_subject_is_safe(ret_prefix, 0))
        return fail(ERR_CONFIG, "%s is not a subject's prefix", config->source_api);
    return 0;
}

void config_bus_options(const struct config *config, const char *name,
                        struct bus_options *ret_options)
{
    *ret_options = (struct bus_options){
        .url = config->server,
        .name = name,
        .user = config->user,
        .password = config->password,
        .token = config->token,
        .credentials_file = config->credentials_file,
        .nkey_file = config->nkey_file,
        .tls_certificate_file = config->certificate_file,
        .tls_key_file = config->key_file,
        .tls_ca_file = config->ca_file,
    };
}

static int check_sources(const struct config *config, const struct service *service)
{
    char prefix[SOURCE_API_SIZE];
    for (int i = 0; service->sources && service->sources[i].log; i++)
        if (config_source_api(config, service->sources[i].log, prefix) < 0) {
            fprintf(stderr, "JOURNEY_SOURCE_API (--source-api): %s\n", failure_reason());
            return -ERR_CONFIG;
        }
    return 0;
}

int config_read(struct config *config, const struct service *service,
                const struct config_program *program, int argc, char **argv)
{
    assert(program->tools_usage);
    *config = (struct config){ 0 };
    _Bool check = 0, print = 0;
    if (answer_help(service, program, argc, argv))
        return 1;
    int r = read_defaults_and_environment(config, service), i = 1;
    for (; r >= 0 && i < argc && strncmp(argv[i], "--", 2) == 0; i += r) {
        const char *flag = argv[i] + 2;
        r = 1;
        if (strcmp(flag, "check-config") == 0)
            check = 1;
        else if (strcmp(flag, "print-config") == 0)
            print = 1;
        else
            r = read_flag(config, service, flag, i + 1 < argc ? argv[i + 1] : NULL);
        if (r == 0 || r == -ERR_INVALID) {
            fprintf(stderr,
                    r ? "%s: --%s wants a value\n" : "%s: --%s is not an option; see --help\n",
                    service->name, flag);
            return -ERR_INVALID;
        }
    }
    if (r >= 0)
        r = check_files(config);
    if (r >= 0)
        r = check_http(config, program);
    if (r >= 0)
        r = check_sources(config, service);
    if (r < 0)
        return r;
    config->arguments = (const char *const *)argv + i;
    config->argument_count = argc - i;
    if (print)
        print_config(config, service);
    else if (check)
        printf("%s: the configuration is fine\n", service->name);
    return check || print;
}

static _Bool is_wanted(const struct config *config, const struct service *service,
                       const char *option)
{
    const char *value = strchr(option, '=');
    for (int i = 0; value && service->options && service->options[i].name; i++) {
        const char *name = service->options[i].name;
        if (strlen(name) == (size_t)(value - option) && strncmp(name, option, strlen(name)) == 0)
            return strcmp(config->option_values[i], value + 1) == 0;
    }
    return 0;
}

void config_choose_sources(const struct config *config, const struct service *service,
                           struct source *ret_sources, int max)
{
    int count = 0;
    for (const struct source *source = service->sources; source && source->log; source++)
        if (!source->option || is_wanted(config, service, source->option)) {
            assert(count < max - 1);
            ret_sources[count++] = *source;
        }
    ret_sources[count] = (struct source){ 0 };
}
