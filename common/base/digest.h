/* Digest: SHA-256 by libcrypto, which libnats depends on anyway. Any thread; each keeps a digest
 * context of its own. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE 32
#define DIGEST_HEX_SIZE 65   /* 64 characters and the NUL */
#define DIGEST_SHORT_SIZE 44 /* 43 characters and the NUL */

struct digest {
    uint8_t bytes[DIGEST_SIZE];
};

int digest_of(const void *data, size_t length, struct digest *ret_digest); /* 0, or -ERR_INTERNAL */
void digest_format(const struct digest *digest, char ret_hex[DIGEST_HEX_SIZE]);
int digest_parse(const char *hex, struct digest *ret_digest); /* 0, or -ERR_INVALID */

/* The same as base64url (RFC 4648, 5) without padding, as the headers of events have it. Parsing
 * takes hexadecimal text, too. */
void digest_format_short(const struct digest *digest, char ret_text[DIGEST_SHORT_SIZE]);
int digest_parse_any(const char *text, struct digest *ret_digest); /* 0, or -ERR_INVALID */
_Bool digest_equal(const struct digest *a, const struct digest *b);

/* Before anything else uses libcrypto, which else frees all that it has when the process exits,
 * under the feet of threads of nats.c that are still ending: a service that had stopped in order
 * was killed by a signal then. 0 or -ERR_INTERNAL. */
int digest_library_open(void);
const char *digest_library_version(void); /* of libcrypto: "3.0.19" */
