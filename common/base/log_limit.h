/* Log limit: how many lines of one kind, which is one event, may be written in a second. Whoever
 * can provoke a line can provoke a thousand, and would fill the disk, or push out the lines that
 * matter. What is left out is counted, and told when the second is over. Any thread. */
#pragma once
#include <stdint.h>

#define LOG_LIMIT_LINES 20 /* of one kind in a second */
#define LOG_LIMIT_MS 1000
#define LOG_LIMIT_KINDS 256 /* beyond it, kinds share the last place */

/* May this line be written? *ret_number: which one of its kind in this second, from 1. */
_Bool log_limit_takes(const char *event, int64_t now_ms, int *ret_number);

/* A kind whose second is over and of which lines were left out; they are forgotten then. 0: there
 * is none. `event` has LOG_LIMIT_NAME_SIZE bytes. */
#define LOG_LIMIT_NAME_SIZE 64
int64_t log_limit_take_suppressed(int64_t now_ms, char *ret_event);

int64_t log_limit_suppressed(void); /* since the start */
