/* Disk: files of a node in memory, behind a VFS of SQLite, with what a disk may do: forget at a
 * power cut what was not synced, sector by sector; fail a write or a sync; die in the middle of
 * one. */
#pragma once
#include <stdint.h>

#define DISK_VFS "simulated"
#define DISK_PATH_SIZE 16

void disk_register(void); /* once, before the first open */
void disk_path(int node, char ret_path[DISK_PATH_SIZE]);
void disk_clear(int node); /* all files are gone */
void disk_free(void);

/* The count-th write, truncation or sync from now on fails; with is_cut, and everything after it.
 * 0: none does. */
void disk_fail_after(int node, int64_t count, _Bool is_cut);
void disk_kill(int node); /* everything fails: its process is about to be gone */
_Bool disk_is_dead(int node);

/* After its process is gone: works again. What was not synced is there, or after a power cut by
 * chance. */
void disk_revive(int node, _Bool power_was_cut, uint64_t *random);
