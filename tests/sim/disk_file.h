/* Disk file: what disk.c and disk_vfs.c share, and nobody else. */
#pragma once
#include <sqlite3.h>
#include "disk.h"

#define DISK_FILES_MAX 4 /* database, WAL, journal */
#define DISK_SECTOR 512
#define DISK_REGIONS_MAX 64

struct content {
    unsigned char *bytes;
    int64_t size, room;
};

struct disk_file { /* kept twice: as its process sees it, and as it was synced */
    char name[32]; /* empty: a free place */
    struct content now, synced;
    int64_t dirty_from, dirty_to;    /* bytes that may differ between the two */
    void *regions[DISK_REGIONS_MAX]; /* of the WAL's index, which every process makes anew */
    int region_users;
    int shared[SQLITE_SHM_NLOCK]; /* locks of the index: how many share one; -1: one has it alone */
    int readers;                  /* locks of the file: handles with at least SHARED */
    const void *writer;           /* the handle with more than that; NULL */
};

struct disk {
    struct disk_file files[DISK_FILES_MAX];
    int64_t fail_after;
    _Bool is_cut, is_dead, is_full;
};

struct disk *disk_of_path(const char *path);
struct disk_file *disk_find(const char *path);                    /* NULL: not there */
struct disk_file *disk_make(struct disk *disk, const char *path); /* NULL: too many */
_Bool disk_fails(struct disk *disk);                              /* counts */
int disk_set_size(struct content *content, int64_t size);         /* a code of SQLite */
void disk_mark(struct disk_file *file, int64_t from, int64_t to); /* was written */
int disk_settle(struct disk_file *file);                          /* was synced */
void disk_forget(struct disk_file *file);
void disk_forget_regions(struct disk_file *file);
