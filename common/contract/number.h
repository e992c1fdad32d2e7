/* Number: JSON numbers by their text. jansson makes a double of each that has a point or an
 * exponent, and 0.99999999999999999999 is 1 as a double. JSON Schema's "integer" is said of the
 * value as it is written: 1.0 and 1e0 are integers, and that is none. Any thread. */
#pragma once
#include <stddef.h>
#include "base/arena.h"

/* The same text with its numbers written so that a double cannot change what they are: an integer
 * with a point or an exponent without them, and any other that a double would make an integer with
 * a fraction. *ret_data is in the arena, or `data` itself when there is nothing to write otherwise.
 * What is no JSON stays no JSON. 0 or -ERR_MEMORY. */
int numbers_write_exactly(const char *data, size_t length, struct arena *arena,
                          const char **ret_data, size_t *ret_length);
