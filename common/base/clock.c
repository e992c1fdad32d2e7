/* Clock: see clock.h. */
#include "base/clock.h"
#include "base/result.h"
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

/* Exactly `count` digits; moves on behind them. */
static _Bool take_digits(const char **text, int count, int *ret_value)
{
    int value = 0;
    for (; count > 0; count--, (*text)++) {
        if (**text < '0' || **text > '9')
            return 0;
        value = value * 10 + (**text - '0');
    }
    *ret_value = value;
    return 1;
}

static _Bool take_char(const char **text, char c)
{
    if (**text != c)
        return 0;
    (*text)++;
    return 1;
}

/* ".5", ".123456789": at least one digit, of which milliseconds are kept. None at all is fine too. */
static _Bool take_fraction(const char **text, int *ret_millis)
{
    int millis = 0;
    if (take_char(text, '.')) {
        int digits = 0;
        for (int scale = 100; **text >= '0' && **text <= '9'; (*text)++, scale /= 10, digits++)
            millis += (**text - '0') * scale;
        if (digits == 0)
            return 0;
    }
    *ret_millis = millis;
    return 1;
}

int rfc3339_parse(const char *text, int64_t *ret_wall_ms)
{
    struct tm tm = { 0 };
    int year, month, millis;
    if (!take_digits(&text, 4, &year) || !take_char(&text, '-') || !take_digits(&text, 2, &month) || !take_char(&text, '-') ||
        !take_digits(&text, 2, &tm.tm_mday) || !take_char(&text, 'T') || !take_digits(&text, 2, &tm.tm_hour) ||
        !take_char(&text, ':') || !take_digits(&text, 2, &tm.tm_min) || !take_char(&text, ':') ||
        !take_digits(&text, 2, &tm.tm_sec) || !take_fraction(&text, &millis))
        return fail(ERR_INVALID, "not an RFC 3339 time");
    if (strcmp(text, "Z") != 0)
        return fail(ERR_INVALID, "not an RFC 3339 time in UTC");
    if (month < 1 || tm.tm_mday < 1 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return fail(ERR_INVALID, "not a time that exists");
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    int second = tm.tm_sec, day = tm.tm_mday;
    tm.tm_sec = 0;                            /* apart: a leap second would move the rest */
    int64_t minute = (int64_t)timegm(&tm);
    if (tm.tm_mon != month - 1 || tm.tm_mday != day)
        return fail(ERR_INVALID, "not a day that exists");
    *ret_wall_ms = (minute + second) * 1000 + millis;
    return 0;
}
