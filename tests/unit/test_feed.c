/* Feed: what it does with what it finds, and a random walk against a model of a durable and its stream. */
#include "runtime/feed.h"
#include <criterion/criterion.h>
#include <string.h>

static struct feed feed_asking(int64_t cursor)
{
    struct feed feed;
    feed_init(&feed, &feed_defaults, cursor);
    feed_connected(&feed);
    cr_assert_eq(feed_next(&feed, 0).kind, FEED_ASK);
    cr_assert_eq(feed_next(&feed, 0).kind, FEED_NOTHING);
    return feed;
}

Test(feed, what_it_finds_decides_what_it_does)
{
    static const struct {
        const char *name;
        int64_t cursor;
        struct feed_info info;
        enum feed_state state;
        enum feed_action_kind next;
    } cases[] = {
        { "no stream yet", 0, { 0 }, FEED_WAITING, FEED_NOTHING },
        { "no durable", 3, { .stream_exists = 1, .last_sequence = 5, .last_position = 5 }, FEED_MAKING, FEED_MAKE_DURABLE },
        { "all well", 3, { .stream_exists = 1, .last_sequence = 5, .last_position = 5, .durable_exists = 1, .acked_sequence = 3, .delivered_sequence = 3, .pending = 2 },
          FEED_PULLING, FEED_PULL },
        { "durable ahead of us", 3, { .stream_exists = 1, .last_sequence = 5, .last_position = 5, .durable_exists = 1, .acked_sequence = 4, .delivered_sequence = 4, .pending = 1 },
          FEED_MAKING, FEED_DELETE_DURABLE },
        { "durable ahead of its stream", 3, { .stream_exists = 1, .last_sequence = 3, .last_position = 3, .durable_exists = 1, .acked_sequence = 3, .delivered_sequence = 9 },
          FEED_MAKING, FEED_DELETE_DURABLE },
        { "deliveries of an earlier life", 3, { .stream_exists = 1, .last_sequence = 5, .last_position = 5, .durable_exists = 1, .acked_sequence = 3, .delivered_sequence = 5, .ack_pending = 2 },
          FEED_MAKING, FEED_DELETE_DURABLE },
        { "nothing to come although there is", 3, { .stream_exists = 1, .last_sequence = 5, .last_position = 5, .durable_exists = 1 },
          FEED_MAKING, FEED_DELETE_DURABLE },
        { "at the end", 5, { .stream_exists = 1, .last_sequence = 5, .last_position = 5, .durable_exists = 1, .acked_sequence = 5, .delivered_sequence = 5 },
          FEED_PULLING, FEED_PULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct feed feed = feed_asking(cases[i].cursor);
        feed_info(&feed, &cases[i].info, 1);
        struct feed_action action = feed_next(&feed, 1);
        cr_expect_eq(feed.state, cases[i].state, "%s: %s", cases[i].name, feed_state_name(feed.state));
        cr_expect_eq(action.kind, cases[i].next, "%s: action %d", cases[i].name, action.kind);
        if (action.kind == FEED_MAKE_DURABLE)
            cr_expect_eq(action.sequence, cases[i].cursor + 1);
    }
}

static struct feed feed_pulling(int64_t cursor)
{
    struct feed feed = feed_asking(cursor);
    feed_info(&feed, &(struct feed_info){ .stream_exists = 1, .durable_exists = 1, .last_sequence = cursor, .last_position = cursor,
                                          .acked_sequence = cursor, .delivered_sequence = cursor }, 0);
    cr_assert_eq(feed.state, FEED_PULLING);
    return feed;
}

Test(feed, a_gap_is_fetched_from_the_leader_and_the_durable_made_anew)
{
    struct feed feed = feed_pulling(3);
    cr_assert_eq(feed_next(&feed, 0).kind, FEED_PULL);
    feed_delivered(&feed, 1, 10, 0, 1);
    feed_gap(&feed, feed.epoch, 10, 1);
    feed_settled(&feed, 1, 3, 1);
    struct feed_action fill = feed_next(&feed, 1);
    cr_assert(feed.state == FEED_FILLING && fill.kind == FEED_FILL && fill.position == 3);
    for (int64_t p = 4; p <= 9; p++)
        feed_delivered(&feed, 1, p, 0, 2);
    feed_filled(&feed, 12, 2);
    feed_settled(&feed, 6, 9, 3);
    cr_assert(feed.state == FEED_ASKING && feed.leader_position == 12);
    cr_assert_eq(feed_next(&feed, 3).kind, FEED_ASK);
    feed_info(&feed, &(struct feed_info){ .stream_exists = 1, .durable_exists = 1, .last_sequence = 12, .last_position = 12, .pending = 3 }, 3);
    cr_assert_eq(feed_next(&feed, 3).kind, FEED_DELETE_DURABLE);
    feed_made(&feed, 3);
    struct feed_action make = feed_next(&feed, 3);
    cr_assert(make.kind == FEED_MAKE_DURABLE && make.sequence == 10);
}

Test(feed, a_leader_that_is_away_is_asked_again)
{
    struct feed feed = feed_pulling(3);
    feed_gap(&feed, feed.epoch, 10, 1);
    cr_assert_eq(feed_next(&feed, 1).kind, FEED_FILL);
    feed_failed(&feed, "the leader is away", 2);
    cr_assert_eq(feed.state, FEED_WAITING);
    cr_assert_eq(feed_next(&feed, feed_due_ms(&feed)).kind, FEED_FILL);
}

Test(feed, silence_while_pulling_makes_it_ask)
{
    struct feed feed = feed_pulling(3);
    cr_assert_eq(feed_next(&feed, 0).kind, FEED_PULL);
    feed_heartbeat(&feed, 1000);
    cr_assert_eq(feed_next(&feed, 3900).kind, FEED_NOTHING);
    cr_assert_eq(feed_next(&feed, feed_due_ms(&feed)).kind, FEED_ASK);
}

Test(feed, a_window_bounds_what_is_not_settled)
{
    struct feed feed = feed_pulling(0);
    int64_t asked = 0;
    struct feed_action action;
    for (int64_t p = 1; p <= 10000; p++) {
        while ((action = feed_next(&feed, 0)).kind == FEED_PULL)
            asked += action.count;
        if (asked == 0)
            break;
        asked--;
        feed_delivered(&feed, 1, p, 10000 - p, 0);
        cr_assert(feed.unsettled <= feed_defaults.window_max);
    }
    cr_assert(feed.unsettled > feed_defaults.window_max / 2, "%lld", (long long)feed.unsettled);
    feed_settled(&feed, feed.unsettled, feed.unsettled, 1);
    cr_assert_eq(feed_next(&feed, 1).kind, FEED_PULL);
}

Test(feed, freshness_is_known_only_when_nothing_is_missing)
{
    struct feed feed = feed_pulling(3);
    cr_assert_eq(feed.complete_ms, 0);
    feed_heartbeat(&feed, 50);
    cr_assert_eq(feed.complete_ms, 50);
    feed_next(&feed, 50);
    feed_delivered(&feed, 1, 4, 5, 60);
    feed_settled(&feed, 1, 4, 70);
    feed_heartbeat(&feed, 80);
    cr_assert_eq(feed.complete_ms, 50);                  /* five more are known to come */
    for (int64_t p = 5; p <= 9; p++)
        feed_delivered(&feed, 1, p, 9 - p, 90);
    feed_settled(&feed, 5, 9, 100);
    cr_assert_eq(feed.complete_ms, 100);
}

/* ---- A random walk --------------------------------------------------------------------------- */

struct world {
    unsigned seed;
    int64_t log;                                         /* the leader's newest position */
    int64_t stream_first, stream_last;                   /* sequence = position */
    _Bool durable;
    int64_t delivered, acked;
    int64_t asked;                                       /* by pulls */
    int64_t cursor;                                      /* ours, committed */
};

static unsigned draw(struct world *world, unsigned below)
{
    world->seed = world->seed * 1664525u + 1013904223u;
    return (world->seed >> 8) % below;
}

static void settle(struct world *world, struct feed *feed, int64_t epoch, int64_t position, int64_t now)
{
    if (position == world->cursor + 1)
        world->cursor++;
    else if (position > world->cursor)
        feed_gap(feed, epoch, position, now);
    feed_settled(feed, 1, world->cursor, now);
}

static void carry_out(struct world *world, struct feed *feed, const struct feed_action *action, int64_t now)
{
    if (draw(world, 20) == 0)
        return;                                          /* the answer is lost */
    switch (action->kind) {
    case FEED_ASK:
        feed_info(feed, &(struct feed_info){
            .stream_exists = 1, .last_sequence = world->stream_last, .last_position = world->stream_last,
            .durable_exists = world->durable, .acked_sequence = world->acked, .delivered_sequence = world->delivered,
            .pending = world->stream_last > world->delivered ? world->stream_last - world->delivered : 0,
            .ack_pending = world->delivered - world->acked }, now);
        break;
    case FEED_DELETE_DURABLE: world->durable = 0; world->asked = 0; feed_made(feed, now); break;
    case FEED_MAKE_DURABLE:
        world->durable = 1;
        world->delivered = world->acked = action->sequence - 1;
        feed_made(feed, now);
        break;
    case FEED_PULL: world->asked += action->count; break;
    case FEED_FILL:
        for (int64_t p = action->position + 1; p <= world->log && p <= action->position + 7; p++) {
            feed_delivered(feed, 1, p, 0, now);
            settle(world, feed, feed->epoch, p, now);
        }
        feed_filled(feed, world->log, now);
        break;
    case FEED_NOTHING: break;
    }
}

static void deliver(struct world *world, struct feed *feed, int64_t now)
{
    if (!world->durable)
        return;
    if (world->delivered + 1 < world->stream_first)
        world->delivered = world->stream_first - 1;      /* retention dropped what was not read */
    while (world->asked > 0 && world->delivered < world->stream_last) {
        int64_t epoch = feed->epoch;
        world->asked--;
        world->delivered++;
        feed_delivered(feed, 1, world->delivered, world->stream_last - world->delivered, now);
        if (draw(world, 200) == 0) {
            feed_settled(feed, 1, world->cursor, now);   /* the loop could not write */
            feed_reset(feed, "drawn", now);
            continue;
        }
        settle(world, feed, epoch, world->delivered, now);
        if (feed->epoch == epoch)
            world->acked = world->delivered;
    }
}

static void hurt(struct world *world, struct feed *feed)
{
    unsigned span = (unsigned)(world->stream_last - world->stream_first + 2);
    switch (draw(world, 5)) {
    case 0: feed_disconnected(feed); world->asked = 0; feed_connected(feed); break;
    case 1: world->durable = 0; world->asked = 0; break;
    case 2: world->stream_first += draw(world, span); break;   /* retention */
    case 3:                                              /* the stream goes back; the durable does not notice */
        world->stream_last -= draw(world, span);
        break;
    default: world->asked = 0; break;                    /* a pull is lost */
    }
}

Test(feed, a_random_walk_ends_at_the_end_of_the_leaders_log)
{
    for (unsigned seed = 1; seed <= 300; seed++) {
        struct world world = { .seed = seed, .stream_first = 1 };
        struct feed feed;
        int64_t now = 0;
        feed_init(&feed, &feed_defaults, 0);
        feed_connected(&feed);
        for (int i = 0; i < 600; i++) {
            _Bool calm = i > 300;
            if (!calm)
                world.log += draw(&world, 5);
            world.stream_last = world.log;               /* the leader's relay has healed it by now */
            if (!calm && draw(&world, 10) == 0)
                hurt(&world, &feed);
            struct feed_action action;
            for (int n = 0; n < 8 && (action = feed_next(&feed, now)).kind != FEED_NOTHING; n++)
                carry_out(&world, &feed, &action, now);
            deliver(&world, &feed, now);
            int64_t due = feed_due_ms(&feed);
            now = due > now && due < now + 60000 ? due : now + 1;
        }
        cr_assert(world.cursor == world.log && feed.unsettled == 0, "seed %u: %s, cursor %lld of %lld", seed, feed_state_name(feed.state),
                  (long long)world.cursor, (long long)world.log);
    }
}
