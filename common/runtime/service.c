/* Service: the whole of a main(). Makes the parts of an instance, starts them in order, waits for a
 * signal, and takes them apart in the opposite order. */
#include "base/clock.h"
#include "base/terminal.h"
#include "base/lock_file.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/secrets.h"
#include "runtime/core/data_folder.h"
#include "runtime/instance.h"
#include "runtime/watch/metrics.h"
#include "runtime/repair/contract.h"
#include "runtime/repair/file_check.h"
#include "runtime/repair/tools.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <poll.h>
#include <unistd.h>

#define STOP_FLUSH_MS 2000
#define LOG_FLUSH_MS 1000 /* for a reader of the log that stands still */
#define STARTS_AGAIN 256  /* in the place of an exit code */
#define LOCK_WAIT_MS 1000 /* for the one before us, that is just ending */
/* enough that threads do not queue for one, few enough that peaks are not kept eightfold */
#define ALLOCATOR_ARENAS 4

/* The process, of which there is one. */
static struct {
    struct instance instance; /* too large for a stack */
    atomic_int exit_code;     /* -1 while it runs */
    int lock_fd;              /* nobody else writes in our folder */
    int wake_fd;              /* eventfd: main looks at exit_code */
    char **arguments;         /* of main, to start again with */
    const char *data_dir, *name;
    int64_t started_ms; /* monotonic */
    struct micro micro;
    struct micro_metadata metadata[6];     /* of $SRV.INFO; ends with { 0 } */
    char host[HOST_NAME_MAX + 1], pid[24]; /* which of several instances answers */
    struct file_check file_check;
    struct http *http; /* NULL: off */
} process = { .exit_code = -1, .lock_fd = -1 };

/* At once, but for the lines that say why. */
static void die(void *context, int exit_code)
{
    (void)context;
    data_folder_count_death(process.data_dir, process.name,
                            clock_monotonic_ms() - process.started_ms);
    log_flush(LOG_FLUSH_MS);
    _exit(exit_code);
}

/* Any thread; the first reason counts. */
static void end_process(void *context, int exit_code)
{
    int running = -1;
    uint64_t one = 1;
    assert(exit_code >= 0);
    (void)context;
    if (atomic_compare_exchange_strong(&process.exit_code, &running, exit_code) &&
        write(process.wake_fd, &one, sizeof(one)) < 0)
        die(NULL, exit_code);
}

/* ---- Statistics ----------------------------------------------------------------------------- */

static void write_metadata(void *context, struct buf *out)
{
    struct instance *instance = context;
    peer_io_write_metadata(&instance->sender.peers, out);
    lead_io_write_metadata(&instance->status, out);
}

static void write_standing(void *context, struct buf *out)
{
    const struct instance *instance = context;
    lead_io_write_standing(&instance->status, out);
}

static int init_micro(struct instance *instance)
{
    const struct service *service = instance->options.service;
    struct micro_metadata *metadata = process.metadata;
    if (gethostname(process.host, sizeof(process.host) - 1) < 0)
        process.host[0] = '\0';
    snprintf(process.pid, sizeof(process.pid), "%ld", (long)getpid());
    *metadata++ = (struct micro_metadata){ "log", service->log };
    *metadata++ = (struct micro_metadata){ "prefix", service->prefix };
    *metadata++ = (struct micro_metadata){ "host", process.host };
    *metadata++ = (struct micro_metadata){ "pid", process.pid };
    if (service->schema_base)
        *metadata++ = (struct micro_metadata){ "schema_base", service->schema_base };
    const struct endpoints *endpoints = &instance->endpoints;
    process.micro = (struct micro){
        .name = service->name,
        .id = instance->id,
        .version = service_version(service),
        .description = service->description,
        .metadata = process.metadata,
        .started_ms = instance->status.started_ms,
        .endpoints = endpoints->counters,
        .endpoint_count = endpoints->count,
        .data = statistics_write_data,
        .context = &instance->statistics,
        .write_metadata = write_metadata,
        .write_standing = write_standing,
        .metadata_context = instance,
    };
    return trace(micro_check(&process.micro));
}

/* On the sender's thread, when it has asked for other instances. */
static int show(void *context)
{
    (void)context;
    return trace(micro_start(&process.micro, process.instance.bus));
}

static void step_back(void *context)
{
    end_process(context, STARTS_AGAIN);
}

/* ---- Starting ------------------------------------------------------------------------------- */

/* Two on one file would each count positions of their own, and neither would notice before a write
 * fails. */
static int lock_folder(const struct service *service, const struct config *config)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s.lock", config->data_dir, service->name) >=
        sizeof(path))
        return fail(ERR_CONFIG, "the path of --data-dir is too long");
    return trace(lock_file_take(path, LOCK_WAIT_MS, &process.lock_fd));
}

/* Those who watch are not worth a service that does not start. */
static void start_http(const char *address)
{
    if (http_start(address, metrics_pages, &process.instance.statistics, &process.http) < 0)
        log_warn("http_off", LOG_TEXT("address", address), LOG_TEXT("reason", failure_text()));
    process.instance.statistics.http = process.http;
}

/* Nothing here waits for the server: it may come later. */
static int start(struct instance *instance, const struct instance_options *options)
{
    const struct config *config = options->config;
    int r = lock_folder(options->service, config);
    if (r == 0) {
        data_folder_tighten(config->data_dir, options->service->name);
        data_folder_sweep(config->data_dir, options->service->name);
        r = instance_open(instance, options);
    }
    if (r == 0)
        r = init_micro(instance);
    if (r == 0)
        r = instance_start(instance);
    if (r == 0) {
        process.file_check =
            (struct file_check){ .service = options->service,
                                 .database_path = options->database_path,
                                 .status = &instance->status,
                                 .config = config,
                                 .interval_ms = config->file_check_s * 1000,
                                 .tables_interval_ms = config->table_check_s * 1000 };
        r = file_check_start(&process.file_check);
    }
    if (r == 0 && *config->http)
        start_http(config->http);
    return trace(r);
}

static void stop(struct instance *instance)
{
    file_check_stop(&process.file_check);
    instance_stop(instance);
    if (instance->bus) {
        micro_stop(&process.micro);
        bus_flush(instance->bus, STOP_FLUSH_MS);
    }
    http_free(process.http); /* until here it says `draining` */
    instance_close(instance);
    bus_library_close();
}

/* ---- Running -------------------------------------------------------------------------------- */

/* To a supervisor that asked for it: alive, and in which state. A service whose threads stand still
 * says nothing any more, and is started again. */
static void tell_supervisor(const struct instance *instance)
{
    char text[128];
    const char *why;
    _Bool alive = health_is_alive(&instance->status, &why);
    snprintf(text, sizeof(text), "%sSTATUS=%s", alive ? "WATCHDOG=1\n" : "",
             alive ? status_name(&instance->status) : why);
    notify_send(text);
}

/* Until a signal or a part that cannot go on. A second signal ends the process at once. */
static int wait_for_end(struct instance *instance, int signal_fd)
{
    struct pollfd fds[2] = { { .fd = signal_fd, .events = POLLIN },
                             { .fd = process.wake_fd, .events = POLLIN } };
    int64_t watchdog_ms = notify_watchdog_ms();
    /* it runs; that its server is there is another matter (STATUS) */
    notify_send("READY=1");
    int events;
    while ((events = poll(fds, 2, watchdog_ms > 0 ? (int)(watchdog_ms / 3) : -1)) <= 0)
        if (events == 0)
            tell_supervisor(instance);
    if (fds[1].revents)
        return atomic_load(&process.exit_code);
    struct signalfd_siginfo signal;
    if (read(signal_fd, &signal, sizeof(signal)) == sizeof(signal))
        log_info("stopping", LOG_TEXT("signal", sigdescr_np((int)signal.ssi_signo)));
    return EXIT_FINE;
}

static void warn_of_open_keys(const struct config *config)
{
    struct config_open_key key;
    for (int at = 0; config_next_open_key(config, &at, &key);) {
        char mode[8];
        snprintf(mode, sizeof(mode), "%04o", key.mode);
        log_warn("key_file_open", LOG_TEXT("file", key.path), LOG_TEXT("mode", mode),
                 LOG_TEXT("option", key.variable),
                 LOG_TEXT("help", "others than its owner may read it: chmod 600"));
    }
}

/* A supervisor starts a service again but after EXIT_CONFIG: that is for what a person must mend,
 * and never for what passes by itself. */
static int exit_code_of(int r)
{
    switch (-r) {
    case ERR_CONFIG:
    case ERR_CORRUPT: return EXIT_CONFIG;
    case ERR_NETWORK: return EXIT_UNREACHABLE;
    case ERR_READONLY:
        return data_folder_denies(process.data_dir, process.name) ? EXIT_CONFIG : EXIT_IO;
    case ERR_IO:
    case ERR_FULL:
    case ERR_LOCKED: return EXIT_IO;
    default:         return EXIT_INTERNAL;
    }
}

static void tell_failed_start(int r)
{
    const char *denied = r == -ERR_READONLY || r == -ERR_IO
                             ? data_folder_denies(process.data_dir, process.name)
                             : NULL;
    log_error("cannot_start", LOG_TEXT("reason", failure_text()), LOG_TEXT("denied", denied),
              LOG_TEXT("help", r == -ERR_CORRUPT || r == -ERR_CONFIG || denied
                                   ? "a person must mend this; it is not started again by itself"
                                   : NULL));
}

/* Not too often in a row: a supervisor may start us again at once. A signal ends the wait. */
static void slow_down(int exit_code)
{
    int64_t lived_ms = clock_monotonic_ms() - process.started_ms;
    if (exit_code == EXIT_FINE || exit_code == EXIT_CONFIG) {
        data_folder_forget_ends(process.data_dir, process.name);
        return;
    }
    int wait_ms = data_folder_count_end(process.data_dir, process.name, lived_ms);
    if (wait_ms > 0) {
        log_warn("restart_slowed_down", LOG_INT("wait_ms", wait_ms));
        poll(NULL, 0, wait_ms);
    }
}

/* The last lives were cut off at once (rule 4). */
static void wait_to_start(void)
{
    int wait_ms = data_folder_start_wait_ms(process.data_dir, process.name);
    if (wait_ms > 0) {
        log_warn("restart_slowed_down", LOG_INT("wait_ms", wait_ms));
        poll(NULL, 0, wait_ms);
    }
}

static int run(const struct service *service, const struct config *config,
               const char *database_path)
{
    struct instance *instance = &process.instance;
    const struct instance_options options = {
        .service = service,
        .config = config,
        .database_path = database_path,
        .end = end_process,
        .die = die,
        .show = show,
        .step_back = step_back,
    };
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP); /* its terminal went away */
    /* inherited by all threads: main alone takes them */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* NOLINTBEGIN(concurrency-mt-unsafe): there is no other thread yet */
    mallopt(M_ARENA_MAX, ALLOCATOR_ARENAS);
    mallopt(M_MXFAST, 0); /* fast bins are consolidated over and over by that hand-over */
    /* NOLINTEND(concurrency-mt-unsafe) */
    process.wake_fd = eventfd(0, EFD_CLOEXEC);
    int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (log_start() < 0)
        log_warn("log_has_no_thread", LOG_TEXT("reason", failure_text()));
    log_info("starting", LOG_TEXT("version", service_version(service)),
             LOG_TEXT("libnats", bus_library_version()), LOG_TEXT("sqlite", db_library_version()),
             LOG_TEXT("database", database_path));
    warn_of_open_keys(config);
    int r = start(instance, &options), exit_code;
    if (r < 0) {
        tell_failed_start(r);
        exit_code = exit_code_of(r);
    } else {
        exit_code = wait_for_end(instance, signal_fd);
    }
    if (exit_code != STARTS_AGAIN) { /* the next life hears of a signal that comes meanwhile */
        notify_send("STOPPING=1");
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    }
    if (exit_code == EXIT_FINE)
        instance_hand_over(instance);
    stop(instance);
    if (exit_code != STARTS_AGAIN)
        log_info("stopped", LOG_INT("exit_code", exit_code));
    close(signal_fd);
    close(process.wake_fd);
    if (process.lock_fd >= 0) {
        close(process.lock_fd); /* last: nobody begins before we have ended */
        if (exit_code != STARTS_AGAIN)
            slow_down(exit_code);
    }
    log_stop(LOG_FLUSH_MS);
    if (exit_code != STARTS_AGAIN)
        return exit_code;
    execv("/proc/self/exe", process.arguments);
    fprintf(stderr, "%s: cannot start again: %s\n", service->name, errno_text(errno));
    return EXIT_FAILED;
}

static int read_config(struct config *config, const struct service *service, int argc, char **argv)
{
    _deinit_(buf) struct buf usage = { 0 };
    tools_write_usage(service, &usage);
    const struct config_program program = {
        .tools_usage = usage.data ? usage.data : "",
        .check_http = http_check,
        .probe_http = http_probe,
    };
    return config_read(config, service, &program, argc, argv);
}

/* Who starts a process with these closed has the next file that is opened take their place, and the
 * log written into it: into the lock file, or into the database. */
static void hold_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        int held = open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY);
        if (held != fd)
            _exit(EXIT_INTERNAL); /* nowhere to say why */
    }
}

int service_main(const struct service *service, int argc, char **argv)
{
    static struct config config;
    char database_path[4096];
    umask(077); /* files with personal data */
    hold_standard_descriptors();
    process.arguments = argv;
    if (digest_library_open() < 0) {
        terminal_print(stderr, "%s: %s\n", service->name, failure_reason());
        return EXIT_INTERNAL;
    }
    if (service_check(service) < 0) {
        terminal_print(stderr, "%s: its table: %s\n", service->name, failure_reason());
        return EXIT_INTERNAL;
    }
    if (argc == 2 && strcmp(argv[1], "--print-contract") == 0)
        return contract_print(service, stdout) < 0 ? EXIT_FAILED : EXIT_FINE;
    if (argc == 2 && strcmp(argv[1], "--print-status-fields") == 0)
        return statistics_print_fields(stdout) < 0 ? EXIT_FAILED : EXIT_FINE;
    int r = read_config(&config, service, argc, argv);
    if (r != 0)
        return r > 0 ? EXIT_FINE : r == -ERR_CONFIG ? EXIT_CONFIG : EXIT_USAGE;
    if (!config.allow_dumps && secrets_forbid_dumps() < 0)
        terminal_print(stderr, "%s: %s\n", service->name, failure_reason());
    struct source sources[SOURCES_MAX + 1];
    struct service chosen = *service;
    config_choose_sources(&config, service, sources, SOURCES_MAX + 1);
    chosen.sources = sources;
    service = &chosen;
    log_setup(service->name, config.log_level, config.log_format);
    if ((size_t)snprintf(database_path, sizeof(database_path), "%s/%s.db", config.data_dir,
                         service->name) >= sizeof(database_path)) {
        terminal_print(stderr, "%s: the path of --data-dir is too long\n", service->name);
        return EXIT_CONFIG;
    }
    if (config.argument_count > 0)
        return tool_run(service, &config, database_path);
    process.started_ms = clock_monotonic_ms();
    process.data_dir = config.data_dir;
    process.name = service->name;
    r = data_folder_make(config.data_dir);
    if (r < 0) {
        terminal_print(stderr, "%s\n", failure_reason());
        return exit_code_of(r);
    }
    wait_to_start();
    return run(service, &config, database_path);
}
