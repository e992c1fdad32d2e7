/* Faulty disk: see faulty_disk.h. */
#include "faulty_disk.h"
#include "undo.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLAN_MAX 256
#define RULES_MAX 8
#define FOLDER_MAX 512

enum operation { READ, WRITE, SYNC, TRUNCATE };
static const char *const operation_names[] = { "read", "write", "sync", "truncate" };

struct faulty_file {
    sqlite3_file base;
    sqlite3_file *real; /* stands behind this struct */
    _Bool is_wal;
};

struct rule {
    char operation[16], error[8];
    long first, count; /* count 0: for ever */
    long percent;      /* 0: by number */
    uint64_t random;
    long calls;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sqlite3_vfs faulty_vfs, *system_vfs;
static char plan[PLAN_MAX], folder[FOLDER_MAX];
static struct rule rules[RULES_MAX];
static int rule_count, plan_file = -1, struck_file = -1;
static long struck;
static _Bool is_paused;

/* ---- The plan ------------------------------------------------------------------------------- */

static void take_plan(const char *text)
{
    char copy[PLAN_MAX], *rest, *line;
    snprintf(plan, sizeof(plan), "%s", text);
    snprintf(copy, sizeof(copy), "%s", text);
    rule_count = 0;
    struck = 0;
    for (line = strtok_r(copy, "\n;", &rest); line && rule_count < RULES_MAX;
         line = strtok_r(NULL, "\n;", &rest)) {
        struct rule rule = { .count = 1 };
        unsigned long seed;
        if (sscanf(line, "%15s %7s chance %ld %lu", rule.operation, rule.error, &rule.percent,
                   &seed) == 4)
            rule.random = seed * 0x9e3779b97f4a7c15u | 1;
        else if (sscanf(line, "%15s %7s %ld %ld", rule.operation, rule.error, &rule.first,
                        &rule.count) < 3)
            continue; /* a plan that is just being written */
        rules[rule_count++] = rule;
    }
}

static void look_at_plan(void)
{
    char text[PLAN_MAX];
    if (plan_file < 0)
        return;
    ssize_t length = pread(plan_file, text, sizeof(text) - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    if (strcmp(text, plan) != 0)
        take_plan(text);
}

static _Bool is_meant(const struct rule *rule, enum operation operation, _Bool is_wal)
{
    const char *name = rule->operation;
    if (strncmp(name, "wal-", 4) == 0) {
        if (!is_wal)
            return 0;
        name += 4;
    }
    return strcmp(name, operation_names[operation]) == 0 ||
           (strcmp(name, "change") == 0 && operation != READ);
}

static _Bool strikes(struct rule *rule)
{
    rule->calls++;
    if (rule->percent == 0)
        return rule->calls >= rule->first &&
               (rule->count == 0 || rule->calls < rule->first + rule->count);
    rule->random ^= rule->random << 13;
    rule->random ^= rule->random >> 7;
    rule->random ^= rule->random << 17;
    return (rule->random >> 20) % 100 < (uint64_t)rule->percent;
}

/* What is to go wrong with this call; NULL: nothing. */
static const char *fault_of(enum operation operation, _Bool is_wal)
{
    const char *error = NULL;
    if (is_paused)
        return NULL;
    look_at_plan();
    for (int i = 0; i < rule_count; i++)
        if (is_meant(&rules[i], operation, is_wal) && strikes(&rules[i]) && !error)
            error = rules[i].error;
    if (!error)
        return NULL;
    struck++;
    if (struck_file >= 0)
        dprintf(struck_file, "%s %s %s\n", operation_names[operation], is_wal ? "wal" : "database",
                error);
    return error;
}

static int code_of(const char *error, enum operation operation)
{
    static const int codes[] = { SQLITE_IOERR_READ, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC,
                                 SQLITE_IOERR_TRUNCATE };
    if (strcmp(error, "kill") == 0)
        kill(getpid(), SIGKILL);
    const _Bool full = operation != READ &&
                       (strcmp(error, "full") == 0 || strcmp(error, "short") == 0);
    return full ? SQLITE_FULL : codes[operation];
}

/* ---- A file --------------------------------------------------------------------------------- */

static struct faulty_file *faulty(sqlite3_file *file)
{
    return (struct faulty_file *)file;
}
static sqlite3_file *real(sqlite3_file *file)
{
    return faulty(file)->real;
}

/* What a change takes away, before it is made. */
static void note_change(struct faulty_file *file, enum undo_kind kind, int64_t offset,
                        int64_t length)
{
    sqlite3_int64 size = 0;
    if (!undo_is_open() || file->real->pMethods->xFileSize(file->real, &size) != SQLITE_OK)
        return;
    int64_t end = kind == UNDO_TRUNCATE || offset + length > size ? size : offset + length;
    int64_t old_length = end > offset ? end - offset : 0;
    char *old = malloc((size_t)old_length + 1);
    if (!old || (old_length > 0 && file->real->pMethods->xRead(file->real, old, (int)old_length,
                                                               offset) != SQLITE_OK))
        abort();
    undo_note(&(struct undo_record){ .magic = UNDO_MAGIC,
                                     .kind = (uint8_t)kind,
                                     .file = file->is_wal,
                                     .offset = offset,
                                     .length = length,
                                     .old_size = size,
                                     .old_length = old_length },
              old);
    free(old);
}

static void note_sync(const struct faulty_file *file, enum undo_kind kind)
{
    if (undo_is_open())
        undo_note(&(struct undo_record){ .magic = UNDO_MAGIC,
                                         .kind = (uint8_t)kind,
                                         .file = file->is_wal },
                  "");
}

static int file_close(sqlite3_file *file)
{
    return real(file)->pMethods->xClose(real(file));
}

static int file_read(sqlite3_file *file, void *data, int length, sqlite3_int64 offset)
{
    pthread_mutex_lock(&lock);
    const char *error = fault_of(READ, faulty(file)->is_wal);
    pthread_mutex_unlock(&lock);
    return error ? code_of(error, READ)
                 : real(file)->pMethods->xRead(real(file), data, length, offset);
}

static int file_write(sqlite3_file *file, const void *data, int length, sqlite3_int64 offset)
{
    pthread_mutex_lock(&lock);
    const char *error = fault_of(WRITE, faulty(file)->is_wal);
    const _Bool half = error && (strcmp(error, "torn") == 0 || strcmp(error, "short") == 0 ||
                                 strcmp(error, "kill") == 0);
    const int written = half ? length / 2 : error ? 0 : length;
    int code = SQLITE_OK;
    if (written > 0) {
        note_change(faulty(file), UNDO_WRITE, offset, written);
        code = real(file)->pMethods->xWrite(real(file), data, written, offset);
    }
    pthread_mutex_unlock(&lock);
    return error ? code_of(error, WRITE) : code;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    pthread_mutex_lock(&lock);
    const char *error = fault_of(TRUNCATE, faulty(file)->is_wal);
    int code = SQLITE_OK;
    if (!error) {
        note_change(faulty(file), UNDO_TRUNCATE, size, 0);
        code = real(file)->pMethods->xTruncate(real(file), size);
    }
    pthread_mutex_unlock(&lock);
    return error ? code_of(error, TRUNCATE) : code;
}

static int file_sync(sqlite3_file *file, int flags)
{
    pthread_mutex_lock(&lock);
    const char *error = fault_of(SYNC, faulty(file)->is_wal);
    int code = error            ? SQLITE_OK
               : undo_is_open() ? SQLITE_OK
                                : real(file)->pMethods->xSync(real(file), flags);
    if (!error) /* whose power is cut by us needs no real sync */
        note_sync(faulty(file), UNDO_SYNC);
    else if (strcmp(error, "lost") == 0)
        note_sync(faulty(file), UNDO_SYNC_FAILED);
    pthread_mutex_unlock(&lock);
    return error ? code_of(error, SYNC) : code;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    return real(file)->pMethods->xFileSize(real(file), ret);
}
static int file_lock(sqlite3_file *file, int how)
{
    return real(file)->pMethods->xLock(real(file), how);
}
static int file_unlock(sqlite3_file *file, int how)
{
    return real(file)->pMethods->xUnlock(real(file), how);
}
static int file_is_reserved(sqlite3_file *file, int *ret)
{
    return real(file)->pMethods->xCheckReservedLock(real(file), ret);
}
static int file_control(sqlite3_file *file, int what, void *value)
{
    return real(file)->pMethods->xFileControl(real(file), what, value);
}
static int file_sector(sqlite3_file *file)
{
    return real(file)->pMethods->xSectorSize(real(file));
}
static int file_traits(sqlite3_file *file)
{
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static int file_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    return real(file)->pMethods->xShmMap(real(file), page, size, extend, ret);
}

static int file_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *file)
{
    real(file)->pMethods->xShmBarrier(real(file));
}
static int file_shm_unmap(sqlite3_file *file, int remove_it)
{
    return real(file)->pMethods->xShmUnmap(real(file), remove_it);
}

/* Version 2: no mapped pages, whose changes nobody would see. */
static const sqlite3_io_methods file_methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_is_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- The file system ------------------------------------------------------------------------ */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *opened, int flags,
                    int *ret_flags)
{
    struct faulty_file *file = faulty(opened);
    (void)vfs;
    opened->pMethods = NULL;
    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
        return system_vfs->xOpen(system_vfs, name, opened, flags, ret_flags);
    file->real = (sqlite3_file *)(file + 1);
    file->is_wal = (flags & SQLITE_OPEN_WAL) != 0;
    int code = system_vfs->xOpen(system_vfs, name, file->real, flags, ret_flags);
    if (code == SQLITE_OK)
        opened->pMethods = &file_methods;
    return code;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    const size_t length = strlen(name);
    (void)vfs;
    pthread_mutex_lock(&lock);
    if (undo_is_open() && length > 4 && strcmp(name + length - 4, "-wal") == 0)
        undo_note(&(struct undo_record){ .magic = UNDO_MAGIC, .kind = UNDO_DELETE, .file = 1 }, "");
    pthread_mutex_unlock(&lock);
    return system_vfs->xDelete(system_vfs, name, sync);
}

void faulty_disk_register(void)
{
    system_vfs = sqlite3_vfs_find(NULL);
    /* what is not ours is the system's own, which looks at itself by no name */
    faulty_vfs = *system_vfs;
    faulty_vfs.pNext = NULL;
    faulty_vfs.zName = "faulty-disk";
    faulty_vfs.szOsFile = (int)sizeof(struct faulty_file) + system_vfs->szOsFile;
    faulty_vfs.xOpen = vfs_open;
    faulty_vfs.xDelete = vfs_delete;
    sqlite3_vfs_register(&faulty_vfs, 1);
}

void faulty_disk_plan(const char *text)
{
    pthread_mutex_lock(&lock);
    take_plan(text ? text : "");
    pthread_mutex_unlock(&lock);
}

long faulty_disk_struck(void)
{
    pthread_mutex_lock(&lock);
    long count = struck;
    pthread_mutex_unlock(&lock);
    return count;
}

void faulty_disk_pause(_Bool paused)
{
    pthread_mutex_lock(&lock);
    is_paused = paused;
    pthread_mutex_unlock(&lock);
}

static int open_in_folder(const char *name, int flags)
{
    char path[FOLDER_MAX + 16];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int file = open(path, flags | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) {
        perror(path);
        exit(70);
    }
    return file;
}

void faulty_disk_serve(const char *path, _Bool power)
{
    char undo[FOLDER_MAX + 16];
    snprintf(folder, sizeof(folder), "%s", path);
    snprintf(undo, sizeof(undo), "%s/undo", path);
    plan_file = open_in_folder("plan", O_RDONLY);
    struck_file = open_in_folder("struck", O_WRONLY | O_APPEND);
    if (power)
        undo_open(undo);
}
