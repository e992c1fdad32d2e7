/* Config options: see config_options.h. */
#include "runtime/core/config_options.h"
#include "base/digest.h"
#include "runtime/core/service_table.h"
#include "runtime/core/states.h"
#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define AT(member) offsetof(struct config, member)
const struct config_row config_rows[] = {
    { "server", "NATS_URL", TEXT, AT(server), "nats://127.0.0.1:4222", 0, 0,
      "the NATS server, several with commas", 0 },
    { "data-dir", "JOURNEY_DATA_DIR", FOLDER, AT(data_dir), NULL, 0, 0,
      "folder of this instance's database; made when it is not there; wanted", 0 },
    { "creds", "NATS_CREDS", KEY_FILE, AT(credentials_file), NULL, 0, 0,
      "credentials file (JWT and seed)", 0 },
    { "nkey", "NATS_NKEY", KEY_FILE, AT(nkey_file), NULL, 0, 0, "file with an nkey user's seed",
      0 },
    { "tlscert", "NATS_CERT", FILE_NAME, AT(certificate_file), NULL, 0, 0, "TLS client certificate",
      0 },
    { "tlskey", "NATS_KEY", KEY_FILE, AT(key_file), NULL, 0, 0, "its private key", 0 },
    { "tlsca", "NATS_CA", FILE_NAME, AT(ca_file), NULL, 0, 0, "certificate authorities to trust",
      0 },
    { "user", "NATS_USER", TEXT, AT(user), NULL, 0, 0, "user name", 0 },
    { NULL, "NATS_PASSWORD", TEXT, AT(password), NULL, 0, 0, "its password", 1 },
    { NULL, "NATS_TOKEN", TEXT, AT(token), NULL, 0, 0, "a token instead of user and password", 1 },
    { "source-api", "JOURNEY_SOURCE_API", TEXT, AT(source_api), "$JS.API", 0, 0,
      "prefix of the JetStream API of others' streams, where they are imported from other "
      "accounts; {log} is a log's name",
      0 },
    { "js-domain", "JOURNEY_JS_DOMAIN", TEXT, AT(js_domain), NULL, 0, 0,
      "JetStream domain of the streams, where the server is a leaf node of the hub that has them",
      0 },
    { "reply-prefix", "JOURNEY_REPLY_PREFIX", TEXT, AT(reply_prefix), NULL, 0, 0,
      "prefixes of reply subjects that are answered to beside _INBOX, several with commas", 0 },
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
    { "refusals-keep-hours", "JOURNEY_REFUSALS_KEEP_HOURS", NUMBER, AT(refusals_keep_hours), "168",
      1, 876000, "how long a refusal under an idempotency key is remembered", 0 },
    { "answer-when", "JOURNEY_ANSWER_WHEN", ANSWER_WHEN, AT(answer_when), "committed", 0, 0,
      "when answers leave: when they are in the own database, or when the stream has them, too",
      0 },
    { "answer-wait-ms", "JOURNEY_ANSWER_WAIT_MS", NUMBER, AT(answer_wait_ms), "2000", 1, 600000,
      "how long an answer waits for the stream; beyond it: unconfirmed", 0 },
    { "file-check-s", "JOURNEY_FILE_CHECK_S", NUMBER, AT(file_check_s), "60", 1, 86400,
      "seconds between two slow checks of the own database", 0 },
    { "table-check-s", "JOURNEY_TABLE_CHECK_S", NUMBER, AT(table_check_s), "86400", 0, 31536000,
      "seconds between two slow comparisons of the tables with the logs; 0: none", 0 },
    { "server-check-s", "JOURNEY_SERVER_CHECK_S", NUMBER, AT(server_check_s), "60", 0, 86400,
      "seconds between two questions to the server how large a message it takes; 0: none", 0 },
    { "take-over", "JOURNEY_TAKE_OVER", TAKE_OVER, AT(take_over), NULL, 0, 0,
      "of a standby, when the leader is silent: auto, or manual (what the leader has answered and "
      "not published is lost by it); unless given, auto with --answer-when published, else manual",
      0 },
    { "http", "JOURNEY_HTTP", TEXT, AT(http), "", 0, 0,
      "ADDRESS:PORT of /metrics, /healthz and /readyz; empty: off", 0 },
    { "allow-dumps", "JOURNEY_ALLOW_DUMPS", SWITCH, AT(allow_dumps), NULL, 0, 0,
      "let core files be written and debuggers look in: they show passwords and personal data", 0 },
    { "no-retry", "JOURNEY_NO_RETRY", SWITCH, AT(no_retry), NULL, 0, 0,
      "end with 69 when no server is there at the start", 0 },
};
const int config_row_count = sizeof(config_rows) / sizeof(*config_rows);

void config_variable_of(const struct service *service, const char *option, char *ret_name,
                        size_t size)
{
    snprintf(ret_name, size, "%s_%s", service->prefix, option);
    for (char *c = ret_name; *c; c++)
        *c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
}

/* ---- What is said of them -------------------------------------------------------------------- */

const char *const *config_choices(enum config_kind kind)
{
    static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
    static const char *const formats[] = { "logfmt", "json", NULL };
    static const char *const whens[] = {
        [WHEN_COMMITTED] = "committed", [WHEN_PUBLISHED] = "published", NULL
    };
    static const char *const take_overs[] = {
        [TAKE_OVER_MANUAL] = "manual", [TAKE_OVER_AUTO] = "auto", NULL
    };
    return kind == LEVEL         ? levels
           : kind == FORMAT      ? formats
           : kind == ANSWER_WHEN ? whens
           : kind == TAKE_OVER   ? take_overs
                                 : NULL;
}

_Bool config_option(const struct service *service, int i, struct config_option *ret_option)
{
    static const char *const kinds[] = {
        [TEXT] = "text",          [FILE_NAME] = "file",   [KEY_FILE] = "file", [FOLDER] = "folder",
        [NUMBER] = "number",      [SWITCH] = "switch",    [LEVEL] = "choice",  [FORMAT] = "choice",
        [ANSWER_WHEN] = "choice", [TAKE_OVER] = "choice",
    };
    if (i < config_row_count) {
        const struct config_row *row = &config_rows[i];
        *ret_option = (struct config_option){
            .flag = row->flag,
            .kind = kinds[row->kind],
            .value = row->value,
            .min = row->min,
            .max = row->max,
            .choices = config_choices(row->kind),
            .help = row->help,
            .is_secret = row->secret,
        };
        snprintf(ret_option->variable, sizeof(ret_option->variable), "%s", row->variable);
        return 1;
    }
    const struct option *option = service->options;
    for (i -= config_row_count; option && option->name && i > 0; i--)
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
    config_variable_of(service, option->name, ret_option->variable, sizeof(ret_option->variable));
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

void config_print_help(const struct service *service, const struct config_program *program)
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

void config_print_version(const struct service *service)
{
    printf("%s %s\nlibnats %s\nSQLite %s\njansson %s\nlibcrypto %s\nbuild %s, "
           "compiler %s\n",
           service->name, service_version(service), bus_library_version(), db_library_version(),
           schema_library_version(), digest_library_version(), JOURNEY_BUILD, __VERSION__);
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

void config_print(const struct config *config, const struct service *service)
{
    for (int i = 0; i < config_row_count; i++) {
        const char *place = (const char *)config + config_rows[i].offset;
        printf("%s=", config_rows[i].variable);
        if (config_rows[i].secret && *(const char *const *)place)
            printf("(set)");
        else if (config_rows[i].kind <= LAST_TEXT && *(const char *const *)place)
            print_without_secrets(*(const char *const *)place);
        else if (config_rows[i].kind == NUMBER)
            printf("%lld", (long long)*(const int64_t *)place);
        else if (config_rows[i].kind == SWITCH)
            printf("%d", *(const _Bool *)place);
        else if (config_rows[i].kind == LEVEL)
            printf("%s", (const char *[]){ "debug", "info", "warn",
                                           "error" }[*(const enum log_level *)place]);
        else if (config_rows[i].kind == FORMAT)
            printf("%s", *(const enum log_format *)place == LOG_JSON ? "json" : "logfmt");
        else if (config_rows[i].kind == ANSWER_WHEN || config_rows[i].kind == TAKE_OVER)
            printf("%s", config_choices(config_rows[i].kind)[*(const int64_t *)place]);
        printf("\n");
    }
    for (int i = 0; service->options && service->options[i].name; i++) {
        char variable[64];
        config_variable_of(service, service->options[i].name, variable, sizeof(variable));
        printf("%s=%s\n", variable, config->option_values[i]);
    }
}
