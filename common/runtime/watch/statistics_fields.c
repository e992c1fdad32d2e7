/* Statistics: the table of all fields, and the functions that read those which are no single number
 * of struct status. Names of metrics follow Prometheus' conventions: base units, _total for what
 * only grows. Keys and names are a contract with who watches the mesh: none changes, some may come.
 */
#include "base/log.h"
#include "runtime/watch/statistics_process.h"
#include "runtime/watch/statistics_text.h"
#include <stddef.h>

/* ---- The service and its log ---------------------------------------------------------------- */

static int64_t read_state(const struct statistics_sample *sample, int i)
{
    (void)i;
    return status_state(sample->of->status);
}

static void write_states(const struct statistics_sample *sample, int i, struct buf *out)
{
    enum service_state now = (enum service_state)read_state(sample, i);
    for (int state = 0; state < SERVICE_STATES; state++)
        buf_put_format(out, "journey_state{state=\"%s\"} %d\n", service_states[state].name,
                       state == (int)now);
}

static int64_t read_relay(const struct statistics_sample *sample, int i)
{
    (void)i;
    return atomic_load(&sample->of->status->relay_state);
}

static int64_t read_position(const struct statistics_sample *sample, int i)
{
    (void)i;
    return sample->position;
}

static int64_t read_published(const struct statistics_sample *sample, int i)
{
    (void)i;
    return sample->published;
}

static int64_t read_confirmed(const struct statistics_sample *sample, int i)
{
    (void)i;
    return sample->of->status->answers_wait ? sample->published : sample->position;
}

static int64_t read_outbox(const struct statistics_sample *sample, int i)
{
    (void)i;
    return sample->position - sample->published;
}

static int64_t read_outbox_age(const struct statistics_sample *sample, int i)
{
    int64_t since_ms = atomic_load(&sample->of->status->unpublished_since_ms);
    return since_ms > 0 && read_outbox(sample, i) > 0 ? sample->monotonic_ms - since_ms : 0;
}

static int64_t read_queue(const struct statistics_sample *sample, int i)
{
    (void)i;
    return inbox_length(sample->of->inbox);
}

static int64_t read_readers_queue(const struct statistics_sample *sample, int i)
{
    (void)i;
    return readers_length(sample->of->readers);
}

static int64_t read_readers_waiting(const struct statistics_sample *sample, int i)
{
    (void)i;
    return readers_waiting(sample->of->readers);
}

static void write_commit_sizes(const struct statistics_sample *sample, int i, struct buf *out)
{
    const struct status *status = sample->of->status;
    long long count = 0;
    (void)i;
    for (int bucket = 0; bucket < BATCH_BUCKETS; bucket++) {
        count += atomic_load(&status->batch_sizes[bucket]);
        if (bucket < BATCH_BUCKETS - 1)
            buf_put_format(out, "journey_commit_items_bucket{le=\"%d\"} %lld\n", 1 << bucket,
                           count);
    }
    buf_put_format(out,
                   "journey_commit_items_bucket{le=\"+Inf\"} %lld\njourney_commit_items_sum "
                   "%lld\njourney_commit_items_count %lld\n",
                   count, (long long)atomic_load(&status->committed_items), count);
}

/* ---- The logs of others --------------------------------------------------------------------- */

static int64_t read_lag(const struct statistics_sample *sample, int i)
{
    const struct source_status *source = &sample->of->status->sources[i];
    int64_t position = atomic_load(&source->position),
            leader = atomic_load(&source->leader_position);
    return leader > position ? leader - position : 0;
}

static int64_t read_feed(const struct statistics_sample *sample, int i)
{
    return atomic_load(&sample->of->status->sources[i].feed_state);
}

static int64_t read_age(const struct statistics_sample *sample, int i)
{
    int64_t complete_ms = atomic_load(&sample->of->status->sources[i].complete_at_ms);
    if (complete_ms == 0)
        return -1;
    return sample->wall_ms > complete_ms ? sample->wall_ms - complete_ms : 0;
}

/* ---- Work lists ------------------------------------------------------------------------------ */

static int64_t read_work_age(const struct statistics_sample *sample, int i)
{
    int64_t oldest_ms = atomic_load(&sample->of->status->work[i].oldest_ms);
    return oldest_ms > 0 && sample->wall_ms > oldest_ms ? sample->wall_ms - oldest_ms : 0;
}

/* ---- Requests ------------------------------------------------------------------------------- */

static int64_t read_over_rate(const struct statistics_sample *sample, int i)
{
    (void)i;
    return atomic_load(&sample->of->client_rate->refused);
}

static void write_durations(const struct statistics_sample *sample, int i, struct buf *out)
{
    const struct micro_endpoint *endpoint = &sample->of->endpoints[i];
    long long count = 0;
    for (int bucket = 0; bucket < MICRO_BUCKETS; bucket++) {
        count += atomic_load(&endpoint->durations[bucket]);
        if (bucket < MICRO_BUCKETS - 1)
            buf_put_format(
                out, "journey_request_duration_seconds_bucket{subject=\"%s\",le=\"%g\"} %lld\n",
                endpoint->subject, (double)micro_bucket_ns[bucket] / 1e9, count);
    }
    buf_put_format(out,
                   "journey_request_duration_seconds_bucket{subject=\"%s\",le=\"+Inf\"} %lld\n",
                   endpoint->subject, count);
    buf_put_format(out, "journey_request_duration_seconds_sum{subject=\"%s\"} %.9f\n",
                   endpoint->subject, (double)atomic_load(&endpoint->processing_time_ns) / 1e9);
    buf_put_format(out, "journey_request_duration_seconds_count{subject=\"%s\"} %lld\n",
                   endpoint->subject, count);
}

static int64_t read_unsent(const struct statistics_sample *sample, int i)
{
    int64_t count = 0;
    (void)i;
    for (int n = 0; n < sample->of->endpoint_count; n++)
        count += atomic_load(&sample->of->endpoints[n].num_unsent);
    return count;
}

/* ---- The connection -------------------------------------------------------------------------- */

static int64_t read_connected(const struct statistics_sample *sample, int i)
{
    (void)i;
    return sample->connected;
}

#define READ_BUS(name)                                                            \
    static int64_t read_bus_##name(const struct statistics_sample *sample, int i) \
    {                                                                             \
        (void)i;                                                                  \
        return (int64_t)sample->bus.name;                                         \
    }
READ_BUS(connects)
READ_BUS(dropped)
READ_BUS(messages_in)
READ_BUS(messages_out)
READ_BUS(bytes_in)
READ_BUS(bytes_out)

/* ---- The table ------------------------------------------------------------------------------ */

/* The offset of a member that is an atomic_llong; of another it does not compile. */
#define OFFSET(type, member) _Generic(&((type *)0)->member, atomic_llong *: offsetof(type, member))
#define AT(member) OFFSET(struct status, member)
#define AT_SOURCE(member) OFFSET(struct source_status, member)
#define AT_WORK(member) OFFSET(struct work_status, member)
#define AT_ENDPOINT(member) OFFSET(struct micro_endpoint, member)

#define GAUGE(metric_name) .metric.name = (metric_name), .metric.type = "gauge"
#define COUNTER(metric_name) .metric.name = (metric_name), .metric.type = "counter"
#define HISTOGRAM(metric_name) .metric.name = (metric_name), .metric.type = "histogram"

const struct statistics_field statistics_fields[] = {
    { GAUGE("journey_info"), .metric.lines = statistics_write_info, .metric.help = "Versions.",
      .help = "1, with the versions of the service and of its libraries as labels." },

    /* the service and its log */
    { "state", .form = FORM_SERVICE_STATE, .read = read_state, .shown = 1, GAUGE("journey_state"),
      .metric.lines = write_states, .metric.help = "1 for the state that the service is in.",
      .help = "The state of the service." },
    { "relay", .form = FORM_RELAY_STATE, .read = read_relay,
      .help = "The state of the relay, which copies our log to our stream." },
    { "position", .read = read_position, GAUGE("journey_log_position"),
      .help = "Newest position of our log, committed." },
    { "published", .read = read_published, GAUGE("journey_published_position"),
      .help = "Newest position that our stream is known to have." },
    { "outbox", .read = read_outbox, .shown = 1, GAUGE("journey_relay_lag_events"),
      .help = "Events that wait for our stream." },
    { .form = FORM_MS,
      .read = read_outbox_age,
      GAUGE("journey_relay_lag_seconds"),
      .metric.help = "How long the oldest of them has been waiting.",
      .help = "How long the oldest event of the outbox has been waiting." },
    { "queue", .read = read_queue, GAUGE("journey_queue_items"), .metric.label = "queue=\"writer\"",
      .metric.help = "What waits for the writer and for the readers.",
      .help = "Requests and events that wait for the writer." },
    { "readers_queue", .read = read_readers_queue, GAUGE("journey_queue_items"),
      .metric.label = "queue=\"readers\"", .help = "Queries that wait for a reader." },
    { "queries_waiting", .read = read_readers_waiting, GAUGE("journey_queue_items"),
      .metric.label = "queue=\"min_position\"",
      .help = "Of these, queries that wait for their min_position." },
    { "parked", .at = AT(parked), GAUGE("journey_parked_events"),
      .help = "Events of others that could not be applied." },
    { "redriven", .at = AT(redriven),
      .help = "Parked events that were applied after all, since the start." },
    { "rebuilds", .at = AT(rebuilds), COUNTER("journey_rebuilds_total"),
      .help = "Rebuilds of the tables that came to their end." },
    { "rebuilt_rows", .at = AT(rebuilt_rows), COUNTER("journey_rebuilt_rows_total"),
      .help = "Rows that differed from what the logs say, and were put right." },
    { "rebuild_events", .at = AT(rebuild_events),
      .help = "Events folded by the rebuild that is under way; 0: none is." },
    { "commits", .at = AT(commits), COUNTER("journey_commits_total"),
      .help = "Transactions committed." },
    { "committed_items", .at = AT(committed_items), HISTOGRAM("journey_commit_items"),
      .metric.lines = write_commit_sizes, .metric.help = "Items that shared a commit.",
      .help = "Requests, events and answers committed." },
    { "last_commit", .form = FORM_TIME_MS, .at = AT(last_commit_ms),
      .help = "Time of the newest commit; empty: none since the start." },
    { "database_bytes", .at = AT(database_bytes), GAUGE("journey_database_bytes"),
      .help = "Size of the database." },
    { "wal_bytes", .at = AT(wal_bytes), GAUGE("journey_wal_bytes"),
      .metric.help = "Size of its write-ahead log.",
      .help = "Size of the database's write-ahead log." },
    { "file_checks", .at = AT(file_checks), COUNTER("journey_file_checks_total"),
      .help = "Passes of the slow check of the service's own file that came to their end." },
    { "file_checked", .form = FORM_TIME_MS, .at = AT(file_checked_ms),
      GAUGE("journey_file_checked_seconds"),
      .help = "When the newest of them ended; empty (0 in /metrics): none since the start." },
    { "file_check_skipped", .at = AT(file_check_skipped),
      GAUGE("journey_file_check_skipped_tables"),
      .help = "Tables that it left out, because the WAL grew meanwhile." },
    { "table_checks", .at = AT(table_checks), COUNTER("journey_table_checks_total"),
      .help = "Comparisons of the tables with the logs that came to their end." },
    { "tables_checked", .form = FORM_TIME_MS, .at = AT(tables_checked_ms),
      GAUGE("journey_tables_checked_seconds"),
      .help = "When the newest of them ended; empty (0 in /metrics): none since the start." },
    { "tables_differ", .at = AT(tables_differ), GAUGE("journey_tables_differing_rows"),
      .help = "Rows that it found otherwise than the logs say; a rebuild puts them right." },
    { "layout_differs", .at = AT(layout_differs), GAUGE("journey_layout_differs"),
      .help = "1: the file's tables, indexes, triggers or views are not those that the program "
              "makes." },
    { "replay_target", .at = AT(replay_target),
      .help =
          "While a lost or restored log is read from its stream: the position to reach; else 0." },
    { "republished", .at = AT(republished), COUNTER("journey_republished_total"),
      .help = "Events published again, because the stream had lost them." },
    { "stream_remade", .at = AT(stream_remade), COUNTER("journey_stream_remade_total"),
      .help = "How often our stream was made anew." },
    { "refused", .at = AT(refused), COUNTER("journey_publish_refused_total"),
      .help = "Publishes that the stream refused." },
    { "server_advisories", .at = AT(server_advisories), GAUGE("journey_server_advisories"),
      .help = "Advisories known against the NATS server's version that concern the mesh; the log "
              "names them." },
    { "heal_wait_ms", .form = FORM_MS, .at = AT(heal_wait_ms),
      GAUGE("journey_stream_heal_wait_seconds"),
      .help = "How long our stream, in which somebody writes again and again, waits until it is "
              "made anew; else 0." },
    { "audited_from", .at = AT(audited_from), GAUGE("journey_audited_from_sequence"),
      .help = "The audit of our stream has read from this sequence to the end, newest first, and "
              "goes on; 1: all of it, 0: nothing yet." },
    { "role", .form = FORM_TEXT, .text = statistics_text_role, .shown = 1,
      .help = "What this instance is among those of its service: leading, standby or fenced." },
    { GAUGE("journey_leading"), .read = statistics_read_leading,
      .help = "1 when this instance leads its service." },
    { "leader", .form = FORM_TEXT, .text = statistics_text_leader,
      .help =
          "The id of the instance that leads, as far as this one knows; empty: none is known." },
    { "follower_lag", .at = AT(follower_lag), .shown = 1, GAUGE("journey_follower_lag_events"),
      .help = "Of a standby: events of the leader's log that it has not read yet." },
    { "lines_dropped", .read = statistics_read_lines_dropped,
      COUNTER("journey_log_lines_dropped_total"),
      .help =
          "Lines of the log that were lost, because its reader stood still or the write failed." },
    { "lines_suppressed", .read = statistics_read_lines_suppressed,
      COUNTER("journey_log_lines_suppressed_total"),
      .help =
          "Lines of the log that were left out, because there were more than 20 of their kind in "
          "a second." },
    { "reason", .form = FORM_TEXT, .text = statistics_text_reason,
      .help = "Why the service is held, or why the relay waits; empty: neither." },
    { "relay_reason", .form = FORM_TEXT, .text = statistics_text_relay_reason,
      .help = "Why the relay waits or is forked; empty: it is not." },
    { "notices", .form = FORM_NOTICES, GAUGE("journey_notice"),
      .metric.lines = statistics_write_notices,
      .metric.help = "1 for each setting or right that is otherwise than it should be.",
      .help = "What somebody has set otherwise than we would, or does not permit, each with field "
              "and value, and what follows: borne, mended, lost, held." },

    { "confirmed", .read = read_confirmed, GAUGE("journey_confirmed_position"),
      .help = "Newest position whose answers may leave: `position`, or with `--answer-when "
              "published` what our stream has." },
    { "answers_held", .at = AT(answers_held), GAUGE("journey_answers_held"),
      .help = "Answers that wait for our stream." },
    { "unconfirmed", .at = AT(unconfirmed), COUNTER("journey_answers_unconfirmed_total"),
      .help = "Answers that our stream did not confirm in time, since the start." },
    { "durations", .form = FORM_COUNTS, .text = statistics_text_durations,
      .help =
          "How many answers of journeys took at most 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, "
          "1000, 2500, 10000 ms, and longer, each without those before it, since the start." },
    { "unsent_replies", .read = read_unsent, COUNTER("journey_replies_unsent_total"),
      .help = "Replies that could not be sent: larger than the server takes as one message, or "
              "without a connection." },
    { "max_payload", .at = AT(max_payload_bytes), GAUGE("journey_max_payload_bytes"),
      .help = "What the server takes as one message, in bytes; 0: not known yet." },
    { "largest_event", .at = AT(largest_event_bytes), GAUGE("journey_largest_event_bytes"),
      .help = "What the largest event of our log needs as one message, in bytes; at least 4096." },
    { "voids", .at = AT(voids), GAUGE("journey_void_messages"),
      .help = "Messages of a term that had ended, met at the end of our stream: they have no "
              "position, and nobody applies them." },
    { "orphans", .at = AT(orphans), GAUGE("journey_orphan_events"),
      .help = "Events that the stream never had, set aside in files `orphans-…` of the data folder "
              "when another instance led." },
    { "term", .at = AT(leader_term), .shown = 1, GAUGE("journey_term"),
      .help = "The term of the instance that leads, as far as this one knows; 0: none yet." },

    /* the logs of others */
    { "cursor", OF_SOURCE, .at = AT_SOURCE(position), GAUGE("journey_source_position"),
      .help = "Newest position of another's log that we have applied." },
    { "lag", OF_SOURCE, .read = read_lag, .shown = 1, GAUGE("journey_source_lag_events"),
      .help = "Events of another's log that are known and not applied." },
    { "state", OF_SOURCE, .form = FORM_FEED_STATE, .read = read_feed,
      .help = "The state of the feed, which brings another's log." },
    { "remade", OF_SOURCE, .at = AT_SOURCE(remade),
      .help = "How often the durable was made anew, since the start." },
    { "gaps", OF_SOURCE, .at = AT_SOURCE(gaps),
      .help = "Gaps met in another's stream, since the start." },
    { "voids", OF_SOURCE, .at = AT_SOURCE(voids), COUNTER("journey_source_void_messages_total"),
      .help = "Messages in another's stream that are not in its log and were passed over, since "
              "the start." },
    { "age_ms", OF_SOURCE, .form = FORM_MS, .read = read_age, GAUGE("journey_source_age_seconds"),
      .metric.help = "How long ago nothing was missing; -1: never since the start.",
      .help = "How long ago nothing was missing; absent (-1 in /metrics): never since the start." },
    { "reason", OF_SOURCE, .form = FORM_TEXT, .text = statistics_text_feed_reason,
      .help = "Why the feed waits or is forked; empty: it is not." },

    /* work that is done outside, by type: charges, voids … */
    { "open", OF_WORK, .at = AT_WORK(open), GAUGE("journey_work_open"),
      .help = "Pieces of this type of work that are remembered as open." },
    { "in_flight", OF_WORK, .at = AT_WORK(in_flight), GAUGE("journey_work_in_flight"),
      .help = "Of them those that wait for an answer." },
    { "oldest_ms", OF_WORK, .form = FORM_MS, .read = read_work_age,
      GAUGE("journey_work_oldest_seconds"),
      .help = "How long the oldest open piece is remembered; 0: none is open." },
    { "asked", OF_WORK, .at = AT_WORK(asked), COUNTER("journey_work_asked_total"),
      .help = "Calls made to whoever does it, since the start." },
    { "again", OF_WORK, .at = AT_WORK(again), COUNTER("journey_work_asked_again_total"),
      .help = "Of them those for a piece that had been asked for before." },
    { "answered", OF_WORK, .at = AT_WORK(answered), COUNTER("journey_work_answered_total"),
      .help = "Answers received, since the start." },
    { "late", OF_WORK, .at = AT_WORK(late), COUNTER("journey_work_late_total"),
      .help = "Of them those that came after the time-out of their call, or once more." },
    { "refused", OF_WORK, .at = AT_WORK(refused), COUNTER("journey_work_refused_total"),
      .help = "Of them those that said no, and were no end: the piece is asked for again." },
    { "expired", OF_WORK, .at = AT_WORK(expired), COUNTER("journey_work_expired_total"),
      .help = "Pieces whose deadline passed, since the start." },
    { "stuck", OF_WORK, .at = AT_WORK(stuck), GAUGE("journey_work_stuck"),
      .help = "Pieces that were given up, because the answer was always no: a person must settle "
              "them." },
    { "away", OF_WORK, .at = AT_WORK(away), GAUGE("journey_work_away"),
      .help = "1: nobody has listened to the last calls for a second or longer." },

    /* requests: $SRV.STATS has them beside `data`, as ADR-32 wants it */
    { NULL, OF_ENDPOINT, .at = AT_ENDPOINT(num_requests), COUNTER("journey_requests_total"),
      .help = "Requests answered, refusals among them." },
    { NULL, OF_ENDPOINT, .at = AT_ENDPOINT(num_errors), COUNTER("journey_request_errors_total"),
      .help = "Requests that were refused." },
    { NULL, OF_ENDPOINT, HISTOGRAM("journey_request_duration_seconds"),
      .metric.lines = write_durations, .help = "From the arrival of a request to its reply." },
    { .read = read_over_rate,
      COUNTER("journey_requests_over_rate_total"),
      .help = "Requests refused because their client made too many." },

    /* the connection */
    { .read = read_connected,
      GAUGE("journey_bus_connected"),
      .help = "Whether the NATS server is there." },
    { .read = read_bus_connects,
      COUNTER("journey_bus_connects_total"),
      .help = "How often the service became connected." },
    { .read = read_bus_dropped,
      COUNTER("journey_bus_dropped_total"),
      .help = "How often libnats dropped messages." },
    { .read = read_bus_messages_in,
      COUNTER("journey_bus_messages_total"),
      .metric.label = "direction=\"in\"",
      .metric.help = "Messages on the wire.",
      .help = "Messages that the NATS server has sent to the service." },
    { .read = read_bus_messages_out,
      COUNTER("journey_bus_messages_total"),
      .metric.label = "direction=\"out\"",
      .help = "Messages that the service has sent to the NATS server." },
    { .read = read_bus_bytes_in,
      COUNTER("journey_bus_bytes_total"),
      .metric.label = "direction=\"in\"",
      .metric.help = "Bytes of their bodies and headers.",
      .help = "Bytes of these messages: headers and bodies." },
    { .read = read_bus_bytes_out,
      COUNTER("journey_bus_bytes_total"),
      .metric.label = "direction=\"out\"",
      .help = "Bytes of these messages: headers and bodies." },

    /* HTTP */
    { "http_listening", .read = statistics_read_http_listening, GAUGE("journey_http_listening"),
      .help = "Whether --http is bound to its address; 0: it is off, or tries again." },
    { "http_cut", .read = statistics_read_http_cut, COUNTER("journey_http_cut_total"),
      .help = "HTTP connections that were closed because they were slow." },

    /* the process */
    { .form = FORM_MS,
      .read = statistics_read_cpu,
      COUNTER("process_cpu_seconds_total"),
      .metric.help = "User and system time.",
      .help = "Processor time of the process, in user mode and in the kernel." },
    { .read = statistics_read_resident_bytes,
      GAUGE("process_resident_memory_bytes"),
      .help = "Resident memory." },
    { .read = statistics_read_open_files,
      GAUGE("process_open_fds"),
      .help = "Open file descriptors." },
    { .form = FORM_TIME_MS,
      .read = statistics_read_start,
      GAUGE("process_start_time_seconds"),
      .metric.help = "When it started, since 1970.",
      .help = "When the process started, since 1970." },
    { 0 },
};
