/* Peer: who of several instances serves, step by step. */
#include <criterion/criterion.h>
#include <string.h>
#include "runtime/sync/peer.h"

/* All that it wants to do now, as letters: a ask, w show, s serve, b stand by, k step back,
 * d deserted, l leave, r return. */
static const char *act(struct peer *peer, int64_t now_ms)
{
    static char letters[16];
    static const char names[] = "-awsbdklr";
    int length = 0;
    enum peer_action_kind action;
    while ((action = peer_next(peer, now_ms, 1000000 + now_ms)) != PEER_NOTHING && length < 15)
        letters[length++] = names[action];
    letters[length] = '\0';
    return letters;
}

static void hear(struct peer *peer, const char *id, enum peer_role role, int64_t published,
                 int64_t now_ms)
{
    const struct peer_answer answer = {
        .id = id, .role = role, .published = published, .since_ms = 1000000
    };
    peer_answered(peer, &answer, 10, now_ms);
}

static struct peer connected(const char *id)
{
    struct peer peer;
    peer_init(&peer, &peer_defaults, id);
    peer_connected(&peer, 0);
    cr_assert_str_eq(act(&peer, 0), "a");
    return peer;
}

static struct peer serving(const char *id)
{
    struct peer peer = connected(id);
    peer_alone(&peer, 1);
    cr_assert_str_eq(act(&peer, 1), "wa");
    hear(&peer, id, PEER_CANDIDATE, 0, 2);
    cr_assert_str_eq(act(&peer, 22), "s");
    cr_assert_eq(peer_role(&peer), PEER_SERVES);
    return peer;
}

Test(peer, alone_it_serves_after_two_questions)
{
    struct peer peer = serving("M");
    cr_expect(peer.since_ms == 1000022 && peer_due_ms(&peer) <= 1000);
}

Test(peer, one_that_knows_of_nobody_else_is_not_asked)
{
    struct peer peer;
    peer_init(&peer, &peer_defaults, NULL);
    peer_connected(&peer, 0);
    cr_expect_eq(peer_role(&peer), PEER_SERVES);
    cr_expect_str_eq(act(&peer, 0), "");
    cr_expect_eq(peer_due_ms(&peer), INT64_MAX);
}

Test(peer, a_second_stands_by_and_does_not_take_the_place_of_the_first)
{
    struct peer peer = connected("M");
    hear(&peer, "Z", PEER_SERVES, 10, 3);
    cr_expect_str_eq(act(&peer, 3), "wb");
    cr_expect_str_eq(peer.other, "Z");
    int64_t now_ms = 3;
    for (int round = 0; round < 5; round++) { /* it is there: never serves */
        now_ms += 500;
        cr_assert_str_eq(act(&peer, now_ms), "a");
        hear(&peer, "Z", PEER_SERVES, 10, now_ms + 1);
        cr_assert_str_eq(act(&peer, now_ms + 300), "");
    }
    for (int round = 1; round <= 10; round++) { /* it is gone: that is said once */
        now_ms += 500;
        cr_assert_str_eq(act(&peer, now_ms), "a");
        cr_assert_str_eq(act(&peer, now_ms + 300), round == 3 ? "d" : "");
        cr_assert_eq(peer.state, PEER_STANDBY);
    }
    hear(&peer, "Y", PEER_SERVES, 10, now_ms + 301); /* it has come back */
    for (int round = 1; round <= 3; round++) {
        now_ms += 500;
        cr_assert_str_eq(act(&peer, now_ms), "a");
        cr_assert_str_eq(act(&peer, now_ms + 300), round == 3 ? "d" : "");
    }
    cr_expect_str_eq(peer.other, "Y");
}

Test(peer, a_frozen_one_is_not_waited_for)
{
    struct peer peer = connected("M");
    cr_expect_str_eq(act(&peer, 299), "");
    cr_expect_str_eq(act(&peer, 300), "wa");
    cr_expect_str_eq(act(&peer, 600), "s");
}

Test(peer, of_two_that_start_together_one_serves)
{
    struct peer low = connected("A"), high = connected("B");
    peer_alone(&low, 1);
    peer_alone(&high, 1);
    cr_assert_str_eq(act(&low, 1), "wa");
    cr_assert_str_eq(act(&high, 1), "wa");
    hear(&low, "B", PEER_CANDIDATE, 0, 2);
    hear(&high, "A", PEER_CANDIDATE, 0, 2);
    int64_t now_ms = 2;
    while (low.state != PEER_SERVING && high.state != PEER_SERVING && now_ms < 10000) {
        now_ms += 10;
        const _Bool low_asks = strchr(act(&low, now_ms), 'a') != NULL,
                    high_asks = strchr(act(&high, now_ms), 'a') != NULL;
        if (low_asks)
            hear(&low, "B", peer_role(&high), 0, now_ms);
        if (high_asks)
            hear(&high, "A", peer_role(&low), 0, now_ms);
    }
    cr_expect(low.state == PEER_SERVING && high.state == PEER_STANDBY && now_ms < 5000);
}

Test(peer, of_two_that_serve_the_one_that_is_behind_steps_back)
{
    struct peer peer = serving("M");
    hear(&peer, "Z", PEER_SERVES, 9, 100); /* it is behind our 10 */
    cr_expect_str_eq(act(&peer, 100), "");
    cr_expect_str_eq(peer.rival, "Z");
    hear(&peer, "Z", PEER_SERVES, 11, 101);
    cr_expect_str_eq(act(&peer, 101), "k");
    cr_expect_str_eq(act(&peer, 102), ""); /* once */
    peer = serving("M");
    hear(&peer, "Z", PEER_SERVES, 10, 100); /* as far as we, and serves since before us */
    cr_expect_str_eq(act(&peer, 100), "k");
    peer = serving("M");
    hear(&peer, "M", PEER_SERVES, 99, 100); /* that is our own answer */
    cr_expect_str_eq(act(&peer, 100), "");
}

Test(peer, one_that_was_frozen_or_cut_off_asks_at_once)
{
    struct peer peer = serving("M");
    act(&peer, 600);
    hear(&peer, "M", PEER_SERVES, 10, 601);
    act(&peer, 2000);
    cr_expect_str_eq(act(&peer, 9000), "a");
    peer = serving("M");
    act(&peer, 600);
    peer_disconnected(&peer);
    cr_expect_eq(peer.state, PEER_SERVING);
    peer_connected(&peer, 700);
    cr_expect_str_eq(act(&peer, 700), "a");
}

Test(peer, a_forked_one_answers_only_while_nobody_else_is_there)
{
    struct peer peer = serving("M");
    peer_forked(&peer, 100);
    cr_expect_str_eq(act(&peer, 100), "la");
    hear(&peer, "Z", PEER_IS_OUT, 10, 101); /* forked as well */
    cr_expect_str_eq(act(&peer, 400), "r");
    cr_expect_str_eq(act(&peer, 600), "a");
    hear(&peer, "Y", PEER_STANDS_BY, 10, 601);
    cr_expect_str_eq(act(&peer, 900), "l");
    cr_expect_eq(peer_role(&peer), PEER_IS_OUT);
}

/* A stream that is just made anew has none of it. */
Test(peer, it_learns_how_far_the_stream_went)
{
    struct peer peer = connected("M");
    struct peer_answer answer = { .id = "L", .role = PEER_SERVES, .published = 3, .seen = 98 };
    peer_answered(&peer, &answer, 0, 5);
    answer.seen = 12;
    peer_answered(&peer, &answer, 0, 600);
    answer.role = PEER_IS_OUT;
    answer.seen = 200;
    peer_answered(&peer, &answer, 0, 700);
    cr_expect(peer.state == PEER_STANDBY && peer.seen == 98 && strcmp(peer.seen_by, "L") == 0);
}

/* Started alone, its claim came too late: what others see of it is a standby. */
Test(peer, one_that_is_led_after_all_stands_by)
{
    struct peer peer = serving("M");
    peer_follow(&peer, "L", 100);
    cr_expect_str_eq(act(&peer, 100), "b");
    cr_expect(peer_role(&peer) == PEER_STANDS_BY && strcmp(peer.other, "L") == 0);
    cr_expect_eq(peer.since_ms, 0);
}

Test(peer, an_answer_without_a_role_is_of_one_that_serves)
{
    cr_expect_eq(peer_role_of(NULL), PEER_SERVES);
    cr_expect_eq(peer_role_of("something new"), PEER_SERVES);
    cr_expect_eq(peer_role_of("standby"), PEER_STANDS_BY);
}
