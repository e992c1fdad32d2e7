/* Config: see config.h. Here the options are read; the table of them is in config_options.c. */
#include "runtime/core/config.h"
#include "bus/jetstream.h"
#include "base/terminal.h"
#include "base/secrets.h"
#include "runtime/core/config_options.h"
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

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

static int parse_choice(const char *text, const char *const *choices, int64_t *ret_value)
{
    for (int64_t i = 0; choices[i]; i++)
        if (strcmp(choices[i], text) == 0) {
            *ret_value = i;
            return 0;
        }
    return fail(ERR_CONFIG, "%s is not one of its values; see --help", text);
}

static int set(struct config *config, const struct config_row *row, const char *text,
               const char *from)
{
    char *place = (char *)config + row->offset;
    assert(text && row->offset < sizeof(*config));
    int r = 0;
    switch (row->kind) {
    case TEXT:
    case FOLDER:
    case FILE_NAME:
    case KEY_FILE:    *(const char **)place = text; break;
    case NUMBER:      r = parse_number(text, row->min, row->max, (int64_t *)place); break;
    case SWITCH:      *(_Bool *)place = strcmp(text, "0") != 0 && strcmp(text, "") != 0; break;
    case LEVEL:       r = log_level_parse(text, (enum log_level *)place); break;
    case FORMAT:      r = log_format_parse(text, (enum log_format *)place); break;
    case TAKE_OVER:
    case ANSWER_WHEN: r = parse_choice(text, config_choices(row->kind), (int64_t *)place); break;
    }
    if (r < 0)
        terminal_print(stderr, "%s: %s\n", from, failure_reason());
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
        terminal_print(stderr, "%s: %s\n", from, failure_reason());
        return -ERR_CONFIG;
    }
    if (service->options[i].is_number && parse_number(text, 0, INT64_MAX, &number) < 0) {
        terminal_print(stderr, "%s: %s\n", from, failure_reason());
        return -ERR_CONFIG;
    }
    config->option_values[i] = text;
    return 0;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static int read_defaults_and_environment(struct config *config, const struct service *service)
{
    char variable[64];
    for (int i = 0; i < config_row_count; i++) {
        const char *text = getenv(config_rows[i].variable);
        int r = config_rows[i].value
                    ? set(config, &config_rows[i], config_rows[i].value, config_rows[i].variable)
                    : 0;
        if (r == 0 && text && *text)
            r = set(config, &config_rows[i], text, config_rows[i].variable);
        if (r < 0)
            return r;
    }
    for (int i = 0; service->options && service->options[i].name; i++) {
        config_variable_of(service, service->options[i].name, variable, sizeof(variable));
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
    for (int i = 0; i < config_row_count; i++) {
        if (!config_rows[i].flag || strlen(config_rows[i].flag) != length ||
            strncmp(config_rows[i].flag, argument, length) != 0)
            continue;
        if (config_rows[i].kind == SWITCH)
            return set(config, &config_rows[i], equals ? value : "1", argument) < 0 ? -ERR_CONFIG
                                                                                    : 1;
        if (!value)
            return fail(ERR_INVALID, "--%s wants a value", argument);
        r = set(config, &config_rows[i], value, argument);
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
            config_print_help(service, program);
            return 1;
        }
        if (strcmp(argv[i], "--version") == 0) {
            config_print_version(service);
            return 1;
        }
    }
    return 0;
}

/* The path that the row's option has; NULL: none, or the option is no file. */
static const char *file_of(const struct config *config, const struct config_row *row)
{
    return row->kind == FILE_NAME || row->kind == KEY_FILE
               ? *(const char *const *)((const char *)config + row->offset)
               : NULL;
}

/* Who may write a key file may put another key there. */
static int check_file(const struct config_row *row, const char *path)
{
    enum secret_file is = SECRET_FILE_PRIVATE;
    unsigned mode;
    if (access(path, R_OK) < 0) {
        terminal_print(stderr, "%s (--%s): %s: %s\n", row->variable, row->flag, path,
                       errno_text(errno));
        return -ERR_CONFIG;
    }
    if (row->kind != KEY_FILE || secrets_look_at_file(path, &is, &mode) < 0 ||
        is != SECRET_FILE_WRITABLE)
        return 0;
    terminal_print(stderr,
                   "%s (--%s): others than its owner may write %s (mode %04o): chmod 600 %s\n",
                   row->variable, row->flag, path, mode, path);
    return -ERR_CONFIG;
}

_Bool config_next_open_key(const struct config *config, int *at, struct config_open_key *ret_key)
{
    enum secret_file is;
    for (; *at < config_row_count; (*at)++) {
        const struct config_row *row = &config_rows[*at];
        const char *path = row->kind == KEY_FILE ? file_of(config, row) : NULL;
        if (!path || secrets_look_at_file(path, &is, &ret_key->mode) < 0 ||
            is != SECRET_FILE_READABLE)
            continue;
        ret_key->variable = row->variable;
        ret_key->path = path;
        (*at)++;
        return 1;
    }
    return 0;
}

static void warn_of_open_keys(const struct config *config)
{
    struct config_open_key key;
    for (int at = 0; config_next_open_key(config, &at, &key);)
        terminal_print(stderr, "%s: others than its owner may read %s (mode %04o): chmod 600 %s\n",
                       key.variable, key.path, key.mode, key.path);
}

/* What can be known to fail is said now, and not by a service that cannot log in later. */
static int check_files(const struct config *config)
{
    for (int i = 0; i < config_row_count; i++) {
        const char *path = file_of(config, &config_rows[i]);
        if (path && check_file(&config_rows[i], path) < 0)
            return -ERR_CONFIG;
    }
    if (!config->certificate_file == !config->key_file)
        return 0;
    terminal_print(stderr, "NATS_CERT (--tlscert) and NATS_KEY (--tlskey) go together\n");
    return -ERR_CONFIG;
}

/* A default would be a folder that was never meant: the second instance, typed in a shell, would
 * begin a log of its own there. */
static int check_folder(const struct config *config)
{
    if (config->data_dir && *config->data_dir)
        return 0;
    fprintf(stderr, "JOURNEY_DATA_DIR (--data-dir): there is no default; name the folder of this "
                    "instance's database\n");
    return -ERR_CONFIG;
}

static int check_http(const struct config *config, const struct config_program *program)
{
    assert(config->http); /* its row has a default */
    if (!*config->http || program->check_http(config->http) == 0)
        return 0;
    terminal_print(stderr, "JOURNEY_HTTP (--http): %s\n", failure_reason());
    return -ERR_CONFIG;
}

/* What may pass by itself does not make a configuration wrong. */
static void tell_check(const struct config *config, const struct service *service,
                       const struct config_program *program)
{
    if (*config->http && program->probe_http(config->http) < 0)
        terminal_print(stderr, "JOURNEY_HTTP (--http): %s, at the moment\n", failure_reason());
    printf("%s: the configuration is fine\n", service->name);
}

int config_source_api(const struct config *config, const char *log,
                      char ret_prefix[SOURCE_API_SIZE])
{
    assert(config->source_api && log);
    /* others' streams are in the same domain, unless they are said to be elsewhere */
    const char *api = strcmp(config->source_api, JS_API_PREFIX) == 0 ? js_default_api()
                                                                     : config->source_api;
    const char *place = strstr(api, "{log}");
    int length = place ? snprintf(ret_prefix, SOURCE_API_SIZE, "%.*s%s%s", (int)(place - api), api,
                                  log, place + strlen("{log}"))
                       : snprintf(ret_prefix, SOURCE_API_SIZE, "%s", api);
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

static int check_servers(const struct config *config)
{
    if (bus_check_servers(config->server) == 0)
        return 0;
    terminal_print(stderr, "NATS_URL (--server): %s\n", failure_reason());
    return -ERR_CONFIG;
}

/* Both hold for the whole process. */
static int set_subjects(const struct config *config)
{
    if (config->js_domain && js_set_domain(config->js_domain) < 0) {
        terminal_print(stderr, "JOURNEY_JS_DOMAIN (--js-domain): %s\n", failure_reason());
        return -ERR_CONFIG;
    }
    if (config->reply_prefix && bus_set_reply_prefixes(config->reply_prefix) < 0) {
        terminal_print(stderr, "JOURNEY_REPLY_PREFIX (--reply-prefix): %s\n", failure_reason());
        return -ERR_CONFIG;
    }
    return 0;
}

static int check_sources(const struct config *config, const struct service *service)
{
    char prefix[SOURCE_API_SIZE];
    for (int i = 0; service->sources && service->sources[i].log; i++)
        if (config_source_api(config, service->sources[i].log, prefix) < 0) {
            terminal_print(stderr, "JOURNEY_SOURCE_API (--source-api): %s\n", failure_reason());
            return -ERR_CONFIG;
        }
    return 0;
}

int config_read(struct config *config, const struct service *service,
                const struct config_program *program, int argc, char **argv)
{
    assert(program->tools_usage);
    *config = (struct config){ .take_over = TAKE_OVER_UNSET };
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
            terminal_print(
                stderr, r ? "%s: --%s wants a value\n" : "%s: --%s is not an option; see --help\n",
                service->name, flag);
            return -ERR_INVALID;
        }
    }
    if (config->take_over == TAKE_OVER_UNSET) /* then nothing is lost by it */
        config->take_over = config->answer_when == WHEN_PUBLISHED ? TAKE_OVER_AUTO
                                                                  : TAKE_OVER_MANUAL;
    if (r >= 0 && !print)
        r = check_folder(config);
    if (r >= 0)
        r = check_servers(config);
    if (r >= 0)
        r = set_subjects(config);
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
    if (check)
        warn_of_open_keys(config);
    if (print)
        config_print(config, service);
    else if (check)
        tell_check(config, service, program);
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
