/* The feed's random walk: the machine against a model of a leader, its stream, a durable and the
 * loop, behind a slow network, drawn from a seed.
 *
 * Faults: connections that break; answers and deliveries that are lost; the durable deleted; the
 * stream deleted, set back, with its head expired, with something foreign or a forged event in the
 * place of an event, with a forged event at its end, or with repeats; the leader away; a loop that
 * stands still or cannot write; our own database restored from an older copy, while the durable
 * stays where it was. Checked all the time: what is not settled is bounded, and the machine comes
 * to rest within each step. Checked after the last fault: within a minute of model time the cursor
 * is at the leader's end. */
#include <criterion/criterion.h>
#include <string.h>
#include "runtime/sync/feed.h"

#define EVENTS_MAX 4000
#define SEQUENCES_MAX 9000
#define QUEUE_MAX 3000
#define PULLS_MAX 64
#define FORGED 1000000 /* added to the position that a forged event claims */

static const struct feed_config config = {
    .window_max = 40,
    .pull_batch = 10,
    .pull_expires_ms = 500,
    .heartbeat_ms = 100,
    .answer_timeout_ms = 300,
    .backoff_min_ms = 10,
    .backoff_max_ms = 200,
    .fill_limit = 7,
    .idle_rounds_max = 2,
};

struct packet { /* on its way to the server or the leader, or back */
    enum {
        ASK,
        COMPARE,
        DELETE,
        MAKE,
        PULL,
        FILL,
        ACK,
        INFO,
        COMPARED,
        MADE,
        FAILED,
        DELIVERY,
        HEARTBEAT,
        ENDED,
        REFUSED,
        PAGE
    } kind;
    int64_t epoch, due_ms;
    int64_t pull, count, sequence, position, pending;
    struct feed_info info;
};
struct queue {
    struct packet at[QUEUE_MAX];
    int first, count;
};

struct item {
    int64_t epoch, position, sequence; /* sequence 0: of a page */
    _Bool is_forged;                   /* its chain follows nothing */
};

struct world {
    uint64_t random;
    int64_t now_ms, connect_at_ms, leader_back_ms, loop_goes_on_ms, cursor;
    _Bool connected, calm;
    int64_t log; /* the leader's newest position */
    _Bool stream_exists, is_durable;
    int64_t first, last, delivered, acked;
    int64_t at[SEQUENCES_MAX + 1]; /* position by sequence; 0: gone, -1: foreign, FORGED… */
    struct {
        int64_t epoch, number, left, expires_ms, heartbeat_ms;
    } pulls[PULLS_MAX];
    struct queue out, in;
    struct item inbox[QUEUE_MAX];
    int inbox_length;
    struct feed feed;
};

static int64_t draw(struct world *world, int64_t below)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (int64_t)(world->random % (uint64_t)below);
}

static _Bool one_in(struct world *world, int64_t times)
{
    return draw(world, times) == 0;
}

static void put(struct world *world, struct queue *queue, struct packet packet)
{
    if (!world->calm && one_in(world, 150))
        return;
    cr_assert_lt(queue->count, QUEUE_MAX);
    packet.due_ms = world->now_ms + 1 + draw(world, 6);
    if (queue->count > 0) { /* a connection keeps the order */
        const struct packet *before = &queue->at[(queue->first + queue->count - 1) % QUEUE_MAX];
        if (before->due_ms > packet.due_ms)
            packet.due_ms = before->due_ms;
    }
    queue->at[(queue->first + queue->count++) % QUEUE_MAX] = packet;
}

static struct packet take_first(struct queue *queue)
{
    struct packet packet = queue->at[queue->first];
    queue->first = (queue->first + 1) % QUEUE_MAX;
    queue->count--;
    return packet;
}

/* ---- The stream and its durable ------------------------------------------------------------- */

static void delete_durable(struct world *world)
{
    world->is_durable = 0;
    memset(world->pulls, 0, sizeof(world->pulls)); /* an old server does not report it */
}

static void delete_stream(struct world *world)
{
    world->stream_exists = 0;
    world->first = world->last = 0;
    memset(world->at, 0, sizeof(world->at));
    delete_durable(world);
}

/* What the leader's relay does: it goes on after the last message, or makes the stream anew. */
static void republish(struct world *world)
{
    if (world->stream_exists && world->last > 0 &&
        (world->at[world->last] <= 0 || world->at[world->last] >= FORGED))
        delete_stream(world);
    if (!world->stream_exists) {
        world->stream_exists = 1;
        world->first = 1;
    }
    for (int64_t p = world->last > 0 ? world->at[world->last] + 1 : 1; p <= world->log; p++)
        world->at[++world->last] = p;
}

static int64_t pending(const struct world *world)
{
    int64_t count = 0;
    for (int64_t s = world->delivered + 1; s <= world->last; s++)
        count += world->at[s] != 0;
    return count;
}

static void look(const struct world *world, struct feed_info *ret_info)
{
    *ret_info = (struct feed_info){ .stream_exists = world->stream_exists };
    if (!world->stream_exists)
        return;
    ret_info->last_sequence = world->last;
    ret_info->last_position = world->last >= world->first && world->last > 0 &&
                                      world->at[world->last] > 0
                                  ? world->at[world->last]
                                  : 0;
    if (ret_info->last_position >= FORGED) {
        ret_info->last_position -= FORGED;
        ret_info->last_differs = ret_info->last_position == world->cursor;
    }
    ret_info->durable_exists = world->is_durable;
    if (!world->is_durable)
        return;
    ret_info->acked_sequence = world->acked;
    ret_info->delivered_sequence = world->delivered;
    ret_info->ack_pending = world->delivered - world->acked;
    ret_info->pending = pending(world);
}

static void start_pull(struct world *world, const struct packet *request)
{
    for (int i = 0; i < PULLS_MAX; i++)
        if (world->pulls[i].left == 0) {
            world->pulls[i].epoch = request->epoch;
            world->pulls[i].number = request->pull;
            world->pulls[i].left = request->count;
            world->pulls[i].expires_ms = world->now_ms + config.pull_expires_ms;
            world->pulls[i].heartbeat_ms = world->now_ms + config.heartbeat_ms;
            return;
        }
    cr_assert_fail("more than %d pulls are open", PULLS_MAX);
}

static void serve(struct world *world, const struct packet *request)
{
    struct packet answer = {
        .kind = MADE, .epoch = request->epoch, .pull = request->pull, .position = request->position
    };
    switch (request->kind) {
    case ASK:
        answer.kind = INFO;
        look(world, &answer.info);
        break;
    case COMPARE: answer.kind = world->now_ms < world->leader_back_ms ? FAILED : COMPARED; break;
    case DELETE:  delete_durable(world); break;
    case MAKE:
        answer.kind = world->stream_exists && !world->is_durable ? MADE : FAILED;
        if (answer.kind == MADE) {
            world->is_durable = 1;
            world->delivered = world->acked = request->sequence - 1 < world->last
                                                  ? request->sequence - 1
                                                  : world->last;
        }
        break;
    case PULL:
        answer.kind = REFUSED;
        if (world->is_durable) {
            start_pull(world, request);
            return;
        }
        break;
    case FILL: answer.kind = world->now_ms < world->leader_back_ms ? FAILED : PAGE; break;
    default:
        if (world->is_durable && request->sequence > world->acked)
            world->acked = request->sequence;
        return;
    }
    put(world, &world->in, answer);
}

static void deliver(struct world *world)
{
    for (int i = 0; i < PULLS_MAX; i++) {
        while (world->pulls[i].left > 0 && world->is_durable && world->delivered < world->last &&
               !one_in(world, 5)) {
            int64_t sequence = ++world->delivered;
            if (sequence < world->first || world->at[sequence] == 0)
                continue;
            world->pulls[i].left--;
            put(world, &world->in,
                (struct packet){ .kind = DELIVERY,
                                 .epoch = world->pulls[i].epoch,
                                 .pull = world->pulls[i].number,
                                 .sequence = sequence,
                                 .position = world->at[sequence],
                                 .pending = pending(world) });
        }
        if (world->pulls[i].left == 0)
            continue;
        if (world->now_ms >= world->pulls[i].expires_ms) {
            world->pulls[i].left = 0;
            put(world, &world->in,
                (struct packet){ .kind = ENDED,
                                 .epoch = world->pulls[i].epoch,
                                 .pull = world->pulls[i].number });
        } else if (world->now_ms >= world->pulls[i].heartbeat_ms) {
            world->pulls[i].heartbeat_ms = world->now_ms + config.heartbeat_ms;
            put(world, &world->in,
                (struct packet){ .kind = HEARTBEAT, .epoch = world->pulls[i].epoch });
        }
    }
}

/* ---- Sender and loop ----------------------------------------------------------------------- */

static void push(struct world *world, int64_t position, int64_t sequence)
{
    cr_assert_lt(world->inbox_length, QUEUE_MAX);
    const _Bool is_forged = position >= FORGED;
    world->inbox[world->inbox_length++] =
        (struct item){ .epoch = world->feed.epoch,
                       .position = position - (is_forged ? FORGED : 0),
                       .sequence = sequence,
                       .is_forged = is_forged };
}

static void hear(struct world *world, const struct packet *answer)
{
    struct feed *feed = &world->feed;
    int64_t now_ms = world->now_ms, pages = 0;
    if (answer->kind == DELIVERY) { /* as in the sender: a delivery does not name its epoch */
        feed_delivered(feed, 1, answer->position > 0 ? answer->position % FORGED : 0,
                       answer->pending, now_ms);
        if (answer->position > 0)
            push(world, answer->position, answer->sequence);
        else
            feed_settled(feed, 1, feed->cursor, now_ms);
    } else if (answer->kind == HEARTBEAT) {
        feed_heartbeat(feed, now_ms);
    } else if (answer->epoch == feed->epoch) {
        switch (answer->kind) {
        case INFO: feed_looked(feed, &answer->info, now_ms); break;
        case COMPARED:
            feed_compared(
                feed, answer->position <= world->log ? FEED_LEADER_AGREES : FEED_LEADER_IS_SHORTER,
                world->log, now_ms);
            break;
        case MADE:    feed_made(feed, now_ms); break;
        case ENDED:   feed_pull_ended(feed, answer->pull, 0, now_ms); break;
        case REFUSED: feed_pull_ended(feed, answer->pull, 1, now_ms); break;
        case PAGE:
            for (int64_t p = answer->position + 1; p <= world->log && pages < config.fill_limit;
                 p++, pages++) {
                feed_delivered(feed, 1, p, 0, now_ms);
                push(world, p, 0);
            }
            if (pages > 0)
                feed_filled(feed, world->log, now_ms);
            else
                feed_not_filled(feed);
            break;
        default: feed_failed(feed, "failed", now_ms); break;
        }
    }
}

/* A batch: events that follow are applied (rule 3), or none when the disk fails. */
static void run_loop(struct world *world)
{
    struct feed *feed = &world->feed;
    int count = (int)draw(world, 12), rest = world->inbox_length - count;
    int64_t newest = 0;
    if (world->now_ms < world->loop_goes_on_ms || count == 0 || world->inbox_length == 0)
        return;
    if (rest < 0) {
        count = world->inbox_length;
        rest = 0;
    }
    _Bool aborted = !world->calm && one_in(world, 100);
    for (int i = 0; i < count && !aborted; i++) {
        const struct item *item = &world->inbox[i];
        const int64_t ahead = item->position - world->cursor;
        if (item->is_forged && item->position > 0 && (ahead == 0 || ahead == 1)) {
            feed_differs(feed, item->epoch, item->position);
            continue;
        }
        if (item->position == world->cursor + 1)
            world->cursor++;
        else if (item->position > world->cursor && item->sequence > 0)
            feed_gap(feed, item->epoch, item->position, world->now_ms);
        if (item->position <= world->cursor && item->sequence > 0 && item->epoch == feed->epoch)
            newest = item->sequence;
    }
    memmove(world->inbox, world->inbox + count, sizeof(*world->inbox) * (size_t)rest);
    world->inbox_length = rest;
    if (newest > 0 && world->connected)
        put(world, &world->out, (struct packet){ .kind = ACK, .sequence = newest });
    if (aborted)
        feed_reset(feed, "the loop could not write", world->now_ms);
    feed_settled(feed, count, world->cursor, world->now_ms);
}

static void act(struct world *world)
{
    static const int kinds[] = {
        [FEED_ASK] = ASK,           [FEED_COMPARE] = COMPARE, [FEED_DELETE_DURABLE] = DELETE,
        [FEED_MAKE_DURABLE] = MAKE, [FEED_PULL] = PULL,       [FEED_FILL] = FILL,
    };
    struct feed_action action;
    int actions = 0;
    while ((action = feed_next(&world->feed, world->now_ms)).kind != FEED_NOTHING) {
        cr_assert_lt(actions++, 4, "no rest in state %s", feed_state_name(world->feed.state));
        put(world, &world->out,
            (struct packet){ .kind = kinds[action.kind],
                             .epoch = action.epoch,
                             .pull = action.pull,
                             .count = action.count,
                             .sequence = action.sequence,
                             .position = action.position });
    }
    cr_assert_geq(world->feed.unsettled, 0);
    cr_assert_leq(world->feed.unsettled, 4 * config.window_max);
    if (!world->connected)
        world->out.count = 0; /* the bus refuses to send */
}

/* ---- Faults --------------------------------------------------------------------------------- */

static void disconnect(struct world *world, int64_t for_ms)
{
    if (!world->connected)
        return;
    for (int64_t n = draw(world, world->out.count + 1); n > 0; n--) {
        struct packet request = take_first(&world->out);
        serve(world, &request);
    }
    world->out.count = world->in.count = 0;
    memset(world->pulls, 0, sizeof(world->pulls)); /* their inbox is gone */
    world->connected = 0;
    world->connect_at_ms = world->now_ms + for_ms;
    feed_disconnected(&world->feed);
}

static void hurt_stream(struct world *world)
{
    int64_t span = world->last - world->first + 1, foreign;
    if (span < 1)
        return;
    switch (draw(world, 7)) {
    case 0: /* deleted; the leader makes it anew */ delete_stream(world); break;
    case 1: world->last -= draw(world, span) / 2; break;
    case 2:
        for (int64_t n = draw(world, span); n > 1; n--)
            world->at[world->first++] = 0;
        break;
    case 3:
        foreign = world->first + draw(world, span);
        if (foreign < world->last)
            world->at[foreign] = -1;
        break;
    case 4:
        foreign = world->first + draw(world, span);
        world->at[foreign] = FORGED + 1 + draw(world, world->log + 5);
        break;
    case 5:
        if (world->last < SEQUENCES_MAX)
            world->at[++world->last] = FORGED + world->cursor + draw(world, 4);
        break;
    default: /* repeats of the newest */
        for (int64_t n = draw(world, 5), from = world->at[world->last] - n + 1;
             n > 0 && from > 0 && from <= world->log && world->last < SEQUENCES_MAX; n--)
            world->at[++world->last] = from++;
    }
}

static void hurt(struct world *world)
{
    switch (draw(world, 8)) {
    case 0: disconnect(world, draw(world, 800)); break;
    case 1: delete_durable(world); break;
    case 2: world->leader_back_ms = world->now_ms + draw(world, 2000); break;
    case 3: world->loop_goes_on_ms = world->now_ms + draw(world, 1500); break;
    case 4: /* our database is restored from an older copy */
        disconnect(world, 5);
        world->cursor -= draw(world, world->cursor + 1) / 4;
        world->inbox_length = 0;
        feed_init(&world->feed, &config, world->cursor);
        break;
    default: hurt_stream(world); break;
    }
}

/* ---- The walk ------------------------------------------------------------------------------- */

static void step(struct world *world)
{
    world->now_ms += 1 + draw(world, 10);
    if (!world->connected && world->now_ms >= world->connect_at_ms) {
        world->connected = 1;
        feed_connected(&world->feed);
    }
    if (world->calm || one_in(world, 10))
        republish(world);
    while (world->out.count > 0 && world->out.at[world->out.first].due_ms <= world->now_ms) {
        struct packet request = take_first(&world->out);
        serve(world, &request);
    }
    if (world->connected)
        deliver(world);
    while (world->in.count > 0 && world->in.at[world->in.first].due_ms <= world->now_ms) {
        struct packet answer = take_first(&world->in);
        hear(world, &answer);
    }
    run_loop(world);
    act(world);
}

static void walk(uint64_t seed)
{
    static struct world world;
    memset(&world, 0, sizeof(world));
    world.random = seed * 0x9e3779b97f4a7c15 | 1;
    feed_init(&world.feed, &config, 0);
    for (int i = 0; i < 1500; i++) {
        step(&world);
        world.log += one_in(&world, 2) ? draw(&world, 4) : 0;
        if (one_in(&world, 50))
            hurt(&world);
    }
    world.calm = 1;
    world.log++; /* so that no foreign message is the last */
    int64_t end_ms = world.now_ms + 60000;
    while (world.now_ms < end_ms &&
           !(world.cursor == world.log && world.feed.cursor == world.log &&
             world.inbox_length == 0 && world.feed.leader_position == world.log &&
             world.feed.state == FEED_PULLING))
        step(&world);
    cr_assert(world.now_ms < end_ms,
              "seed %llu: %s (%s), cursor %lld of %lld, leader %lld, unsettled %lld",
              (unsigned long long)seed, feed_state_name(world.feed.state),
              world.feed.reason ? world.feed.reason : "", (long long)world.cursor,
              (long long)world.log, (long long)world.feed.leader_position,
              (long long)world.feed.unsettled);
    cr_assert_eq(world.feed.unsettled, 0);
}

Test(feed_walk, the_random_walk_ends_at_the_end_of_the_leaders_log)
{
    for (uint64_t seed = 1; seed <= 300; seed++)
        walk(seed);
}
