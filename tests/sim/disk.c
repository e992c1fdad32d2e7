/* Disk: see disk.h. A file is kept twice: as its process sees it, and as it was synced. */
#include "disk.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISKS 2
#define FILES_MAX 4 /* database, WAL, journal */
#define SECTOR 512
#define REGIONS_MAX 64

struct content {
    unsigned char *bytes;
    int64_t size, room;
};
struct file {
    char name[32]; /* empty: a free place */
    struct content now, synced;
    int64_t dirty_from, dirty_to; /* bytes that may differ between the two */
    void *regions[REGIONS_MAX];   /* of the WAL's index, which every process makes anew */
};
struct disk {
    struct file files[FILES_MAX];
    int64_t fail_after;
    _Bool is_cut, is_dead;
};
static struct disk disks[DISKS];
struct handle {
    sqlite3_file base;
    struct disk *disk;
    struct file *file;
};

/* ---- Faults ---------------------------------------------------------------------------------- */

void disk_fail_after(int node, int64_t count, _Bool is_cut)
{
    disks[node].fail_after = count;
    disks[node].is_cut = is_cut;
}

void disk_kill(int node)
{
    disks[node].is_dead = 1;
}

_Bool disk_is_dead(int node)
{
    return disks[node].is_dead;
}

static _Bool fails(struct disk *disk)
{
    if (disk->is_dead)
        return 1;
    if (disk->fail_after == 0 || --disk->fail_after > 0)
        return 0;
    disk->is_dead = disk->is_cut;
    return 1;
}

/* ---- Content --------------------------------------------------------------------------------- */

static int reserve(struct content *content, int64_t size)
{
    if (size <= content->room)
        return SQLITE_OK;
    int64_t room = content->room ? content->room : 65536;
    while (room < size)
        room *= 2;
    unsigned char *bytes = realloc(content->bytes, (size_t)room);
    if (!bytes)
        return SQLITE_IOERR_NOMEM;
    memset(bytes + content->room, 0, (size_t)(room - content->room));
    content->bytes = bytes;
    content->room = room;
    return SQLITE_OK;
}

static int set_size(struct content *content, int64_t size)
{
    int code = reserve(content, size);
    if (code == SQLITE_OK && size < content->size)
        memset(content->bytes + size, 0, (size_t)(content->size - size));
    if (code == SQLITE_OK)
        content->size = size;
    return code;
}

static void mark(struct file *file, int64_t from, int64_t to)
{
    if (file->dirty_from >= file->dirty_to) {
        file->dirty_from = from;
        file->dirty_to = to;
    } else {
        file->dirty_from = from < file->dirty_from ? from : file->dirty_from;
        file->dirty_to = to > file->dirty_to ? to : file->dirty_to;
    }
}

static int settle(struct file *file)
{
    int64_t to = file->dirty_to < file->now.size ? file->dirty_to : file->now.size;
    int code = set_size(&file->synced, file->now.size);
    if (code == SQLITE_OK && file->dirty_from < to)
        memcpy(file->synced.bytes + file->dirty_from, file->now.bytes + file->dirty_from,
               (size_t)(to - file->dirty_from));
    file->dirty_from = file->dirty_to = 0;
    return code;
}

/* Each sector that was not synced is as it was, or as it was to be. */
static void lose(struct file *file, uint64_t *random)
{
    int64_t size = file->now.size < file->synced.size && (*random & 1) ? file->now.size
                                                                       : file->synced.size;
    for (int64_t at = file->dirty_from / SECTOR * SECTOR;
         at < file->dirty_to && at < file->now.size; at += SECTOR) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        int64_t to = at + SECTOR < file->now.size ? at + SECTOR : file->now.size;
        if (*random >> 63 || (to > file->synced.size && reserve(&file->synced, to) != SQLITE_OK))
            continue;
        memcpy(file->synced.bytes + at, file->now.bytes + at, (size_t)(to - at));
        size = to > size ? to : size;
    }
    file->synced.size = size;
    set_size(&file->now, 0);
    if (set_size(&file->now, size) == SQLITE_OK && size > 0)
        memcpy(file->now.bytes, file->synced.bytes, (size_t)size);
    file->dirty_from = file->dirty_to = 0;
}

static void forget_regions(struct file *file)
{
    for (int i = 0; i < REGIONS_MAX; i++) {
        free(file->regions[i]);
        file->regions[i] = NULL;
    }
}

static void forget(struct file *file)
{
    forget_regions(file);
    free(file->now.bytes);
    free(file->synced.bytes);
    *file = (struct file){ 0 };
}

void disk_clear(int node)
{
    for (int i = 0; i < FILES_MAX; i++)
        forget(&disks[node].files[i]);
}

void disk_free(void)
{
    for (int i = 0; i < DISKS; i++) {
        disk_clear(i);
        disks[i] = (struct disk){ 0 };
    }
}

void disk_revive(int node, _Bool power_was_cut, uint64_t *random)
{
    struct disk *disk = &disks[node];
    for (int i = 0; i < FILES_MAX; i++) {
        forget_regions(&disk->files[i]);
        if (power_was_cut)
            lose(&disk->files[i], random);
    }
    disk->is_dead = disk->is_cut = 0;
    disk->fail_after = 0;
}

/* ---- An open file
 * ----------------------------------------------------------------------------- */

static struct file *file_of(sqlite3_file *base)
{
    return ((struct handle *)base)->file;
}

static struct disk *disk_of(sqlite3_file *base)
{
    return ((struct handle *)base)->disk;
}

static int file_close(sqlite3_file *base)
{
    (void)base;
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *to, int count, sqlite3_int64 offset)
{
    const struct content *content = &file_of(base)->now;
    if (disk_of(base)->is_dead)
        return SQLITE_IOERR_READ;
    int64_t there = content->size - offset;
    if (there >= count) {
        memcpy(to, content->bytes + offset, (size_t)count);
        return SQLITE_OK;
    }
    memset(to, 0, (size_t)count);
    if (there > 0)
        memcpy(to, content->bytes + offset, (size_t)there);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *from, int count, sqlite3_int64 offset)
{
    struct file *file = file_of(base);
    if (fails(disk_of(base)))
        return SQLITE_IOERR_WRITE;
    if (offset + count > file->now.size && set_size(&file->now, offset + count) != SQLITE_OK)
        return SQLITE_IOERR_NOMEM;
    memcpy(file->now.bytes + offset, from, (size_t)count);
    mark(file, offset, offset + count);
    return SQLITE_OK;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct file *file = file_of(base);
    if (fails(disk_of(base)))
        return SQLITE_IOERR_TRUNCATE;
    mark(file, size, file->now.size);
    return set_size(&file->now, size);
}

static int file_sync(sqlite3_file *base, int flags)
{
    (void)flags;
    return fails(disk_of(base)) ? SQLITE_IOERR_FSYNC : settle(file_of(base));
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    *ret_size = file_of(base)->now.size;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *base, int level)
{
    (void)base;
    (void)level;
    return SQLITE_OK;
}

static int file_reserved(sqlite3_file *base, int *ret_is)
{
    (void)base;
    *ret_is = 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int operation, void *argument)
{
    (void)base;
    (void)operation;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *base)
{
    (void)base;
    return SECTOR;
}

static int file_traits(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* The WAL's index: one process, one connection, so nobody waits for its locks. */
static int shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **ret_region)
{
    struct file *file = file_of(base);
    *ret_region = NULL;
    if (region >= REGIONS_MAX)
        return SQLITE_IOERR_SHMMAP;
    if (!file->regions[region] && extend)
        file->regions[region] = calloc(1, (size_t)size);
    *ret_region = file->regions[region];
    return *ret_region || !extend ? SQLITE_OK : SQLITE_IOERR_NOMEM;
}

static int shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
    (void)base;
    (void)offset;
    (void)count;
    (void)flags;
    return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *base)
{
    (void)base;
}

static int shm_unmap(sqlite3_file *base, int remove)
{
    (void)remove;
    forget_regions(file_of(base));
    return SQLITE_OK;
}

/* ---- The VFS
 * ---------------------------------------------------------------------------------- */

static const sqlite3_io_methods methods = {
    2,         file_close,  file_read,     file_write,   file_truncate, file_sync,   file_size,
    file_lock, file_lock,   file_reserved, file_control, file_sector,   file_traits, shm_map,
    shm_lock,  shm_barrier, shm_unmap,     NULL,         NULL,
};

void disk_path(int node, char ret_path[DISK_PATH_SIZE])
{
    snprintf(ret_path, DISK_PATH_SIZE, "disk%d.db", node);
}

static struct disk *disk_of_path(const char *path)
{
    return &disks[path[4] - '0'];
}

static struct file *find(const char *path)
{
    struct disk *disk = disk_of_path(path);
    for (int i = 0; i < FILES_MAX; i++)
        if (strcmp(disk->files[i].name, path) == 0)
            return &disk->files[i];
    return NULL;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                    int *ret_flags)
{
    (void)vfs;
    struct handle *handle = (struct handle *)base;
    *handle = (struct handle){ 0 };
    struct disk *disk = path ? disk_of_path(path) : NULL;
    if (!path || disk->is_dead)
        return SQLITE_CANTOPEN;
    struct file *file = find(path);
    for (int i = 0; i < FILES_MAX && !file && flags & SQLITE_OPEN_CREATE; i++)
        if (!disk->files[i].name[0]) {
            file = &disk->files[i];
            snprintf(file->name, sizeof(file->name), "%s", path);
        }
    if (!file)
        return SQLITE_CANTOPEN;
    *handle = (struct handle){ .base = { &methods }, .disk = disk, .file = file };
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
    (void)vfs;
    (void)sync_folder;
    struct file *file = find(path);
    if (fails(disk_of_path(path)))
        return SQLITE_IOERR_DELETE;
    if (file)
        forget(file);
    return file ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret_is)
{
    (void)vfs;
    (void)flags;
    const struct file *file = find(path);
    *ret_is = file && file->now.size > 0;
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int size, char *ret_path)
{
    (void)vfs;
    snprintf(ret_path, (size_t)size, "%s", path);
    return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int count, char *ret_bytes)
{
    (void)vfs;
    memset(ret_bytes, 0x5a, (size_t)count); /* the same run, the same bytes */
    return count;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static int vfs_time(sqlite3_vfs *vfs, double *ret_days)
{
    (void)vfs;
    *ret_days = 2461367.5;
    return SQLITE_OK;
}

void disk_register(void)
{
    static sqlite3_vfs vfs = {
        .iVersion = 1,
        .szOsFile = sizeof(struct handle),
        .mxPathname = 64,
        .zName = DISK_VFS,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_random,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
    };
    sqlite3_vfs_register(&vfs, 0);
}
