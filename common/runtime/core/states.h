/* States: every state that a service reports, listed once, with what it means and what a person
 * does about it. The machines that move through them are status.c (the service as a whole),
 * sync/relay.h (our stream) and sync/feed.h (another's log). What reports them reads the names and
 * the texts here: $SRV.STATS, /metrics, the log, --help and the manual. */
#pragma once
#include <stdio.h>

/* One state. All texts are static. */
struct state_text {
    const char *name;    /* in $SRV.STATS, /metrics and the log: "replaying" */
    const char *meaning; /* half a sentence for the manual */
    const char *action;  /* what a person does: likewise; "nothing" */
};

/* The service as a whole: the worst that holds (status_state). Numbered as /metrics lists them. */
enum service_state {
    SERVICE_STARTING,
    SERVICE_REPLAYING,
    SERVICE_READY,
    SERVICE_HELD,
    SERVICE_DEGRADED,
    SERVICE_FORKED,
    SERVICE_CORRUPT,
    SERVICE_MOVED,
    SERVICE_DRAINING,
    SERVICE_STANDBY,
};
#define SERVICE_STATES (SERVICE_STANDBY + 1)
extern const struct state_text service_states[SERVICE_STATES];

/* The relay, which copies our log to our stream: see sync/relay.h. */
enum relay_state {
    RELAY_OFFLINE,
    RELAY_ASKING,
    RELAY_MAKING,
    RELAY_RECOVERING,
    RELAY_PUBLISHING,
    RELAY_WAITING,
    RELAY_FORKED,
    RELAY_FOLLOWING,
    RELAY_FENCED,
};
#define RELAY_STATES (RELAY_FENCED + 1)
extern const struct state_text relay_states[RELAY_STATES];

/* A feed, which brings another service's log: see sync/feed.h. */
enum feed_state {
    FEED_OFFLINE,
    FEED_ASKING,
    FEED_COMPARING,
    FEED_MAKING,
    FEED_PULLING,
    FEED_FILLING,
    FEED_WAITING,
    FEED_FORKED,
};
#define FEED_STATES (FEED_FORKED + 1)
extern const struct state_text feed_states[FEED_STATES];

/* What this instance is among those of its service: see sync/lead.h. */
enum service_role { ROLE_STANDBY, ROLE_LEADING, ROLE_FENCED };
#define SERVICE_ROLES (ROLE_FENCED + 1)
const char *service_role_name(enum service_role role);

/* The name of a state; it must be one. */
const char *service_state_name(enum service_state state);
const char *relay_state_name(enum relay_state state);
const char *feed_state_name(enum feed_state state);

/* The states of the service as a section of a help text. */
void states_print(FILE *file);
