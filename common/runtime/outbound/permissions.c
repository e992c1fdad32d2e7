/* Permissions: see permissions.h. */
#include "runtime/outbound/permissions.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

#define RETRY_MS 2000
/* So long nothing was refused: it is permitted. What publishes tries more often than that. */
#define FORGET_SUBSCRIPTION_MS 1500
#define FORGET_PUBLISH_MS 12000
#define ADVISORIES "$JS.EVENT."

void permissions_init(struct permissions *permissions, struct outbound *outbound,
                      struct endpoints *endpoints)
{
    *permissions =
        (struct permissions){ .outbound = outbound, .endpoints = endpoints, .retry_ms = INT64_MAX };
}

static _Bool begins(const char *subject, const char *with)
{
    return strncmp(subject, with, strlen(with)) == 0;
}

/* Nobody tries it again: the server is asked anew with the next connect. */
static _Bool is_for_good(const struct denied *denied)
{
    return !denied->publish && begins(denied->subject, ADVISORIES);
}

/* Without it the service does not do its work. Where a reply goes its requester has chosen, and
 * that a reader may not make its own durable is as it should be. */
static _Bool is_needed(const struct denied *denied)
{
    if (begins(denied->subject, "journey.")) /* heartbeats: a service alone needs none */
        return 0;
    if (is_for_good(denied)) /* what JetStream tells of our stream is also seen by the audit */
        return 0;
    return !denied->publish || begins(denied->subject, "evt.") ||
           begins(denied->subject, "$JS.API.STREAM.") || begins(denied->subject, "$JS.ACK.");
}

static void tell(struct permissions *permissions)
{
    static const char of[] = "permissions";
    struct notice notices[DENIED_SUBJECTS_MAX];
    for (int i = 0; i < permissions->count; i++) {
        const struct denied *denied = &permissions->denied[i];
        notice_set(&notices[i], is_needed(denied) ? NOTICE_HELD : NOTICE_BORNE, of,
                   denied->publish ? "not permitted to publish" : "not permitted to subscribe",
                   denied->subject, strlen(denied->subject));
    }
    notices_replace(&permissions->outbound->status->notices, of, notices, permissions->count);
}

void permissions_denied(struct permissions *permissions, _Bool publish, const char *subject,
                        int64_t now_ms)
{
    owner_assert(&permissions->outbound->owner);
    int i = 0;
    if (publish && (begins(subject, "_INBOX.") || begins(subject, "_R_.")))
        return;
    while (i < permissions->count && (permissions->denied[i].publish != publish ||
                                      strcmp(permissions->denied[i].subject, subject) != 0))
        i++;
    if (i == DENIED_SUBJECTS_MAX)
        return;
    permissions->denied[i].denied_ms = now_ms;
    if (!publish && !begins(subject, ADVISORIES) && permissions->retry_ms == INT64_MAX)
        permissions->retry_ms = now_ms + RETRY_MS;
    if (i < permissions->count)
        return;
    permissions->count++;
    permissions->denied[i].publish = publish;
    snprintf(permissions->denied[i].subject, sizeof(permissions->denied[i].subject), "%s", subject);
    tell(permissions);
}

void permissions_disconnected(struct permissions *permissions)
{
    int left = 0;
    for (int i = 0; i < permissions->count; i++)
        if (!is_for_good(&permissions->denied[i]))
            permissions->denied[left++] = permissions->denied[i];
    const _Bool changed = left < permissions->count;
    permissions->count = left;
    if (changed)
        tell(permissions);
}

static void try_again(struct permissions *permissions, int64_t now_ms)
{
    permissions->retry_ms = INT64_MAX;
    for (int i = 0; i < permissions->count; i++) {
        if (permissions->denied[i].publish || is_for_good(&permissions->denied[i]))
            continue;
        permissions->retry_ms = now_ms + RETRY_MS;
        endpoints_unsubscribe(permissions->endpoints, permissions->denied[i].subject);
    }
    if (permissions->retry_ms < INT64_MAX && endpoints_retry(permissions->endpoints) < 0)
        log_debug("not_subscribed", LOG_TEXT("reason", failure_text()));
}

void permissions_act(struct permissions *permissions, int64_t now_ms)
{
    int left = 0;
    if (permissions->count == 0)
        return;
    /* first what the last try has shown */
    for (int i = 0; i < permissions->count; i++) {
        const struct denied *denied = &permissions->denied[i];
        const _Bool is_over = is_for_good(denied) ? 0
                              : denied->publish   ? now_ms >= denied->denied_ms + FORGET_PUBLISH_MS
                                                  : now_ms >= permissions->retry_ms &&
                                                      now_ms >= denied->denied_ms + RETRY_MS +
                                                                    FORGET_SUBSCRIPTION_MS;
        if (!is_over)
            permissions->denied[left++] = *denied;
    }
    const _Bool changed = left < permissions->count;
    permissions->count = left;
    if (changed)
        tell(permissions);
    if (now_ms >= permissions->retry_ms)
        try_again(permissions, now_ms);
}
