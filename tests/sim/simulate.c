/* Simulate: the scheduler, and the program around it. A step is one action that is possible at this
 * moment, drawn from the seed among all that are: a message arrives, a delivery is handled, a
 * writer, a sender or a reader has its turn, a customer asks, something breaks. When nothing is
 * possible the clock moves on to what is due next. */
#include "world.h"
#include "base/log.h"
#include "bus_sim.h"
#include "tests/mesh/breakable/guard_names.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* after the last fault, until the world must be at rest (I12); without a guard it will never be */
#define QUIET_STEPS_MAX 1600000
#define QUIET_STEPS_UNGUARDED_MAX 200000
#define QUIET_MS_MAX 1800000
/* Runs that may pass without a guard before we say that it is not missed. With --steps 12000, from
 * seed 1 on, it took
 *   parking_behind     133    fence          24    react_once              12
 *   expected_sequence   63    group_of_term  19    term                    11
 *   ack_after_commit    28    chain_check    18    cursor_in_transaction    5
 *                             gap_rule       18    all others               1 */
#define GUARD_SEEDS_MAX 400

/* ---- The scheduler --------------------------------------------------------------------------- */

enum { DO_NET, DO_SERVER, DO_LOAD, DO_OPERATOR, DO_ADVERSARY, DO_FAULT, DO_NODE };
enum {
    NODE_WRITER,
    NODE_SENDER,
    NODE_READERS,
    NODE_HANDLER,
    NODE_LINK,
    NODE_START,
    NODE_THAW,
    NODE_ACTIONS
};
#define ACTIONS_MAX (DO_NODE + NODES_MAX * NODE_ACTIONS)

static void act_of_node(struct world *world, struct node *node, int action)
{
    switch (action) {
    case NODE_WRITER:  node_turn_writer(world, node); break;
    case NODE_SENDER:  node_turn_sender(world, node); break;
    case NODE_READERS: node_turn_readers(world, node); break;
    case NODE_HANDLER: node_turn_handler(world, node); break;
    case NODE_LINK:    node_turn_link(world, node); break;
    case NODE_START:   node_start(world, node); break;
    case NODE_THAW:    node_thaw(world, node); break;
    }
}

static void act(struct world *world, int action)
{
    world->steps++;
    switch (action) {
    case DO_NET:       net_step(world); break;
    case DO_SERVER:    server_look_at_clock(world); break;
    case DO_LOAD:      load_act(world); break;
    case DO_OPERATOR:  operator_act(world); break;
    case DO_ADVERSARY: adversary_act(world); break;
    case DO_FAULT:     fault_act(world); break;
    default:
        act_of_node(world, &world->nodes[(action - DO_NODE) / NODE_ACTIONS],
                    (action - DO_NODE) % NODE_ACTIONS);
    }
}

struct possible {
    int actions[ACTIONS_MAX];
    int count;
    int64_t next_ms;
};

static inline void weigh(struct possible *possible, int action, int64_t due_ms, int64_t now_ms)
{
    if (due_ms <= now_ms)
        possible->actions[possible->count++] = action;
    if (due_ms < possible->next_ms)
        possible->next_ms = due_ms;
}

static void weigh_node(const struct world *world, const struct node *node,
                       struct possible *possible)
{
    const int64_t now_ms = world->now_ms;
    const int first = DO_NODE + node->index * NODE_ACTIONS;
    if (!node->runs) {
        weigh(possible, first + NODE_START, node->start_ms, now_ms);
        return;
    }
    if (node->frozen_until_ms > 0) {
        weigh(possible, first + NODE_THAW, node->frozen_until_ms, now_ms);
        return;
    }
    weigh(possible, first + NODE_WRITER, node->writer_due_ms, now_ms);
    weigh(possible, first + NODE_SENDER, node->sender_due_ms, now_ms);
    weigh(possible, first + NODE_READERS, node->readers_due_ms, now_ms);
    if (bus_has_pending(node->bus))
        weigh(possible, first + NODE_HANDLER, now_ms, now_ms);
    weigh(possible, first + NODE_LINK, node_link_due_ms(world, node), now_ms);
}

void step(struct world *world)
{
    struct possible possible = { .count = 0, .next_ms = INT64_MAX };
    const int64_t now_ms = world->now_ms;
    weigh(&possible, DO_NET, net_due_ms(world), now_ms);
    weigh(&possible, DO_SERVER, server_due_ms(world), now_ms);
    weigh(&possible, DO_LOAD, load_due_ms(world), now_ms);
    weigh(&possible, DO_OPERATOR, world->operator.next_ms, now_ms);
    weigh(&possible, DO_ADVERSARY, world->calm ? INT64_MAX : world->adversary.next_ms, now_ms);
    weigh(&possible, DO_FAULT, world->fault_ms, now_ms);
    for (int i = 0; i < world->node_count; i++)
        weigh_node(world, &world->nodes[i], &possible);
    if (possible.count > 0)
        act(world, possible.actions[draw(world, possible.count)]);
    else
        world->now_ms = possible.next_ms;
}

/* ---- A run ----------------------------------------------------------------------------------- */

/* What it was that moved, most of the time. */
#define REASONS_MAX 32
struct reasons {
    const char *texts[REASONS_MAX];
    int64_t times[REASONS_MAX];
};

static void note_reason(struct reasons *reasons, const char *text)
{
    int i = 0;
    while (i < REASONS_MAX - 1 && reasons->texts[i] && reasons->texts[i] != text)
        i++;
    reasons->texts[i] = text;
    reasons->times[i]++;
}

static const char *main_reason(const struct reasons *reasons)
{
    int most = 0;
    for (int i = 1; i < REASONS_MAX; i++)
        if (reasons->times[i] > reasons->times[most])
            most = i;
    return reasons->texts[most] ? reasons->texts[most] : "nothing moves";
}

static void come_to_rest(struct world *world)
{
    struct reasons reasons = { 0 };
    const int64_t end_ms = world->now_ms + QUIET_MS_MAX;
    const int64_t steps_max = world->steps +
                              (guard_removed ? QUIET_STEPS_UNGUARDED_MAX : QUIET_STEPS_MAX);
    const char *moves = "";
    while (!world->violation[0] && moves) {
        if (world->steps >= steps_max || world->now_ms >= end_ms)
            violated(world, "I12: the world does not come to rest: %s", main_reason(&reasons));
        for (int64_t until = world->steps + 64; world->steps < until && !world->violation[0];)
            step(world);
        moves = what_is_not_quiet(world);
        if (moves)
            note_reason(&reasons, moves);
    }
}

struct total {
    int64_t runs, steps, faults, losses, events, accepted, refused, repeated, redriven, resolved;
    int64_t handed_over, takeovers, branches, orphans, voids;
    int64_t fault_counts[FAULTS_MAX];
    double simulated_s;
    uint64_t digest;
};

static void add_up(struct total *total, const struct world *world)
{
    total->runs++;
    total->steps += world->steps;
    total->faults += world->faults;
    for (int log = 0; log < LOGS; log++) {
        total->events += world->logs[log].line.count;
        total->takeovers += world->logs[log].takeovers;
        total->branches += world->logs[log].branches;
        total->orphans += world->logs[log].orphans.count;
        total->voids += world->logs[log].voids;
    }
    total->accepted += world->load.accepted;
    total->refused += world->load.refused;
    total->repeated += world->load.repeated;
    total->redriven += world->operator.redriven;
    total->handed_over += world->operator.handed_over;
    total->resolved += world->operator.resolved;
    total->simulated_s += (double)world->now_ms / 1000;
    total->digest = (total->digest ^ world->digest ^ (uint64_t)world->steps) * 1099511628211u;
    for (int i = 0; i < FAULTS_MAX; i++)
        total->fault_counts[i] += world->fault_counts[i];
}

static _Bool wants_reactions(struct world *world)
{
    return one_in(world, 3) || (guard_removed && strcmp(guard_removed, "cause_by_id") == 0);
}

/* True when all held. */
static _Bool run(const struct wish *wish, uint64_t seed, struct total *total, char *ret_violation,
                 size_t size)
{
    static struct world world; /* too large for a stack */
    world_open(&world, wish, seed);
    while (world.steps < wish->steps && !world.violation[0]) {
        world.load.is_over = world.steps >= wish->steps / 5 * 4;
        step(&world);
    }
    if (!world.violation[0])
        faults_end(&world);
    come_to_rest(&world);
    if (!world.violation[0])
        check_all(&world);
    if (!world.violation[0] && one_in(&world, 2) && see_hold_named(&world)) {
        come_to_rest(&world);
        if (!world.violation[0])
            check_all(&world);
    }
    if (!world.violation[0])
        total->losses += wants_reactions(&world) ? see_reactions_anew(&world)
                                                 : see_loss_named(&world);
    add_up(total, &world);
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

static void report(const struct total *total, const struct wish *wish, double begin_s)
{
    double seconds = now_s() - begin_s;
    printf(
        "%lld runs, %lld steps, %.0f steps a second; %lld faults in %.1f simulated hours; %lld "
        "events, %lld redriven; %lld requests accepted, %lld refused, %lld answered again; %lld "
        "losses named, %lld forks resolved; %lld handovers, %lld take-overs, %lld branches, %lld "
        "orphans, %lld voids; history %016llx\n",
        (long long)total->runs, (long long)total->steps, (double)total->steps / seconds,
        (long long)total->faults, total->simulated_s / 3600, (long long)total->events,
        (long long)total->redriven, (long long)total->accepted, (long long)total->refused,
        (long long)total->repeated, (long long)total->losses, (long long)total->resolved,
        (long long)total->handed_over, (long long)total->takeovers, (long long)total->branches,
        (long long)total->orphans, (long long)total->voids, (unsigned long long)total->digest);
    for (int i = 0; wish->faults && fault_name(i); i++)
        if (total->fault_counts[i] > 0)
            printf("  %-30s %lld\n", fault_name(i), (long long)total->fault_counts[i]);
}

static void tell_violation(const struct wish *wish, uint64_t seed, const char *violation)
{
    printf("seed %llu: VIOLATED %s\n", (unsigned long long)seed, violation);
    printf("replay: scripts/simulate --seed %llu --steps %lld%s%s", (unsigned long long)seed,
           (long long)wish->steps, wish->without ? " --without " : "",
           wish->without ? wish->without : "");
    if (wish->instances > 0)
        printf(" --instances %lld", (long long)wish->instances);
    printf(" --trace\n");
}

/* The same seed once more: the same bytes arrive in the same order. */
static _Bool is_repeated(const struct wish *wish, uint64_t seed, const struct total *before,
                         const struct total *after, char *ret_violation, size_t size)
{
    struct total again = *before;
    if (!wish->twice)
        return 1;
    if (run(wish, seed, &again, ret_violation, size) && again.digest == after->digest)
        return 1;
    snprintf(ret_violation, size, "the same seed was another run the second time");
    return 0;
}

static int simulate(const struct wish *wish)
{
    struct total total = { 0 };
    char violation[512];
    double begin_s = now_s(), told_s = begin_s;
    for (int64_t i = 0; i < wish->runs; i++) {
        uint64_t seed = wish->seed + (uint64_t)i;
        const struct total before = total;
        if (!run(wish, seed, &total, violation, sizeof(violation)) ||
            !is_repeated(wish, seed, &before, &total, violation, sizeof(violation))) {
            tell_violation(wish, seed, violation);
            report(&total, wish, begin_s);
            return !wish->expect || strncmp(violation, wish->expect, strlen(wish->expect)) != 0;
        }
        if (now_s() - told_s >= 10) {
            told_s = now_s();
            report(&total, wish, begin_s);
            fflush(stdout);
        }
    }
    report(&total, wish, begin_s);
    if (wish->expect)
        printf("no run was violated by %s\n", wish->expect);
    return wish->expect != NULL;
}

/* One that only several instances need. */
static _Bool is_of_leader(const char *guard)
{
    return strcmp(guard, "group_of_term") == 0 || strcmp(guard, "term") == 0;
}

/* Without a guard, the checks must fail. */
static int check_the_checks(const struct wish *given)
{
    int missed = 0;
    for (int i = 0; guard_names[i]; i++) {
        struct wish wish = *given;
        struct total total = { 0 };
        char violation[512] = "";
        uint64_t seed = wish.seed;
        /* of several instances the world itself may differ: then not the guard would be missed */
        wish.instances = given->instances > 0           ? given->instances
                         : is_of_leader(guard_names[i]) ? 2
                                                        : 1;
        wish.without = guard_names[i];
        while (total.runs < GUARD_SEEDS_MAX &&
               run(&wish, seed, &total, violation, sizeof(violation)))
            seed++;
        missed += !violation[0];
        printf("without %-22s %s%s (%lld runs)\n", guard_names[i],
               violation[0] ? "caught: " : "NOT NOTICED", violation, (long long)total.runs);
        fflush(stdout);
    }
    return missed > 0;
}

static _Bool take_number(const char *text, int64_t *ret_number)
{
    char *end;
    *ret_number = text ? strtoll(text, &end, 10) : 0;
    return text && *text && !*end && *ret_number > 0;
}

/* One with a value: false: it is none, or not like that. */
static _Bool take_value(const char *name, const char *value, struct wish *wish)
{
    int64_t seed;
    if (!value)
        return 0;
    if (strcmp(name, "--runs") == 0)
        return take_number(value, &wish->runs);
    if (strcmp(name, "--instances") == 0)
        return take_number(value, &wish->instances) && wish->instances <= INSTANCES_MAX;
    if (strcmp(name, "--steps") == 0)
        return take_number(value, &wish->steps);
    if (strcmp(name, "--seed") == 0 && take_number(value, &seed)) {
        wish->seed = (uint64_t)seed;
        return 1;
    }
    if (strcmp(name, "--without") == 0 && is_guard(value))
        wish->without = value;
    else if (strcmp(name, "--expect") == 0)
        wish->expect = value;
    else
        return 0;
    return 1;
}

static _Bool take_options(char **arguments, struct wish *wish)
{
    for (; *arguments; arguments++) {
        const char *name = *arguments;
        if (strcmp(name, "--trace") == 0)
            wish->trace = 1;
        else if (strcmp(name, "--faults") == 0)
            wish->faults = 1;
        else if (strcmp(name, "--twice") == 0)
            wish->twice = 1;
        else if (strcmp(name, "--check-the-checks") == 0)
            wish->check_the_checks = 1;
        else if (take_value(name, arguments[1], wish))
            arguments++;
        else
            return 0;
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
    /* parked events and bugs are no news here */
    log_setup("simulate", wish.trace ? LOG_WARN : LOG_ERROR + 1, LOG_LOGFMT);
    return wish.check_the_checks ? check_the_checks(&wish) : simulate(&wish);
}
