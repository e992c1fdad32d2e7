/* Statistics, texts: see statistics_text.h. */
#include "runtime/watch/statistics_text.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Why the service is not ready, or does not publish. */
void statistics_text_reason(const struct statistics_sample *sample, int i, char *ret_text,
                            size_t size)
{
    const struct status *status = sample->of->status;
    (void)i;
    if (!notices_read_held(&status->notices, ret_text, size))
        status_text_read(&status->relay_reason, ret_text, size);
}

void statistics_text_relay_reason(const struct statistics_sample *sample, int i, char *ret_text,
                                  size_t size)
{
    (void)i;
    status_text_read(&sample->of->status->relay_reason, ret_text, size);
}

void statistics_text_feed_reason(const struct statistics_sample *sample, int i, char *ret_text,
                                 size_t size)
{
    status_text_read(&sample->of->status->sources[i].reason, ret_text, size);
}

void statistics_text_durations(const struct statistics_sample *sample, int i, char *ret_text,
                               size_t size)
{
    size_t length = 0;
    (void)i;
    for (int bucket = 0; bucket < MICRO_BUCKETS; bucket++) {
        long long count = 0;
        for (int n = 0; n < sample->of->endpoint_count; n++) {
            const struct micro_endpoint *endpoint = &sample->of->endpoints[n];
            if (!endpoint->kind || strcmp(endpoint->kind, "runtime") != 0)
                count += atomic_load(&endpoint->durations[bucket]);
        }
        length += (size_t)snprintf(ret_text + length, size - length, "%c%lld",
                                   bucket == 0 ? '[' : ',', count);
        assert(length + 1 < size);
    }
    snprintf(ret_text + length, size - length, "]");
}

void statistics_write_notices(const struct statistics_sample *sample, int i, struct buf *out)
{
    struct notice notice;
    (void)i;
    for (int n = 0; notices_read(&sample->of->status->notices, n, &notice); n++)
        buf_put_format(out, "journey_notice{of=\"%s\",field=\"%s\",value=\"%s\",is=\"%s\"} 1\n",
                       notice.of, notice.field, notice.value, notice_kind_name(notice.kind));
}

void statistics_write_info(const struct statistics_sample *sample, int i, struct buf *out)
{
    (void)i;
    buf_put_format(out,
                   "journey_info{service=\"%s\",version=\"%s\",libnats=\"%s\",sqlite=\"%s\"} 1\n",
                   sample->of->service->name, service_version(sample->of->service),
                   bus_library_version(), db_library_version());
}

int64_t statistics_read_leading(const struct statistics_sample *sample, int i)
{
    (void)i;
    return atomic_load(&sample->of->status->role) == ROLE_LEADING;
}

void statistics_text_role(const struct statistics_sample *sample, int i, char *ret_text,
                          size_t size)
{
    (void)i;
    snprintf(ret_text, size, "%s",
             service_role_name((enum service_role)atomic_load(&sample->of->status->role)));
}

void statistics_text_leader(const struct statistics_sample *sample, int i, char *ret_text,
                            size_t size)
{
    (void)i;
    status_text_read(&sample->of->status->leader, ret_text, size);
}
