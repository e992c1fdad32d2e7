/* Metrics: see metrics.h. Names follow Prometheus' conventions: base units, _total for what only
 * grows. */
#include "runtime/watch/metrics.h"
#include "base/clock.h"
#include "runtime/instance.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- Writing -------------------------------------------------------------------------------- */

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_put_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void number(struct buf *out, const char *name, const char *type, const char *help,
                   int64_t value)
{
    family(out, name, type, help);
    buf_put_format(out, "%s %lld\n", name, (long long)value);
}

static void seconds(struct buf *out, const char *name, const char *help, int64_t value_ms)
{
    family(out, name, "gauge", help);
    buf_put_format(out, "%s %.3f\n", name, (double)value_ms / 1e3);
}

/* ---- Requests ------------------------------------------------------------------------------- */

static void write_histogram(const struct micro_endpoint *endpoint, struct buf *out)
{
    long long count = 0;
    for (int i = 0; i < MICRO_BUCKETS; i++) {
        count += atomic_load(&endpoint->durations[i]);
        if (i < MICRO_BUCKETS - 1)
            buf_put_format(
                out, "journey_request_duration_seconds_bucket{subject=\"%s\",le=\"%g\"} %lld\n",
                endpoint->subject, (double)micro_bucket_ns[i] / 1e9, count);
    }
    buf_put_format(out,
                   "journey_request_duration_seconds_bucket{subject=\"%s\",le=\"+Inf\"} %lld\n",
                   endpoint->subject, count);
    buf_put_format(out, "journey_request_duration_seconds_sum{subject=\"%s\"} %.9f\n",
                   endpoint->subject, (double)atomic_load(&endpoint->processing_time_ns) / 1e9);
    buf_put_format(out, "journey_request_duration_seconds_count{subject=\"%s\"} %lld\n",
                   endpoint->subject, count);
}

static void write_requests(const struct instance *instance, struct buf *out)
{
    family(out, "journey_requests_total", "counter", "Requests answered, refusals among them.");
    for (int i = 0; i < instance->endpoint_count; i++)
        buf_put_format(out, "journey_requests_total{subject=\"%s\"} %lld\n",
                       instance->counters[i].subject,
                       (long long)atomic_load(&instance->counters[i].num_requests));
    family(out, "journey_request_errors_total", "counter", "Requests that were refused.");
    for (int i = 0; i < instance->endpoint_count; i++)
        buf_put_format(out, "journey_request_errors_total{subject=\"%s\"} %lld\n",
                       instance->counters[i].subject,
                       (long long)atomic_load(&instance->counters[i].num_errors));
    number(out, "journey_requests_over_rate_total", "counter",
           "Requests refused because their client made too many.",
           atomic_load(&instance->client_rate.refused));
    family(out, "journey_request_duration_seconds", "histogram",
           "From the arrival of a request to its reply.");
    for (int i = 0; i < instance->endpoint_count; i++)
        write_histogram(&instance->counters[i], out);
}

/* ---- The log, the stream, the others -------------------------------------------------------- */

static void write_log(const struct instance *instance, struct buf *out)
{
    const struct status *status = &instance->status;
    int64_t position = atomic_load(&status->position), published = atomic_load(&status->published),
            now_ms = clock_monotonic_ms();
    int64_t since_ms = atomic_load(&status->unpublished_since_ms);
    number(out, "journey_log_position", "gauge", "Newest position of our log, committed.",
           position);
    number(out, "journey_published_position", "gauge",
           "Newest position that our stream is known to have.", published);
    number(out, "journey_relay_lag_events", "gauge", "Events that wait for our stream.",
           position > published ? position - published : 0);
    seconds(out, "journey_relay_lag_seconds", "How long the oldest of them has been waiting.",
            since_ms > 0 && position > published ? now_ms - since_ms : 0);
    number(out, "journey_republished_total", "counter",
           "Events published again, because the stream had lost them.",
           atomic_load(&status->republished));
    number(out, "journey_stream_remade_total", "counter", "How often our stream was made anew.",
           atomic_load(&status->stream_remade));
    number(out, "journey_publish_refused_total", "counter", "Publishes that the stream refused.",
           atomic_load(&status->refused));
    number(out, "journey_commits_total", "counter", "Transactions committed.",
           atomic_load(&status->commits));
    family(out, "journey_commit_items", "histogram", "Items that shared a commit.");
    long long count = 0;
    for (int i = 0; i < BATCH_BUCKETS; i++) {
        count += atomic_load(&status->batch_sizes[i]);
        if (i < BATCH_BUCKETS - 1)
            buf_put_format(out, "journey_commit_items_bucket{le=\"%d\"} %lld\n", 1 << i, count);
    }
    buf_put_format(out,
                   "journey_commit_items_bucket{le=\"+Inf\"} %lld\njourney_commit_items_sum "
                   "%lld\njourney_commit_items_count %lld\n",
                   count, (long long)atomic_load(&status->committed_items), count);
}

static void write_sources(const struct instance *instance, struct buf *out)
{
    const struct source *source = instance->service->sources;
    if (!source || !source[0].log)
        return;
    family(out, "journey_source_position", "gauge",
           "Newest position of another's log that we have applied.");
    for (int i = 0; source[i].log; i++)
        buf_put_format(out, "journey_source_position{log=\"%s\"} %lld\n", source[i].log,
                       (long long)atomic_load(&instance->status.sources[i].position));
    family(out, "journey_source_lag_events", "gauge",
           "Events of another's log that are known and not applied.");
    for (int i = 0; source[i].log; i++) {
        int64_t lag = atomic_load(&instance->status.sources[i].leader_position) -
                      atomic_load(&instance->status.sources[i].position);
        buf_put_format(out, "journey_source_lag_events{log=\"%s\"} %lld\n", source[i].log,
                       (long long)(lag > 0 ? lag : 0));
    }
    family(out, "journey_source_age_seconds", "gauge",
           "How long ago nothing was missing; -1: never since the start.");
    for (int i = 0; source[i].log; i++) {
        int64_t complete_ms = atomic_load(&instance->status.sources[i].complete_at_ms),
                age_ms = clock_wall_ms() - complete_ms;
        buf_put_format(out, "journey_source_age_seconds{log=\"%s\"} %.3f\n", source[i].log,
                       complete_ms == 0 ? -1.0
                       : age_ms > 0     ? (double)age_ms / 1e3
                                        : 0.0);
    }
}

static void write_state(struct instance *instance, struct buf *out)
{
    static const char *const states[] = { "starting", "replaying", "ready",   "degraded",
                                          "forked",   "corrupt",   "draining" };
    const char *now = status_name(&instance->status);
    family(out, "journey_info", "gauge", "Versions.");
    buf_put_format(
        out, "journey_info{service=\"%s\",version=\"%s\",libnats=\"%s\",sqlite=\"%s\"} 1\n",
        instance->service->name, JOURNEY_VERSION, bus_library_version(), db_library_version());
    family(out, "journey_state", "gauge", "1 for the state that the service is in.");
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
        buf_put_format(out, "journey_state{state=\"%s\"} %d\n", states[i],
                       strcmp(states[i], now) == 0);
    number(out, "journey_parked_events", "gauge", "Events of others that could not be applied.",
           atomic_load(&instance->status.parked));
    number(out, "journey_rebuilds_total", "counter",
           "Rebuilds of the tables that came to their end.",
           atomic_load(&instance->status.rebuilds));
    number(out, "journey_rebuilt_rows_total", "counter",
           "Rows that differed from what the logs say, and were put right.",
           atomic_load(&instance->status.rebuilt_rows));
    family(out, "journey_queue_items", "gauge", "What waits for the writer and for the readers.");
    buf_put_format(
        out,
        "journey_queue_items{queue=\"writer\"} %d\njourney_queue_items{queue=\"readers\"} %d\n",
        inbox_length(&instance->inbox), readers_length(&instance->readers));
    number(out, "journey_database_bytes", "gauge", "Size of the database.",
           atomic_load(&instance->status.database_bytes));
    number(out, "journey_wal_bytes", "gauge", "Size of its write-ahead log.",
           atomic_load(&instance->status.wal_bytes));
}

/* ---- The connection, the process ------------------------------------------------------------ */

static void write_bus(const struct instance *instance, struct buf *out)
{
    struct bus_stats stats;
    bus_stats(instance->bus, &stats);
    number(out, "journey_bus_connected", "gauge", "Whether the NATS server is there.",
           bus_is_connected(instance->bus));
    number(out, "journey_bus_connects_total", "counter", "How often the service became connected.",
           (int64_t)stats.connects);
    number(out, "journey_bus_dropped_total", "counter", "How often libnats dropped messages.",
           (int64_t)stats.dropped);
    family(out, "journey_bus_messages_total", "counter", "Messages on the wire.");
    buf_put_format(out,
                   "journey_bus_messages_total{direction=\"in\"} "
                   "%llu\njourney_bus_messages_total{direction=\"out\"} %llu\n",
                   (unsigned long long)stats.messages_in, (unsigned long long)stats.messages_out);
    family(out, "journey_bus_bytes_total", "counter", "Bytes of their bodies and headers.");
    buf_put_format(out,
                   "journey_bus_bytes_total{direction=\"in\"} "
                   "%llu\njourney_bus_bytes_total{direction=\"out\"} %llu\n",
                   (unsigned long long)stats.bytes_in, (unsigned long long)stats.bytes_out);
}

static int64_t resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    /* NOLINTNEXTLINE(cert-err34-c): the kernel's own number */
    if (fscanf(file, "%*d %lld", &pages) != 1)
        pages = 0;
    (void)fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static int64_t open_files(void)
{
    int64_t count = -3; /* ".", ".." and this one */
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    /* cppcheck-suppress readdirCalled ; nobody else reads this folder's handle */
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void write_process(const struct instance *instance, struct buf *out)
{
    struct rusage usage = { 0 };
    getrusage(RUSAGE_SELF, &usage);
    family(out, "process_cpu_seconds_total", "counter", "User and system time.");
    buf_put_format(out, "process_cpu_seconds_total %.3f\n",
                   (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    number(out, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
    number(out, "process_open_fds", "gauge", "Open file descriptors.", open_files());
    seconds(out, "process_start_time_seconds", "When it started, since 1970.",
            instance->status.started_ms);
}

void metrics_write(struct instance *instance, struct buf *out)
{
    write_state(instance, out);
    write_requests(instance, out);
    write_log(instance, out);
    write_sources(instance, out);
    write_bus(instance, out);
    write_process(instance, out);
}

/* ---- Alive and ready ------------------------------------------------------------------------ */

_Bool health_is_alive(const struct instance *instance, const char **ret_why)
{
    int64_t now_ms = clock_monotonic_ms();
    *ret_why = "the writer stands still; the disk?";
    if (now_ms - atomic_load(&instance->status.writer_turned_ms) > HEALTH_SILENCE_MS)
        return 0;
    *ret_why = "the sender stands still";
    if (now_ms - atomic_load(&instance->status.sender_turned_ms) > HEALTH_SILENCE_MS)
        return 0;
    *ret_why = "alive";
    return 1;
}

static int write_metrics(void *context, struct buf *out, const char **content_type)
{
    *content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(context, out);
    return 200;
}

static int write_health(void *context, struct buf *out, const char **content_type)
{
    const char *why;
    (void)content_type;
    _Bool alive = health_is_alive(context, &why);
    buf_put_format(out, "%s\n", why);
    return alive ? 200 : 503;
}

static int write_ready(void *context, struct buf *out, const char **content_type)
{
    const struct instance *instance = context;
    const char *state = status_name(&instance->status);
    (void)content_type;
    buf_put_format(out, "%s\n", state);
    return strcmp(state, "ready") == 0 ? 200 : 503;
}

const struct http_page metrics_pages[] = {
    { "/metrics", write_metrics },
    { "/healthz", write_health },
    { "/readyz", write_ready },
    { 0 },
};
