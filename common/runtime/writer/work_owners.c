/* Work owners: see work_owners.h. */
#include "runtime/writer/work_owners.h"
#include "base/result.h"
#include "work.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct work_owner {
    char key[WORK_KEY_SIZE];
    int count;       /* of its pieces */
    int in_flight;   /* of them */
    int behind;      /* in its line */
    int first, last; /* of its line; -1: empty */
    int bucket;
    int next; /* in its bucket, or among the free ones; -1 ends */
};

struct work_owned {
    int owner; /* -1: nobody's */
    _Bool is_behind;
    int before, after; /* in the line of its owner; -1 ends */
};

int work_owners_init(struct work_owners *owners, int piece_max, int each_max)
{
    int buckets = 16;
    *owners = (struct work_owners){ .each_max = each_max, .free = -1 };
    if (each_max == 0)
        return 0;
    while (buckets < piece_max)
        buckets *= 2;
    owners->bucket_mask = buckets - 1;
    owners->owners = calloc((size_t)piece_max + 1, sizeof(*owners->owners));
    owners->pieces = calloc((size_t)piece_max + 1, sizeof(*owners->pieces));
    owners->buckets = calloc((size_t)buckets, sizeof(*owners->buckets));
    if (!owners->owners || !owners->pieces || !owners->buckets)
        return fail(ERR_MEMORY, "no memory for the owners of %d pieces of work", piece_max);
    for (int i = 0; i < buckets; i++)
        owners->buckets[i] = -1;
    return 0;
}

void work_owners_deinit(struct work_owners *owners)
{
    free(owners->owners);
    free(owners->pieces);
    free(owners->buckets);
    *owners = (struct work_owners){ .free = -1 };
}

static struct work_owner *owner_of(const struct work_owners *owners, int piece)
{
    if (owners->each_max == 0 || owners->pieces[piece].owner < 0)
        return NULL;
    return &owners->owners[owners->pieces[piece].owner];
}

static void check_owner(const struct work_owners *owners, const struct work_owner *owner)
{
    assert(owner->count > 0);                                              /* O1 */
    assert(owner->in_flight >= 0 && owner->in_flight <= owners->each_max); /* O2 */
    assert(owner->in_flight + owner->behind <= owner->count);
    assert((owner->behind == 0) == (owner->first < 0));
    assert((owner->behind == 0) == (owner->last < 0));
    (void)owners; /* without assertions */
    (void)owner;
}

/* ---- Coming and going ------------------------------------------------------------------------ */

static int bucket_of(const struct work_owners *owners, const char *key)
{
    unsigned hash = 2166136261u;
    for (const char *c = key; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return (int)((hash ^ hash >> 15) & (unsigned)owners->bucket_mask);
}

static int find_or_make(struct work_owners *owners, const char *key)
{
    int bucket = bucket_of(owners, key), i = owners->buckets[bucket];
    while (i >= 0 && strcmp(owners->owners[i].key, key) != 0)
        i = owners->owners[i].next;
    if (i >= 0)
        return i;
    i = owners->free >= 0 ? owners->free : owners->fresh++;
    struct work_owner *owner = &owners->owners[i];
    if (owners->free >= 0)
        owners->free = owner->next;
    *owner = (struct work_owner){
        .first = -1, .last = -1, .bucket = bucket, .next = owners->buckets[bucket]
    };
    memcpy(owner->key, key, strlen(key) + 1);
    owners->buckets[bucket] = i;
    return i;
}

void work_owners_add(struct work_owners *owners, int piece, const char *key)
{
    if (owners->each_max == 0)
        return;
    struct work_owned *owned = &owners->pieces[piece];
    *owned = (struct work_owned){ .owner = -1, .before = -1, .after = -1 };
    if (!key)
        return;
    assert(strlen(key) < WORK_KEY_SIZE);
    owned->owner = find_or_make(owners, key);
    owners->owners[owned->owner].count++;
    check_owner(owners, &owners->owners[owned->owner]);
}

static void leave_line(struct work_owners *owners, struct work_owner *owner, int piece)
{
    struct work_owned *owned = &owners->pieces[piece];
    assert(owned->is_behind);
    if (owned->before >= 0)
        owners->pieces[owned->before].after = owned->after;
    else
        owner->first = owned->after;
    if (owned->after >= 0)
        owners->pieces[owned->after].before = owned->before;
    else
        owner->last = owned->before;
    owned->is_behind = 0;
    owned->before = owned->after = -1;
    owner->behind--;
}

void work_owners_remove(struct work_owners *owners, int piece)
{
    struct work_owner *owner = owner_of(owners, piece);
    if (!owner)
        return;
    if (owners->pieces[piece].is_behind)
        leave_line(owners, owner, piece);
    owners->pieces[piece].owner = -1;
    if (--owner->count > 0) {
        check_owner(owners, owner);
        return;
    }
    int index = (int)(owner - owners->owners), *link = &owners->buckets[owner->bucket];
    assert(owner->in_flight == 0 && owner->behind == 0);
    while (*link != index)
        link = &owners->owners[*link].next;
    *link = owner->next;
    owner->next = owners->free;
    owners->free = index;
}

/* ---- The flight and the line ----------------------------------------------------------------- */

_Bool work_owners_may_send(const struct work_owners *owners, int piece)
{
    const struct work_owner *owner = owner_of(owners, piece);
    return !owner || owner->in_flight < owners->each_max;
}

void work_owners_sent(struct work_owners *owners, int piece)
{
    struct work_owner *owner = owner_of(owners, piece);
    if (!owner)
        return;
    assert(!owners->pieces[piece].is_behind);
    owner->in_flight++;
    check_owner(owners, owner);
}

void work_owners_landed(struct work_owners *owners, int piece)
{
    struct work_owner *owner = owner_of(owners, piece);
    if (!owner)
        return;
    owner->in_flight--;
    check_owner(owners, owner);
}

int work_owners_behind(const struct work_owners *owners, int piece)
{
    const struct work_owner *owner = owner_of(owners, piece);
    return owner ? owner->behind : 0;
}

void work_owners_queue(struct work_owners *owners, int piece)
{
    struct work_owner *owner = owner_of(owners, piece);
    struct work_owned *owned = &owners->pieces[piece];
    assert(owner && !owned->is_behind && owner->in_flight == owners->each_max); /* O3 */
    owned->is_behind = 1;
    owned->before = owner->last;
    owned->after = -1;
    if (owner->last >= 0)
        owners->pieces[owner->last].after = piece;
    else
        owner->first = piece;
    owner->last = piece;
    owner->behind++;
    check_owner(owners, owner);
}

int work_owners_call(struct work_owners *owners, int piece)
{
    struct work_owner *owner = owner_of(owners, piece);
    if (!owner || owner->first < 0 || owner->in_flight >= owners->each_max)
        return -1;
    int called = owner->first;
    leave_line(owners, owner, called);
    check_owner(owners, owner);
    return called;
}
