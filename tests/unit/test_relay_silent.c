/* Relay: a stream that can be read and acknowledges nothing, as after a full disk of the server, is
 * made anew, but not over and over. */
#include "runtime/sync/relay.h"
#include <criterion/criterion.h>
#include <string.h>

static const struct relay_config config = {
    .window_max = 10,
    .publish_max = 10,
    .answer_timeout_ms = 100,
    .backoff_min_ms = 10,
    .backoff_max_ms = 80,
    .heal_min_ms = 100,
    .heal_max_ms = 1000,
    .heal_reset_ms = 60000,
    .silent_min_ms = 5000,
    .silent_max_ms = 30000,
    .audit_interval_ms = 1000,
    .seed = 7,
};

static const struct relay_tail equal_20 = { .exists = 1,
                                            .has_last = 1,
                                            .first_sequence = 1,
                                            .last_sequence = 20,
                                            .messages = 20,
                                            .position = 20 };

/* A server whose disk was full: the stream can be read, and takes nothing, without a word. */
static int64_t silent_until_made(struct relay *relay, int64_t now_ms, _Bool refuses_once)
{
    for (;; now_ms += 10) {
        const struct relay_action action = relay_next(relay, now_ms);
        if (action.kind == RELAY_ASK) {
            relay_looked(relay, &equal_20, now_ms);
            if (relay->state == RELAY_MAKING)
                return now_ms;
        } else if (action.kind == RELAY_PUBLISH && refuses_once) {
            relay_refused(relay, relay->epoch, "full", now_ms);
            refuses_once = 0;
        }
        cr_assert(now_ms < 100000000);
    }
}

static void make_anew(struct relay *relay, int64_t now_ms)
{
    cr_assert_eq(relay_next(relay, now_ms).kind, RELAY_DELETE_STREAM);
    relay_made(relay, now_ms);
    cr_assert_eq(relay_next(relay, now_ms).kind, RELAY_MAKE_STREAM);
    relay_made(relay, now_ms);
}

Test(relay_silent, F20_a_stream_that_stores_nothing_more_is_made_anew_less_and_less_often)
{
    struct relay relay;
    int64_t begin_ms = 1000, gap_ms = 0;
    relay_init(&relay, &config, 21);
    relay_connected(&relay, begin_ms);
    for (int i = 0; i < 5; i++) {
        const int64_t made_ms = silent_until_made(&relay, begin_ms, 0);
        static const int64_t gaps_ms[] = { 5000, 10000, 20000, 30000, 30000 };
        gap_ms = made_ms - begin_ms;
        cr_expect(gap_ms >= gaps_ms[i] && gap_ms < gaps_ms[i] + 1000, "%d: %lld", i,
                  (long long)gap_ms);
        cr_expect(strstr(relay.reason, "acknowledges nothing"), "%s", relay.reason);
        make_anew(&relay, made_ms);
        begin_ms = made_ms;
    }
    cr_expect_eq(relay.remade, 5);
    const int64_t later_ms = silent_until_made(&relay, begin_ms + 90000, 0);
    make_anew(&relay, later_ms);
    cr_expect_eq(relay.silent_wait_ms, 10000, "after a long time without, the first is soon again");
}

Test(relay_silent, F20_a_stream_that_answers_anything_is_not_silent)
{
    struct relay relay;
    relay_init(&relay, &config, 21);
    relay_connected(&relay, 1000);
    int64_t now_ms = 1000;
    for (; now_ms < 4000; now_ms += 10)
        if (relay_next(&relay, now_ms).kind == RELAY_ASK)
            relay_looked(&relay, &equal_20, now_ms);
    cr_assert_eq(relay.silent_at, 20);
    const int64_t made_ms = silent_until_made(&relay, now_ms, 1);
    cr_expect(made_ms >= 4000 + 5000, "it counts from the refusal: %lld", (long long)made_ms);
    relay_disconnected(&relay);
    cr_expect_eq(relay.silent_since_ms, 0, "a server that went may be well when it comes back");
}
