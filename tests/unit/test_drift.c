/* Drift: each field of a stream and of a durable that is otherwise than we would make it, what it
 * is called, and what follows; and what is kept when a stream is made anew. */
#include "runtime/sync/drift.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define WISH_BEGIN                                                                             \
    "{\"name\":\"ORDER\",\"subjects\":[\"evt.order.>\"],\"retention\":\"limits\",\"discard\":" \
    "\"new\",\"storage\":\"file\",\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,"      \
    "\"max_age\":0,\"max_msg_size\":-1,\"num_replicas\":1,\"duplicate_window\":100000000"
#define WISH WISH_BEGIN "}"

static const struct drift_use use = {
    .messages = 100, .bytes = 60000, .pull_batch = 512, .pull_expires_ms = 5000, .ack_pending = 4096
};

static struct json_text text_of(const char *text)
{
    return json_text_of(text, strlen(text));
}

/* The base with the members of `change` in the place of its own. */
static const char *changed(const char *base, const char *change)
{
    static char text[2000];
    struct json_members members;
    struct json_text key, value;
    int length = snprintf(text, sizeof(text), "%s", change);
    text[--length] = '\0'; /* the brace */
    json_text_members_begin(&members, text_of(base));
    while (json_text_members_next(&members, &key, &value)) {
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)key.length, key.text);
        if (!json_text_find(text_of(change), name).text)
            length += snprintf(text + length, sizeof(text) - (size_t)length, ",\"%s\":%.*s", name,
                               (int)value.length, value.text);
    }
    snprintf(text + length, sizeof(text) - (size_t)length, "}");
    return text;
}

struct drift_case {
    const char *change; /* what somebody has set */
    const char *said;   /* "KIND FIELD=VALUE", with commas; "": nothing */
};

static void expect_said(const struct drift_field *fields, const char *base, const char *wish,
                        const struct drift_case *one)
{
    struct drift drift;
    char said[600] = "";
    drift_compare(fields, "it", text_of(changed(base, one->change)), text_of(wish), &use, &drift);
    for (int i = 0; i < drift.count; i++)
        snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s%s %s=%s", i > 0 ? ", " : "",
                 notice_kind_name(drift.found[i].kind), drift.found[i].field, drift.found[i].value);
    cr_expect_str_eq(said, one->said, "%s: %s", one->change, said);
    cr_expect_eq(drift.holds, strstr(said, "held ") != NULL, "%s", one->change);
    cr_expect_eq(drift.mends, strstr(said, "mended ") != NULL, "%s", one->change);
}

Test(drift, fault_49_each_setting_of_a_stream_is_borne_mended_or_held_and_named)
{
    static const struct drift_case cases[] = {
        // clang-format off: a table
        { "{\"description\":\"\"}", "" },
        { "{\"description\":\"books\"}", "borne description=books" },
        { "{\"subjects\":[\"evt.other.>\"]}", "held subjects=[evt.other.>]" },
        { "{\"subjects\":[\"evt.order.\\u003e\"]}", "" }, /* as Go writes it */
        { "{\"subjects\":null}", "held subjects=null" },
        { "{\"subjects\":[\"evt.order.>\",\"x\"]}", "held subjects=[evt.order.>,x]" },
        { "{\"retention\":\"interest\"}", "held retention=interest" },
        { "{\"retention\":\"workqueue\"}", "held retention=workqueue" },
        { "{\"max_consumers\":2}", "borne max_consumers=2" },
        { "{\"max_consumers\":0}", "" },
        { "{\"max_msgs\":1000}", "borne max_msgs=1000" },
        { "{\"max_msgs\":100}", "held max_msgs=100" },
        { "{\"max_msgs\":1000,\"discard\":\"old\"}", "held max_msgs=1000, held discard=old" },
        { "{\"max_bytes\":1000000}", "borne max_bytes=1000000" },
        { "{\"max_bytes\":60000}", "held max_bytes=60000" },
        { "{\"max_bytes\":1000000,\"discard\":\"old\"}",
          "held max_bytes=1000000, held discard=old" },
        { "{\"discard\":\"old\"}", "borne discard=old" },
        { "{\"max_age\":5000000000}", "borne max_age=5000000000" },
        { "{\"max_msgs_per_subject\":1}", "held max_msgs_per_subject=1" },
        { "{\"max_msgs_per_subject\":-1}", "" },
        { "{\"max_msg_size\":1024}", "borne max_msg_size=1024" },
        { "{\"storage\":\"memory\"}", "borne storage=memory" },
        { "{\"num_replicas\":3}", "borne num_replicas=3" },
        { "{\"no_ack\":true}", "held no_ack=true" },
        { "{\"duplicate_window\":120000000000}", "borne duplicate_window=120000000000" },
        { "{\"placement\":{\"tags\":[\"ssd\"]}}", "borne placement={tags:[ssd]}" },
        { "{\"mirror\":{\"name\":\"X\"}}", "held mirror={name:X}" },
        { "{\"sources\":[{\"name\":\"X\"}]}", "held sources=[{name:X}]" },
        { "{\"compression\":\"none\"}", "" },
        { "{\"compression\":\"s2\"}", "borne compression=s2" },
        { "{\"first_seq\":1}", "" },
        { "{\"first_seq\":1000}", "held first_seq=1000" },
        { "{\"subject_transform\":{\"src\":\">\",\"dest\":\"x.>\"}}",
          "held subject_transform={src:>,dest:x.>}" },
        { "{\"republish\":{\"dest\":\"x.>\"}}", "borne republish={dest:x.>}" },
        { "{\"allow_direct\":true,\"mirror_direct\":true}",
          "borne allow_direct=true, borne mirror_direct=true" },
        { "{\"sealed\":true}", "held sealed=true" },
        { "{\"deny_delete\":true,\"deny_purge\":true,\"allow_rollup_hdrs\":true}",
          "borne deny_delete=true, borne deny_purge=true, borne allow_rollup_hdrs=true" },
        { "{\"consumer_limits\":{\"max_ack_pending\":5}}",
          "borne consumer_limits={max_ack_pending:5}" },
        { "{\"consumer_limits\":{}}", "" },
        { "{\"allow_msg_ttl\":true,\"subject_delete_marker_ttl\":1000000000}",
          "borne allow_msg_ttl=true, borne subject_delete_marker_ttl=1000000000" },
        { "{\"allow_msg_counter\":true}", "held allow_msg_counter=true" },
        { "{\"allow_atomic\":true}", "" },
        { "{\"allow_batched\":true,\"allow_msg_schedules\":true}",
          "borne allow_msg_schedules=true, borne allow_batched=true" },
        { "{\"persist_mode\":\"async\"}", "held persist_mode=async" },
        { "{\"metadata\":{\"_nats.ver\":\"2.15.3\"}}", "" },
        { "{\"metadata\":{\"_nats.ver\":\"2.15.3\",\"journey.fill_head\":\"7\"}}", "" },
        { "{\"metadata\":{\"_nats.ver\":\"2.15.3\",\"team\":\"shop\"}}",
          "borne metadata={_nats.ver:2.15.3,team:shop}" },
        { "{\"of_a_newer_server\":7,\"and_off\":false}", "borne of_a_newer_server=7" },
        // clang-format on
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        expect_said(drift_stream_fields, WISH, WISH, &cases[i]);
    expect_said(drift_stream_fields, WISH, WISH_BEGIN ",\"allow_atomic\":true}",
                &(struct drift_case){ "{\"allow_atomic\":false}", "mended allow_atomic=false" });
}

Test(drift, fault_50_a_durable_that_is_otherwise_is_made_anew)
{
    static const struct drift_case cases[] = {
        // clang-format off: a table
        { "{\"description\":\"x\"}", "borne description=x" },
        { "{\"deliver_policy\":\"all\"}", "" },
        { "{\"deliver_policy\":\"new\"}", "mended deliver_policy=new" },
        { "{\"opt_start_seq\":77}", "" },
        { "{\"ack_policy\":\"explicit\"}", "mended ack_policy=explicit" },
        { "{\"ack_wait\":1000000}", "mended ack_wait=1000000" },
        { "{\"ack_wait\":60000000000}", "" },
        { "{\"max_deliver\":3}", "mended max_deliver=3" },
        { "{\"backoff\":[1000000000]}", "mended backoff=[1000000000]" },
        { "{\"filter_subject\":\"evt.order.OrderPaid\"}",
          "mended filter_subject=evt.order.OrderPaid" },
        { "{\"filter_subjects\":[\"a\",\"b\"]}", "mended filter_subjects=[a,b]" },
        { "{\"replay_policy\":\"original\"}", "mended replay_policy=original" },
        { "{\"rate_limit_bps\":1000}", "mended rate_limit_bps=1000" },
        { "{\"sample_freq\":\"100%\"}", "borne sample_freq=100%" },
        { "{\"max_waiting\":1}", "mended max_waiting=1" },
        { "{\"max_waiting\":512}", "" },
        { "{\"max_ack_pending\":100}", "mended max_ack_pending=100" },
        { "{\"max_ack_pending\":-1}", "" },
        { "{\"max_ack_pending\":10000}", "" },
        { "{\"headers_only\":true}", "mended headers_only=true" },
        { "{\"max_batch\":10}", "mended max_batch=10" },
        { "{\"max_batch\":512}", "" },
        { "{\"max_expires\":1000000000}", "mended max_expires=1000000000" },
        { "{\"max_expires\":5000000000}", "" },
        { "{\"max_bytes\":1024}", "mended max_bytes=1024" },
        { "{\"deliver_subject\":\"psp.charge\",\"flow_control\":true,\"idle_heartbeat\":5}",
          "mended flow_control=true, mended deliver_subject=psp.charge, mended idle_heartbeat=5" },
        { "{\"inactive_threshold\":1000000000}", "mended inactive_threshold=1000000000" },
        { "{\"num_replicas\":1}", "borne num_replicas=1" },
        { "{\"mem_storage\":true}", "borne mem_storage=true" },
        { "{\"pause_until\":\"2099-01-01T00:00:00Z\"}", "" }, /* it is over, use says */
        { "{\"priority_groups\":[\"a\"],\"priority_policy\":\"overflow\"}",
          "mended priority_groups=[a], mended priority_policy=overflow" },
        { "{\"priority_policy\":\"none\"}", "" },
        // clang-format on
    };
    _deinit_(buf) struct buf wish = { 0 };
    cr_assert_eq(drift_durable_wish("account-svc", 8, 4096, 0, &wish), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        expect_said(drift_durable_fields, wish.data, wish.data, &cases[i]);
    struct drift drift;
    struct drift_use paused = use;
    paused.is_paused = 1;
    drift_compare(drift_durable_fields, "it",
                  text_of(changed(wish.data, "{\"pause_until\":\"2099-01-01T00:00:00Z\"}")),
                  text_of(wish.data), &paused, &drift);
    cr_expect(drift.mends && drift.count == 1);
}

Test(drift, fault_49_what_an_operator_set_is_kept_when_a_stream_is_made_anew)
{
    _deinit_(buf) struct buf out = { 0 };
    drift_keep(
        drift_stream_fields,
        text_of(changed(WISH, "{\"description\":\"books\",\"compression\":\"s2\",\"max_age\":9,"
                              "\"num_replicas\":3,\"sealed\":true,\"no_ack\":true,"
                              "\"first_seq\":50,\"republish\":{\"dest\":\"x.>\"},"
                              "\"subjects\":[\"y\"],\"metadata\":{\"team\":\"shop\"},"
                              "\"discard\":\"old\",\"max_msgs\":5,\"of_a_newer\":1}")),
        text_of(WISH), &out);
    const struct json_text made = text_of(out.data);
    static const struct {
        const char *field, *value;
    } expected[] = {
        { "description", "\"books\"" },
        { "compression", "\"s2\"" },
        { "max_age", "9" },
        { "num_replicas", "3" },
        { "republish", "{\"dest\":\"x.>\"}" },
        { "metadata", "{\"team\":\"shop\"}" },
        { "of_a_newer", "1" },
        { "subjects", "[\"evt.order.>\"]" }, /* ours */
        { "discard", "\"new\"" },            /* with its limit unbearable */
        { "max_msgs", "-1" },
        { "sealed", NULL },
        { "no_ack", NULL },
        { "first_seq", NULL },
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
        const struct json_text value = json_text_find(made, expected[i].field);
        cr_expect(expected[i].value ? json_text_is(value, expected[i].value) : !value.text,
                  "%s: %.*s", expected[i].field, (int)value.length, value.text);
    }
    buf_clear(&out);
    drift_keep(drift_stream_fields, (struct json_text){ 0 }, text_of(WISH), &out);
    cr_expect_str_eq(out.data, WISH);
}

Test(drift, a_stream_says_from_which_log_it_is_filled)
{
    static const struct {
        const char *config, *made;
    } cases[] = {
        { "{}", "{\"metadata\":{\"journey.fill_term\":\"3\",\"journey.fill_head\":\"42\"}}" },
        { "{\"name\":\"X\",\"metadata\":{\"team\":\"shop\",\"journey.fill_head\":\"7\"},\"max_"
          "age\":9}",
          "{\"name\":\"X\",\"max_age\":9,\"metadata\":{\"team\":\"shop\",\"journey.fill_term\":"
          "\"3\","
          "\"journey.fill_head\":\"42\"}}" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        _deinit_(buf) struct buf out = { 0 };
        drift_put_fill(text_of(cases[i].config), &(struct stream_fill){ .term = 3, .head = 42 },
                       &out);
        cr_expect_str_eq(out.data, cases[i].made);
        const struct stream_fill fill = drift_fill_of(text_of(out.data));
        cr_expect(fill.term == 3 && fill.head == 42);
    }
    static const char *const none[] = { "{}", "{\"metadata\":{}}",
                                        "{\"metadata\":{\"journey.fill_head\":\"\"}}",
                                        "{\"metadata\":{\"journey.fill_head\":\"-4\"}}",
                                        "{\"metadata\":{\"journey.fill_head\":7}}" };
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
        cr_expect_eq(drift_fill_of(text_of(none[i])).term, 0, "%s", none[i]);
}

Test(drift, fault_49_a_durable_of_somebody_else_is_given_back_at_its_place)
{
    _deinit_(buf) struct buf out = { 0 };
    cr_assert(drift_durable_at(
        text_of("{\"durable_name\":\"analytics\",\"name\":\"analytics\",\"deliver_policy\":\"new\","
                "\"ack_policy\":\"explicit\",\"filter_subject\":\"evt.order.OrderPaid\"}"),
        41, &out));
    cr_expect_str_eq(out.data,
                     "{\"durable_name\":\"analytics\",\"name\":\"analytics\",\"ack_policy\":"
                     "\"explicit\",\"filter_subject\":\"evt.order.OrderPaid\",\"deliver_policy\":"
                     "\"by_start_sequence\",\"opt_start_seq\":42}");
    cr_expect_not(drift_durable_at(text_of("{\"name\":\"ephemeral\"}"), 1, &out));
    cr_expect_not(drift_is_standbys(text_of(out.data)));
    buf_clear(&out);
    cr_expect_eq(drift_durable_wish("account-svc-X", 1, 512, 60, &out), 0);
    cr_expect(drift_is_standbys(text_of(out.data)), "its owner makes it anew: %s", out.data);
    cr_expect_not(drift_durable_at(text_of("{\"durable_name\":\"x\",\"sourcing\":true}"), 1, &out));
}
