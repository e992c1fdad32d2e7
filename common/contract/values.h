/* Values: how many values a body of JSON has, counted without reading it. A tree of a body costs
 * some hundred nanoseconds a value, so a body with more values than its schema has room for is
 * refused before a tree is made of it. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "contract/schema.h"

#define VALUES_UNKNOWN_MAX 256 /* in fields that the schema does not know */

/* The most values that a valid message may have, with those of unknown fields; INT64_MAX: no
 * limit, as for a list without a maximum. */
int64_t schema_values_max(const struct schema *schema);

/* Counts up to `max`, then stops: what opens an object or a list, and what stands behind a comma.
 * The data need not be JSON. */
int64_t values_count(const char *data, size_t length, int64_t max);
