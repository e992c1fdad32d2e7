/* Ids: see id.h. Layout of RFC 9562, section 5.7: 48 bits of milliseconds, version, 12 bits of
 * counter, variant, 62 random bits. */
#include "base/id.h"
#include <assert.h>
#include <string.h>
#include <sys/random.h>

void id_source_init(struct id_source *source, uint64_t seed)
{
    *source = (struct id_source){ .seed = seed };
}

static uint64_t random_bits(struct id_source *source)
{
    if (source->seed == 0) {
        if (source->pool_left == 0) { /* up to 256 bytes come whole (getrandom(2)) */
            while (getrandom(source->pool, sizeof(source->pool), 0) != sizeof(source->pool))
                ;
            source->pool_left = ID_POOL;
        }
        return source->pool[--source->pool_left];
    }
    source->seed += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t bits = source->seed;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return bits ^ (bits >> 31);
}

static void put_hex(char *text, uint64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
}

void uuid_make(struct id_source *source, int64_t wall_ms, char ret_text[UUID_SIZE])
{
    uint64_t bits = random_bits(source);
    assert(source->pool_left >= 0 && source->pool_left < ID_POOL);
    if (wall_ms > source->last_ms) {
        source->last_ms = wall_ms;
        source->counter = 0;
    } else if (++source->counter > 0xfff) { /* the 4097th id of a millisecond is of the next one */
        source->last_ms++;
        source->counter = 0;
    }
    uint64_t ms = (uint64_t)source->last_ms;
    put_hex(ret_text, ms >> 16, 8);
    ret_text[8] = '-';
    put_hex(ret_text + 9, ms & 0xffff, 4);
    ret_text[13] = '-';
    put_hex(ret_text + 14, 0x7000 | source->counter, 4);
    ret_text[18] = '-';
    put_hex(ret_text + 19, 0x8000 | ((bits >> 48) & 0x3fff), 4);
    ret_text[23] = '-';
    put_hex(ret_text + 24, bits & 0xffffffffffff, 12);
    ret_text[36] = '\0';
}

void id_make(struct id_source *source, const char *prefix, int64_t wall_ms, char ret_id[ID_SIZE])
{
    size_t length = strnlen(prefix, ID_PREFIX_MAX);
    memcpy(ret_id, prefix, length);
    uuid_make(source, wall_ms, ret_id + length);
}
