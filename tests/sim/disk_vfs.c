/* Disk VFS: the disk as SQLite's default. All connections are of one thread and none waits, so that
 * a lock that another one has is BUSY at once. */
#include "disk_file.h"
#include <stdlib.h>
#include <string.h>

struct handle {
    sqlite3_file base;
    struct disk *disk;
    struct disk_file *file;
    int level;                           /* of the file's lock */
    signed char locks[SQLITE_SHM_NLOCK]; /* 1 shared, 2 alone */
    _Bool maps;
};

static struct handle *handle_of(sqlite3_file *base)
{
    return (struct handle *)base;
}

/* ---- Bytes ---------------------------------------------------------------------------------- */

static int file_read(sqlite3_file *base, void *to, int count, sqlite3_int64 offset)
{
    const struct content *content = &handle_of(base)->file->now;
    if (handle_of(base)->disk->is_dead)
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
    struct disk_file *file = handle_of(base)->file;
    if (disk_fails(handle_of(base)->disk))
        return SQLITE_IOERR_WRITE;
    if (offset + count > file->now.size) {
        if (handle_of(base)->disk->is_full)
            return SQLITE_FULL;
        if (disk_set_size(&file->now, offset + count) != SQLITE_OK)
            return SQLITE_IOERR_NOMEM;
    }
    memcpy(file->now.bytes + offset, from, (size_t)count);
    disk_mark(file, offset, offset + count);
    return SQLITE_OK;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct disk_file *file = handle_of(base)->file;
    if (disk_fails(handle_of(base)->disk))
        return SQLITE_IOERR_TRUNCATE;
    disk_mark(file, size, file->now.size);
    return disk_set_size(&file->now, size);
}

static int file_sync(sqlite3_file *base, int flags)
{
    (void)flags;
    return disk_fails(handle_of(base)->disk) ? SQLITE_IOERR_FSYNC
                                             : disk_settle(handle_of(base)->file);
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    *ret_size = handle_of(base)->file->now.size;
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
    return DISK_SECTOR;
}

static int file_traits(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- Locks of the file ---------------------------------------------------------------------- */

static int file_lock(sqlite3_file *base, int level)
{
    struct handle *handle = handle_of(base);
    struct disk_file *file = handle->file;
    if (handle->level >= level)
        return SQLITE_OK;
    if (file->writer && file->writer != handle)
        return SQLITE_BUSY;
    if (level == SQLITE_LOCK_EXCLUSIVE && file->readers > (handle->level > 0))
        return SQLITE_BUSY;
    file->readers += handle->level == SQLITE_LOCK_NONE;
    if (level > SQLITE_LOCK_SHARED)
        file->writer = handle;
    handle->level = level;
    return SQLITE_OK;
}

static int file_unlock(sqlite3_file *base, int level)
{
    struct handle *handle = handle_of(base);
    struct disk_file *file = handle->file;
    if (handle->level <= level)
        return SQLITE_OK;
    if (file->writer == handle)
        file->writer = NULL;
    file->readers -= level == SQLITE_LOCK_NONE && file->readers > 0;
    handle->level = level;
    return SQLITE_OK;
}

static int file_reserved(sqlite3_file *base, int *ret_is)
{
    *ret_is = handle_of(base)->file->writer != NULL;
    return SQLITE_OK;
}

/* ---- The WAL's index, and its locks ---------------------------------------------------------- */

static int shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **ret_region)
{
    struct handle *handle = handle_of(base);
    struct disk_file *file = handle->file;
    *ret_region = NULL;
    if (region >= DISK_REGIONS_MAX)
        return SQLITE_IOERR_SHMMAP;
    file->region_users += !handle->maps;
    handle->maps = 1;
    if (!file->regions[region] && extend)
        file->regions[region] = calloc(1, (size_t)size);
    *ret_region = file->regions[region];
    return *ret_region || !extend ? SQLITE_OK : SQLITE_IOERR_NOMEM;
}

static void release(struct handle *handle, int i)
{
    int *shared = &handle->file->shared[i];
    if (handle->locks[i] == 2)
        *shared = 0;
    else if (handle->locks[i] == 1 && *shared > 0)
        --*shared;
    handle->locks[i] = 0;
}

static int shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
    struct handle *handle = handle_of(base);
    const int *shared = handle->file->shared;
    _Bool alone = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (int i = offset; i < offset + count && flags & SQLITE_SHM_LOCK; i++)
        if (handle->locks[i] == 0 && (alone ? shared[i] != 0 : shared[i] < 0))
            return SQLITE_BUSY;
    for (int i = offset; i < offset + count; i++) {
        release(handle, i);
        if (!(flags & SQLITE_SHM_LOCK))
            continue;
        handle->locks[i] = alone ? 2 : 1;
        handle->file->shared[i] = alone ? -1 : shared[i] + 1;
    }
    return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *base)
{
    (void)base;
}

static int shm_unmap(sqlite3_file *base, int remove)
{
    struct handle *handle = handle_of(base);
    (void)remove;
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++)
        release(handle, i);
    if (handle->maps && handle->file->region_users > 0 && --handle->file->region_users == 0)
        disk_forget_regions(handle->file);
    handle->maps = 0;
    return SQLITE_OK;
}

/* ---- The VFS -------------------------------------------------------------------------------- */

static int file_close(sqlite3_file *base)
{
    return file_unlock(base, SQLITE_LOCK_NONE);
}

static const sqlite3_io_methods methods = {
    2,         file_close,  file_read,     file_write,   file_truncate, file_sync,   file_size,
    file_lock, file_unlock, file_reserved, file_control, file_sector,   file_traits, shm_map,
    shm_lock,  shm_barrier, shm_unmap,     NULL,         NULL,
};

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                    int *ret_flags)
{
    (void)vfs;
    struct handle *handle = handle_of(base);
    *handle = (struct handle){ 0 };
    struct disk *disk = path ? disk_of_path(path) : NULL;
    if (!path || disk->is_dead)
        return SQLITE_CANTOPEN;
    struct disk_file *file = disk_find(path);
    if (!file && flags & SQLITE_OPEN_CREATE)
        file = disk_make(disk, path);
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
    struct disk_file *file = disk_find(path);
    if (disk_fails(disk_of_path(path)))
        return SQLITE_IOERR_DELETE;
    if (file)
        disk_forget(file);
    return file ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret_is)
{
    (void)vfs;
    (void)flags;
    *ret_is = disk_file_bytes(path) > 0;
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int size, char *ret_path)
{
    (void)vfs;
    sqlite3_snprintf(size, ret_path, "%s", path);
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
        .zName = "simulated",
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_random,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
    };
    sqlite3_vfs_register(&vfs, 1);
}
