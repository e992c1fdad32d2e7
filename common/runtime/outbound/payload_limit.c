/* Payload limit: see payload_limit.h. */
#include "runtime/outbound/payload_limit.h"
#include "base/log.h"
#include <stdio.h>

void payload_limit_init(struct payload_limit *limit, struct outbound *outbound)
{
    *limit = (struct payload_limit){ .outbound = outbound };
}

void payload_limit_act(struct payload_limit *limit)
{
    static const char of[] = "server";
    struct status *status = limit->outbound->status;
    const int64_t bytes_max = atomic_load(&status->max_payload_bytes),
                  largest = atomic_load(&status->largest_event_bytes);
    const _Bool is_small = bytes_max > 0 && bytes_max < largest;
    owner_assert(&limit->outbound->owner);
    if (is_small && limit->is_small && bus_takes_more(limit->outbound->bus)) {
        log_warn("connecting_anew", LOG_TEXT("reason", "the server takes larger messages now"));
        bus_close(limit->outbound->bus); /* the supervisor starts us again */
    }
    if (is_small == limit->is_small)
        return;
    char value[96];
    struct notice notice;
    int length = snprintf(value, sizeof(value), "%lld, and the largest event of the log needs %lld",
                          (long long)bytes_max, (long long)largest);
    notice_set(&notice, NOTICE_HELD, of, "max_payload", value, (size_t)length);
    notices_replace(&status->notices, of, &notice, is_small);
    limit->is_small = is_small;
}
