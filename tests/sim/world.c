/* World: made from a seed, and taken apart. See world.h. */
#include "world.h"
#include "account-svc/service.h"
#include "order-svc/service.h"
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX 8 /* events of a page of a leader's log: many pages, and not one */

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

void digest_add(struct world *world, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < length; i++)
        world->digest = (world->digest ^ bytes[i]) * 1099511628211u;
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

/* ---- Making one ------------------------------------------------------------------------------ */

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
    /* a look asks three times, and where $SRV is answered it waits for readers (reader_ask.c) */
    const _Bool others = world->logs[ACCOUNT].instances + world->logs[ORDER].instances > LOGS;
    relay->answer_timeout_ms = (others ? 500 : 100) + 6 * world->latency_ms;
    feed->answer_timeout_ms = 100 + 6 * world->latency_ms;
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
    if (!guard_removed)
        return;
    world->mean_load_ms = loads_ms[1];
    world->mean_fault_ms = faults_ms[1]; /* what a missing guard lets through is rare */
}

/* Half of the runs have one instance of each service. */
static int draw_instances(struct world *world, const struct wish *wish)
{
    static const int counts[] = { 1, 1, 1, 1, 2, 2, 2, 3 };
    const int drawn = counts[draw(world, 8)];
    return wish->instances > 0 ? (int)wish->instances : drawn;
}

static void open_logs(struct world *world, const struct wish *wish)
{
    static const struct service *const services[LOGS] = {
        [ACCOUNT] = &account_service, [ORDER] = &order_service
    };
    for (int log = 0; log < LOGS; log++)
        world->logs[log] = (struct history){ .service = services[log],
                                             .name = services[log]->log,
                                             .serving = -1,
                                             .instances = draw_instances(world, wish),
                                             .answers_wait = (world->seed >> log & 1) != 0,
                                             .takes_over = draw(world, 3) > 0 };
}

void world_open(struct world *world, const struct wish *wish, uint64_t seed)
{
    *world = (struct world){ .seed = seed,
                             .random = seed * 0x9e3779b97f4a7c15u | 1,
                             .now_ms = 1000,
                             .trace = wish->trace,
                             .digests_traffic = wish->twice,
                             .digest = 14695981039346656037u,
                             .bug.log = -1 };
    guard_removed = wish->without;
    for (int i = 0; i < 10; i++)
        draw(world, 2); /* small seeds begin alike */
    arena_init(&world->arena);
    draw_tempers(world);
    open_logs(world, wish);
    draw_configs(world);
    world->fault_ms = world->now_ms + world->mean_fault_ms;
    world->load.retry_ms = INT64_MAX;
    world->adversary = (struct adversary){ .next_ms = world->now_ms };
    server_open(world);
    for (int log = 0; log < LOGS; log++)
        for (int i = 0; i < world->logs[log].instances; i++)
            node_open(world, world->node_count, log);
}

void world_close(struct world *world)
{
    for (int i = 0; i < world->node_count; i++)
        node_close(&world->nodes[i]);
    for (int log = 0; log < LOGS; log++) {
        free(world->logs[log].line.at);
        free(world->logs[log].set_apart.at);
        free(world->logs[log].orphans.at);
    }
    server_close(&world->server);
    net_close(&world->net);
    free(world->provider.entries);
    load_free(world);
    arena_deinit(&world->arena);
    disk_free();
}
