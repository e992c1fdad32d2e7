/* The relay's random walk: the machine against a model of a server behind a slow network, drawn
 * from a seed.
 *
 * What the model does as real servers were seen to do: requests and answers are late and in order;
 * a pause longer than every time-out, after which all was stored; a connection that breaks with
 * requests on their way, of which a part arrives; answers that are lost; one refusal that fails all
 * behind it; a stream that is full, deleted, purged, that loses its tail, one message, or by an age
 * limit its head; a database restored from an older copy. Checked all the time: the stream never
 * holds what the log does not (I7), and no event out of order (I6). Checked after the last fault:
 * within a minute of model time the stream is whole and equal to the log, and within every step the
 * machine comes to rest. */
#include <criterion/criterion.h>
#include <string.h>
#include "runtime/sync/relay.h"

#define EVENTS_MAX 3000
#define SEQUENCES_MAX 8000
#define QUEUE_MAX 4000
#define WINDOW 40
#define PIECE 16 /* messages that one RECOVER reads */

struct message {
    int64_t position;
    uint64_t chain;
}; /* position 0: it is gone */
struct stream {
    _Bool exists, expires;
    int64_t first, last, capacity;
    struct message at[SEQUENCES_MAX + 1];
};

struct packet { /* on its way to the server, or back */
    enum {
        TO_ASK,
        TO_AUDIT,
        TO_MAKE,
        TO_DELETE,
        TO_RECOVER,
        TO_PUBLISH,
        ACK,
        REFUSAL,
        TAIL,
        AUDITED,
        MADE,
        RECOVERED,
        FAILED
    } kind;
    int64_t epoch, position, sequence, due_ms;
    uint64_t chain;
    struct relay_tail tail;
    uint64_t tail_chain;
};
struct queue {
    struct packet at[QUEUE_MAX];
    int first, count;
};

struct world {
    uint64_t random;
    int64_t now_ms, paused_until_ms, connect_at_ms;
    _Bool connected, answers_get_lost;
    int64_t head, newest; /* of the log; newest: before it was restored from a copy */
    uint64_t chain[EVENTS_MAX + 1];
    struct stream stream;
    struct queue out, in;
    struct relay relay;
};

static const struct relay_config config = {
    .window_max = WINDOW,
    .publish_max = WINDOW / 3,
    .answer_timeout_ms = 400,
    .backoff_min_ms = 10,
    .heal_min_ms = 100,
    .heal_max_ms = 1000,
    .heal_reset_ms = 60000,
    .backoff_max_ms = 500,
    .audit_interval_ms = 700,
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
    cr_assert_lt(queue->count, QUEUE_MAX);
    packet.due_ms = world->now_ms + 1 + draw(world, 8);
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

/* ---- The server ----------------------------------------------------------------------------- */

static void look(const struct stream *stream, struct packet *ret_answer)
{
    struct relay_tail tail = { .exists = stream->exists, .expires = stream->expires };
    if (stream->exists) {
        tail.first_sequence = stream->first;
        tail.last_sequence = stream->last;
        for (int64_t s = stream->first; s <= stream->last; s++) {
            if (!stream->at[s].position) {
                tail.deleted++;
                continue;
            }
            tail.messages++;
            tail.has_last = 1;
            tail.message_sequence = s;
            tail.position = stream->at[s].position;
            ret_answer->tail_chain = stream->at[s].chain;
        }
        if (tail.messages == 0) {
            tail.first_sequence = stream->last > 0 ? stream->last + 1 : 0;
            tail.deleted = 0;
        }
    }
    ret_answer->tail = tail;
}

static void store(struct world *world, const struct packet *request)
{
    struct stream *stream = &world->stream;
    struct packet answer = { .kind = REFUSAL,
                             .epoch = request->epoch,
                             .position = request->position };
    if (stream->exists && stream->last == request->sequence && stream->last < stream->capacity) {
        answer.kind = ACK;
        struct message *before = &stream->at[stream->last];
        if (stream->last >= stream->first && stream->last > 0 && before->position)
            cr_assert_leq(request->position, before->position + 1, "I6: %lld after %lld",
                          (long long)request->position, (long long)before->position);
        cr_assert_leq(request->position, world->newest, "I7");
        cr_assert_eq(request->chain, world->chain[request->position], "I7");
        cr_assert_lt(stream->last, SEQUENCES_MAX);
        stream->at[++stream->last] = (struct message){ .position = request->position,
                                                       .chain = request->chain };
        if (stream->first == 0)
            stream->first = 1;
    }
    if (!world->answers_get_lost || !one_in(world, 60))
        put(world, &world->in, answer);
}

/* Reads a piece of the stream into the log, as the loop does: only events that follow. */
static void recover(struct world *world, const struct packet *request, struct packet *answer)
{
    const struct stream *stream = &world->stream;
    answer->kind = RECOVERED;
    for (int64_t s = request->sequence; s <= stream->last && s < request->sequence + PIECE; s++) {
        const struct message *message = &stream->at[s];
        if (!stream->exists || s < stream->first || !message->position)
            continue;
        cr_assert_leq(message->position, world->head + 1, "the piece leaves something out");
        cr_assert_eq(message->chain, world->chain[message->position]);
        if (message->position == world->head + 1)
            world->head++;
    }
    answer->position = world->head;
    if (world->head == world->relay.head)
        answer->kind = FAILED;
}

static void serve(struct world *world, const struct packet *request)
{
    struct packet answer = { .epoch = request->epoch };
    struct stream *stream = &world->stream;
    switch (request->kind) {
    case TO_PUBLISH: store(world, request); return;
    case TO_ASK:
        answer.kind = TAIL;
        look(stream, &answer);
        break;
    case TO_AUDIT:
        answer.kind = AUDITED;
        look(stream, &answer);
        break;
    case TO_RECOVER: recover(world, request, &answer); break;
    case TO_MAKE:
        answer.kind = MADE;
        if (!stream->exists)
            *stream = (struct stream){ .exists = 1, .capacity = SEQUENCES_MAX };
        break;
    default:
        answer.kind = MADE;
        *stream = (struct stream){ .exists = 0 };
        break;
    }
    if (!world->answers_get_lost || !one_in(world, 60))
        put(world, &world->in, answer);
}

/* ---- The sender ---------------------------------------------------------------------------- */

static void hear(struct world *world, const struct packet *answer)
{
    struct relay *relay = &world->relay;
    struct relay_tail tail = answer->tail;
    if (answer->kind == ACK) {
        relay_acked(relay, answer->epoch, answer->position, world->now_ms);
    } else if (answer->kind == REFUSAL) {
        relay_refused(relay, answer->epoch, "refused", world->now_ms);
    } else if (answer->epoch == relay->epoch) {
        switch (answer->kind) {
        case TAIL:
            tail.fit = tail.position > relay->head                         ? TAIL_AHEAD
                       : answer->tail_chain == world->chain[tail.position] ? TAIL_EQUAL
                                                                           : TAIL_DIFFERENT;
            relay_looked(relay, &tail, world->now_ms);
            break;
        case AUDITED:   relay_audited(relay, &tail, world->now_ms); break;
        case MADE:      relay_made(relay, world->now_ms); break;
        case RECOVERED: relay_recovered(relay, answer->position, world->now_ms); break;
        default:        relay_failed(relay, "failed", world->now_ms); break;
        }
    }
}

static void carry_out(struct world *world, const struct relay_action *action)
{
    static const int kinds[] = {
        [RELAY_ASK] = TO_ASK,
        [RELAY_MAKE_STREAM] = TO_MAKE,
        [RELAY_DELETE_STREAM] = TO_DELETE,
        [RELAY_RECOVER] = TO_RECOVER,
        [RELAY_AUDIT] = TO_AUDIT,
    };
    if (action->kind != RELAY_PUBLISH) {
        put(world, &world->out,
            (struct packet){ .kind = kinds[action->kind],
                             .epoch = action->epoch,
                             .sequence = action->sequence });
        return;
    }
    cr_assert(action->first <= action->last && action->last <= world->head,
              "I7: published before it is committed");
    cr_assert_lt(action->last - action->first, WINDOW);
    for (int64_t p = action->first; p <= action->last; p++)
        put(world, &world->out,
            (struct packet){ .kind = TO_PUBLISH,
                             .epoch = action->epoch,
                             .position = p,
                             .chain = world->chain[p],
                             .sequence = action->sequence + p - action->first });
}

static void act(struct world *world)
{
    struct relay_action action;
    int actions = 0;
    while ((action = relay_next(&world->relay, world->now_ms)).kind != RELAY_NOTHING) {
        cr_assert_lt(actions++, 8, "no rest in state %s", relay_state_name(world->relay.state));
        carry_out(world, &action);
    }
    cr_assert_gt(relay_due_ms(&world->relay), world->now_ms - 1);
}

/* ---- Faults --------------------------------------------------------------------------------- */

static void disconnect(struct world *world, int64_t for_ms)
{
    if (!world->connected)
        return;
    /* what the server had received already */
    for (int64_t n = draw(world, world->out.count + 1); n > 0; n--) {
        struct packet request = take_first(&world->out);
        serve(world, &request);
    }
    world->out.count = world->in.count = 0;
    world->connected = 0;
    world->connect_at_ms = world->now_ms + for_ms;
    relay_disconnected(&world->relay);
}

/* An older copy of the database, and a new process. Only while the stream has the events that the
 * copy lacks. */
static void restore(struct world *world)
{
    const struct stream *stream = &world->stream;
    int64_t count = 1 + draw(world, 40);
    if (!stream->exists || stream->first != 1 || stream->last != world->head || count > world->head)
        return;
    for (int64_t s = 1; s <= stream->last; s++)
        if (stream->at[s].position != s)
            return;
    disconnect(world, 5);
    world->head -= count;
    relay_init(&world->relay, &config, world->head);
}

static void hurt_stream(struct world *world, struct stream *stream)
{
    switch (draw(world, 6)) {
    case 0: *stream = (struct stream){ .exists = 0 }; break;
    case 1: /* purged */
        memset(stream->at, 0, sizeof(stream->at));
        stream->first = stream->last > 0 ? stream->last + 1 : 0;
        break;
    case 2: /* the server went down without a sync */
        disconnect(world, draw(world, 300));
        if (stream->last >= stream->first)
            stream->last -= draw(world, stream->last - stream->first + 1) / 2;
        break;
    case 3: /* one message, perhaps the last */
        if (stream->last >= stream->first && stream->last > 0)
            stream->at[one_in(world, 3)
                           ? stream->last
                           : stream->first + draw(world, stream->last - stream->first + 1)] =
                (struct message){ 0 };
        break;
    case 4: /* an age limit */
        stream->expires = stream->exists;
        while (stream->first < stream->last && one_in(world, 2))
            stream->at[stream->first++] = (struct message){ 0 };
        break;
    case 5: stream->capacity = stream->last + draw(world, 10); break;
    }
}

static void hurt(struct world *world)
{
    if (one_in(world, 3)) {
        disconnect(world, draw(world, 1500));
    } else if (one_in(world, 6)) {
        world->paused_until_ms = world->now_ms + draw(world, 2000);
    } else if (one_in(world, 4)) {
        restore(world);
    } else if (world->head == world->newest) { /* if both lost it: covered by another test */
        hurt_stream(world, &world->stream);
    }
}

/* ---- The walk ------------------------------------------------------------------------------- */

static void step(struct world *world)
{
    struct relay *relay = &world->relay;
    world->now_ms += 1 + draw(world, 12);
    if (!world->connected && world->now_ms >= world->connect_at_ms) {
        world->connected = 1;
        relay_connected(relay, world->now_ms);
    }
    while (world->now_ms >= world->paused_until_ms && world->out.count > 0 &&
           world->out.at[world->out.first].due_ms <= world->now_ms) {
        struct packet request = take_first(&world->out);
        serve(world, &request);
    }
    while (world->in.count > 0 && world->in.at[world->in.first].due_ms <= world->now_ms) {
        struct packet answer = take_first(&world->in);
        hear(world, &answer);
    }
    act(world);
    if (!world->connected)
        world->out.count = 0; /* the bus refuses to send */
}

static void grow(struct world *world)
{
    for (int64_t n = draw(world, 6); n > 0 && world->head < EVENTS_MAX; n--) {
        world->head++;
        world->chain[world->head] = world->chain[world->head - 1] * 31 +
                                    (uint64_t)draw(world, 1000000) + 1;
    }
    if (world->head > world->newest)
        world->newest = world->head;
    relay_grew(&world->relay, world->head, world->now_ms);
}

static _Bool is_equal(const struct world *world)
{
    const struct stream *stream = &world->stream;
    if (!stream->exists || world->head != world->newest || world->relay.state != RELAY_PUBLISHING ||
        world->relay.published != world->head)
        return 0;
    for (int64_t s = stream->first; s <= stream->last && s > 0; s++)
        if (stream->at[s].chain != world->chain[stream->at[s].position] ||
            !stream->at[s].position ||
            (s > stream->first && stream->at[s].position > stream->at[s - 1].position + 1))
            return 0;
    return world->head == 0 || stream->last < stream->first ||
           stream->at[stream->last].position == world->head;
}

static void walk(uint64_t seed)
{
    static struct world world;
    memset(&world, 0, sizeof(world));
    world.random = seed * 0x9e3779b97f4a7c15 | 1;
    world.answers_get_lost = 1;
    relay_init(&world.relay, &config, 0);
    for (int i = 0; i < 1500; i++) {
        step(&world);
        if (world.head == world.newest && world.relay.state != RELAY_RECOVERING &&
            one_in(&world, 3))
            grow(&world);
        if (one_in(&world, 40))
            hurt(&world);
    }
    world.answers_get_lost = 0;
    world.stream.capacity = SEQUENCES_MAX;
    int64_t end_ms = world.now_ms + 60000, audits = world.now_ms + 2 * config.audit_interval_ms;
    while (world.now_ms < end_ms && !(world.now_ms > audits && is_equal(&world)))
        step(&world);
    cr_assert(is_equal(&world),
              "seed %llu: %s (%s), published %lld of %lld, newest %lld, stream %lld to %lld",
              (unsigned long long)seed, relay_state_name(world.relay.state),
              world.relay.reason ? world.relay.reason : "", (long long)world.relay.published,
              (long long)world.head, (long long)world.newest, (long long)world.stream.first,
              (long long)world.stream.last);
    cr_assert(world.stream.expires || world.stream.first <= 1, "seed %llu: the head is missing",
              (unsigned long long)seed);
}

Test(relay_walk, the_random_walk_ends_with_the_stream_equal_to_the_log)
{
    for (uint64_t seed = 1; seed <= 600; seed++)
        walk(seed);
}
