/* Configuration: which source of an option wins, what is refused, and what is printed. */
#include "runtime/core/config.h"
#include "runtime/watch/http.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const colours[] = { "red", "blue", NULL };
static const struct option options[] = {
    { "colour", "red", "the colour", 0, colours },
    { "size-max", "7", "the size", 1, NULL },
    { 0 },
};
static const struct source sources[] = {
    { .log = "ACCOUNT", .service = "account-svc", .prefix = "account" }, { 0 }
};
static const struct service service = { .sources = sources,
                                        .name = "test-svc",
                                        .log = "TEST",
                                        .prefix = "test",
                                        .description = "A test",
                                        .options = options };

static const struct config_program program = { .tools_usage = "  test-svc TOOL\n",
                                               .check_http = http_check,
                                               .probe_http = http_probe };

__attribute__((constructor)) static void name_folder(void)
{
    setenv("JOURNEY_DATA_DIR", "data", 1);
}

static int read_config(struct config *config, const char *a, const char *b)
{
    char *argv[] = { (char *)service.name, (char *)a, (char *)b, NULL };
    return config_read(config, &service, &program, b ? 3 : a ? 2 : 1, argv);
}

Test(config, a_flag_wins_over_the_environment_and_the_environment_over_the_default)
{
    struct config config;
    cr_assert_eq(read_config(&config, NULL, NULL), 0);
    cr_assert(strcmp(config.server, "nats://127.0.0.1:4222") == 0 && config.batch_max == 512 &&
              strcmp(config.option_values[1], "7") == 0);
    setenv("NATS_URL", "nats://there:1", 1);
    setenv("JOURNEY_BATCH_MAX", "9", 1);
    setenv("TEST_SIZE_MAX", "8", 1);
    cr_assert_eq(read_config(&config, NULL, NULL), 0);
    cr_assert(strcmp(config.server, "nats://there:1") == 0 && config.batch_max == 9 &&
              strcmp(config.option_values[1], "8") == 0);
    cr_assert_eq(read_config(&config, "--batch-max", "11"), 0);
    cr_assert_eq(config.batch_max, 11);
    cr_assert_eq(read_config(&config, "--size-max=12", NULL), 0);
    cr_assert_str_eq(config.option_values[1], "12");
}

Test(config, a_wrong_option_is_named, .init = cr_redirect_stderr)
{
    static const struct {
        const char *flag, *value;
        int r;
    } cases[] = {
        { "--nonsense", NULL, -ERR_INVALID },
        { "--server", NULL, -ERR_INVALID },
        { "--batch-max", "0", -ERR_CONFIG },
        { "--batch-max", "many", -ERR_CONFIG },
        { "--log-level", "loud", -ERR_CONFIG },
        { "--colour", "green", -ERR_CONFIG },
        { "--size-max", "-1", -ERR_CONFIG },
        { "--http", "127.0.0.1", -ERR_CONFIG },
        { "--http", "127.0.0.1:99999", -ERR_CONFIG },
        { "--client-rate-max", "-1", -ERR_CONFIG },
        { "--answer-when", "soon", -ERR_CONFIG },
        { "--answer-wait-ms", "0", -ERR_CONFIG },
        { "--source-api", "a b", -ERR_CONFIG },
        { "--source-api", "$JS.{log}.>", -ERR_CONFIG },
    };
    struct config config;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        cr_expect_eq(read_config(&config, cases[i].flag, cases[i].value), cases[i].r, "%s",
                     cases[i].flag);
}

Test(config, answers_leave_at_the_commit_unless_they_shall_wait)
{
    struct config config;
    cr_assert_eq(read_config(&config, NULL, NULL), 0);
    cr_assert(config.answer_when == WHEN_COMMITTED && config.answer_wait_ms == 2000);
    cr_assert_eq(read_config(&config, "--answer-when", "published"), 0);
    cr_assert_eq(config.answer_when, WHEN_PUBLISHED);
    cr_assert_eq(read_config(&config, "--answer-when=committed", NULL), 0);
    cr_assert_eq(config.answer_when, WHEN_COMMITTED);
}

Test(config, a_standby_takes_over_by_itself_where_nothing_is_lost_by_it)
{
    struct config config;
    cr_assert_eq(read_config(&config, NULL, NULL), 0);
    cr_assert_eq(config.take_over, TAKE_OVER_MANUAL);
    cr_assert_eq(read_config(&config, "--answer-when", "published"), 0);
    cr_assert_eq(config.take_over, TAKE_OVER_AUTO);
    cr_assert_eq(read_config(&config, "--take-over=auto", NULL), 0);
    cr_assert_eq(config.take_over, TAKE_OVER_AUTO);
    setenv("JOURNEY_TAKE_OVER", "manual", 1);
    cr_assert_eq(read_config(&config, "--answer-when", "published"), 0);
    cr_assert_eq(config.take_over, TAKE_OVER_MANUAL);
}

Test(config, the_folder_has_no_default, .init = cr_redirect_stderr)
{
    struct config config;
    unsetenv("JOURNEY_DATA_DIR");
    cr_assert_eq(read_config(&config, NULL, NULL), -ERR_CONFIG);
    cr_assert_eq(read_config(&config, "--data-dir", ""), -ERR_CONFIG);
    cr_assert_eq(read_config(&config, "--check-config", NULL), -ERR_CONFIG);
    cr_assert_eq(read_config(&config, "--data-dir", "there"), 0);
    cr_assert_str_eq(config.data_dir, "there");
    setenv("JOURNEY_DATA_DIR", "here", 1);
    cr_assert_eq(read_config(&config, NULL, NULL), 0);
    cr_assert_str_eq(config.data_dir, "here");
}

Test(config, the_api_prefix_of_a_source_may_name_its_log)
{
    static const struct {
        const char *given, *prefix;
    } cases[] = {
        { "$JS.API", "$JS.API" },
        { "{log}.API", "ACCOUNT.API" },
        { "from.{log}.JS", "from.ACCOUNT.JS" },
    };
    struct config config;
    char prefix[SOURCE_API_SIZE];
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cr_assert_eq(read_config(&config, "--source-api", cases[i].given), 0, "%s", cases[i].given);
        cr_assert_eq(config_source_api(&config, "ACCOUNT", prefix), 0, "%s", cases[i].given);
        cr_expect_str_eq(prefix, cases[i].prefix);
    }
}

Test(config, a_subcommand_follows_the_options)
{
    struct config config;
    char flag[] = "--no-retry", command[] = "backup", file[] = "file";
    char *argv[] = { (char *)service.name, flag, command, file, NULL };
    cr_assert_eq(config_read(&config, &service, &program, 4, argv), 0);
    cr_assert(config.no_retry && config.argument_count == 2 &&
              strcmp(config.arguments[0], "backup") == 0);
}

static void redirect(void)
{
    cr_redirect_stdout();
}

static void read_output(char *text, size_t size)
{
    fflush(stdout);
    size_t length = fread(text, 1, size - 1, cr_get_redirected_stdout());
    text[length] = '\0';
}

Test(config, help_and_version_are_printed_even_with_a_wrong_environment, .init = redirect)
{
    struct config config;
    char text[16384] = "";
    setenv("JOURNEY_BATCH_MAX", "many", 1);
    cr_assert_eq(read_config(&config, "--no-retry", "--help"), 1);
    cr_assert_eq(read_config(&config, "--version", NULL), 1);
    cr_assert_eq(read_config(&config, "backup", "--help"), 1);
    read_output(text, sizeof(text));
    cr_assert(strstr(text, "--colour red|blue, or TEST_COLOUR") && strstr(text, "--size-max N,") &&
                  strstr(text, "  test-svc TOOL\n\nWHAT IT DOES") && strstr(text, "EXIT CODES"),
              "%s", text);
    for (const char *const *library =
             (const char *[]){ "libnats", "SQLite", "jansson", "libcrypto", NULL };
         *library; library++) {
        char line[64];
        snprintf(line, sizeof(line), "\n%s ", *library);
        cr_assert(strstr(text, line), "%s in %s", *library, text);
    }
}

Test(config, a_key_that_others_may_read_is_named_and_one_that_they_may_write_refused)
{
    static const struct {
        mode_t mode;
        int result;
        _Bool is_open;
    } cases[] = {
        { 0600, 0, 0 }, { 0400, 0, 0 },           { 0640, 0, 1 },           { 0644, 0, 1 },
        { 0444, 0, 1 }, { 0620, -ERR_CONFIG, 0 }, { 0666, -ERR_CONFIG, 0 },
    };
    struct config config;
    struct config_open_key key;
    char path[] = "/tmp/test_config_XXXXXX";
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int at = 0;
        cr_assert_eq(fchmod(file, cases[i].mode), 0);
        cr_expect_eq(read_config(&config, "--nkey", path), cases[i].result, "%o", cases[i].mode);
        if (cases[i].result < 0)
            continue;
        cr_assert_eq(config_next_open_key(&config, &at, &key), cases[i].is_open, "%o",
                     cases[i].mode);
        cr_expect(!cases[i].is_open || (key.mode == cases[i].mode && strcmp(key.path, path) == 0 &&
                                        strcmp(key.variable, "NATS_NKEY") == 0 &&
                                        !config_next_open_key(&config, &at, &key)),
                  "%o", cases[i].mode);
    }
    close(file);
    unlink(path);
}

Test(config, unreadable_files_are_named_at_the_start, .init = cr_redirect_stderr)
{
    struct config config;
    cr_assert_eq(read_config(&config, "--creds", "/does/not/exist"), -ERR_CONFIG);
    cr_assert_eq(read_config(&config, "--tlsca", "/dev/null"), 0);
    /* without its key */
    cr_assert_eq(read_config(&config, "--tlscert", "/dev/null"), -ERR_CONFIG);
    setenv("NATS_KEY", "/dev/null", 1);
    cr_assert_eq(read_config(&config, "--tlscert", "/dev/null"), 0);
}

Test(config, an_address_is_printed_without_its_password, .init = redirect)
{
    struct config config;
    char text[4096] = "";
    setenv("NATS_URL", "nats://me:hunter2@a:1,tls://t0ken@b:2,nats://c:3", 1);
    cr_assert_eq(read_config(&config, "--print-config", NULL), 1);
    read_output(text, sizeof(text));
    cr_assert(strstr(text, "NATS_URL=nats://***@a:1,tls://***@b:2,nats://c:3\n"), "%s", text);
}

Test(config, a_configuration_can_be_checked_without_a_start, .init = redirect)
{
    struct config config;
    char text[200] = "";
    cr_assert_eq(read_config(&config, "--check-config", NULL), 1);
    read_output(text, sizeof(text));
    cr_assert_str_eq(text, "test-svc: the configuration is fine\n");
}

Test(config, secrets_are_not_printed, .init = redirect)
{
    struct config config;
    setenv("NATS_PASSWORD", "hunter2", 1);
    cr_assert_eq(read_config(&config, "--print-config", NULL), 1);
    char text[4096] = "";
    read_output(text, sizeof(text));
    cr_assert(strstr(text, "NATS_PASSWORD=(set)") && !strstr(text, "hunter2") &&
                  strstr(text, "TEST_SIZE_MAX=7"),
              "%s", text);
}
