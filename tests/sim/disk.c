/* Disk: see disk.h. */
#include "disk_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISK_NUMBER_AT 4 /* in each name: "disk0.db" */

static struct disk disks[DISKS];

void disk_path(int node, char ret_path[DISK_PATH_SIZE])
{
    snprintf(ret_path, DISK_PATH_SIZE, "disk%d.db", node);
}

struct disk *disk_of_path(const char *path)
{
    return &disks[path[DISK_NUMBER_AT] - '0'];
}

struct disk_file *disk_find(const char *path)
{
    struct disk *disk = disk_of_path(path);
    for (int i = 0; i < DISK_FILES_MAX; i++)
        if (strcmp(disk->files[i].name, path) == 0)
            return &disk->files[i];
    return NULL;
}

struct disk_file *disk_make(struct disk *disk, const char *path)
{
    for (int i = 0; i < DISK_FILES_MAX; i++)
        if (!disk->files[i].name[0]) {
            snprintf(disk->files[i].name, sizeof(disk->files[i].name), "%s", path);
            return &disk->files[i];
        }
    return NULL;
}

int64_t disk_file_bytes(const char *path)
{
    const struct disk_file *file = disk_find(path);
    return file ? file->now.size : -1;
}

/* ---- Faults --------------------------------------------------------------------------------- */

void disk_fail_after(int node, int64_t count, _Bool is_cut)
{
    disks[node].fail_after = count;
    disks[node].is_cut = is_cut;
}

void disk_fill(int node, _Bool is_full)
{
    disks[node].is_full = is_full;
}

void disk_kill(int node)
{
    disks[node].is_dead = 1;
}

_Bool disk_is_dead(int node)
{
    return disks[node].is_dead;
}

_Bool disk_fails(struct disk *disk)
{
    if (disk->is_dead)
        return 1;
    if (disk->fail_after == 0 || --disk->fail_after > 0)
        return 0;
    disk->is_dead = disk->is_cut;
    return 1;
}

/* ---- Content -------------------------------------------------------------------------------- */

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

int disk_set_size(struct content *content, int64_t size)
{
    int code = reserve(content, size);
    if (code == SQLITE_OK && size < content->size)
        memset(content->bytes + size, 0, (size_t)(content->size - size));
    if (code == SQLITE_OK)
        content->size = size;
    return code;
}

static void copy_content(struct content *to, const struct content *from)
{
    *to = (struct content){ 0 };
    if (disk_set_size(to, from->size) == SQLITE_OK && from->size > 0)
        memcpy(to->bytes, from->bytes, (size_t)from->size);
}

void disk_mark(struct disk_file *file, int64_t from, int64_t to)
{
    if (file->dirty_from >= file->dirty_to) {
        file->dirty_from = from;
        file->dirty_to = to;
    } else {
        file->dirty_from = from < file->dirty_from ? from : file->dirty_from;
        file->dirty_to = to > file->dirty_to ? to : file->dirty_to;
    }
}

int disk_settle(struct disk_file *file)
{
    int64_t to = file->dirty_to < file->now.size ? file->dirty_to : file->now.size;
    int code = disk_set_size(&file->synced, file->now.size);
    if (code == SQLITE_OK && file->dirty_from < to)
        memcpy(file->synced.bytes + file->dirty_from, file->now.bytes + file->dirty_from,
               (size_t)(to - file->dirty_from));
    file->dirty_from = file->dirty_to = 0;
    return code;
}

/* Each sector that was not synced is as it was, or as it was to be. */
static void lose(struct disk_file *file, uint64_t *random)
{
    int64_t size = file->now.size < file->synced.size && (*random & 1) ? file->now.size
                                                                       : file->synced.size;
    for (int64_t at = file->dirty_from / DISK_SECTOR * DISK_SECTOR;
         at < file->dirty_to && at < file->now.size; at += DISK_SECTOR) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        int64_t to = at + DISK_SECTOR < file->now.size ? at + DISK_SECTOR : file->now.size;
        if (*random >> 63 || (to > file->synced.size && reserve(&file->synced, to) != SQLITE_OK))
            continue;
        memcpy(file->synced.bytes + at, file->now.bytes + at, (size_t)(to - at));
        size = to > size ? to : size;
    }
    file->synced.size = size;
    disk_set_size(&file->now, 0);
    if (disk_set_size(&file->now, size) == SQLITE_OK && size > 0)
        memcpy(file->now.bytes, file->synced.bytes, (size_t)size);
    file->dirty_from = file->dirty_to = 0;
}

/* ---- A disk's life -------------------------------------------------------------------------- */

void disk_forget_regions(struct disk_file *file)
{
    for (int i = 0; i < DISK_REGIONS_MAX && file->regions[i]; i++) {
        free(file->regions[i]);
        file->regions[i] = NULL;
    }
}

void disk_forget(struct disk_file *file)
{
    disk_forget_regions(file);
    free(file->now.bytes);
    free(file->synced.bytes);
    *file = (struct disk_file){ 0 };
}

void disk_clear(int node)
{
    for (int i = 0; i < DISK_FILES_MAX; i++)
        disk_forget(&disks[node].files[i]);
}

void disk_free(void)
{
    for (int i = 0; i < DISKS; i++) {
        disk_clear(i);
        disks[i] = (struct disk){ 0 };
    }
}

/* Locks are the process's, and gone with it. */
static void forget_locks(struct disk_file *file)
{
    disk_forget_regions(file);
    file->region_users = file->readers = 0;
    file->writer = NULL;
    memset(file->shared, 0, sizeof(file->shared));
}

void disk_revive(int node, _Bool power_was_cut, uint64_t *random)
{
    struct disk *disk = &disks[node];
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        forget_locks(&disk->files[i]);
        if (power_was_cut)
            lose(&disk->files[i], random);
    }
    disk->is_dead = disk->is_cut = disk->is_full = 0;
    disk->fail_after = 0;
}

/* ---- Copies --------------------------------------------------------------------------------- */

struct disk_copy {
    struct {
        char name[32];
        struct content content;
    } files[DISK_FILES_MAX];
};

struct disk_copy *disk_copy(int node)
{
    struct disk_copy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        abort();
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        const struct disk_file *file = &disks[node].files[i];
        memcpy(copy->files[i].name, file->name, sizeof(file->name));
        copy_content(&copy->files[i].content, &file->now);
    }
    return copy;
}

void disk_restore(int node, const struct disk_copy *copy)
{
    disk_clear(node);
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        struct disk_file *file = &disks[node].files[i];
        memcpy(file->name, copy->files[i].name, sizeof(file->name));
        if (file->name[0])
            file->name[DISK_NUMBER_AT] = (char)('0' + node); /* the copy may be another disk's */
        copy_content(&file->now, &copy->files[i].content);
        copy_content(&file->synced, &copy->files[i].content);
    }
}

void disk_copy_free(struct disk_copy *copy)
{
    for (int i = 0; copy && i < DISK_FILES_MAX; i++)
        free(copy->files[i].content.bytes);
    free(copy);
}
