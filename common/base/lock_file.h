/* Lock file: one process at a time may own a folder. The kernel gives the lock back when the
 * process ends, in whatever way; a process that hangs keeps its lock. */
#pragma once

/* Waits up to timeout_ms for an owner that is just ending. 0: the lock is held until *ret_fd is
 * closed. -ERR_LOCKED: the message names the process that has the lock. -ERR_FULL, -ERR_READONLY:
 * the file cannot be made. */
int lock_file_take(const char *path, int timeout_ms, int *ret_fd);
