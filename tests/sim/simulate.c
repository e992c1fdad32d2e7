/* Simulate: the scheduler, and the program around it. A step is one action that is possible at this
 * moment, drawn from the seed among all that are: a packet arrives, a writer runs a batch, a
 * courier looks at its mail, a customer asks, something breaks. When nothing is possible the clock
 * moves on to what is due next. */
#include "world.h"
#include "disk.h"
#include "base/log.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUIET_STEPS_MAX 800000 /* after the last fault, until the world must be at rest (I12) */
#define QUIET_MS_MAX 1800000
#define NAMED_MS_MAX 120000
/* runs that may pass without a guard before we say that it is not missed */
#define GUARD_SEEDS_MAX 100

const char *const guard_names[GUARD_COUNT] = {
    "none", "ack-after-commit",   "expected-sequence", "cursor-in-transaction",
    "gap",  "reply-after-commit", "sync-before-reply",
};

int64_t draw(struct world *world, int64_t below)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (int64_t)((world->random * 0x2545f4914f6cdd1du >> 16) % (uint64_t)below);
}

_Bool one_in(struct world *world, int64_t times)
{
    return draw(world, times) == 0;
}

void *must(void *pointer)
{
    if (!pointer) {
        fputs("simulate: something that cannot fail has failed; no memory?\n", stderr);
        exit(1);
    }
    return pointer;
}

void trace_line(const struct world *world, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%8lld %9.3f s  ", (long long)world->steps, (double)world->now_ms / 1000);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

void violated(struct world *world, const char *format, ...)
{
    va_list arguments;
    if (world->violation[0])
        return;
    va_start(arguments, format);
    vsnprintf(world->violation, sizeof(world->violation), format, arguments);
    va_end(arguments);
    tell(world, "VIOLATED %s", world->violation);
}

/* ---- The scheduler --------------------------------------------------------------------------- */

enum {
    DO_PACKET,
    DO_SERVER,
    DO_LOAD,
    DO_FAULT,
    DO_WRITER,
    DO_COURIER = DO_WRITER + NODES,
    DO_LIFE = DO_COURIER + NODES,
    DO_COUNT = DO_LIFE + NODES
};

static int64_t life_due_ms(const struct world *world, const struct node *node)
{
    if (!node->runs)
        return node->start_ms;
    return node->connected || !world->server.is_up ? INT64_MAX : node->connect_ms;
}

static void live(struct world *world, struct node *node)
{
    if (node->runs)
        node_connect(world, node);
    else
        node_start(world, node);
}

static void tell_packet(const struct world *world, const struct packet *packet, _Bool lost)
{
    char what[64] = "";
    if (packet->record)
        snprintf(what, sizeof(what), " of %lld at %lld", (long long)packet->record->event.position,
                 (long long)packet->sequence);
    else if (packet->sequence > 0 || packet->position > 0)
        snprintf(what, sizeof(what), " %lld, %lld", (long long)packet->sequence,
                 (long long)packet->position);
    tell(world, "%s %s: %s%s%s%s", packet->to_node ? "to" : "from",
         world->nodes[packet->node].service->name, packet_names[packet->kind],
         packet->is_reply ? packet->result == RESULT_FINE ? " answered" : " refused" : "", what,
         lost ? " (lost)" : "");
}

static void arrive(struct world *world)
{
    struct packet packet = take_packet(world);
    _Bool lost = packet_is_lost(world, &packet);
    if (world->trace)
        tell_packet(world, &packet, lost);
    if (!lost)
        deliver_packet(world, &packet);
}

static void do_one(struct world *world, int what)
{
    world->steps++;
    if (what == DO_PACKET)
        arrive(world);
    else if (what == DO_SERVER)
        server_look_at_clock(world);
    else if (what == DO_LOAD)
        load_act(world);
    else if (what == DO_FAULT)
        fault_act(world);
    else if (what < DO_COURIER)
        node_run_writer(world, &world->nodes[what - DO_WRITER]);
    else if (what < DO_LIFE)
        courier_run(world, &world->nodes[what - DO_COURIER]);
    else
        live(world, &world->nodes[what - DO_LIFE]);
}

static void step(struct world *world)
{
    int64_t due_ms[DO_COUNT] = {
        [DO_PACKET] = packet_due_ms(world),
        [DO_SERVER] = server_due_ms(world),
        [DO_LOAD] = load_due_ms(world),
        [DO_FAULT] = world->fault_ms,
    };
    for (int i = 0; i < NODES; i++) {
        due_ms[DO_WRITER + i] = writer_due_ms(world, &world->nodes[i]);
        due_ms[DO_COURIER + i] = courier_due_ms(world, &world->nodes[i]);
        due_ms[DO_LIFE + i] = life_due_ms(world, &world->nodes[i]);
    }
    int possible[DO_COUNT], count = 0;
    int64_t next_ms = INT64_MAX;
    for (int i = 0; i < DO_COUNT; i++) {
        if (due_ms[i] <= world->now_ms)
            possible[count++] = i;
        if (due_ms[i] < next_ms)
            next_ms = due_ms[i];
    }
    if (count > 0) {
        do_one(world, possible[draw(world, count)]);
    } else if (next_ms == INT64_MAX) {
        violated(world, "I12: nothing will ever happen again");
    } else {
        world->now_ms = next_ms;
    }
}

/* ---- A run ----------------------------------------------------------------------------------- */

/* Many runs have windows and waits that are met all the time, the others those of the real
 * services. One event at a time over a slow net is not stuck, and yet never at its end. */
static void draw_configs(struct world *world)
{
    static const int64_t windows[] = { 1, 8, 48, 1024 };
    world->relay_config = relay_defaults;
    world->feed_config = feed_defaults;
    world->feed_config.fill_limit = PAGE_MAX;
    if (world->latency_ms > 10 || one_in(world, 3))
        return;
    struct relay_config *relay = &world->relay_config;
    struct feed_config *feed = &world->feed_config;
    relay->window_max = windows[draw(world, 4)];
    relay->publish_max = 1 + draw(world, 8);
    /* a look asks three times */
    relay->answer_timeout_ms = feed->answer_timeout_ms = 100 + 6 * world->latency_ms;
    relay->backoff_min_ms = feed->backoff_min_ms = 10;
    relay->backoff_max_ms = feed->backoff_max_ms = 500;
    relay->audit_interval_ms = 400;
    feed->pull_batch = 1 + draw(world, 32);
    feed->window_max = feed->pull_batch * (1 + draw(world, 4));
}

static void draw_tempers(struct world *world)
{
    static const int64_t latencies_ms[] = { 0, 1, 3, 10, 50, 150 },
                         loads_ms[] = { 1, 2, 5, 20, 200 };
    static const int64_t faults_ms[] = { 50, 100, 400, 1000, 3000, 20000 };
    world->latency_ms = latencies_ms[draw(world, 6)];
    world->mean_load_ms = loads_ms[draw(world, 5)];
    world->mean_fault_ms = faults_ms[draw(world, 6)];
    world->on_disk = one_in(world, 6);
    if (world->without == GUARD_NONE)
        return;
    world->mean_load_ms = loads_ms[1];
    world->mean_fault_ms = faults_ms[1]; /* what a missing guard lets through is rare */
    world->on_disk = world->without == GUARD_SYNC_BEFORE_REPLY;
}

static void world_open(struct world *world, uint64_t seed, enum guard without, _Bool trace)
{
    *world = (struct world){ .seed = seed,
                             .random = seed * 0x9e3779b97f4a7c15u | 1,
                             .now_ms = 1000,
                             .trace = trace,
                             .without = without };
    for (int i = 0; i < 10; i++)
        draw(world, 2); /* small seeds begin alike */
    arena_init(&world->arena);
    draw_tempers(world);
    draw_configs(world);
    world->fault_ms = world->now_ms + world->mean_fault_ms;
    world->load.retry_ms = INT64_MAX;
    world->server.is_up = 1;
    for (int i = 0; i < NODES; i++) {
        stream_wipe(&world->server.streams[i]);
        node_open(world, i);
    }
}

static void world_close(struct world *world)
{
    for (int i = 0; i < NODES; i++) {
        node_close(&world->nodes[i]);
        stream_wipe(&world->server.streams[i]);
    }
    free(world->packets);
    free(world->provider.entries);
    load_free(world);
    arena_deinit(&world->arena);
    disk_free();
}

static void come_to_rest(struct world *world)
{
    const int64_t steps_max = world->steps + QUIET_STEPS_MAX, end_ms = world->now_ms + QUIET_MS_MAX;
    const char *moves = "";
    while (!world->violation[0] && moves) {
        if (world->steps >= steps_max || world->now_ms >= end_ms)
            violated(world, "I12: after %d s without a fault: %s", QUIET_MS_MAX / 1000, moves);
        for (int64_t until = world->steps + 64; world->steps < until && !world->violation[0];)
            step(world);
        moves = what_is_not_quiet(world);
    }
}

struct total {
    int64_t runs, steps, faults, losses, events, accepted, refused, repeated;
    int64_t fault_counts[FAULTS_MAX];
    double simulated_s;
};

/* Rule 6: what nothing can heal is named: by the leader, whose stream has held more, or by the
 * reader, who has read more. */
static void see_loss_named(struct world *world, struct total *total)
{
    int index = lose_both_copies(world);
    if (index < 0)
        return;
    const struct relay *leader = &world->nodes[index].relay;
    const struct feed *reader = &world->nodes[1 - index].feed;
    const int64_t end_ms = world->now_ms + NAMED_MS_MAX;
    while (leader->state != RELAY_FORKED && reader->state != FEED_FORKED &&
           world->now_ms < end_ms && !world->violation[0])
        step(world);
    total->losses++;
    if (leader->state != RELAY_FORKED && reader->state != FEED_FORKED)
        violated(world, "rule 6: %s has lost events that were read, and nobody says so",
                 world->nodes[index].service->name);
}

/* True when all held. */
static _Bool run(uint64_t seed, int64_t steps, enum guard without, _Bool trace, struct total *total,
                 char *ret_violation, size_t size)
{
    static struct world world; /* too large for a stack */
    world_open(&world, seed, without, trace);
    while (world.steps < steps && !world.violation[0])
        step(&world);
    if (!world.violation[0])
        faults_end(&world);
    come_to_rest(&world);
    if (!world.violation[0])
        check_all(&world);
    if (!world.violation[0])
        see_loss_named(&world, total);
    total->runs++;
    total->steps += world.steps;
    total->faults += world.faults;
    total->events += world.nodes[ACCOUNT].history_count + world.nodes[ORDER].history_count;
    total->accepted += world.load.accepted;
    total->refused += world.load.refused;
    total->repeated += world.load.repeated;
    total->simulated_s += (double)world.now_ms / 1000;
    for (int i = 0; i < FAULTS_MAX; i++)
        total->fault_counts[i] += world.fault_counts[i];
    snprintf(ret_violation, size, "%s", world.violation);
    world_close(&world);
    return !ret_violation[0];
}

/* ---- The program ----------------------------------------------------------------------------- */

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct wish {
    uint64_t seed;
    int64_t runs, steps;
    enum guard without;
    _Bool trace, faults, check_the_checks;
};

static void report(const struct total *total, const struct wish *wish, double begin_s)
{
    double seconds = now_s() - begin_s;
    printf("%lld runs, %lld steps, %.0f steps a second; %lld faults in %.1f simulated hours; %lld "
           "events; %lld requests accepted, "
           "%lld refused, %lld answered again; %lld losses named\n",
           (long long)total->runs, (long long)total->steps, (double)total->steps / seconds,
           (long long)total->faults, total->simulated_s / 3600, (long long)total->events,
           (long long)total->accepted, (long long)total->refused, (long long)total->repeated,
           (long long)total->losses);
    for (int i = 0; wish->faults && fault_name(i); i++)
        if (total->fault_counts[i] > 0)
            printf("  %-30s %lld\n", fault_name(i), (long long)total->fault_counts[i]);
}

static int simulate(const struct wish *wish)
{
    struct total total = { 0 };
    char violation[512];
    double begin_s = now_s(), told_s = begin_s;
    for (int64_t i = 0; i < wish->runs; i++) {
        uint64_t seed = wish->seed + (uint64_t)i;
        if (!run(seed, wish->steps, wish->without, wish->trace, &total, violation,
                 sizeof(violation))) {
            printf("seed %llu: VIOLATED %s\n", (unsigned long long)seed, violation);
            printf("replay: scripts/simulate --seed %llu --steps %lld%s%s --trace\n",
                   (unsigned long long)seed, (long long)wish->steps,
                   wish->without ? " --without " : "",
                   wish->without ? guard_names[wish->without] : "");
            report(&total, wish, begin_s);
            return 1;
        }
        if (now_s() - told_s >= 10) {
            told_s = now_s();
            report(&total, wish, begin_s);
            fflush(stdout);
        }
    }
    report(&total, wish, begin_s);
    return 0;
}

/* Without a guard, the checks must fail. */
static int check_the_checks(const struct wish *wish)
{
    int missed = 0;
    for (int guard = GUARD_NONE + 1; guard < GUARD_COUNT; guard++) {
        struct total total = { 0 };
        char violation[512] = "";
        uint64_t seed = wish->seed;
        while (total.runs < GUARD_SEEDS_MAX &&
               run(seed, wish->steps, guard, 0, &total, violation, sizeof(violation)))
            seed++;
        missed += !violation[0];
        printf("without %-22s %s%s (%lld runs)\n", guard_names[guard],
               violation[0] ? "caught: " : "NOT NOTICED", violation, (long long)total.runs);
        fflush(stdout);
    }
    return missed > 0;
}

static enum guard guard_of(const char *name)
{
    for (int i = 0; i < GUARD_COUNT; i++)
        if (strcmp(guard_names[i], name) == 0)
            return i;
    return GUARD_COUNT;
}

static _Bool take_number(const char *text, int64_t *ret_number)
{
    char *end;
    *ret_number = text ? strtoll(text, &end, 10) : 0;
    return text && *text && !*end && *ret_number > 0;
}

static _Bool take_options(char **arguments, struct wish *wish)
{
    for (; *arguments; arguments++) {
        const char *name = *arguments;
        int64_t seed;
        if (strcmp(name, "--trace") == 0) {
            wish->trace = 1;
        } else if (strcmp(name, "--faults") == 0) {
            wish->faults = 1;
        } else if (strcmp(name, "--check-the-checks") == 0) {
            wish->check_the_checks = 1;
        } else if (strcmp(name, "--seed") == 0 && take_number(arguments[1], &seed)) {
            wish->seed = (uint64_t)seed;
            arguments++;
        } else if ((strcmp(name, "--runs") == 0 && take_number(arguments[1], &wish->runs)) ||
                   (strcmp(name, "--steps") == 0 && take_number(arguments[1], &wish->steps)) ||
                   (strcmp(name, "--without") == 0 && arguments[1] &&
                    (wish->without = guard_of(arguments[1])) < GUARD_COUNT)) {
            arguments++;
        } else {
            return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    (void)argc;
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    disk_register();
    struct wish wish = { .seed = 1, .runs = 1, .steps = 20000 };
    if (!take_options(argv + 1, &wish)) {
        fputs("simulate: see scripts/simulate --help\n", stderr);
        return 2;
    }
    /* parked events are no news here */
    log_setup("simulate", wish.trace ? LOG_WARN : LOG_ERROR + 1, LOG_LOGFMT);
    return wish.check_the_checks ? check_the_checks(&wish) : simulate(&wish);
}
