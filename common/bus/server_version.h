/* Server version: which nats-server answers, by its replies of JetStream, and what is publicly
 * known against it (server_advisories.inc). Pure functions. */
#pragma once
#include <stddef.h>

#define SERVER_VERSION_SIZE 32
/* From the reply to STREAM.INFO, in whose metadata servers from 2.11 on name their version:
 * "2.15.3". Without it: "", an older one. */
void server_version_of_info(const char *data, size_t length, char ret_version[SERVER_VERSION_SIZE]);

struct server_advisory {
    const char *fixed[3]; /* the releases with the fix, the newest branch last */
    const char *id, *reason;
};
/* The next advisory that is not fixed in that version, from *at = 0 on; NULL: there is no other.
 * "" is an old version. */
const struct server_advisory *server_version_next_advisory(const char *version, int *at);
