/* Metrics: what a service says of itself to Prometheus, and whether it is alive and ready. Made
 * from the numbers of status.h and of the endpoints, never from the database. Any thread. */
#pragma once
#include "base/buf.h"
#include "runtime/watch/http.h"

struct instance;

/* Prometheus' text format, version 0.0.4. */
void metrics_write(struct instance *instance, struct buf *out);

/* Do the threads turn? The writer and the sender each say so at least once a second; a commit that
 * the disk holds up for HEALTH_SILENCE_MS is no longer life. */
#define HEALTH_SILENCE_MS 15000
_Bool health_is_alive(const struct instance *instance, const char **ret_why);

/* The pages of --http: /metrics, /healthz, /readyz. */
extern const struct http_page metrics_pages[];
