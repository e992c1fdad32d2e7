/* Statistics, texts: what the fields say that are sentences, and the notices (core/notices.h). As
 * struct statistics_field wants them. */
#pragma once
#include "runtime/watch/statistics.h"

void statistics_text_reason(const struct statistics_sample *sample, int i, char *ret_text,
                            size_t size);
void statistics_text_relay_reason(const struct statistics_sample *sample, int i, char *ret_text,
                                  size_t size);
void statistics_text_feed_reason(const struct statistics_sample *sample, int i, char *ret_text,
                                 size_t size);
void statistics_write_notices(const struct statistics_sample *sample, int i, struct buf *out);
void statistics_write_info(const struct statistics_sample *sample, int i, struct buf *out);

/* The times of answers, without those of the runtime's own requests, as a JSON array. */
void statistics_text_durations(const struct statistics_sample *sample, int i, char *ret_text,
                               size_t size);

/* Who leads: the role of this instance, and the id of the one that leads. */
int64_t statistics_read_leading(const struct statistics_sample *sample, int i);
void statistics_text_role(const struct statistics_sample *sample, int i, char *ret_text,
                          size_t size);
void statistics_text_leader(const struct statistics_sample *sample, int i, char *ret_text,
                            size_t size);
