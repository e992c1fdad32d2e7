/* Data folder: the folder of a service's files, and who may read them. They hold personal data, so
 * they are for the service's user alone: the program's umask is 077, and files of an older program
 * or of a careless copy are tightened at the start.
 *
 * A start that fails again and again is slowed down here as well, because not every supervisor does
 * it: the failed ends of a service are counted in a file of its folder, and from the third on the
 * process waits before it ends. */
#pragma once
#include <stdint.h>

/* Makes the folder where it is missing (0700). 0; ERR_CONFIG: a person must act, because rights are
 * missing or the path is no folder's; ERR_IO: it may pass by itself. */
int data_folder_make(const char *path);

/* Tightens the modes of the service's files to 0600, and logs it; warns of a folder that others may
 * write to, or enter. */
void data_folder_tighten(const char *path, const char *service);

/* The first of folder and files that may not be written, and why; NULL: none. Valid until the
 * thread's next call. */
const char *data_folder_denies(const char *path, const char *service);

/* Removes what tools that were killed have left: scratch files of a process that does not live. */
void data_folder_sweep(const char *path, const char *service);

/* A service ends, and not in peace; `after_ms` since its start. Counts it. Returns how long the
 * process shall wait before it ends, so that a restart loop slows down: 0 to 30,000. */
int data_folder_count_end(const char *path, const char *service, int64_t after_ms);
/* It ended in peace, or ran long enough: the count begins anew. */
void data_folder_forget_ends(const char *path, const char *service);
/* How long a start shall wait, because the last lives were cut off at once. */
int data_folder_start_wait_ms(const char *path, const char *service);
/* As data_folder_count_end, for an end that cannot wait: the next start does. */
void data_folder_count_death(const char *path, const char *service, int64_t after_ms);
