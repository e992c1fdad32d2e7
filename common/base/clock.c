/* Clock: see clock.h. */
#include "base/clock.h"
#include "base/result.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_wall_ms(void) { return read_ns(CLOCK_REALTIME) / 1000000; }
int64_t clock_monotonic_ms(void) { return read_ns(CLOCK_MONOTONIC) / 1000000; }
int64_t clock_monotonic_ns(void) { return read_ns(CLOCK_MONOTONIC); }

static void put_digits(char *text, int width, int64_t value)
{
    for (int i = width - 1; i >= 0; i--, value /= 10)
        text[i] = (char)('0' + value % 10);
}

void rfc3339_format(int64_t wall_ms, char ret_text[RFC3339_SIZE])
{
    int64_t seconds = wall_ms / 1000, millis = wall_ms % 1000;
    if (millis < 0) {
        millis += 1000;
        seconds--;
    }
    time_t when = (time_t)seconds;
    struct tm tm;
    gmtime_r(&when, &tm);
    memcpy(ret_text, "0000-00-00T00:00:00.000Z", RFC3339_SIZE);
    put_digits(ret_text, 4, tm.tm_year + 1900);
    put_digits(ret_text + 5, 2, tm.tm_mon + 1);
    put_digits(ret_text + 8, 2, tm.tm_mday);
    put_digits(ret_text + 11, 2, tm.tm_hour);
    put_digits(ret_text + 14, 2, tm.tm_min);
    put_digits(ret_text + 17, 2, tm.tm_sec);
    put_digits(ret_text + 20, 3, millis);
}

int rfc3339_parse(const char *text, int64_t *ret_wall_ms)
{
    struct tm tm = { 0 };
    int year, month, millis = 0, read = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &read) != 6 || month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return fail(ERR_INVALID, "not an RFC 3339 time");
    const char *rest = text + read;
    if (*rest == '.') {
        int scale = 100;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
            millis += (*rest - '0') * scale;
    }
    if (strcmp(rest, "Z") != 0)
        return fail(ERR_INVALID, "not an RFC 3339 time in UTC");
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    *ret_wall_ms = (int64_t)timegm(&tm) * 1000 + millis;
    return 0;
}
