/* Http address: "host:port" to a socket that listens. */
#pragma once
#include <stdint.h>
#include <sys/socket.h>

/* 0, with a socket that does not block; -ERR_CONFIG: this is no address; -ERR_NETWORK, with the
 * reason. Every address that the host's name has is tried. */
int http_address_listen(const char *address, int *ret_fd);

/* Does it need no look-up of a name, which may take its time? */
_Bool http_address_is_numeric(const char *address);

/* Who is on the other side: an IPv4 address, or the network of an IPv6 address. */
uint64_t http_address_key(const struct sockaddr_storage *from);
