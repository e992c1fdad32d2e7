/* Bus without a server: which subjects and headers are safe, header blocks, nkeys. JetStream:
 * test_jetstream.c. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "base/result.h"
#include "base/buf.h"
#include "bus/bus.h"
#include "bus/nkey.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* ---- Subjects and headers ------------------------------------------------------------------- */

Test(subjects, only_safe_subjects_pass)
{
    static char longest[BUS_SUBJECT_MAX + 2];
    memset(longest, 'a', BUS_SUBJECT_MAX + 1);
    static const struct {
        const char *subject;
        _Bool plain, with_wildcards, inbox;
    } cases[] = {
        { "order.place", 1, 1, 0 },
        { "evt.order.OrderPlaced", 1, 1, 0 },
        { "$JS.API.INFO", 1, 1, 0 },
        { "_INBOX.order-svc.x7", 1, 1, 1 },
        { "_INBOX.a", 1, 1, 1 },
        { "a", 1, 1, 0 },
        { "_R_.Xy3K.0", 1, 1, 1 },
        { "_R_", 1, 1, 0 },
        { "_R_x.a", 1, 1, 0 },
        { "evt.order.>", 0, 1, 0 },
        { "evt.*.x", 0, 1, 0 },
        { ">", 0, 1, 0 },
        { "_INBOX.>", 0, 1, 0 },
        { "_INBOX.*.x", 0, 1, 0 },
        { "_INBOX", 1, 1, 0 },
        { "_INBOX.", 0, 0, 0 },
        { "_inbox.a", 1, 1, 0 },
        { "evt.>.x", 0, 0, 0 },
        { "evt.a*", 0, 0, 0 },
        { "evt.>x", 0, 0, 0 },
        { "", 0, 0, 0 },
        { ".", 0, 0, 0 },
        { "a.", 0, 0, 0 },
        { ".a", 0, 0, 0 },
        { "a..b", 0, 0, 0 },
        { "a b", 0, 0, 0 },
        { "x 0\r\n\r\nPUB evil", 0, 0, 0 },
        { "a\tb", 0, 0, 0 },
        { "a\x7f", 0, 0, 0 },
        { "\xc3\xa4", 0, 0, 0 },
        { "a/b", 0, 0, 0 },
        { longest, 0, 0, 0 },
        { longest + 1, 1, 1, 0 },
        { NULL, 0, 0, 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_expect_eq(bus_subject_is_safe(cases[i].subject, 0), cases[i].plain, "case %zu", i);
        cr_expect_eq(bus_subject_is_safe(cases[i].subject, 1), cases[i].with_wildcards, "case %zu",
                     i);
        cr_expect_eq(bus_subject_is_inbox(cases[i].subject), cases[i].inbox, "case %zu", i);
    }
}

Test(headers, only_safe_keys_pass)
{
    static const struct {
        const char *key;
        _Bool safe;
    } cases[] = {
        { "ce-id", 1 },
        { "Nats-Msg-Id", 1 },
        { "a_1", 1 },
        { "", 0 },
        { "a b", 0 },
        { "a:b", 0 },
        { "a\r\nb", 0 },
        { "\xc3\xa4", 0 },
        { "a.b", 0 },
        { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1 },
        { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect_eq(bus_header_key_is_safe(cases[i].key), cases[i].safe, "case %zu", i);
}

Test(headers, a_block_of_a_stored_message_is_parsed)
{
    static const struct {
        const char *block;
        int count;
        const char *key, *value;
    } cases[] = {
        { "NATS/1.0\r\n\r\n", 0, "a", NULL },
        { "NATS/1.0\r\na: b\r\n\r\n", 1, "a", "b" },
        { "NATS/1.0\r\na:b\r\n\r\n", 1, "A", "b" },
        { "NATS/1.0\r\na: \t b c \r\n\r\n", 1, "a", "b c" },
        { "NATS/1.0\r\na:\r\nb: c\r\n\r\n", 2, "a", "" },
        { "NATS/1.0\r\nCe-Id: 1\r\nce-id: 2\r\n\r\n", 2, "CE-ID", "1" },
        { "NATS/1.0 503\r\n\r\n", 0, "Status", NULL },
        { "NATS/1.0\r\na: b:c\r\n\r\n", 1, "a", "b:c" },
        { "", -ERR_INVALID, NULL, NULL },
        { "NATS", -ERR_INVALID, NULL, NULL },
        { "NATS/1.0", -ERR_INVALID, NULL, NULL },
        { "NATS/1.0\r\n", -ERR_INVALID, NULL, NULL },
        { "NATS/1.0\r\na: b\r\n", -ERR_INVALID, NULL, NULL },
        { "NATS/1.0\r\na\r\nb: c\r\n\r\n", 1, "b", "c" },
        { "NATS/1.0\r\n: b\r\nb: c\r\n\r\n", 1, "b", "c" },
        { "NATS/1.0\r\n folded\r\nb: c\rd\r\n\r\n", 1, "b", "c\rd" },
        { "NATS/1.0\r\nbaggage:\r\n\r\n", 1, "baggage", "" },
        { "HTTP/1.0\r\na: b\r\n\r\n", -ERR_INVALID, NULL, NULL },
        { "NATS/1.0\na: b\n\n", -ERR_INVALID, NULL, NULL },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        _deinit_(arena) struct arena arena = { 0 };
        struct bus_view view = { 0 };
        struct bus_header *headers = NULL;
        int r = bus_headers_parse(cases[i].block, strlen(cases[i].block), &arena, &headers,
                                  &view.header_count);
        cr_expect_eq(r, cases[i].count < 0 ? cases[i].count : 0, "case %zu", i);
        cr_expect_eq(view.header_count, cases[i].count < 0 ? 0 : cases[i].count, "case %zu", i);
        view.headers = headers;
        const char *value = cases[i].key ? bus_header_find(&view, cases[i].key) : NULL;
        cr_expect((!value && !cases[i].value) ||
                      (value && cases[i].value && strcmp(value, cases[i].value) == 0),
                  "case %zu", i);
    }
}

Test(headers, a_block_may_have_any_number_of_headers)
{
    enum { MANY = 5000 };
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(buf) struct buf block = { 0 };
    struct bus_header *headers;
    int count;
    buf_put_text(&block, "NATS/1.0\r\n");
    for (int i = 0; i < MANY; i++)
        buf_put_text(&block, "a:\r\n");
    buf_put_text(&block, "b: last\r\n\r\n");
    cr_assert_eq(bus_headers_parse(block.data, block.length, &arena, &headers, &count), 0);
    cr_assert_eq(count, MANY + 1);
    struct bus_view view = { .headers = headers, .header_count = count };
    cr_expect_str_eq(bus_header_find(&view, "b"), "last");
    cr_expect_eq(bus_header_count(&view, "a"), MANY);
}

Test(headers, a_status_stands_in_the_first_line)
{
    static const struct {
        const char *block;
        int status;
        const char *text;
    } cases[] = {
        { "NATS/1.0 503\r\n\r\n", 503, "" },
        { "NATS/1.0 408 Request Timeout\r\n\r\n", 408, "Request Timeout" },
        { "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n", 100, "Idle Heartbeat" },
        { "NATS/1.0\r\na: b\r\n\r\n", 0, "" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char block[100];
        struct bus_header headers[4];
        const char *text;
        int count, length = snprintf(block, sizeof(block), "%s", cases[i].block);
        cr_assert_eq(bus_headers_cut(block, (size_t)length, headers, &count), 0);
        cr_expect_eq(bus_block_status(block, &text), cases[i].status, "case %zu", i);
        cr_expect_str_eq(text, cases[i].text, "case %zu", i);
    }
}

Test(nkey, the_public_key_is_made_from_the_seed)
{
    static const struct {
        const char *seed, *public_key;
    } cases[] = {
        { "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
          "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4" },
        /* another checksum */
        { "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VX", NULL },
        /* an account's */
        { "SAACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY", NULL },
        { "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4", NULL },
        { "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3V", NULL },
        { "", NULL },
        { "suacssl3uahudxkfsnvuzrf5uhpmwz6bfdtj7m6usdxiednppqyyycu3vy", NULL },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char key[NKEY_PUBLIC_SIZE] = "";
        int r = nkey_public_of_seed(cases[i].seed, key);
        cr_expect_eq(r, cases[i].public_key ? 0 : -ERR_CONFIG, "case %zu", i);
        cr_expect_str_eq(key, cases[i].public_key ? cases[i].public_key : "", "case %zu", i);
        cr_expect(r == 0 || !*cases[i].seed || !strstr(failure_text(), cases[i].seed),
                  "a seed in a message");
    }
}

Test(bus, an_operator_may_allow_other_prefixes_of_reply_subjects)
{
    cr_expect_not(bus_subject_is_inbox("MYAPP.inbox.x"));
    cr_assert_eq(bus_set_reply_prefixes("MYAPP.inbox,other."), 0);
    cr_expect(bus_subject_is_inbox("MYAPP.inbox.x") && bus_subject_is_inbox("other.1.2"));
    cr_expect(bus_subject_is_inbox("_INBOX.x"));
    cr_expect_not(bus_subject_is_inbox("MYAPP.inboxes.x"));
    cr_expect_not(bus_subject_is_inbox("MYAPP.inbox"));
    cr_expect_not(bus_subject_is_inbox("evt.order.x"));
    cr_expect_lt(bus_set_reply_prefixes("$JS.API"), 0);
    cr_expect_lt(bus_set_reply_prefixes("evt.order"), 0);
    cr_expect_lt(bus_set_reply_prefixes("a b"), 0);
    cr_expect_lt(bus_set_reply_prefixes("a,,b"), 0);
}

Test(bus, a_list_of_servers_is_looked_at_one_by_one)
{
    static const char *const good[] = { "nats://127.0.0.1:4222", "a",
                                        "tls://u:p@h:1,nats://[::1]:2", "a,b, c" };
    static const char *const bad[] = { "",    ",",       "nats://", "http://a",
                                       "a:0", "a:99999", "a,b c:x", "nats://a:4222,nats://" };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        cr_expect_eq(bus_check_servers(good[i]), 0, "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        cr_expect_lt(bus_check_servers(bad[i]), 0, "%s", bad[i]);
}
