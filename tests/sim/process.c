/* Process: what a process has of its machine: clocks, random bits, sizes of files, and the places
 * where a test may break it. By the linker's --wrap where the library's own file holds more than
 * that (tests/sim/meson.build). */
#include "base/clock.h"
#include "base/crash.h"
#include "base/guard.h"
#include "disk.h"
#include "world.h"
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

static struct node *current;
static const struct world
    *entered; /* of the newest node: also its world's code asks for the time */

struct node *current_node(void)
{
    if (!current) {
        fputs("simulate: code of an instance runs and nobody knows whose\n", stderr);
        abort();
    }
    return current;
}

void node_enter(struct node *node)
{
    current = node;
    entered = node->world;
}

void node_leave(struct node *node)
{
    current = NULL;
    if (node->is_dead)
        node_crash(node->world, node, node->power_was_cut);
}

/* ---- Clocks --------------------------------------------------------------------------------- */

int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_monotonic_ms(void);
int64_t __wrap_clock_monotonic_ns(void);

int64_t node_clock_ms(const struct node *node)
{
    const int64_t now_ms = node->world->now_ms;
    return node->drift ? now_ms + now_ms * node->drift / 1000 : now_ms;
}

int64_t node_world_ms(const struct node *node, int64_t clock_ms)
{
    if (node->drift == 0 || clock_ms > INT64_MAX / 2000)
        return clock_ms;
    return (clock_ms * 1000 + 999 + node->drift) / (1000 + node->drift);
}

int64_t __wrap_clock_monotonic_ms(void)
{
    return current ? node_clock_ms(current) : entered->now_ms;
}

int64_t __wrap_clock_monotonic_ns(void)
{
    return __wrap_clock_monotonic_ms() * 1000000;
}

int64_t __wrap_clock_wall_ms(void)
{
    return WALL_BEGIN_MS + entered->now_ms + (current ? current->clock_ms : 0);
}

/* ---- The machine ---------------------------------------------------------------------------- */

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags);
int __real_stat(const char *path, struct stat *ret_status);
int __wrap_stat(const char *path, struct stat *ret_status);

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
    (void)bytes, (void)size, (void)flags;
    fputs("simulate: somebody asks the kernel for random bits, and no run would be repeatable\n",
          stderr);
    abort();
}

int __wrap_stat(const char *path, struct stat *ret_status)
{
    if (strncmp(path, "disk", 4) != 0)
        return __real_stat(path, ret_status);
    int64_t bytes = disk_file_bytes(path);
    *ret_status = (struct stat){ .st_size = bytes };
    return bytes < 0 ? -1 : 0;
}

/* ---- What a test may break ------------------------------------------------------------------- */

const char *guard_removed;

_Bool guard_stands(const char *name)
{
    return !guard_removed || strcmp(guard_removed, name) != 0;
}

void crash_point(const char *name)
{
    struct node *node = current;
    if (!node || node->is_dead || node->crash_points == 0 || --node->crash_points > 0)
        return;
    tell(node->world, "%s dies at %s", node->name, name);
    node_die(node, one_in(node->world, 3));
}
