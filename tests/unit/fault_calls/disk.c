/* Disk: the n-th read, write, sync or truncation of SQLite's file system fails
 * (tests/mesh/breakable). */
#include "faults.h"
#include "faulty_disk.h"
#include <stddef.h>
#include <stdio.h>

const char *const faults_kinds[] = {
    "write full", "write short", "write io",    "write torn",
    "sync io",    "read io",     "truncate io", NULL,
};

static long happened;

void faults_init(void)
{
    faulty_disk_register();
}

void faults_fail_at(const char *kind, long call, long count)
{
    char plan[64];
    snprintf(plan, sizeof(plan), "%s %ld %ld", kind, call, count);
    happened = 0;
    faulty_disk_plan(plan);
}

long faults_stop(void)
{
    happened += faulty_disk_struck();
    faulty_disk_plan(NULL);
    long count = happened;
    happened = 0;
    return count;
}

/* The look from outside reads the file, too: it must not use a failure up. */
long faults_pause(void)
{
    faulty_disk_pause(1);
    return 0;
}

void faults_resume(long paused)
{
    (void)paused;
    faulty_disk_pause(0);
}
