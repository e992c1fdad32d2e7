/* Service: the whole of a main(). Makes the parts of an instance, starts them in order, waits for a
 * signal, and takes them apart in the opposite order. */
#include "base/clock.h"
#include "base/lock_file.h"
#include "base/log.h"
#include "base/notify.h"
#include "runtime/request/endpoint.h"
#include "runtime/instance.h"
#include "runtime/watch/metrics.h"
#include "runtime/request/reply.h"
#include "runtime/repair/tools.h"
#include <errno.h>
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
#define LOCK_WAIT_MS 1000 /* for the one before us, that is just ending */
/* enough that threads do not queue for one, few enough that peaks are not kept eightfold */
#define ALLOCATOR_ARENAS 4

void instance_exit(struct instance *instance, int exit_code)
{
    int running = -1;
    uint64_t one = 1;
    if (atomic_compare_exchange_strong(&instance->exit_code, &running, exit_code) &&
        write(instance->wake_fd, &one, sizeof(one)) < 0)
        _exit(exit_code);
}

/* ---- What the bus tells --------------------------------------------------------------------- */

static void on_connected(void *context)
{
    sender_connected(&((struct instance *)context)->sender);
}

static void on_disconnected(void *context)
{
    sender_disconnected(&((struct instance *)context)->sender);
}

/* nats.c has given up for good (see CONVENTIONS): a supervisor starts us again. */
static void on_closed(void *context, const char *reason)
{
    log_error("connection_closed", LOG_TEXT("reason", reason));
    instance_exit(context, EXIT_FAILED);
}

/* ---- Statistics ----------------------------------------------------------------------------- */

static int start_micro(struct instance *instance)
{
    static char id[MICRO_ID_SIZE];
    const struct service *service = instance->service;
    int r = micro_make_id(instance->bus, id);
    instance->statistics = (struct statistics){
        .service = service,
        .status = &instance->status,
        .bus = instance->bus,
        .client_rate = &instance->client_rate,
        .inbox = &instance->inbox,
        .readers = &instance->readers,
        .endpoints = instance->counters,
        .endpoint_count = instance->endpoint_count,
    };
    instance->micro = (struct micro){
        .name = service->name,
        .id = id,
        .version = JOURNEY_VERSION,
        .description = service->description,
        .started_ms = instance->status.started_ms,
        .endpoints = instance->counters,
        .endpoint_count = instance->endpoint_count,
        .data = statistics_write_data,
        .context = &instance->statistics,
    };
    if (r == 0)
        r = micro_check(&instance->micro);
    return r < 0 ? trace(r) : trace(micro_start(&instance->micro, instance->bus));
}

/* ---- Starting ------------------------------------------------------------------------------- */

static void reply_from_reader(void *context, struct item *item)
{
    struct instance *instance = context;
    reply_send(instance->bus, BUS_URGENT, item);
    item_free(item);
}

static int open_bus(struct instance *instance)
{
    struct bus_options options;
    config_bus_options(instance->config, instance->service->name, &options);
    options.must_connect = instance->config->no_retry;
    options.handlers = (struct bus_handlers){ .context = instance,
                                              .connected = on_connected,
                                              .disconnected = on_disconnected,
                                              .closed = on_closed };
    int r = bus_open(&options, &instance->bus);
    if (bus_library_is_old())
        log_warn("old_library", LOG_TEXT("libnats", bus_library_version()),
                 LOG_TEXT("wanted", "3.9 or newer: it has fixes that matter"));
    return trace(r);
}

/* Two on one file would each count positions of their own, and neither would notice before a write
 * fails. */
static int lock_folder(struct instance *instance)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s.lock", instance->config->data_dir,
                         instance->service->name) >= sizeof(path))
        return fail(ERR_CONFIG, "the path of --data-dir is too long");
    return trace(lock_file_take(path, LOCK_WAIT_MS, &instance->lock_fd));
}

/* Nothing here waits for the server: it may come later. */
static int start(struct instance *instance)
{
    const struct config *config = instance->config;
    int r = lock_folder(instance);
    if (r == 0) {
        rebuilder_init(&instance->rebuilder, instance);
        r = writer_open(&instance->writer, instance);
    }
    if (r == 0)
        r = inbox_init(&instance->inbox, (int)config->queue_max);
    if (r == 0)
        r = endpoints_create(instance);
    if (r == 0)
        r = sender_open(&instance->sender, instance);
    if (r < 0)
        return trace(r);
    instance->readers = (struct readers){
        .service = instance->service,
        .option_values = config->option_values,
        .database_path = instance->database_path,
        .status = &instance->status,
        .reply = reply_from_reader,
        .context = instance,
        .queue_max = (int)config->queue_max,
    };
    r = readers_start(&instance->readers, (int)config->reader_threads);
    if (r == 0)
        r = open_bus(instance);
    if (r == 0)
        r = sender_subscribe(&instance->sender);
    if (r == 0)
        r = start_micro(instance);
    atomic_store(&instance->status.writer_turned_ms, clock_monotonic_ms());
    atomic_store(&instance->status.sender_turned_ms, clock_monotonic_ms());
    if (r == 0)
        r = sender_start(&instance->sender);
    if (r == 0)
        r = writer_start(&instance->writer);
    if (r == 0 && *config->http)
        r = http_start(config->http, metrics_pages, &instance->statistics, &instance->http);
    return trace(r);
}

/* ---- Stopping ------------------------------------------------------------------------------- */

/* What has been taken in is finished and answered; natsConnection_Drain would lose replies that
 * wait for a commit (CONVENTIONS). */
static void stop(struct instance *instance)
{
    atomic_store(&instance->status.draining, 1);
    endpoints_drain(instance);            /* no new requests */
    rebuilder_stop(&instance->rebuilder); /* it may want something of the writer */
    writer_stop(&instance->writer);       /* those in the inbox are run and committed */
    if (instance->readers.thread_count > 0)
        readers_stop(&instance->readers);
    sender_stop(&instance->sender); /* their replies are sent */
    if (instance->bus) {
        micro_stop(&instance->micro);
        bus_flush(instance->bus, STOP_FLUSH_MS);
    }
    http_free(instance->http); /* until here it says `draining` */
    endpoints_free(instance);
    sender_deinit(&instance->sender);
    bus_free(instance->bus);
    writer_deinit(&instance->writer);
    inbox_deinit(&instance->inbox);
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
                             { .fd = instance->wake_fd, .events = POLLIN } };
    int64_t watchdog_ms = notify_watchdog_ms();
    /* it runs; that its server is there is another matter (STATUS) */
    notify_send("READY=1");
    int events;
    while ((events = poll(fds, 2, watchdog_ms > 0 ? (int)(watchdog_ms / 3) : -1)) <= 0)
        if (events == 0)
            tell_supervisor(instance);
    if (fds[1].revents)
        return atomic_load(&instance->exit_code);
    struct signalfd_siginfo signal;
    if (read(signal_fd, &signal, sizeof(signal)) == sizeof(signal))
        log_info("stopping", LOG_TEXT("signal", sigdescr_np((int)signal.ssi_signo)));
    return EXIT_FINE;
}

static int exit_code_of(int r)
{
    switch (-r) {
    case ERR_CONFIG:   return EXIT_CONFIG;
    case ERR_NETWORK:  return EXIT_UNREACHABLE;
    case ERR_IO:
    case ERR_FULL:
    case ERR_READONLY:
    case ERR_CORRUPT:
    case ERR_LOCKED:   return EXIT_IO;
    default:           return EXIT_INTERNAL;
    }
}

static int run(const struct service *service, const struct config *config,
               const char *database_path)
{
    static struct instance instance; /* too large for a stack, and there is one a process */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    /* inherited by all threads: main alone takes them */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* NOLINTBEGIN(concurrency-mt-unsafe): there is no other thread yet */
    mallopt(M_ARENA_MAX, ALLOCATOR_ARENAS);
    mallopt(M_MXFAST, 0); /* fast bins are consolidated over and over by that hand-over */
    /* NOLINTEND(concurrency-mt-unsafe) */
    instance.service = service;
    instance.config = config;
    instance.database_path = database_path;
    instance.status.started_ms = clock_wall_ms();
    atomic_store(&instance.exit_code, -1);
    instance.lock_fd = -1;
    instance.wake_fd = eventfd(0, EFD_CLOEXEC);
    int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    log_info("starting", LOG_TEXT("version", JOURNEY_VERSION),
             LOG_TEXT("libnats", bus_library_version()), LOG_TEXT("sqlite", db_library_version()),
             LOG_TEXT("database", database_path));
    int r = start(&instance), exit_code;
    if (r < 0) {
        log_error("cannot_start", LOG_TEXT("reason", failure_text()));
        exit_code = exit_code_of(r);
    } else {
        exit_code = wait_for_end(&instance, signal_fd);
    }
    notify_send("STOPPING=1");
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    stop(&instance);
    log_info("stopped", LOG_INT("exit_code", exit_code));
    close(signal_fd);
    close(instance.wake_fd);
    if (instance.lock_fd >= 0)
        close(instance.lock_fd); /* last: nobody begins before we have ended */
    return exit_code;
}

static int make_folder(const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return 0;
    if (mkdir(path, 0700) == 0) /* it holds personal data */
        return 0;
    fprintf(stderr, "%s: cannot make the data folder: %s\n", path, errno_text(errno));
    return -1;
}

int service_main(const struct service *service, int argc, char **argv)
{
    static struct config config;
    char database_path[4096];
    if (argc == 2 && strcmp(argv[1], "--print-status-fields") == 0)
        return statistics_print_fields(stdout) < 0 ? EXIT_FAILED : EXIT_FINE;
    int r = config_read(&config, service, argc, argv);
    if (r != 0)
        return r > 0 ? EXIT_FINE : r == -ERR_CONFIG ? EXIT_CONFIG : EXIT_USAGE;
    struct source sources[SOURCES_MAX + 1];
    struct service chosen = *service;
    config_choose_sources(&config, service, sources, SOURCES_MAX + 1);
    chosen.sources = sources;
    service = &chosen;
    log_setup(service->name, config.log_level, config.log_format);
    if ((size_t)snprintf(database_path, sizeof(database_path), "%s/%s.db", config.data_dir,
                         service->name) >= sizeof(database_path)) {
        fprintf(stderr, "%s: the path of --data-dir is too long\n", service->name);
        return EXIT_CONFIG;
    }
    if (config.argument_count > 0)
        return tool_run(service, &config, database_path);
    if (make_folder(config.data_dir) < 0)
        return EXIT_CONFIG;
    return run(service, &config, database_path);
}
