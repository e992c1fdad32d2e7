/* Options: see options.h. */
#include "map/options.h"
#include "base/result.h"
#include "base/terminal.h"
#include "runtime/watch/http.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "journey-map - show a mesh as it lives, as a page for browsers\n"
    "\n"
    "USAGE\n"
    "  journey-map [OPTIONS]\n"
    "\n"
    "WHAT IT DOES\n"
    "  Serves one page: the services with their state, term, instances, rates and latencies; the\n"
    "  streams between them with what waits in each; parked events; the story of an order, an\n"
    "  account or a request; the last ten minutes. It asks the services and the server once a\n"
    "  second, writes nothing, and needs the rights of a reader. For parked events, redrive and\n"
    "  stories it needs those of an operator. The page comes from this program alone; it shows "
    "ids,\n"
    "  and neither names nor addresses nor cards. At most 50 browsers look at a time.\n"
    "\n"
    "OPTIONS\n"
    "  --server VALUE, or NATS_URL in the environment\n"
    "        the NATS server, several with commas [nats://127.0.0.1:4222]\n"
    "  --as VALUE, or JOURNEY_MAP_AS in the environment\n"
    "        the user whose rights it has; its inboxes are _INBOX.USER [reader]\n"
    "  --source-api VALUE, or JOURNEY_SOURCE_API in the environment\n"
    "        prefix of the JetStream API of the streams; {log} is a log's name [$JS.API]\n"
    "  --creds FILE, or NATS_CREDS in the environment\n"
    "        credentials file (JWT and seed)\n"
    "  --nkey FILE, or NATS_NKEY in the environment\n"
    "        file with an nkey user's seed\n"
    "  --tlscert FILE, or NATS_CERT in the environment\n"
    "        TLS client certificate\n"
    "  --tlskey FILE, or NATS_KEY in the environment\n"
    "        its private key\n"
    "  --tlsca FILE, or NATS_CA in the environment\n"
    "        certificate authorities to trust\n"
    "  --user VALUE, or NATS_USER in the environment\n"
    "        user name\n"
    "  NATS_PASSWORD in the environment only, because arguments are public\n"
    "        its password\n"
    "  NATS_TOKEN in the environment only, because arguments are public\n"
    "        a token instead of user and password\n"
    "  --http VALUE, or JOURNEY_MAP_HTTP in the environment\n"
    "        address and port of the page [127.0.0.1:9180]\n"
    "  --host VALUE, or JOURNEY_MAP_HOST in the environment\n"
    "        more names under which the page may be asked for, with commas\n"
    "  --contracts VALUE, or JOURNEY_MAP_CONTRACTS in the environment\n"
    "        files with the contracts of your own services (--print-contract), with commas: a\n"
    "        story then says what their events mean\n"
    "  --play FILE\n"
    "        for a mesh of one's own on the loopback: the page has plugs to pull, and orders to\n"
    "        place; FILE kill|pause|resume|start PROCESS does it, as scripts/mesh does\n"
    "  --plugs VALUE\n"
    "        the processes that --play may name, with commas\n"
    "  --log-level debug|info|warn|error, or JOURNEY_LOG_LEVEL in the environment\n"
    "        debug, info, warn or error [info]\n"
    "  --help\n"
    "        this text\n"
    "  --version\n"
    "        print the version\n"
    "\n"
    "EXIT CODES\n"
    "  0  ended by a signal      1  failed      2  usage      78  a setting cannot be used\n"
    "\n"
    "EXAMPLE\n"
    "  journey-map --server nats://127.0.0.1:4222 --http 127.0.0.1:9180\n";

static const struct option_row {
    const char *flag, *variable, *value; /* flag NULL: of the environment only */
    size_t at;
} rows[] = {
    { "--server", "NATS_URL", "nats://127.0.0.1:4222", offsetof(struct options, server) },
    { "--as", "JOURNEY_MAP_AS", "reader", offsetof(struct options, as) },
    { "--source-api", "JOURNEY_SOURCE_API", "$JS.API", offsetof(struct options, source_api) },
    { "--creds", "NATS_CREDS", NULL, offsetof(struct options, credentials_file) },
    { "--nkey", "NATS_NKEY", NULL, offsetof(struct options, nkey_file) },
    { "--tlscert", "NATS_CERT", NULL, offsetof(struct options, certificate_file) },
    { "--tlskey", "NATS_KEY", NULL, offsetof(struct options, key_file) },
    { "--tlsca", "NATS_CA", NULL, offsetof(struct options, ca_file) },
    { "--user", "NATS_USER", NULL, offsetof(struct options, user) },
    { NULL, "NATS_PASSWORD", NULL, offsetof(struct options, password) },
    { NULL, "NATS_TOKEN", NULL, offsetof(struct options, token) },
    { "--http", "JOURNEY_MAP_HTTP", "127.0.0.1:9180", offsetof(struct options, http) },
    { "--host", "JOURNEY_MAP_HOST", NULL, offsetof(struct options, hosts) },
    { "--contracts", "JOURNEY_MAP_CONTRACTS", NULL, offsetof(struct options, contracts) },
    { "--play", NULL, NULL, offsetof(struct options, play) },
    { "--plugs", NULL, NULL, offsetof(struct options, plugs) },
};
#define ROWS (sizeof(rows) / sizeof(*rows))

static const char **place_of(struct options *options, const struct option_row *row)
{
    return (const char **)((char *)options + row->at);
}

static int usage(const char *what, const char *word)
{
    terminal_print(stderr, "journey-map: %s %s\nTry: journey-map --help\n", what, word);
    return -ERR_INVALID;
}

static void read_environment(struct options *options, const char **ret_level)
{
    for (size_t i = 0; i < ROWS; i++) {
        const char *given = rows[i].variable ? getenv(rows[i].variable) : NULL;
        *place_of(options, &rows[i]) = given && *given ? given : rows[i].value;
    }
    const char *given = getenv("JOURNEY_LOG_LEVEL");
    *ret_level = given && *given ? given : "info";
}

static int read_flag(struct options *options, const char **level, const char *flag,
                     const char *value)
{
    if (!value)
        return usage("a value is wanted behind", flag);
    if (strcmp(flag, "--log-level") == 0) {
        *level = value;
        return 0;
    }
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].flag && strcmp(rows[i].flag, flag) == 0) {
            *place_of(options, &rows[i]) = value;
            return 0;
        }
    return usage("unknown option", flag);
}

static int check(const struct options *options)
{
    const char *wrong = NULL;
    if (http_check(options->http) < 0)
        wrong = "--http";
    else if (bus_check_servers(options->server) < 0)
        wrong = "--server";
    else if (!bus_header_key_is_safe(options->as))
        wrong = "--as";
    if (!wrong)
        return 0;
    if (strcmp(wrong, "--as") == 0)
        terminal_print(stderr, "journey-map: --as: not the name of a user\n");
    else
        terminal_print(stderr, "journey-map: %s: %s\n", wrong, failure_reason());
    return -ERR_CONFIG;
}

int options_read(struct options *options, int argc, char **argv)
{
    const char *level;
    *options = (struct options){ 0 };
    read_environment(options, &level);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return fputs(help, stdout) < 0 ? -ERR_IO : 1;
        if (strcmp(argv[i], "--version") == 0)
            return printf("journey-map %s\n", JOURNEY_VERSION) < 0 ? -ERR_IO : 1;
        int r = read_flag(options, &level, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (r < 0)
            return r;
        i++;
    }
    if (log_level_parse(level, &options->log_level) < 0)
        return usage("no such --log-level:", level);
    return check(options);
}

void options_bus(const struct options *options, struct bus_options *ret_bus)
{
    *ret_bus = (struct bus_options){
        .url = options->server,
        .name = options->as,
        .user = options->user,
        .password = options->password,
        .token = options->token,
        .credentials_file = options->credentials_file,
        .nkey_file = options->nkey_file,
        .tls_certificate_file = options->certificate_file,
        .tls_key_file = options->key_file,
        .tls_ca_file = options->ca_file,
        .delivery_threads = 1,
        .reconnect_wait_ms = 100,
    };
}
