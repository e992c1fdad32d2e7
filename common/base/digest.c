/* Digest: see digest.h. */
#include "base/digest.h"
#include "base/result.h"
#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t context_key;
static EVP_MD *sha256; /* fetched once, because an implicit fetch costs more than the hash */

static void context_free(void *context)
{
    EVP_MD_CTX_free(context);
}

static void setup(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    pthread_key_create(&context_key, context_free);
}

int digest_of(const void *data, size_t length, struct digest *ret_digest)
{
    assert(data || length == 0);
    pthread_once(&once, setup);
    EVP_MD_CTX *context = pthread_getspecific(context_key);
    if (!context) {
        context = EVP_MD_CTX_new();
        if (!context || pthread_setspecific(context_key, context) != 0)
            return fail(ERR_MEMORY, "no memory for a digest");
    }
    if (!EVP_DigestInit_ex(context, sha256, NULL) || !EVP_DigestUpdate(context, data, length) ||
        !EVP_DigestFinal_ex(context, ret_digest->bytes, NULL))
        return fail(ERR_INTERNAL, "libcrypto cannot make a SHA-256 digest");
    return 0;
}

void digest_format(const struct digest *digest, char ret_hex[DIGEST_HEX_SIZE])
{
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        ret_hex[2 * i] = "0123456789abcdef"[digest->bytes[i] >> 4];
        ret_hex[2 * i + 1] = "0123456789abcdef"[digest->bytes[i] & 15];
    }
    ret_hex[DIGEST_HEX_SIZE - 1] = '\0';
}

/* 16 and more for what is no digit. */
static unsigned hex_value(char c)
{
    unsigned digit = (unsigned)c - '0', letter = (unsigned)c - 'a';
    return digit < 10 ? digit : letter < 6 ? letter + 10 : 16;
}

int digest_parse(const char *hex, struct digest *ret_digest)
{
    assert(hex);
    struct digest digest;
    if (strlen(hex) != DIGEST_HEX_SIZE - 1)
        return fail(ERR_INVALID, "a digest has 64 hexadecimal characters");
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        unsigned high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if ((high | low) > 15)
            return fail(ERR_INVALID, "a digest has 64 hexadecimal characters");
        digest.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret_digest = digest;
    return 0;
}

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void digest_format_short(const struct digest *digest, char ret_text[DIGEST_SHORT_SIZE])
{
    uint32_t bits = 0;
    int count = 0; /* of the bits that wait */
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        bits = bits << 8 | digest->bytes[i];
        for (count += 8; count >= 6; count -= 6)
            *ret_text++ = base64url[bits >> (count - 6) & 63];
    }
    *ret_text++ = base64url[bits << (6 - count) & 63];
    *ret_text = '\0';
}

/* 64 and more for what is no digit. */
static unsigned base64url_value(char c)
{
    const unsigned upper = (unsigned)c - 'A', lower = (unsigned)c - 'a', digit = (unsigned)c - '0';
    return upper < 26   ? upper
           : lower < 26 ? 26 + lower
           : digit < 10 ? 52 + digit
           : c == '-'   ? 62
           : c == '_'   ? 63
                        : 64;
}

int digest_parse_any(const char *text, struct digest *ret_digest)
{
    struct digest digest;
    uint32_t bits = 0;
    int count = 0;
    size_t length = 0;
    if (strlen(text) != DIGEST_SHORT_SIZE - 1)
        return trace(digest_parse(text, ret_digest));
    for (; *text; text++) {
        const unsigned value = base64url_value(*text);
        if (value > 63)
            return fail(ERR_INVALID, "a digest has 43 characters of base64url");
        bits = bits << 6 | value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            digest.bytes[length++] = (uint8_t)(bits >> count);
        }
    }
    if (bits & 3) /* two bits are left over; a second text for the same digest is none */
        return fail(ERR_INVALID, "a digest in base64url ends in two bits that are 0");
    *ret_digest = digest;
    return 0;
}

_Bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

int digest_library_open(void)
{
    return OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) == 1
               ? 0
               : fail(ERR_INTERNAL, "libcrypto does not start");
}

const char *digest_library_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}
