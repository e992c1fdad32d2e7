/* Status: see status.h. */
#include "runtime/core/status.h"
#include <stdio.h>

enum service_state status_state(const struct status *status)
{
    if (atomic_load(&status->draining))
        return SERVICE_DRAINING;
    if (atomic_load(&status->damaged))
        return SERVICE_CORRUPT;
    if (atomic_load(&status->moved))
        return SERVICE_MOVED;
    if (atomic_load(&status->standby))
        return SERVICE_STANDBY;
    if (atomic_load(&status->relay_state) == RELAY_FORKED)
        return SERVICE_FORKED;
    if (atomic_load(&status->disk) == DISK_DEGRADED)
        return SERVICE_DEGRADED;
    if (atomic_load(&status->notices.held) > 0)
        return SERVICE_HELD;
    if (atomic_load(&status->caught_up))
        return SERVICE_READY;
    return atomic_load(&status->replay_target) > 0 || atomic_load(&status->whole)
               ? SERVICE_REPLAYING
               : SERVICE_STARTING;
}

const char *status_name(const struct status *status)
{
    return service_state_name(status_state(status));
}

enum refusal status_refuses(const struct status *status, int64_t backlog_max,
                            const char **ret_message)
{
    static _Thread_local char message[400];
    *ret_message = message;
    if (atomic_load(&status->damaged)) {
        snprintf(message, sizeof(message),
                 "the service's database is damaged and is not written any more; see its log");
        return REFUSED_INTERNAL;
    }
    if (atomic_load(&status->moved)) {
        snprintf(message, sizeof(message),
                 "the service's database was moved, removed or replaced; see its log");
        return REFUSED_INTERNAL;
    }
    if (atomic_load(&status->relay_state) == RELAY_FORKED) {
        snprintf(
            message, sizeof(message),
            "the service's log and its stream have forked; an operator must choose, see its log");
        return REFUSED_INTERNAL;
    }
    if (atomic_load(&status->relay_state) == RELAY_FENCED) {
        snprintf(message, sizeof(message), "another instance of the service leads; ask again");
        return REFUSED_REPLAYING;
    }
    char held[300];
    if (!atomic_load(&status->caught_up) &&
        notices_read_held(&status->notices, held, sizeof(held))) {
        snprintf(message, sizeof(message), "the service is held and takes no requests yet: %s",
                 held);
        return REFUSED_REPLAYING;
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
