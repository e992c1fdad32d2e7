/* Http address: see http_address.h. */
#include "runtime/watch/http_address.h"
#include "base/result.h"
#include "runtime/watch/http.h"
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST_MAX 256
#define BACKLOG 512

/* The parts of "host:port" and "[host]:port"; the host may be empty. */
static int split(const char *address, char ret_host[HOST_MAX], const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    size_t length = colon ? (size_t)(colon - address) : 0;
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : 0; /* getaddrinfo takes 99999 for 34463 */
    if (!colon || length >= HOST_MAX || *end || port < 1 || port > 65535)
        return fail(ERR_CONFIG, "%s: an address and a port are wanted, such as 127.0.0.1:9101",
                    address);
    _Bool bracketed = length >= 2 && address[0] == '[' && address[length - 1] == ']';
    length -= bracketed ? 2 : 0;
    memcpy(ret_host, address + bracketed, length);
    ret_host[length] = '\0';
    *ret_port = colon + 1;
    return 0;
}

/* Returns the socket, or -1 with errno. */
static int listen_at(const struct addrinfo *found)
{
    int yes = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (found->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
    if (bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

_Bool http_address_is_numeric(const char *address)
{
    char host[HOST_MAX];
    const char *port;
    struct addrinfo *found = NULL;
    const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    if (split(address, host, &port) < 0)
        return 0;
    _Bool is_numeric = !*host || getaddrinfo(host, port, &hints, &found) == 0;
    if (found)
        freeaddrinfo(found);
    return is_numeric;
}

int http_address_listen(const char *address, int *ret_fd)
{
    char host[HOST_MAX];
    const char *port;
    struct addrinfo *found = NULL;
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    int r = split(address, host, &port);
    if (r < 0)
        return trace(r);
    r = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (r != 0)
        return fail(ERR_NETWORK, "%s: %s", address,
                    r == EAI_SYSTEM ? errno_text(errno) : gai_strerror(r));
    int fd = -1;
    for (const struct addrinfo *next = found; next && fd < 0; next = next->ai_next)
        fd = listen_at(next);
    int reason = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return fail(ERR_NETWORK, "%s: cannot bind to it: %s", address, errno_text(reason));
    *ret_fd = fd;
    return 0;
}

uint64_t http_address_key(const struct sockaddr_storage *from)
{
    uint64_t key = 0;
    if (from->ss_family == AF_INET)
        key = ((const struct sockaddr_in *)from)->sin_addr.s_addr;
    else if (from->ss_family == AF_INET6)
        memcpy(&key, &((const struct sockaddr_in6 *)from)->sin6_addr, sizeof(key));
    return key;
}

int http_check(const char *address)
{
    char host[HOST_MAX];
    const char *port;
    return trace(split(address, host, &port));
}

int http_probe(const char *address)
{
    int fd = -1;
    int r = http_address_listen(address, &fd);
    if (fd >= 0)
        close(fd);
    return trace(r);
}
