/* Status: see status.h. */
#include "runtime/core/status.h"
#include "runtime/sync/relay.h"
#include <stdio.h>

const char *status_name(const struct status *status)
{
    if (atomic_load(&status->draining))
        return "draining";
    if (atomic_load(&status->damaged))
        return "corrupt";
    if (atomic_load(&status->relay_state) == RELAY_FORKED)
        return "forked";
    if (atomic_load(&status->disk) == DISK_DEGRADED)
        return "degraded";
    if (!atomic_load(&status->caught_up))
        return atomic_load(&status->replay_target) > 0 || atomic_load(&status->whole) ? "replaying"
                                                                                      : "starting";
    return "ready";
}

enum refusal status_refuses(const struct status *status, int64_t backlog_max,
                            const char **ret_message)
{
    static _Thread_local char message[160];
    *ret_message = message;
    if (atomic_load(&status->damaged)) {
        snprintf(message, sizeof(message),
                 "the service's database is damaged and is not written any more; see its log");
        return REFUSED_INTERNAL;
    }
    if (atomic_load(&status->relay_state) == RELAY_FORKED) {
        snprintf(
            message, sizeof(message),
            "the service's log and its stream have forked; an operator must choose, see its log");
        return REFUSED_INTERNAL;
    }
    if (atomic_load(&status->whole) && !atomic_load(&status->caught_up)) {
        long long position = 0, leader_position = 0;
        for (int i = 0; i < SOURCES_MAX; i++) {
            position += atomic_load(&status->sources[i].position);
            leader_position += atomic_load(&status->sources[i].leader_position);
        }
        snprintf(message, sizeof(message),
                 "the service is catching up on what the other services have published: %lld of "
                 "%lld events",
                 position, leader_position);
        return REFUSED_REPLAYING;
    }
    if (!atomic_load(&status->caught_up)) {
        snprintf(message, sizeof(message),
                 "the service is catching up on its own log: %lld of %lld events",
                 (long long)atomic_load(&status->position),
                 (long long)atomic_load(&status->replay_target));
        return REFUSED_REPLAYING;
    }
    if (atomic_load(&status->draining)) {
        snprintf(message, sizeof(message), "the service is stopping; try again");
        return REFUSED_BUSY;
    }
    if (atomic_load(&status->position) - atomic_load(&status->published) >= backlog_max) {
        snprintf(message, sizeof(message), "%lld events wait for the stream; try again later",
                 (long long)(atomic_load(&status->position) - atomic_load(&status->published)));
        return REFUSED_BUSY;
    }
    return 0;
}
