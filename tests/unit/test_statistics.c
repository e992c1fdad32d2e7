/* Statistics: the table of fields is sound, and what is written from it has the keys of `data` in
 * their order, and the metrics with their names, types and labels. */
#include "runtime/watch/brief.h"
#include "runtime/watch/metrics.h"
#include <criterion/criterion.h>
#include <regex.h>
#include <string.h>

static const struct source sources[] = {
    { .log = "ACCOUNT" },
    { .log = "CARRIER" },
    { 0 },
};
static const struct work_type charge = { .name = "charge" };
static const struct work_type *const work[] = { &charge, NULL };
static const struct service service = { .name = "order-svc", .sources = sources, .work = work };
static const struct service service_alone = { .name = "alone-svc" };

static struct status status;
static struct inbox inbox;
static struct readers readers;
static struct client_rate client_rate;
static struct micro_endpoint endpoints[3];
static struct statistics statistics;

static void setup(void)
{
    cr_assert_eq(inbox_init(&inbox, 4), 0);
    micro_endpoint_init(&endpoints[0], "place", "order.place", "q");
    micro_endpoint_init(&endpoints[1], "get", "order.get", "q");
    micro_endpoint_init(&endpoints[2], "events", "order.events", "q");
    statistics = (struct statistics){
        .service = &service,
        .status = &status,
        .client_rate = &client_rate,
        .inbox = &inbox,
        .readers = &readers,
        .endpoints = endpoints,
        .endpoint_count = 2,
    };
    status.started_ms = 1700000000250;
    atomic_store(&status.caught_up, 1);
    atomic_store(&status.relay_state, RELAY_PUBLISHING);
    atomic_store(&status.position, 7);
    atomic_store(&status.published, 5);
    atomic_store(&status.parked, 3);
    atomic_store(&status.last_commit_ms, 1700000000123);
    atomic_store(&status.commits, 2);
    atomic_store(&status.batch_sizes[0], 1);
    atomic_store(&status.batch_sizes[2], 1);
    atomic_store(&status.committed_items, 4);
    atomic_store(&status.sources[0].position, 11);
    atomic_store(&status.sources[0].leader_position, 15);
    atomic_store(&status.sources[0].feed_state, FEED_PULLING);
    atomic_store(&status.sources[0].gaps, 1);
    atomic_store(&status.sources[0].voids, 2);
    atomic_store(&status.work[0].open, 3);
    atomic_store(&status.work[0].in_flight, 1);
    atomic_store(&status.work[0].asked, 9);
    atomic_store(&status.work[0].again, 5);
    atomic_store(&status.work[0].answered, 6);
    atomic_store(&status.work[0].late, 2);
    atomic_store(&status.work[0].away, 1);
}

static void fini(void)
{
    inbox_deinit(&inbox);
    micro_endpoint_deinit(&endpoints[0]);
    micro_endpoint_deinit(&endpoints[1]);
    micro_endpoint_deinit(&endpoints[2]);
}

static _Bool matches(const char *pattern, const char *text)
{
    regex_t compiled;
    cr_assert_eq(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    _Bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

static _Bool is_field(const struct statistics_field *field)
{
    return field->key || field->metric.name;
}

/* ---- The table ------------------------------------------------------------------------------ */

Test(statistics, each_key_is_there_once_and_each_field_is_explained)
{
    for (const struct statistics_field *field = statistics_fields; is_field(field); field++) {
        const char *name = field->key ? field->key : field->metric.name;
        cr_expect(field->help && matches("^.*\\.$", field->help), "%s has no sentence", name);
        cr_expect(field->read || field->at || field->metric.lines || field->text ||
                      field->of == OF_SOURCE || field->of == OF_WORK, /* first members: offset 0 */
                  "%s is read from nowhere", name);
        cr_expect(!field->shown || field->key, "%s is shown, and not in data", name);
        if (!field->key)
            continue;
        cr_expect(matches("^[a-z]+(_[a-z]+)*$", field->key), "%s", name);
        cr_expect_neq(field->of, OF_ENDPOINT, "%s", name);
        for (const struct statistics_field *before = statistics_fields; before < field; before++)
            cr_expect(!before->key || before->of != field->of || strcmp(before->key, field->key),
                      "%s is there twice", name);
    }
}

Test(statistics, metrics_are_named_as_prometheus_wants_and_families_are_together)
{
    for (const struct statistics_field *field = statistics_fields; is_field(field); field++) {
        const struct metric *metric = &field->metric, *before = &field[-1].metric;
        if (!metric->name)
            continue;
        cr_expect(matches("^(journey|process)(_[a-z]+)+$", metric->name), "%s", metric->name);
        cr_expect(matches("^(gauge|counter|histogram)$", metric->type), "%s", metric->name);
        cr_expect_eq(matches("_total$", metric->name), !strcmp(metric->type, "counter"), "%s",
                     metric->name);
        cr_expect_eq(!strcmp(metric->type, "histogram"),
                     metric->lines && !matches("^journey_(info|state|notice)$", metric->name), "%s",
                     metric->name);
        _Bool goes_on = field > statistics_fields && before->name &&
                        !strcmp(before->name, metric->name);
        cr_expect(!goes_on || (metric->label && before->label && !metric->help &&
                               !strcmp(metric->type, before->type)),
                  "%s: two of one family differ in their label only", metric->name);
        for (const struct statistics_field *early = statistics_fields; early < field; early++)
            cr_expect(goes_on || !early->metric.name || strcmp(early->metric.name, metric->name),
                      "%s is there twice", metric->name);
    }
}

/* ---- What is written ------------------------------------------------------------------------ */

Test(statistics, data_has_its_keys_in_their_order, .init = setup, .fini = fini)
{
    _deinit_(buf) struct buf out = { 0 };
    /* the runtime's own requests are no answers of journeys */
    endpoints[1].kind = "query";
    micro_endpoint_count(&endpoints[0], 400000, NULL);
    micro_endpoint_count(&endpoints[0], 3000000, NULL);
    micro_endpoint_count(&endpoints[1], 4000000, NULL);
    endpoints[2].kind = "runtime";
    statistics.endpoint_count = 3;
    micro_endpoint_count(&endpoints[2], 20000000, NULL);
    statistics_write_data(&statistics, &out);
    cr_expect_str_eq(
        out.data,
        "{\"state\":\"ready\",\"relay\":\"publishing\",\"position\":7,\"published\":5,"
        "\"outbox\":2,\"queue\":0,\"readers_queue\":0,\"queries_waiting\":0,\"parked\":3,"
        "\"redriven\":0,\"rebuilds\":0,\"rebuilt_rows\":0,\"rebuild_events\":0,\"commits\":2,"
        "\"committed_items\":4,"
        "\"last_commit\":\"2023-11-14T22:13:20.123Z\",\"database_bytes\":0,\"wal_bytes\":0,"
        "\"file_checks\":0,\"file_checked\":\"\",\"file_check_skipped\":0,"
        "\"table_checks\":0,\"tables_checked\":\"\",\"tables_differ\":0,"
        "\"layout_differs\":0,"
        "\"replay_target\":0,\"republished\":0,\"stream_remade\":0,\"refused\":0,"
        "\"server_advisories\":0,\"heal_wait_ms\":0,"
        "\"audited_from\":0,\"role\":\"standby\",\"leader\":\"\","
        "\"follower_lag\":0,\"lines_dropped\":0,\"lines_suppressed\":0,\"reason\":\"\","
        "\"relay_reason\":\"\",\"notices\":[],"
        "\"confirmed\":7,\"answers_held\":0,\"unconfirmed\":0,"
        "\"durations\":[1,0,0,2,0,0,0,0,0,0,0,0,0,0],\"unsent_replies\":0,"
        "\"max_payload\":0,\"largest_event\":0,\"voids\":0,\"orphans\":0,\"term\":0,"
        "\"http_listening\":0,\"http_cut\":0,\"sources\":{"
        "\"ACCOUNT\":{\"cursor\":11,\"lag\":4,\"state\":\"pulling\",\"remade\":0,\"gaps\":1,"
        "\"voids\":2,\"reason\":\"\"},"
        "\"CARRIER\":{\"cursor\":0,\"lag\":0,\"state\":\"offline\",\"remade\":0,\"gaps\":0,"
        "\"voids\":0,\"reason\":\"\"}},"
        "\"work\":{\"charge\":{\"open\":3,\"in_flight\":1,\"oldest_ms\":0,\"asked\":9,\"again\":5,"
        "\"answered\":6,\"late\":2,\"refused\":0,\"expired\":0,\"stuck\":0,\"away\":1}}}");
}

Test(statistics, confirmed_is_what_the_stream_has_where_answers_wait, .init = setup, .fini = fini)
{
    _deinit_(buf) struct buf out = { 0 };
    status.answers_wait = 1;
    atomic_store(&status.answers_held, 3);
    atomic_store(&status.unconfirmed, 9);
    statistics_write_data(&statistics, &out);
    cr_expect(strstr(out.data, "\"confirmed\":5,\"answers_held\":3,\"unconfirmed\":9,"), "%s",
              out.data);
}

Test(statistics, what_holds_a_service_is_named_with_field_and_value, .init = setup, .fini = fini)
{
    _deinit_(buf) struct buf out = { 0 };
    _deinit_(buf) struct buf page = { 0 };
    struct notice notices[2];
    notice_set(&notices[0], NOTICE_BORNE, "stream ORDER", "max_age", "5", 1);
    notice_set(&notices[1], NOTICE_HELD, "stream ORDER", "no_ack", "true", 4);
    notices_replace(&status.notices, "stream ORDER", notices, 2);
    statistics_write_data(&statistics, &out);
    metrics_write(&statistics, &page);
    cr_expect(strstr(out.data, "\"state\":\"held\"") &&
                  strstr(out.data, "\"reason\":\"no_ack=true (stream ORDER)\"") &&
                  strstr(out.data, "\"notices\":[{\"of\":\"stream ORDER\",\"field\":\"max_age\","
                                   "\"value\":\"5\",\"is\":\"borne\"},"),
              "%s", out.data);
    cr_expect(strstr(page.data, "\njourney_notice{of=\"stream ORDER\",field=\"no_ack\",value="
                                "\"true\",is=\"held\"} 1\n"),
              "%s", page.data);
    notices_replace(&status.notices, "stream ORDER", notices, 1);
    cr_expect_eq(status_state(&status), SERVICE_READY);
}

Test(statistics, the_age_of_a_source_is_absent_until_it_was_complete, .init = setup, .fini = fini)
{
    _deinit_(buf) struct buf out = { 0 };
    atomic_store(&status.sources[0].complete_at_ms, 1);
    statistics_write_data(&statistics, &out);
    cr_expect(matches("\"voids\":2,\"age_ms\":[0-9]{13},\"reason\":\"\"\\},\"CARRIER\"", out.data),
              "%s", out.data);
    cr_expect(matches("\"voids\":0,\"reason\":\"\"\\}\\},\"work\"", out.data), "%s", out.data);
}

Test(statistics, a_service_without_sources_or_commits_says_so, .init = setup, .fini = fini)
{
    _deinit_(buf) struct buf out = { 0 };
    _deinit_(buf) struct buf page = { 0 };
    statistics.service = &service_alone;
    atomic_store(&status.last_commit_ms, 0);
    statistics_write_data(&statistics, &out);
    metrics_write(&statistics, &page);
    cr_expect(strstr(out.data, "\"last_commit\":\"\","), "%s", out.data);
    cr_expect(strstr(out.data, ",\"sources\":{},\"work\":{}}"), "%s", out.data);
    cr_expect(!strstr(page.data, "journey_source"), "%s", page.data);
}

Test(statistics, metrics_have_their_names_types_and_labels, .init = setup, .fini = fini)
{
    static const char *const wanted[] = {
        "# TYPE journey_info gauge\njourney_info{service=\"order-svc\",version=\"",
        "# HELP journey_state 1 for the state that the service is in.\n# TYPE journey_state "
        "gauge\njourney_state{state=\"starting\"} 0\njourney_state{state=\"replaying\"} "
        "0\njourney_state{state=\"ready\"} 1\n",
        "# TYPE journey_log_position gauge\njourney_log_position 7\n",
        "\njourney_published_position 5\n",
        "# TYPE journey_work_late_total counter\njourney_work_late_total{work=\"charge\"} 2\n",
        "# TYPE journey_work_oldest_seconds gauge\n"
        "journey_work_oldest_seconds{work=\"charge\"} 0.000\n",
        "# TYPE journey_relay_lag_events gauge\njourney_relay_lag_events 2\n",
        "# TYPE journey_relay_lag_seconds gauge\njourney_relay_lag_seconds 0.000\n",
        "# TYPE journey_queue_items gauge\njourney_queue_items{queue=\"writer\"} "
        "0\njourney_queue_items{queue=\"readers\"} "
        "0\njourney_queue_items{queue=\"min_position\"} 0\n# HELP ",
        "\njourney_parked_events 3\n",
        "# TYPE journey_commits_total counter\njourney_commits_total 2\n",
        "# TYPE journey_commit_items histogram\njourney_commit_items_bucket{le=\"1\"} "
        "1\njourney_commit_items_bucket{le=\"2\"} 1\njourney_commit_items_bucket{le=\"4\"} 2\n",
        "le=\"+Inf\"} 2\njourney_commit_items_sum 4\njourney_commit_items_count 2\n",
        "\njourney_source_position{log=\"ACCOUNT\"} 11\njourney_source_position{log=\"CARRIER\"} "
        "0\n# HELP",
        "\njourney_source_lag_events{log=\"ACCOUNT\"} 4\n",
        "\njourney_source_age_seconds{log=\"ACCOUNT\"} -1.000\n",
        "# TYPE journey_requests_total counter\njourney_requests_total{subject=\"order.place\"} "
        "2\njourney_requests_total{subject=\"order.get\"} 0\n# HELP",
        "\njourney_request_errors_total{subject=\"order.place\"} 1\n",
        "duration_seconds_bucket{subject=\"order.place\",le=\"0.0025\"} 1\n",
        "duration_seconds_sum{subject=\"order.place\"} 0.012000000\n",
        "\njourney_requests_over_rate_total 6\n",
        "\njourney_bus_connected 0\n",
        "\njourney_bus_messages_total{direction=\"in\"} "
        "0\njourney_bus_messages_total{direction=\"out\"} 0\n# HELP",
        "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1700000000.250\n",
    };
    _deinit_(buf) struct buf out = { 0 };
    atomic_store(&client_rate.refused, 6);
    micro_endpoint_count(&endpoints[0], 2000000, NULL);
    micro_endpoint_count(&endpoints[0], 10000000, "422:out of stock");
    metrics_write(&statistics, &out);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
        cr_expect(strstr(out.data, wanted[i]), "not there: %s\nin: %s", wanted[i], out.data);
}

/* ---- <prefix>.status ------------------------------------------------------------------------ */

Test(statistics, the_status_of_a_service_is_ten_lines, .init = setup, .fini = fini)
{
    _deinit_(buf) struct buf out = { 0 };
    _deinit_(arena) struct arena arena;
    arena_init(&arena);
    statistics.instance = "9WkqmSrPGKzrYrPQ1BvTXN";
    status_text_set(&status.relay_reason, "the server did not answer: {1, 2}");
    status_text_set(&status.leader, "9WkqmSrPGKzrYrPQ1BvTXN");
    atomic_store(&status.role, ROLE_LEADING);
    atomic_store(&status.leader_term, 2);
    atomic_store(&status.wal_bytes, 4152);
    micro_endpoint_count(&endpoints[0], 1000, NULL);
    micro_endpoint_count(&endpoints[1], 1000, "404:not_found");
    status.sources[1].complete_at_ms = 1; /* long ago */
    cr_assert_eq(brief_write(&statistics, &arena, &out), 0);
    const char *pattern =
        "^\\{\"service\": \\{\"name\": \"order-svc\", \"version\": \"[0-9.]+\", "
        "\"instance\": \"9WkqmSrPGKzrYrPQ1BvTXN\", \"started\": \"2023-11-14T22:13:20.250Z\"\\},\n"
        " \"state\": \"ready\",\n"
        " \"reason\": \"the server did not answer: \\{1, 2\\}\",\n"
        " \"leads\": \\{\"role\": \"leading\", \"term\": 2, \"leader\": "
        "\"9WkqmSrPGKzrYrPQ1BvTXN\", \"follower_lag\": 0\\},\n"
        " \"log\": \\{\"position\": 7, \"published\": 5, \"relay\": \"publishing\"\\},\n"
        " \"waits\": \\{\"outbox\": 2, \"queue\": 0, \"readers_queue\": 0, \"answers_held\": 0, "
        "\"work\": 3\\},\n"
        " \"reads\": \\[\\{\"log\": \"ACCOUNT\", \"state\": \"pulling\", \"lag\": 4\\},\n"
        "          \\{\"log\": \"CARRIER\", \"state\": \"[a-z]+\", \"lag\": 0, "
        "\"age_ms\": [0-9]{12,}\\}\\],\n"
        " \"parked\": 3,\n"
        " \"requests\": \\{\"answered\": 2, \"refused\": 1\\},\n"
        " \"files\": \\{\"database_bytes\": 0, \"wal_bytes\": 4152\\}\\}$";
    cr_assert(matches(pattern, out.data), "%s", out.data);
}

Test(statistics, the_status_of_a_service_that_reads_nobody_is_ten_lines_too, .init = setup,
     .fini = fini)
{
    _deinit_(buf) struct buf out = { 0 };
    _deinit_(arena) struct arena arena;
    int lines = 1;
    arena_init(&arena);
    statistics.service = &service_alone;
    statistics.instance = "9WkqmSrPGKzrYrPQ1BvTXN";
    cr_assert_eq(brief_write(&statistics, &arena, &out), 0);
    for (size_t i = 0; i < out.length; i++)
        lines += out.data[i] == '\n';
    cr_assert(matches("\"reads\": \\[\\],", out.data), "%s", out.data);
    cr_assert_eq(lines, 10);
}
