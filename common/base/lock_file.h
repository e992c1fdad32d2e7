/* Lock file: one process at a time may own a folder. The lock goes with the process, however that
 * ends; one that stands still keeps it. */
#pragma once

/* Waits up to timeout_ms for an owner that is just ending. 0, and the lock lives until ret_fd is
 * closed; ERR_LOCKED names the owner. */
int lock_file_take(const char *path, int timeout_ms, int *ret_fd);
