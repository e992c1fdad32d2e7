/* Clock: the time is an input. Only the outermost loops of the threads read a clock; functions that
 * decide are given the time. Any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

int64_t clock_wall_ms(void);      /* since 1970, UTC; may jump */
int64_t clock_monotonic_ms(void); /* never goes back; for timeouts and back-off */
int64_t clock_monotonic_ns(void); /* for measurements */

#define RFC3339_SIZE 25 /* "2026-11-23T05:40:00.123Z" and its NUL */
void rfc3339_format(int64_t wall_ms, char ret_text[RFC3339_SIZE]);

#define MONTH_SIZE 8 /* "2026-11" and its NUL, UTC */
void month_format(int64_t wall_ms, char ret_month[MONTH_SIZE]);
/* Has the whole of the month passed? As text, a month that is over is less than that of now. */
_Bool month_is_over(const char *month, int64_t wall_ms);

/* In UTC ("…Z") with any number of decimals, of which milliseconds are kept. 0, or -ERR_INVALID. */
int rfc3339_parse(const char *text, int64_t *ret_wall_ms);
