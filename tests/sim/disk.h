/* Disk: files of a node in memory, behind the default VFS of SQLite (disk_vfs.c), with what a disk
 * may do: forget at a power cut what was not synced, sector by sector; fail a write or a sync; be
 * full; die in the middle of a write. All connections of a node's process share its files. */
#pragma once
#include <stdint.h>

#define DISKS 8
#define DISK_PATH_SIZE 16

void disk_register(void);                                /* once, before the first open */
void disk_path(int node, char ret_path[DISK_PATH_SIZE]); /* of its database */
int64_t disk_file_bytes(const char *path);               /* -1: there is no such file */
void disk_clear(int node);                               /* all files are gone */
void disk_free(void);

/* The count-th write, truncation or sync from now on fails; with is_cut, and everything after it.
 * 0: none does. */
void disk_fail_after(int node, int64_t count, _Bool is_cut);
void disk_fill(int node, _Bool is_full); /* no file may grow */
void disk_kill(int node);                /* everything fails: its process is about to be gone */
_Bool disk_is_dead(int node);

/* After its process is gone: works again. What was not synced is there, or after a power cut by
 * chance. */
void disk_revive(int node, _Bool power_was_cut, uint64_t *random);

/* All files as they are between two transactions, and back: a backup. */
struct disk_copy *disk_copy(int node);
void disk_restore(int node, const struct disk_copy *copy); /* of a node whose process is gone */
void disk_copy_free(struct disk_copy *copy);
