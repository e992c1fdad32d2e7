/* Nkey: see nkey.h. The text form is base32 of prefix, key and CRC-16 (XMODEM, little-endian). The
 * prefix of a seed has two bytes, with five bits for "this is a seed" and five for the kind of
 * key. */
#include "bus/nkey.h"
#include "base/result.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define KEY_SIZE 32
#define SEED_TEXT_LENGTH 58
#define SEED_BYTES 36         /* 2 + key + 2 */
#define PUBLIC_BYTES 35       /* 1 + key + 2 */
#define PREFIX_SEED (18 << 3) /* 'S' */
#define PREFIX_USER (20 << 3) /* 'U' */
#define FILE_MAX_BYTES 4096

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static uint16_t crc16(const uint8_t *data, size_t length)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < length; i++) {
        crc = (uint16_t)(crc ^ data[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

/* Each character is five bits; bits left over at the end are dropped. */
static int base32_decode(const char *text, size_t text_length, uint8_t *ret_data, size_t size)
{
    uint32_t bits = 0;
    size_t bit_count = 0, length = 0;
    for (size_t i = 0; i < text_length; i++) {
        const char *digit = text[i] ? strchr(alphabet, text[i]) : NULL;
        if (!digit)
            return -1;
        bits = bits << 5 | (uint32_t)(digit - alphabet);
        bit_count += 5;
        if (bit_count >= 8 && length < size) {
            bit_count -= 8;
            ret_data[length++] = (uint8_t)(bits >> bit_count);
        }
    }
    return length == size ? 0 : -1;
}

static void base32_encode(const uint8_t *data, size_t length, char *ret_text)
{
    uint32_t bits = 0;
    size_t bit_count = 0;
    for (size_t i = 0; i < length; i++) {
        assert(bit_count < 5);
        bits = bits << 8 | data[i];
        bit_count += 8;
        for (; bit_count >= 5; bit_count -= 5)
            *ret_text++ = alphabet[bits >> (bit_count - 5) & 31];
    }
    *ret_text = '\0'; /* 35 bytes are 56 characters exactly */
}

static int public_of_key(const uint8_t *key, uint8_t *ret_public)
{
    size_t length = KEY_SIZE;
    EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key, KEY_SIZE);
    int done = pair && EVP_PKEY_get_raw_public_key(pair, ret_public, &length) && length == KEY_SIZE;
    EVP_PKEY_free(pair);
    return done ? 0 : fail(ERR_INTERNAL, "libcrypto cannot make an Ed25519 key");
}

int nkey_public_of_seed(const char *seed, char ret_public[NKEY_PUBLIC_SIZE])
{
    assert(seed && ret_public);
    uint8_t raw[SEED_BYTES], named[PUBLIC_BYTES] = { PREFIX_USER };
    int r = 0;
    if (strlen(seed) != SEED_TEXT_LENGTH ||
        base32_decode(seed, SEED_TEXT_LENGTH, raw, sizeof(raw)) < 0 ||
        crc16(raw, sizeof(raw) - 2) != (raw[SEED_BYTES - 2] | raw[SEED_BYTES - 1] << 8))
        r = fail(ERR_CONFIG, "not an nkey seed");
    else if ((raw[0] & 0xf8) != PREFIX_SEED ||
             ((raw[0] & 7) << 5 | (raw[1] & 0xf8) >> 3) != PREFIX_USER)
        r = fail(ERR_CONFIG, "an nkey seed, but not of a user");
    else
        r = public_of_key(raw + 2, named + 1);
    OPENSSL_cleanse(raw, sizeof(raw));
    if (r < 0)
        return trace(r);
    uint16_t crc = crc16(named, sizeof(named) - 2);
    named[PUBLIC_BYTES - 2] = (uint8_t)crc;
    named[PUBLIC_BYTES - 1] = (uint8_t)(crc >> 8);
    base32_encode(named, sizeof(named), ret_public);
    return 0;
}

int nkey_public_of_file(const char *path, char ret_public[NKEY_PUBLIC_SIZE])
{
    assert(path && ret_public);
    char text[FILE_MAX_BYTES + 1];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return fail(ERR_CONFIG, "the nkey file %s: %s", path, errno_text(errno));
    ssize_t length = read(file, text, FILE_MAX_BYTES);
    close(file);
    text[length > 0 ? length : 0] = '\0';
    int r = fail(ERR_CONFIG, "the nkey file %s holds no seed", path);
    char *rest = NULL;
    for (char *line = strtok_r(text, " \t\r\n", &rest); line && r < 0;
         line = strtok_r(NULL, " \t\r\n", &rest))
        if (line[0] == 'S' && strlen(line) == SEED_TEXT_LENGTH)
            r = nkey_public_of_seed(line, ret_public);
    OPENSSL_cleanse(text, sizeof(text));
    return trace(r);
}
