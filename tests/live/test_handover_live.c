/* Two instances of order-svc, and the lead goes from one to the other by an operator's word: no
 * request is refused or lost at a handover; a standby takes over where the leader is gone. */
#include "shop.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"

#define PRODUCT                                                                          \
    "{\"sku\":\"p%d\",\"name\":\"Tea\",\"price\":{\"amount\":450,\"currency\":\"EUR\"}," \
    "\"stock\":1}"
#define SENT_MAX 20000

static struct process standby;

static void open_both(void)
{
    shop_init();
    setenv("JOURNEY_TAKE_OVER", "manual", 1);
    process_init(&standby, &server, "ORDER_SVC", "order-standby");
    shop_up();
}

static void close_both(void)
{
    if (standby.pid > 0)
        process_kill(&standby);
    shop_close();
}

TestSuite(handover_live, .init = open_both, .fini = close_both);

struct wanted_line {
    const struct process *process;
    const char *text;
    int count;
};

static _Bool has_lines(void *context)
{
    const struct wanted_line *wanted = context;
    char path[160], line[2000];
    snprintf(path, sizeof(path), "%s.log", wanted->process->folder);
    FILE *file = fopen(path, "r");
    int found = 0;
    while (file && fgets(line, sizeof(line), file))
        found += strstr(line, wanted->text) != NULL;
    if (file)
        fclose(file);
    return found >= wanted->count;
}

static void wait_for_lines(const struct process *process, const char *text, int count)
{
    struct wanted_line wanted = { process, text, count };
    cr_assert(wait_until(has_lines, &wanted, FAR_MS), "%s never says %s", process->folder, text);
}

/* ---- Requests all the time ------------------------------------------------------------------ */

static struct stream {
    pthread_mutex_t lock;
    int64_t sent_ms[SENT_MAX], longest_ms;
    int sent, accepted, refused;
    char refusal[500];
} stream = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_answer(void *context, struct bus_message *message)
{
    (void)context;
    const int number = atoi(strrchr(bus_message_subject(message), '.') + 1);
    pthread_mutex_lock(&stream.lock);
    const int64_t took_ms = clock_monotonic_ms() - stream.sent_ms[number];
    if (took_ms > stream.longest_ms)
        stream.longest_ms = took_ms;
    const _Bool is_accepted = strstr(bus_message_data(message), "\"position\"") != NULL;
    stream.accepted += is_accepted;
    stream.refused += !is_accepted;
    if (!is_accepted)
        snprintf(stream.refusal, sizeof(stream.refusal), "%s", bus_message_data(message));
    pthread_mutex_unlock(&stream.lock);
    bus_message_free(message);
}

/* One request each time that a condition is looked at. */
struct meanwhile {
    _Bool (*condition)(void *context);
    void *context;
    const char *inbox;
};

static _Bool send_and_look(void *context)
{
    const struct meanwhile *meanwhile = context;
    char reply[BUS_SUBJECT_MAX + 1], body[200];
    pthread_mutex_lock(&stream.lock);
    const int number = stream.sent++;
    cr_assert_lt(number, SENT_MAX);
    stream.sent_ms[number] = clock_monotonic_ms();
    pthread_mutex_unlock(&stream.lock);
    snprintf(reply, sizeof(reply), "%s.%d", meanwhile->inbox, number);
    const int length = snprintf(body, sizeof(body), PRODUCT, number);
    const struct bus_outgoing message = {
        .subject = "order.add-product", .reply = reply, .data = body, .length = (size_t)length
    };
    cr_assert_eq(bus_publish(customer_bus(), BUS_URGENT, &message), 0);
    return meanwhile->condition(meanwhile->context);
}

static _Bool is_all_answered(void *context)
{
    (void)context;
    pthread_mutex_lock(&stream.lock);
    const _Bool is_all = stream.accepted + stream.refused == stream.sent;
    pthread_mutex_unlock(&stream.lock);
    return is_all;
}

static void send_until_line(const char *inbox, const struct process *process, const char *text,
                            int count)
{
    struct wanted_line wanted = { process, text, count };
    struct meanwhile meanwhile = { has_lines, &wanted, inbox };
    cr_assert(wait_until(send_and_look, &meanwhile, FAR_MS), "%s: %s", process->folder, text);
}

/* ---- Tests ---------------------------------------------------------------------------------- */

Test(handover_live, no_request_is_refused_or_lost_at_a_handover_and_at_an_upgrade)
{
    char inbox[BUS_INBOX_SIZE], subject[BUS_SUBJECT_MAX + 1];
    _free_(bus_subscription) struct bus_subscription *answers = NULL;
    cr_assert(says(ask_text("order.hand-over", "{}"), "no standby within reach"));
    cr_assert(says(ask_text("order.hand-over", "{\"to\":\"nobody\"}"), "no standby within reach"));
    cr_assert_eq(bus_new_inbox(customer_bus(), inbox), 0);
    snprintf(subject, sizeof(subject), "%s.*", inbox);
    cr_assert_eq(bus_subscribe(customer_bus(), subject, NULL, on_answer, NULL, &answers), 0);
    process_start(&standby, &server);
    send_until_line(inbox, &standby, "event=answers_queries", 1);
    customer_send("order.hand-over", "{}");
    send_until_line(inbox, &standby, "event=ready", 1);
    send_until_line(inbox, &order_svc, "event=answers_queries", 1);
    send_until_line(inbox, &standby, "event=standby_heard", 1);
    kill(standby.pid, SIGTERM); /* as an upgrade does */
    send_until_line(inbox, &order_svc, "event=ready", 2);
    cr_assert_eq(process_end(&standby), 0);
    cr_assert(wait_until(is_all_answered, NULL, FAR_MS), "%d sent, %d accepted, %d refused",
              stream.sent, stream.accepted, stream.refused);
    cr_assert(stream.refused == 0, "%d of %d are refused: %s", stream.refused, stream.sent,
              stream.refusal);
    cr_assert_lt(stream.longest_ms, slower_ms(150));
    wait_for_stats("order-svc", "\"outbox\":0");
    cr_assert_eq(process_tool(&order_svc, &server, "verify", NULL, NULL), 0, "%s", tool_output());
    wait_for_stats("account-svc", "\"lag\":0");
}

/* What it has read of others is less than its leader has, as long as their stream is away. */
Test(handover_live, a_standby_that_began_empty_answers_no_queries_before_it_has_what_its_leader_has)
{
    struct wanted_line answers = { &standby, "event=answers_queries", 1 };
    char body[200], followed[64];
    (void)shop_customer("tok_ok");
    wait_for_stats("order-svc", "\"cursor\":3");
    process_kill(&account_svc);
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ACCOUNT", ""), "\"success\":true"));
    process_start(&standby, &server);
    wait_for_lines(&standby, "log=ACCOUNT state=waiting", 1);
    snprintf(body, sizeof(body), PRODUCT, 1);
    const char *added = strstr(ask_text("order.add-product", body), "\"position\":");
    cr_assert(added);
    snprintf(followed, sizeof(followed), "\"relay\":\"following\",%.*s", (int)strcspn(added, "}"),
             added);
    wait_for_stats("order-svc", followed);
    cr_assert_not(has_lines(&answers), "it has no customer");
    process_start(&account_svc, &server);
    wait_for_lines(&standby, "event=answers_queries", 1);
}

Test(handover_live, an_operator_says_that_a_standby_takes_over)
{
    char body[200];
    snprintf(body, sizeof(body), PRODUCT, 1);
    cr_assert(says(ask_text("order.add-product", body), "\"position\""));
    cr_assert(says(ask_text("order.take-over", "{}"), "leads, in term 1"));
    process_start(&standby, &server);
    wait_for_lines(&standby, "event=answers_queries", 1);
    cr_assert(says(ask_text("order.take-over", "{}"), "this instance, "), "the leader answers");
    wait_for_stats("order-svc", "\"outbox\":0");
    process_kill(&order_svc);
    wait_for_lines(&standby, "event=nobody_leads", 1);
    const char *answer = ask_text("order.take-over", "{}");
    cr_assert(says(answer, "\"term\":2,\"position\":3,") && says(answer, "\"known_behind\":0"),
              "%s", answer);
    snprintf(body, sizeof(body), PRODUCT, 2);
    cr_assert(says(ask_text("order.add-product", body), "\"position\""));
    process_start(&order_svc, &server);
    wait_for_lines(&order_svc, "event=following", 1);
    wait_for_lines(&order_svc, "event=answers_queries", 1);
    cr_assert(says(ask_text("order.hand-over", "{}"), "\"leads\":true"), "and back");
    wait_for_lines(&order_svc, "event=ready", 2);
    snprintf(body, sizeof(body), PRODUCT, 3);
    cr_assert(says(ask_text("order.add-product", body), "\"position\""));
}

/* The leader dies when the standby has joined its queue groups: a frozen one would still be in
 * them. */
Test(handover_live, a_successor_whose_leader_has_not_ended_its_term_leads_in_groups_of_its_own)
{
    char beat[300], id[64];
    process_start(&standby, &server);
    wait_for_lines(&standby, "event=answers_queries", 1);
    wait_for_stats("order-svc", "\"outbox\":0");
    process_kill(&order_svc);
    wait_for_lines(&standby, "event=nobody_leads", 1);
    snprintf(id, sizeof(id), "%s", field(ask_text("$SRV.PING.order-svc", ""), "id"));
    snprintf(beat, sizeof(beat),
             "{\"term\":1,\"instance\":\"L\",\"position\":1,\"published\":1,\"successor\":\"%s\","
             "\"group\":\"q-t1\",\"cursors\":[]}",
             id);
    customer_send("journey.order.leader", beat);
    wait_for_lines(&standby, "event=joined", 1);
    wait_for_lines(&standby, "event=nobody_leads", 2);
    cr_assert(says(ask_text("order.take-over", "{}"), "\"term\":2,"));
    const char *info = ask_text("$SRV.INFO.order-svc", "");
    cr_assert(says(info, "\"queue_group\":\"q-t2\"") && !says(info, "q-t1"), "%s", info);
    cr_assert(says(info, "payment (leading, term 2)\"") && says(info, "\"role\":\"leading\""),
              "who leads, in one word, and in nats micro ls: %s", info);
    snprintf(beat, sizeof(beat), PRODUCT, 1);
    cr_assert(says(ask_text("order.add-product", beat), "\"position\""));
}

/* ---- A standby that is not what it says ------------------------------------------------------ */

/* The test speaks as a standby within reach, that joins, and is gone then. */
static void speak_as_ghost(void *context, struct bus_message *message)
{
    static const char answer[] = "{\"instance\":\"ghost\",\"position\":9999,\"joined\":%s}";
    char body[100];
    const char *reply = bus_message_reply(message);
    const _Bool joins = strstr(bus_message_data(message), "\"successor\":\"ghost\"") != NULL;
    (void)context;
    if (reply) {
        const int length = snprintf(body, sizeof(body), answer, joins ? "true" : "false");
        bus_publish(
            customer_bus(), BUS_URGENT,
            &(struct bus_outgoing){ .subject = reply, .data = body, .length = (size_t)length });
    }
    bus_message_free(message);
}

static int64_t number_in_line(const struct process *process, const char *event, const char *field)
{
    char path[160], line[2000];
    int64_t found = -1;
    snprintf(path, sizeof(path), "%s.log", process->folder);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        if (strstr(line, event) && strstr(line, field))
            found = strtoll(strstr(line, field) + strlen(field), NULL, 10);
    if (file)
        fclose(file);
    return found;
}

Test(handover_live, a_leader_whose_successor_is_gone_leads_again_after_the_usual_silence)
{
    _free_(bus_subscription) struct bus_subscription *beats = NULL;
    char body[200];
    cr_assert_eq(
        bus_subscribe(customer_bus(), "journey.order.leader", NULL, speak_as_ghost, NULL, &beats),
        0);
    const char *answer = ask_text("order.hand-over", "{}");
    cr_assert(says(answer, "\"to\":\"ghost\"") && says(answer, "\"leads\":false"), "%s", answer);
    cr_assert_lt(number_in_line(&order_svc, "event=handed_over", "took_ms="), slower_ms(2000));
    wait_for_lines(&order_svc, "event=ready", 2);
    snprintf(body, sizeof(body), PRODUCT, 1);
    cr_assert(says(ask_text("order.add-product", body), "\"position\""));
}

Test(handover_live, a_stop_asks_for_a_standby_that_nobody_has_heard_of_yet)
{
    _free_(bus_subscription) struct bus_subscription *beats = NULL;
    cr_assert_eq(
        bus_subscribe(customer_bus(), "journey.order.leader", NULL, speak_as_ghost, NULL, &beats),
        0);
    (void)ask_text("order.products", "{}"); /* now the server has the subscription */
    cr_assert_eq(process_stop(&order_svc), 0);
    wait_for_lines(&order_svc, "event=handing_over to=ghost", 1);
    wait_for_lines(&order_svc, "event=handed_over to=ghost", 1);
}

/* The leader's id, from its own status: `"instance": "…"`. */
static void read_leader(const char *status, char ret_id[64])
{
    const char *at = strstr(status, "\"instance\": \"");
    cr_assert(at, "%s", status);
    at += strlen("\"instance\": \"");
    snprintf(ret_id, 64, "%.*s", (int)strcspn(at, "\""), at);
}

Test(handover_live, each_instance_says_how_it_is_also_when_nobody_leads)
{
    char id[64], body[200];
    wait_for_stats("order-svc", "\"lag\":0,\"state\":\"pulling\"");
    const char *answer = ask_text("order.status", "");
    cr_assert(says(answer, "\"role\": \"leading\", \"term\": 1") &&
                  says(answer, "\n \"state\": \"ready\",\n") &&
                  says(answer, "\"log\": \"ACCOUNT\", \"state\": \"pulling\", \"lag\": 0"),
              "%s", answer);
    read_leader(answer, id);
    process_start(&standby, &server);
    wait_for_lines(&standby, "event=answers_queries", 1);
    snprintf(body, sizeof(body), "{\"instance\":\"%s\"}", id);
    answer = ask_text("order.status", body);
    cr_assert(says(answer, "\"role\": \"leading\""), "%s", answer);
    process_kill(&order_svc);
    wait_for_lines(&standby, "event=nobody_leads", 1);
    answer = ask_text("order.status", "");
    cr_assert(says(answer, "\"role\": \"standby\", \"term\": 1") &&
                  says(answer, "\n \"state\": \"standby\",\n"),
              "%s", answer);
    snprintf(body, sizeof(body), PRODUCT, 1);
    cr_assert(says(ask_text("order.add-product", body), "nobody listens"));
}

/* What others have published is awaited for a second before requests are taken; here it never
 * comes. */
Test(handover_live, a_request_that_comes_before_a_new_leader_is_ready_waits)
{
    char body[200];
    const char *answer;
    process_start(&standby, &server);
    wait_for_lines(&standby, "event=answers_queries", 1);
    wait_for_stats("order-svc", "\"outbox\":0");
    process_kill(&account_svc);
    process_kill(&order_svc);
    cr_assert(says(ask_text("$JS.API.STREAM.DELETE.ACCOUNT", ""), "\"success\":true"));
    wait_for_lines(&standby, "event=nobody_leads", 1);
    customer_send("order.take-over", "{}");
    snprintf(body, sizeof(body), PRODUCT, 1);
    do
        answer = ask_text("order.add-product", body);
    while (says(answer, "nobody listens"));
    cr_assert(says(answer, "\"position\""), "%s", answer);
}
