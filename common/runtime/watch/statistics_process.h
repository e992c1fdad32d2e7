/* Statistics of the process: what the kernel, the log and HTTP report of it, as functions for the
 * table in statistics_fields.c. Any thread. */
#pragma once
#include "runtime/watch/statistics.h"

int64_t statistics_read_cpu(const struct statistics_sample *sample, int i);
int64_t statistics_read_resident_bytes(const struct statistics_sample *sample, int i);
int64_t statistics_read_open_files(const struct statistics_sample *sample, int i);
int64_t statistics_read_lines_dropped(const struct statistics_sample *sample, int i);
int64_t statistics_read_lines_suppressed(const struct statistics_sample *sample, int i);
int64_t statistics_read_http_listening(const struct statistics_sample *sample, int i);
int64_t statistics_read_http_cut(const struct statistics_sample *sample, int i);
int64_t statistics_read_start(const struct statistics_sample *sample, int i);
