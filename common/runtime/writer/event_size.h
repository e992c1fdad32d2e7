/* Event size: how large a message an event needs to travel in, so that none is committed that could
 * not leave (rule 6). No I/O; any thread. */
#pragma once
#include "journey.h"

/* No event needs less than this, as far as anybody is told: below it nothing is computed. */
#define EVENT_SIZE_MIN 4096

/* Bytes of the larger of the two messages that an event has to fit in, headers and data together:
 * the message of the stream, and a page of `.events` with this event alone. At least
 * EVENT_SIZE_MIN; too high by a few hundred bytes, never too low. Exact sizes are computed only for
 * an event that may need more than `enough`. */
int64_t event_size(const struct event *event, const struct service *service, int64_t enough);
