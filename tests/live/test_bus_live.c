/* Bus on a real nats-server: connecting, reconnecting, logins, and what arrives of what was
 * sent. */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/result.h"
#include "bus/bus.h"
#include "runtime/request/micro.h"
#include "mailbox.h"
#include "server.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* ---- One test's world ----------------------------------------------------------------------- */

static struct server server;
static struct bus *bus;
static atomic_int connects, disconnects, closes;

static void on_connected(void *context)
{
    (void)context;
    atomic_fetch_add(&connects, 1);
}
static void on_disconnected(void *context)
{
    (void)context;
    atomic_fetch_add(&disconnects, 1);
}
static void on_closed(void *context, const char *reason)
{
    (void)context;
    (void)reason;
    atomic_fetch_add(&closes, 1);
}

static struct bus_options options(void)
{
    return (struct bus_options){
        .url = server.url,
        .name = "live-test",
        .reconnect_wait_ms = 20,
        .ping_interval_ms = 500,
        .handlers = { .connected = on_connected,
                      .disconnected = on_disconnected,
                      .closed = on_closed },
    };
}

static _Bool has_closed(void *context)
{
    (void)context;
    return atomic_load(&closes) > 0;
}

static void open_bus(void)
{
    struct bus_options how = options();
    cr_assert_eq(bus_open(&how, &bus), 0, "%s", failure_text());
    cr_assert(wait_until(bus_is_there, bus, FAR_MS));
}

static void setup(void)
{
    server_init(&server, NULL);
    server_start(&server);
    open_bus();
}

static void setup_without_bus(void)
{
    server_init(&server, NULL);
}

static void teardown(void)
{
    bus_free(bus);
    bus_library_close();
    server_deinit(&server);
}

static int publish(enum bus_urgency urgency, const char *subject, const char *reply,
                   const char *data)
{
    struct bus_outgoing message = {
        .subject = subject, .reply = reply, .data = data, .length = strlen(data)
    };
    return bus_publish(bus, urgency, &message);
}

/* ---- Connecting ----------------------------------------------------------------------------- */

Test(bus, a_bus_opens_before_its_server_runs, .init = setup_without_bus, .fini = teardown)
{
    struct bus_options how = options();
    int64_t before_ms = clock_monotonic_ms();
    cr_assert_eq(bus_open(&how, &bus), 0);
    cr_expect_lt(clock_monotonic_ms() - before_ms, slower_ms(500), "opening waits for nobody");
    cr_expect_not(bus_is_connected(bus));
    cr_expect_eq(publish(BUS_URGENT, "a", NULL, "x"), -ERR_NETWORK);
    cr_expect_eq(publish(BUS_BULK, "a", NULL, "x"), -ERR_NETWORK);
    cr_expect_eq(bus_flush(bus, 100), -ERR_NETWORK);
    struct mailbox box;
    mailbox_open(&box, bus, "a");
    server_start(&server);
    cr_assert(wait_until(bus_is_there, bus, FAR_MS));
    cr_expect_eq(atomic_load(&connects), 1);
    cr_assert_eq(bus_flush(bus, FAR_MS), 0, "%s", failure_text());
    cr_assert_eq(publish(BUS_BULK, "a", NULL, "x"), 0);
    cr_expect_not_null(mailbox_next(&box), "a subscription made before the connect works");
    mailbox_close(&box);
}

Test(bus, a_bus_reconnects_to_a_killed_server, .init = setup, .fini = teardown)
{
    struct mailbox box;
    mailbox_open(&box, bus, "a");
    for (int round = 1; round <= 2; round++) {
        server_kill(&server);
        cr_assert(wait_until(bus_is_away, bus, FAR_MS));
        int64_t before_ms = clock_monotonic_ms();
        for (int i = 0; i < 1000; i++)
            cr_assert_eq(publish(BUS_BULK, "a", NULL, "stale"), -ERR_NETWORK);
        cr_expect_lt(clock_monotonic_ms() - before_ms, slower_ms(500),
                     "nothing waits while the server is away");
        server_start(&server);
        cr_assert(wait_until(bus_is_there, bus, FAR_MS));
        cr_assert_eq(bus_flush(bus, FAR_MS), 0, "%s", failure_text());
        cr_assert_eq(publish(BUS_BULK, "a", NULL, "fresh"), 0);
        struct bus_message *message = mailbox_next(&box);
        cr_assert_not_null(message);
        cr_expect_str_eq(bus_message_data(message), "fresh",
                         "what was refused does not come later");
        cr_expect_eq(atomic_load(&connects), 1 + round);
        cr_expect_eq(atomic_load(&disconnects), round);
    }
    struct bus_stats stats;
    bus_read_stats(bus, &stats);
    cr_expect_eq(stats.connects, 3);
    cr_expect_eq(stats.messages_out, 2);
    cr_expect_eq(stats.messages_in, 2);
    cr_expect_eq(atomic_load(&closes), 0);
    mailbox_close(&box);
}

Test(bus, opening_fails_without_a_server_when_one_is_demanded, .init = setup_without_bus,
     .fini = teardown)
{
    struct bus_options how = options();
    how.must_connect = 1;
    cr_expect_eq(bus_open(&how, &bus), -ERR_NETWORK);
    cr_expect_null(bus);
}

Test(bus, a_bus_is_freed_while_it_still_connects, .init = setup_without_bus, .fini = teardown)
{
    struct bus_options how = options();
    cr_assert_eq(bus_open(&how, &bus), 0);
    int64_t before_ms = clock_monotonic_ms();
    bus_free(bus);
    bus = NULL;
    cr_expect_lt(clock_monotonic_ms() - before_ms, slower_ms(2000));
    cr_expect_eq(atomic_load(&closes), 0, "bus_free calls no handler");
}

Test(bus, a_wrong_configuration_is_named, .init = setup_without_bus, .fini = teardown)
{
    struct bus_options cases[] = {
        { .url = "nats://127.0.0.1:port" },
        { .credentials_file = "/nonexistent" },
        { .nkey_file = "/nonexistent" },
        { .nkey_file = "/dev/null" },
        { .tls_ca_file = "/nonexistent" },
        { .tls_certificate_file = "/dev/null" },
        { .name = "a.b" },
        { .name = "a b" },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect_eq(bus_open(&cases[i], &bus), -ERR_CONFIG, "case %zu", i);
}

/* ---- Logging in ----------------------------------------------------------------------------- */

#define NKEY_SEED "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
#define NKEY_PUBLIC "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"

Test(login, a_login_works_by_password_token_or_nkey, .init = setup_without_bus, .fini = teardown)
{
    static const struct {
        const char *config, *user, *password, *token;
        _Bool nkey;
    } cases[] = {
        { "authorization { user: u, password: p }", "u", "p", NULL, 0 },
        { "authorization { token: t }", NULL, NULL, "t", 0 },
        { "authorization { users: [ { nkey: " NKEY_PUBLIC " } ] }", NULL, NULL, NULL, 1 },
    };
    char path[128];
    snprintf(path, sizeof(path), "%s/user.nk", server.folder);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(file, "-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n",
            NKEY_SEED);
    fclose(file);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bus_options how = options();
        server.config = cases[i].config;
        how.user = cases[i].user;
        how.password = cases[i].password;
        how.token = cases[i].token;
        how.nkey_file = cases[i].nkey ? path : NULL;
        how.must_connect = 1;
        server_start(&server);
        cr_assert_eq(bus_open(&how, &bus), 0, "case %zu: %s", i, failure_text());
        cr_expect(bus_is_connected(bus));
        bus_free(bus);
        bus = NULL;
        server_kill(&server);
    }
}

Test(login, a_login_refused_twice_closes_the_bus, .init = setup_without_bus, .fini = teardown)
{
    struct bus_options how = options();
    how.user = "u";
    how.password = "wrong";
    server.config = "authorization { user: u, password: p }";
    server_start(&server);
    cr_assert_eq(bus_open(&how, &bus), 0);
    cr_assert(wait_until(has_closed, NULL, FAR_MS));
    cr_expect_not(bus_is_connected(bus));
    cr_expect_eq(publish(BUS_URGENT, "a", NULL, "x"), -ERR_NETWORK);
}

/* ---- What is sent is what arrives ----------------------------------------------------------- */

Test(messages, headers_and_data_arrive, .init = setup, .fini = teardown)
{
    static const struct bus_header headers[] = {
        { "ce-id", "1" },   { "Many", "a" },
        { "Many", "b" },    { "Cut", "a\r\nEvil: yes\r\n\r\nPUB evil 0" },
        { "Blank", "a b" },
    };
    static const char data[] = "with\0a NUL";
    for (int urgency = BUS_URGENT; urgency <= BUS_BULK; urgency++) {
        struct mailbox box;
        struct bus_view view;
        mailbox_open(&box, bus, "a.*");
        cr_assert_eq(bus_flush(bus, FAR_MS), 0);
        struct bus_outgoing out = { .subject = "a.b",
                                    .reply = "_INBOX.live-test.r",
                                    .headers = headers,
                                    .header_count = COUNT(headers),
                                    .data = data,
                                    .length = sizeof(data) };
        cr_assert_eq(bus_publish(bus, (enum bus_urgency)urgency, &out), 0, "%s", failure_text());
        struct bus_message *message = mailbox_next(&box);
        cr_assert_not_null(message);
        cr_expect_str_eq(bus_message_subject(message), "a.b");
        cr_expect_str_eq(bus_message_reply(message), "_INBOX.live-test.r");
        cr_expect_eq(bus_message_length(message), sizeof(data));
        cr_expect_arr_eq(bus_message_data(message), data, sizeof(data));
        cr_assert_eq(bus_message_view(message, &view), 0);
        cr_expect_eq(view.header_count, 5);
        cr_expect_str_eq(bus_message_header(message, "CE-ID"), "1");
        cr_expect_eq(bus_header_count(&view, "many"), 2);
        cr_expect_str_eq(bus_message_header(message, "blank"), "a b");
        cr_expect_null(bus_message_header(message, "Evil"));
        cr_expect_null(strpbrk(bus_message_header(message, "Cut"), "\r\n"));
        cr_expect_eq(bus_message_status(message), 0);
        mailbox_close(&box);
    }
}

Test(messages, an_unsafe_message_is_not_sent, .init = setup, .fini = teardown)
{
    static const struct {
        const char *subject, *reply, *key, *value;
    } cases[] = {
        { "a b", NULL, "k", "v" },
        { "a\r\nPUB evil 0", NULL, "k", "v" },
        { "", NULL, "k", "v" },
        { "a.>", NULL, "k", "v" },
        { "a", "r 5\r\nPUB evil 0", "k", "v" },
        { "a", "", "k", "v" },
        { "a", NULL, "k: v\r\nl", "v" },
        { "a", NULL, "", "v" },
        { "a", NULL, "k", "" },
    };
    static char big[2 * 1024 * 1024];
    struct mailbox evil;
    mailbox_open(&evil, bus, "evil");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bus_header header = { cases[i].key, cases[i].value };
        struct bus_outgoing out = { .subject = cases[i].subject,
                                    .reply = cases[i].reply,
                                    .headers = &header,
                                    .header_count = 1,
                                    .data = "",
                                    .length = 0 };
        cr_expect_eq(bus_publish(bus, BUS_URGENT, &out), -ERR_INVALID, "case %zu", i);
    }
    struct bus_outgoing out = { .subject = "a", .data = big, .length = sizeof(big) };
    cr_expect_eq(bus_publish(bus, BUS_URGENT, &out), -ERR_INVALID, "larger than the server takes");
    struct bus_subscription *none;
    cr_expect_eq(bus_subscribe(bus, "a b", NULL, mailbox_put, &evil, &none), -ERR_INVALID);
    cr_expect_eq(bus_subscribe(bus, "a", "q q", mailbox_put, &evil, &none), -ERR_INVALID);
    cr_assert_eq(publish(BUS_URGENT, "evil", NULL, "good"), 0);
    cr_expect_str_eq(bus_message_data(mailbox_next(&evil)), "good", "nothing came before");
    mailbox_close(&evil);
}

static void send_raw(int connection, const char *headers, const char *data)
{
    char text[1024];
    int length = snprintf(
        text, sizeof(text),
        "CONNECT {\"verbose\":false,\"headers\":true}\r\nHPUB a %zu %zu\r\n%s%s\r\nPING\r\n",
        strlen(headers), strlen(headers) + strlen(data), headers, data);
    cr_assert_eq(send(connection, text, (size_t)length, MSG_NOSIGNAL), length);
}

Test(messages, malformed_headers_do_no_harm, .init = setup, .fini = teardown)
{
    static const struct {
        const char *headers;
        int result, count;
    } cases[] = {
        { "NATS/1.0\r\nfine: yes\r\n\r\n", 0, 1 },
        { "NATS/1.0\r\nbaggage:\r\nfine: yes\r\n\r\n", 0, 2 },
        { "NATS/1.0\r\nno colon here\r\nfine: yes\r\n\r\n", 0, 1 },
        { "NATS/1.0\r\n no key\r\nfine: yes\r\n\r\n", 0, 1 },
        { "NATS/1.0\r\n\r\n", 0, 0 },
        { "nonsense\r\n\r\n", -ERR_INVALID, 0 },
        { "NATS/1.0", -ERR_INVALID, 0 },
    };
    struct mailbox box;
    mailbox_open(&box, bus, "a");
    cr_assert_eq(bus_flush(bus, FAR_MS), 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bus_view view;
        int connection = server_dial(&server);
        cr_assert_geq(connection, 0);
        send_raw(connection, cases[i].headers, "data: with a colon");
        struct bus_message *message = mailbox_next(&box);
        cr_assert_not_null(message, "case %zu", i);
        cr_expect_eq(bus_message_view(message, &view), cases[i].result, "case %zu", i);
        cr_expect_eq(bus_message_view(message, &view), cases[i].result, "case %zu, again", i);
        cr_expect_eq(view.header_count, cases[i].count, "case %zu", i);
        if (cases[i].count > 0)
            cr_expect_str_eq(bus_header_find(&view, "Fine"), "yes", "case %zu", i);
        cr_expect_str_eq(view.data, "data: with a colon");
        close(connection);
    }
    mailbox_close(&box);
}

Test(messages, no_responders_is_reported_at_once, .init = setup, .fini = teardown)
{
    struct mailbox box;
    char inbox[BUS_INBOX_SIZE], other[BUS_INBOX_SIZE];
    cr_assert_eq(bus_new_inbox(bus, inbox), 0);
    cr_assert_eq(bus_new_inbox(bus, other), 0);
    cr_expect_str_neq(inbox, other);
    cr_expect_eq(strncmp(inbox, "_INBOX.live-test.", 17), 0);
    cr_expect(bus_subject_is_inbox(inbox));
    mailbox_open(&box, bus, inbox);
    cr_assert_eq(publish(BUS_URGENT, "nobody.home", inbox, ""), 0);
    struct bus_message *message = mailbox_next(&box);
    cr_assert_not_null(message);
    cr_expect_eq(bus_message_status(message), 503);
    mailbox_close(&box);
}

static void on_slow(void *context, struct bus_message *message)
{
    wait_until(bus_is_away, bus, 20); /* never true: waits for the limit */
    mailbox_put(context, message);
}

Test(messages, a_drain_waits_for_the_handler, .init = setup, .fini = teardown)
{
    struct mailbox box = { 0 };
    pthread_mutex_init(&box.lock, NULL);
    pthread_cond_init(&box.filled, NULL);
    cr_assert_eq(bus_subscribe(bus, "a", "q", on_slow, &box, &box.subscription), 0);
    cr_assert_eq(bus_flush(bus, FAR_MS), 0);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(publish(BUS_URGENT, "a", NULL, "x"), 0);
    cr_assert_eq(bus_flush(bus, FAR_MS), 0);
    cr_assert_eq(bus_subscription_drain(box.subscription, FAR_MS), 0, "%s", failure_text());
    cr_expect_eq(box.count, 10);
    cr_assert_eq(publish(BUS_URGENT, "a", NULL, "late"), 0, "publishing goes on");
    cr_assert_eq(bus_flush(bus, FAR_MS), 0);
    cr_expect_eq(box.count, 10, "nothing more is taken");
    for (int i = 0; i < box.count; i++)
        bus_message_free(box.messages[i]);
    bus_subscription_free(box.subscription);
}

static atomic_bool may_end;

static void on_busy(void *context, struct bus_message *message)
{
    while (!atomic_load(&may_end))
        sched_yield();
    mailbox_put(context, message);
}

static void open_box(struct mailbox *box)
{
    *box = (struct mailbox){ 0 };
    pthread_mutex_init(&box->lock, NULL);
    pthread_cond_init(&box->filled, NULL);
}

/* Sixteen handlers that do not come back are more than the bus has delivery threads. */
Test(messages, a_subscription_apart_does_not_wait_for_the_handlers_of_others, .init = setup,
     .fini = teardown)
{
    struct mailbox busy[16], apart;
    open_box(&apart);
    cr_assert_eq(bus_subscribe_apart(bus, "apart", "q", mailbox_put, &apart, &apart.subscription),
                 0);
    for (int i = 0; i < 16; i++) {
        open_box(&busy[i]);
        cr_assert_eq(bus_subscribe(bus, "busy", NULL, on_busy, &busy[i], &busy[i].subscription), 0);
    }
    cr_assert_eq(bus_flush(bus, FAR_MS), 0);
    cr_assert_eq(publish(BUS_URGENT, "busy", NULL, "x"), 0);
    cr_assert_eq(bus_flush(bus, FAR_MS), 0);
    cr_assert_eq(publish(BUS_URGENT, "apart", NULL, "x"), 0);
    cr_expect_not_null(mailbox_next(&apart));
    atomic_store(&may_end, 1);
    mailbox_close(&apart);
    for (int i = 0; i < 16; i++)
        mailbox_close(&busy[i]);
}

/* ---- Micro ---------------------------------------------------------------------------------- */

Test(micro, an_instance_answers_on_nine_subjects, .init = setup, .fini = teardown)
{
    struct micro_endpoint endpoint;
    char id[MICRO_ID_SIZE], inbox[BUS_INBOX_SIZE], subject[BUS_SUBJECT_MAX + 1];
    micro_endpoint_init(&endpoint, "place", "order.place", "q");
    cr_assert_eq(micro_make_id(bus, id), 0);
    struct micro micro = { .name = "order-svc",
                           .id = id,
                           .version = "0.1.0",
                           .description = "d",
                           .endpoints = &endpoint,
                           .endpoint_count = 1 };
    cr_assert_eq(micro_start(&micro, bus), 0, "%s", failure_text());
    cr_assert_eq(bus_new_inbox(bus, inbox), 0);
    struct mailbox box, forged;
    mailbox_open(&box, bus, inbox);
    mailbox_open(&forged, bus, "evt.order.Forged");
    cr_assert_eq(bus_flush(bus, FAR_MS), 0);
    for (int i = 0; i < MICRO_SUBJECTS; i++) {
        cr_assert_eq(micro_subject(&micro, i, subject), 0);
        cr_assert_eq(publish(BUS_URGENT, subject, inbox, ""), 0);
        struct bus_message *message = mailbox_next(&box);
        cr_assert_not_null(message, "%s", subject);
        cr_expect_not_null(strstr(bus_message_data(message), id), "%s", subject);
    }
    cr_assert_eq(publish(BUS_URGENT, "$SRV.PING", "evt.order.Forged", ""), 0);
    cr_assert_eq(publish(BUS_URGENT, "$SRV.PING", inbox, ""), 0);
    cr_assert_not_null(mailbox_next(&box));
    cr_assert_eq(publish(BUS_URGENT, "evt.order.Forged", NULL, "by us"), 0);
    cr_expect_str_eq(bus_message_data(mailbox_next(&forged)), "by us",
                     "an answer goes to inboxes only");
    micro_stop(&micro);
    cr_assert_eq(publish(BUS_URGENT, "$SRV.PING", inbox, ""), 0);
    struct bus_message *message = mailbox_next(&box);
    cr_assert_not_null(message);
    cr_expect_eq(bus_message_status(message), 503, "nobody answers any more");
    mailbox_close(&box);
    mailbox_close(&forged);
    micro_endpoint_deinit(&endpoint);
}
