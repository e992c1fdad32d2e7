/* Clock: see clock.h. */
#include "base/clock.h"
#include "base/result.h"
#include <assert.h>
#include <string.h>
#include <time.h>

static int64_t read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_wall_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000;
}
int64_t clock_monotonic_ms(void)
{
    return read_ns(CLOCK_MONOTONIC) / 1000000;
}
int64_t clock_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

static void put_digits(char *text, int width, int64_t value)
{
    for (int i = width - 1; i >= 0; i--, value /= 10)
        text[i] = (char)('0' + value % 10);
}

/* From days since 1970-01-01 to a date of the Gregorian calendar and back, by arithmetic, because
 * gmtime_r and timegm take a lock that all threads share. The algorithm is H. Hinnant's
 * (https://howardhinnant.github.io/date_algorithms.html). A year begins in March here, so that the
 * leap day is the last day of the year. */
struct date {
    int64_t year;
    int month, day;
};

static struct date date_of_days(int64_t days)
{
    days += 719468; /* since 0000-03-01 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = (int)(day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100));
    int month = (5 * day_of_year + 2) / 153; /* 0: March */
    return (struct date){
        .year = year_of_era + era * 400 + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = day_of_year - (153 * month + 2) / 5 + 1,
    };
}

static int64_t days_of_date(const struct date *date)
{
    int64_t year = date->year - (date->month <= 2);
    int64_t era = (year >= 0 ? year : year - 399) / 400, year_of_era = year - era * 400;
    int month = date->month > 2 ? date->month - 3 : date->month + 9;
    int64_t day_of_year = (153 * month + 2) / 5 + date->day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static int64_t divide_down(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

void rfc3339_format(int64_t wall_ms, char ret_text[RFC3339_SIZE])
{
    assert(ret_text);
    int64_t seconds = divide_down(wall_ms, 1000), days = divide_down(seconds, 86400);
    int64_t second_of_day = seconds - days * 86400;
    struct date date = date_of_days(days);
    memcpy(ret_text, "0000-00-00T00:00:00.000Z", RFC3339_SIZE);
    put_digits(ret_text, 4, date.year);
    put_digits(ret_text + 5, 2, date.month);
    put_digits(ret_text + 8, 2, date.day);
    put_digits(ret_text + 11, 2, second_of_day / 3600);
    put_digits(ret_text + 14, 2, second_of_day / 60 % 60);
    put_digits(ret_text + 17, 2, second_of_day % 60);
    put_digits(ret_text + 20, 3, wall_ms - seconds * 1000);
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

/* ".5", ".123456789", or nothing. A point is followed by at least one digit; milliseconds are
 * kept. */
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

void month_format(int64_t wall_ms, char ret_month[MONTH_SIZE])
{
    char text[RFC3339_SIZE];
    rfc3339_format(wall_ms, text);
    memcpy(ret_month, text, MONTH_SIZE - 1);
    ret_month[MONTH_SIZE - 1] = '\0';
}

_Bool month_is_over(const char *month, int64_t wall_ms)
{
    char now[MONTH_SIZE];
    month_format(wall_ms, now);
    return strcmp(month, now) < 0;
}

int rfc3339_parse(const char *text, int64_t *ret_wall_ms)
{
    assert(text && ret_wall_ms);
    struct date date;
    int year, hour, minute, second, millis;
    if (!take_digits(&text, 4, &year) || !take_char(&text, '-') ||
        !take_digits(&text, 2, &date.month) || !take_char(&text, '-') ||
        !take_digits(&text, 2, &date.day) || !take_char(&text, 'T') ||
        !take_digits(&text, 2, &hour) || !take_char(&text, ':') ||
        !take_digits(&text, 2, &minute) || !take_char(&text, ':') ||
        !take_digits(&text, 2, &second) || !take_fraction(&text, &millis))
        return fail(ERR_INVALID, "not an RFC 3339 time");
    if (strcmp(text, "Z") != 0)
        return fail(ERR_INVALID, "not an RFC 3339 time in UTC");
    if (date.month < 1 || date.month > 12 || date.day < 1 || date.day > 31 || hour > 23 ||
        minute > 59 || second > 60)
        return fail(ERR_INVALID, "not a time that exists");
    date.year = year;
    int64_t days = days_of_date(&date);
    struct date again = date_of_days(days);
    if (again.month != date.month)
        return fail(ERR_INVALID, "not a day that exists");
    *ret_wall_ms = (days * 86400 + hour * INT64_C(3600) + minute * INT64_C(60) + second) * 1000 +
                   millis;
    return 0;
}
