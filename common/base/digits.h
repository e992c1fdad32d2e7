/* Digits: a number as decimal text, without the cost of printf. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define DIGITS_SIZE 20 /* of INT64_MIN, with its sign; not NUL-terminated */

/* The first character, in `buffer`, of which the text fills the end. */
static inline const char *digits_of(int64_t value, char buffer[DIGITS_SIZE], size_t *ret_length)
{
    size_t at = DIGITS_SIZE;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        buffer[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        buffer[--at] = '-';
    *ret_length = DIGITS_SIZE - at;
    return &buffer[at];
}
