/* Allocations: the n-th call of malloc, calloc, realloc or strdup fails, in our own code and in
 * jansson (by the linker's --wrap), and in SQLite (by its hook). */
#include "faults.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);

static long until_failure; /* calls to go, 0: none fails */
static long failures_left;
static long happened;

static _Bool fails(void)
{
    if (until_failure == 0 || --until_failure > 0)
        return 0;
    happened++;
    until_failure = --failures_left > 0;
    return 1;
}

void faults_fail_at(const char *kind, long call, long count)
{
    (void)kind; /* there is but one */
    until_failure = call;
    failures_left = count;
    happened = 0;
}

long faults_stop(void)
{
    long count = happened;
    until_failure = happened = 0;
    return count;
}

long faults_pause(void)
{
    long left = until_failure;
    until_failure = 0;
    return left;
}

void faults_resume(long left)
{
    until_failure = left;
}

const char *const faults_kinds[] = { "malloc", NULL };

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}
char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

/* SQLite is linked dynamically, so that the linker's wrap does not reach it. jansson has its memory
 * from us (contract/schema.c). */
static sqlite3_mem_methods sqlite_memory;
static void *sqlite_malloc(int size)
{
    return fails() ? NULL : sqlite_memory.xMalloc(size);
}
static void *sqlite_realloc(void *memory, int size)
{
    return fails() ? NULL : sqlite_memory.xRealloc(memory, size);
}

void faults_init(void)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory);
    sqlite3_mem_methods failing = sqlite_memory;
    failing.xMalloc = sqlite_malloc;
    failing.xRealloc = sqlite_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &failing);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0); /* every small piece is a call, too */
}
