/* Config: what an operator may set. A flag goes before the environment, the environment before the
 * default. Names of the environment are those of the nats CLI where it has them. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include "base/log.h"
#include "bus/bus.h"
#include "journey.h"
#include "runtime/core/exit_codes.h"

#define SERVICE_OPTIONS_MAX 16

/* What a standby does when nobody leads any more. */
enum { TAKE_OVER_MANUAL, TAKE_OVER_AUTO, TAKE_OVER_UNSET }; /* the last one while it is read */
/* When answers leave: see outbound/gate_io.h. */
enum { WHEN_COMMITTED, WHEN_PUBLISHED };

struct config {
    const char *server; /* "nats://127.0.0.1:4222" */
    const char *user, *password, *token, *credentials_file, *nkey_file;
    const char *ca_file, *certificate_file, *key_file;
    /* prefix of the JetStream API of others' streams; {log} is the log's name */
    const char *source_api;
    const char *js_domain, *reply_prefix; /* NULL: none */
    const char *data_dir;                 /* never empty, but with --print-config */
    enum log_level log_level;
    enum log_format log_format;
    int64_t stream_replicas;
    int64_t stream_max_bytes; /* 0: no limit */
    int64_t batch_max;        /* items in one commit */
    int64_t queue_max;        /* requests that wait for the writer, and queries for the readers */
    int64_t backlog_max;      /* events that wait for the stream; beyond it commands are `busy` */
    int64_t reader_threads;
    int64_t client_rate_max;     /* requests a second of one client; 0: no limit */
    int64_t refusals_keep_hours; /* how long a refusal under an idempotency key is remembered */
    int64_t server_check_s;      /* between two checks of the server's max_payload; 0: none */
    int64_t table_check_s;       /* between two comparisons of the tables with the logs; 0: none */
    int64_t file_check_s;        /* between two checks of the own file */
    int64_t answer_when;         /* WHEN_… */
    int64_t answer_wait_ms;      /* how long an answer waits for the stream */
    int64_t take_over;           /* of a standby, when nobody leads any more; TAKE_OVER_… */
    const char *http;            /* "127.0.0.1:9101"; empty: off */
    _Bool no_retry;
    _Bool allow_dumps;                              /* core files, and debuggers of the same user */
    const char *option_values[SERVICE_OPTIONS_MAX]; /* beside service->options */
    /* what is left after the options: a sub-command; ends with NULL */
    const char *const *arguments;
    int argument_count;
};

/* What rooms above this one have to say to the configuration; borrowed for the call. The functions
 * are asked only for --http. */
struct config_program {
    const char *tools_usage; /* lines of --help about sub-commands, each with its line feed */
    /* is this an address for --http, and can it be bound now? 0, or < 0 with the failure noted */
    int (*check_http)(const char *address);
    int (*probe_http)(const char *address); /* for --check-config */
};

/* 0: run; > 0: it was --help, --version, --check-config or --print-config, and is done; < 0:
 * ERR_INVALID (a usage error) or ERR_CONFIG, with the message already on stderr. Texts are borrowed
 * from argv and environ. */
int config_read(struct config *config, const struct service *service,
                const struct config_program *program, int argc, char **argv);

/* A file with a key that others than its owner may read: each one, from *at = 0 on. */
struct config_open_key {
    const char *variable, *path;
    unsigned mode; /* 0644 */
};
_Bool config_next_open_key(const struct config *config, int *at, struct config_open_key *ret_key);

/* An option, of the runtime or of the service, as --help and --print-contract say it. */
struct config_option {
    const char *flag; /* NULL: from the environment only */
    char variable[64];
    const char *kind;           /* "text", "file", "folder", "number", "switch", "choice" */
    const char *value;          /* the default; NULL: none */
    int64_t min, max;           /* of a number */
    const char *const *choices; /* of a choice; NULL ends */
    const char *help;
    _Bool is_secret, is_own; /* own: of the service */
};
/* The i-th, from 0; 0 behind the last. */
_Bool config_option(const struct service *service, int i, struct config_option *ret_option);

/* The sources that the options want to be read, in their order; { 0 } ends. max: rows that
 * ret_sources has, that one too. */
void config_choose_sources(const struct config *config, const struct service *service,
                           struct source *ret_sources, int max);

/* Server and credentials; handlers and the rest are for the caller to set. Borrows from the
 * configuration. */
void config_bus_options(const struct config *config, const char *name,
                        struct bus_options *ret_options);

/* source_api with the name of the log in it: 0, or ERR_CONFIG when that is no subject. */
#define SOURCE_API_SIZE 128
int config_source_api(const struct config *config, const char *log,
                      char ret_prefix[SOURCE_API_SIZE]);
