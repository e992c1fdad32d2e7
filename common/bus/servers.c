/* Servers: are these addresses of NATS servers? See bus.h. */
#include "base/result.h"
#include "bus/bus.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Bool is_port(const char *text)
{
    char *end = NULL;
    const long port = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : 0;
    return port >= 1 && port <= 65535 && *end == '\0';
}

/* [nats://|tls://][user[:password]@]host[:port] */
static _Bool is_address(const char *text)
{
    const char *scheme_end = strstr(text, "://");
    if (scheme_end && strncmp(text, "nats://", 7) != 0 && strncmp(text, "tls://", 6) != 0)
        return 0;
    const char *rest = scheme_end ? scheme_end + 3 : text, *at = strrchr(rest, '@');
    const char *host = at ? at + 1 : rest;
    size_t length = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
    if (length == 0 || length > strlen(host))
        return 0;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)host[i]) && !strchr(".-_[]:%", host[i]))
            return 0;
    const char *behind = host + length;
    return *behind == '\0' || strcmp(behind, "/") == 0 || (*behind == ':' && is_port(behind + 1));
}

/* An address may hold a password, so it is told by its place and not repeated. */
int bus_check_servers(const char *list)
{
    char copy[BUS_SERVERS_SIZE];
    char *rest = copy, *one;
    int count = 0;
    if (snprintf(copy, sizeof(copy), "%s", list) >= (int)sizeof(copy))
        return fail(ERR_CONFIG, "a list of at most %d bytes, please", BUS_SERVERS_SIZE - 1);
    while ((one = strsep(&rest, ", "))) {
        if (!*one)
            continue;
        if (++count > BUS_SERVERS_MAX)
            return fail(ERR_CONFIG, "at most %d servers can be named", BUS_SERVERS_MAX);
        if (!is_address(one))
            return fail(ERR_CONFIG, "number %d is not the address of a NATS server", count);
    }
    return count > 0 ? 0 : fail(ERR_CONFIG, "no server is named");
}
