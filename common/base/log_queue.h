/* Log queue: what stands between a thread that logs and who reads the log. A reader that stands
 * still (a full pipe, a stopped terminal) makes only the queue's own thread wait. The queue is
 * bounded: when it is full, lines that are not urgent make room, the oldest first, and are counted;
 * when the reader goes on, it is told how many.
 *
 * Without the thread (before log_queue_start, after log_queue_stop, in tools) a line is written at
 * once, by whoever logs.
 *
 * Invariants, whenever the lock is free:
 *   U1  `length` is the number of lines, at most LOG_QUEUE_LINES; 0 exactly when `first` is NULL
 *   U2  the list ends where `last` says */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define LOG_QUEUE_LINES 1024 /* of at most 4 KiB */

/* Any thread. The text is copied. */
void log_queue_put(const char *line, size_t length, _Bool is_urgent);

/* Starts the thread. tick is called on it before lines are written and once a second, with how many
 * lines were dropped since it was last called; it may put lines. 0, or -ERR_MEMORY. */
int log_queue_start(void (*tick)(int64_t dropped));

/* Waits until all lines are written, at most so long. */
void log_queue_flush(int timeout_ms);

/* As flush; then lines are written at once again, but only if the thread has come to its end. */
void log_queue_stop(int timeout_ms);

int64_t log_queue_dropped(void); /* lines since the start */
