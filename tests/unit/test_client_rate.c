/* Client rate: which requests count as one client's, how many requests a client may send, and that
 * the table of clients is bounded. */
#include "runtime/request/client_rate.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000000LL
#define INFO "Nats-Request-Info"

static struct client_rate rate;
static char message[200];

static enum refusal ask_with(const struct bus_header *headers, int count, int64_t now_ns)
{
    const struct bus_view view = {
        .subject = "order.products", .headers = headers, .header_count = count, .data = ""
    };
    return client_rate_refuses(&rate, &view, NULL, now_ns, message, sizeof(message));
}

static enum refusal ask(const char *info, int64_t now_ns)
{
    const struct bus_header headers[] = { { "Idempotency-Key", "k" }, { INFO, info } };
    return ask_with(headers, info ? 2 : 1, now_ns);
}

static enum refusal ask_as(int user, int64_t now_ns)
{
    char info[64];
    snprintf(info, sizeof(info), "{\"acc\":\"CLIENTS\",\"user\":\"U%d\"}", user);
    return ask(info, now_ns);
}

static void begin(void)
{
    client_rate_init(&rate, 3);
}
static void end(void)
{
    client_rate_deinit(&rate);
}
TestSuite(client_rate, .init = begin, .fini = end);

/* 60 KiB count as 16 requests: the client's next one may come when that many shares have passed. */
Test(client_rate, a_long_request_counts_as_several)
{
    static const struct bus_header headers[] = { { INFO,
                                                   "{\"acc\":\"CLIENTS\",\"user\":\"U1\"}" } };
    const struct bus_view view = { .subject = "order.place",
                                   .headers = headers,
                                   .header_count = 1,
                                   .data = "",
                                   .data_length = 60 * 1024 };
    int64_t now = 5 * SECOND;
    cr_assert_eq(client_rate_refuses(&rate, &view, NULL, now, message, sizeof(message)), 0);
    cr_assert_eq(ask_as(1, now), REFUSED_BUSY);
    cr_assert_eq(ask_as(1, now + 13 * SECOND / 3), REFUSED_BUSY);
    cr_assert_eq(ask_as(1, now + 14 * SECOND / 3), 0, "two of three shares are taken then");
    cr_assert_eq(ask_as(2, now), 0, "another client");
}

Test(client_rate, a_client_may_send_one_second_of_its_rate_at_once)
{
    int64_t now = 5 * SECOND;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ask_as(1, now), 0);
    cr_assert_eq(ask_as(1, now), REFUSED_BUSY);
    cr_assert(strstr(message, "more than 3 requests a second"), "%s", message);
    cr_assert_eq(ask_as(1, now + SECOND / 3), 0, "a third of a second is one request");
    cr_assert_eq(ask_as(1, now + SECOND / 3), REFUSED_BUSY);
    cr_assert_eq(atomic_load(&rate.refused), 2);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ask_as(1, now + 2 * SECOND), 0, "what was refused took nothing");
    cr_assert_eq(ask_as(1, now + 2 * SECOND), REFUSED_BUSY,
                 "and what was not used is not saved up");
}

Test(client_rate, each_client_has_a_limit_of_its_own)
{
    while (ask_as(1, SECOND) == 0)
        ;
    cr_assert_eq(ask_as(2, SECOND), 0);
    cr_assert_eq(ask("{\"acc\":\"OTHERS\",\"user\":\"U1\"}", SECOND), 0,
                 "the same name in another account");
    cr_assert_eq(ask("{\"acc\":\"CLIENTS\"}", SECOND), 0,
                 "an account that does not share its users");
    cr_assert_eq(ask(NULL, SECOND), 0);
}

Test(client_rate, connections_of_one_user_are_one_client)
{
    for (int i = 0; i < 3; i++) {
        char info[128];
        snprintf(
            info, sizeof(info),
            "{\"id\":%d,\"host\":\"10.0.0.%d\",\"acc\":\"CLIENTS\",\"user\":\"U1\",\"rtt\":%d}", i,
            i, i);
        cr_assert_eq(ask(info, SECOND), 0);
    }
    cr_assert_eq(ask_as(1, SECOND), REFUSED_BUSY);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ask(NULL, SECOND), 0);
    cr_assert_eq(ask(NULL, SECOND), REFUSED_BUSY, "all who have no name are one");
}

Test(client_rate, a_forged_or_malformed_server_header_is_refused)
{
    static const char *const info = "{\"acc\":\"CLIENTS\",\"user\":\"U1\"}";
    const struct bus_header two[] = { { INFO, "{\"acc\":\"X\"}" }, { INFO, info } };
    const struct bus_header case_of_letters[] = { { "nats-request-info", "{\"acc\":\"X\"}" },
                                                  { INFO, info } };
    const struct bus_header alone[] = { { "NATS-REQUEST-INFO", info } };
    cr_assert_eq(ask_with(two, 2, SECOND), REFUSED_INVALID_REQUEST);
    cr_assert_eq(ask_with(case_of_letters, 2, SECOND), REFUSED_INVALID_REQUEST);
    cr_assert_eq(ask_with(alone, 1, SECOND), REFUSED_INVALID_REQUEST);
    cr_assert_eq(ask("nonsense", SECOND), REFUSED_INVALID_REQUEST);
    cr_assert_eq(ask("{\"user\":\"U1\"}", SECOND), REFUSED_INVALID_REQUEST);
    cr_assert_eq(rate.count, 0);
}

Test(client_rate, a_request_on_the_subject_of_an_account_counts_as_the_accounts)
{
    const struct bus_view view = { .subject = "order.place.acc_a", .data = "" };
    for (int i = 0; i < 3; i++)
        cr_assert_eq(
            client_rate_refuses(&rate, &view, "acc_a", 5 * SECOND, message, sizeof(message)), 0);
    cr_assert_eq(client_rate_refuses(&rate, &view, "acc_a", 5 * SECOND, message, sizeof(message)),
                 REFUSED_BUSY);
    cr_assert_eq(client_rate_refuses(&rate, &view, "acc_b", 5 * SECOND, message, sizeof(message)),
                 0);
    cr_assert_eq(ask(NULL, 5 * SECOND), 0);
}

Test(client_rate, without_a_limit_no_client_is_counted)
{
    rate.per_second = 0;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(ask("nonsense", SECOND), 0);
    cr_assert_eq(rate.count, 0);
}

Test(client_rate, a_full_table_drops_the_client_that_was_idle_longest)
{
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ask_as(0, SECOND), 0); /* busy: its bucket is empty */
    for (int i = 1; i < CLIENT_RATE_CLIENTS_MAX; i++)
        cr_assert_eq(ask_as(i, SECOND), 0);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(ask_as(CLIENT_RATE_CLIENTS_MAX + i, SECOND + 1), 0);
    cr_assert_eq(rate.count, CLIENT_RATE_CLIENTS_MAX);
    cr_assert_eq(ask_as(0, SECOND + 2), REFUSED_BUSY, "the busy one is still known");
}

Test(client_rate, a_high_limit_holds)
{
    rate.per_second = 7777; /* no whole number of nanoseconds each */
    int taken = 0;
    while (ask_as(1, SECOND) == 0)
        taken++;
    cr_assert_eq(taken, 7777);
}
