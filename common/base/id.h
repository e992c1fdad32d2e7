/* Ids: UUID version 7 (RFC 9562) behind a prefix that names the kind of thing: "ord_019abc…". Ids
 * that are made later sort later. The random bits come from getrandom(2), in the simulation from
 * its seed. A source is not thread-safe; each thread has its own. */
#pragma once
#include <stdint.h>

#define UUID_SIZE 37                        /* 36 characters and the NUL */
#define ID_SIZE 48                          /* prefix, uuid, NUL */
#define ID_PREFIX_MAX (ID_SIZE - UUID_SIZE) /* characters; a longer prefix is cut */

#define ID_POOL 32 /* random words fetched by one system call */

struct id_source {
    int64_t last_ms;  /* ids never go back, even when the clock does */
    uint32_t counter; /* orders the ids of one millisecond */
    uint64_t seed;    /* not 0: pseudo-random from here (simulation) */
    uint64_t pool[ID_POOL];
    int pool_left;
};

void id_source_init(struct id_source *source, uint64_t seed); /* seed 0: from the kernel */
void uuid_make(struct id_source *source, int64_t wall_ms, char ret_text[UUID_SIZE]);
void id_make(struct id_source *source, const char *prefix, int64_t wall_ms, char ret_id[ID_SIZE]);
