/* Number: see number.h. */
#include "contract/number.h"
#include "base/buf.h"
#include "base/result.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 18        /* of an integer: so many always fit an int64_t */
#define EXPONENT_MAX 1000000 /* what is beyond it is as good as this */
#define TEXT_MAX 400         /* of a number that strtod looks at; doubles end at 309 digits */

/* A number with a point or an exponent, in its parts. */
struct number {
    const char *start, *end;
    _Bool is_negative;
    const char *whole, *fraction; /* digits */
    size_t whole_length, fraction_length;
    int64_t exponent;
};

static size_t digits_at(const char *at, const char *end)
{
    size_t count = 0;
    while (at + count < end && at[count] >= '0' && at[count] <= '9')
        count++;
    return count;
}

static const char *read_exponent(const char *at, const char *end, int64_t *ret_exponent)
{
    _Bool is_negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    size_t count = digits_at(at, end);
    int64_t exponent = 0;
    for (size_t i = 0; i < count; i++)
        exponent = exponent >= EXPONENT_MAX ? EXPONENT_MAX : exponent * 10 + (at[i] - '0');
    *ret_exponent = is_negative ? -exponent : exponent;
    return count > 0 ? at + count : NULL;
}

/* Reads a number by JSON's grammar. False: it is none, or a plain integer; *end is behind what was
 * looked at. */
static _Bool read_number(const char *at, const char *end, struct number *ret, const char **ret_end)
{
    struct number number = { .start = at, .is_negative = *at == '-' };
    at += number.is_negative;
    number.whole = at;
    number.whole_length = digits_at(at, end);
    at += number.whole_length;
    *ret_end = at;
    if (number.whole_length == 0 || (number.whole_length > 1 && *number.whole == '0'))
        return 0;
    const _Bool has_point = at < end && *at == '.';
    if (has_point) {
        number.fraction = ++at;
        number.fraction_length = digits_at(at, end);
        at += number.fraction_length;
        *ret_end = at;
        if (number.fraction_length == 0)
            return 0;
    }
    const _Bool has_exponent = at < end && (*at == 'e' || *at == 'E');
    if (has_exponent && !(at = read_exponent(at + 1, end, &number.exponent)))
        return 0;
    *ret_end = number.end = at;
    *ret = number;
    return has_point || has_exponent;
}

/* The i-th digit of whole and fraction together. */
static char digit(const struct number *number, size_t i)
{
    if (i < number->whole_length)
        return number->whole[i];
    return number->fraction[i - number->whole_length];
}

/* Is the value an integer, and one of at most DIGITS_MAX digits? Then it is written. */
static _Bool put_integer(const struct number *number, struct buf *out)
{
    size_t count = number->whole_length + number->fraction_length, first = 0;
    while (first < count && digit(number, first) == '0')
        first++;
    while (count > first && digit(number, count - 1) == '0')
        count--;
    if (first == count) {
        buf_put_char(out, '0');
        return 1;
    }
    /* digits first…count are the value, times ten to this */
    int64_t zeros = number->exponent + (int64_t)number->whole_length - (int64_t)count;
    if (zeros < 0 || (int64_t)(count - first) + zeros > DIGITS_MAX)
        return 0;
    if (number->is_negative)
        buf_put_char(out, '-');
    for (size_t i = first; i < count; i++)
        buf_put_char(out, digit(number, i));
    for (int64_t i = 0; i < zeros; i++)
        buf_put_char(out, '0');
    return 1;
}

/* Not an integer of DIGITS_MAX digits. A larger integer stays as it is: it is refused as too large.
 * What is left has a fraction, which must not be lost. */
static _Bool has_fraction(const struct number *number)
{
    size_t count = number->whole_length + number->fraction_length;
    while (count > 0 && digit(number, count - 1) == '0')
        count--;
    return count > 0 && number->exponent + (int64_t)number->whole_length - (int64_t)count < 0;
}

/* Its double; false: it is too long to look at. */
static _Bool double_of(const struct number *number, double *ret_value)
{
    char text[TEXT_MAX + 1];
    const size_t length = (size_t)(number->end - number->start);
    if (length > TEXT_MAX)
        return 0;
    memcpy(text, number->start, length);
    text[length] = '\0';
    *ret_value = strtod(text, NULL);
    return 1;
}

static void put_other(const struct number *number, struct buf *out)
{
    double value = 0;
    const _Bool is_known = double_of(number, &value);
    if (has_fraction(number) && (!is_known || rint(value) == value)) {
        /* about as large, and with a fraction in a double, too */
        double near = value > 4e15 ? 4e15 + 0.5 : value < -4e15 ? -4e15 - 0.5 : trunc(value) + 0.5;
        buf_put_format(out, "%.1f", near);
    } else {
        buf_put(out, number->start, (size_t)(number->end - number->start));
    }
}

static const char *string_end(const char *at, const char *end) /* behind its closing quote */
{
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at < end ? at + 1 : end;
}

/* The next number with a point or an exponent from here on, outside of strings; false: none. */
static _Bool find_number(const char *at, const char *end, struct number *ret_number)
{
    while (at < end) {
        if (*at == '"')
            at = string_end(at, end);
        else if (*at != '-' && (*at < '0' || *at > '9'))
            at++;
        else if (read_number(at, end, ret_number, &at))
            return 1;
        else if (at < end && (*at == '.' || *at == 'e' || *at == 'E'))
            return 0; /* no JSON: jansson says where */
    }
    return 0;
}

int numbers_write_exactly(const char *data, size_t length, struct arena *arena,
                          const char **ret_data, size_t *ret_length)
{
    assert(data && arena);
    const char *end = data + length, *done = data;
    struct number number;
    *ret_data = data;
    *ret_length = length;
    if (!find_number(data, end, &number))
        return 0;
    _deinit_(buf) struct buf out = { 0 };
    do {
        buf_put(&out, done, (size_t)(number.start - done));
        if (!put_integer(&number, &out))
            put_other(&number, &out);
        done = number.end;
    } while (find_number(done, end, &number));
    buf_put(&out, done, (size_t)(end - done));
    int r = buf_status(&out);
    if (r < 0)
        return trace(r);
    const char *copy = arena_copy(arena, out.data, out.length);
    if (!copy)
        return fail(ERR_MEMORY, "no memory to read JSON");
    *ret_data = copy;
    *ret_length = out.length;
    return 0;
}
