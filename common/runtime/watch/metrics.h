/* Metrics: the statistics of a service for Prometheus, and whether it is alive and ready. Made from
 * the table of statistics.h. Any thread. */
#pragma once
#include "runtime/watch/http.h"
#include "runtime/watch/statistics.h"

/* Prometheus' text format, version 0.0.4. */
void metrics_write(const struct statistics *statistics, struct buf *out);

/* Do the threads turn? The writer and the sender each say so at least once a second; a commit that
 * the disk holds up for HEALTH_SILENCE_MS is no longer life. */
#define HEALTH_SILENCE_MS 15000
_Bool health_is_alive(const struct status *status, const char **ret_why);

/* The pages of --http: /metrics, /healthz, /readyz. Their context is a struct statistics. */
extern const struct http_page metrics_pages[];
