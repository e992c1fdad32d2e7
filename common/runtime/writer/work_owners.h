/* Work owners: whose the pieces of one work queue are (work_found.owner), so that no owner has more
 * of them in flight than it may. What an owner has beyond that stands in its line, in the order in
 * which it came. Pieces are known by their index in the queue. Bounded: allocated once, as many
 * owners as pieces. One thread at a time uses it.
 *
 * Numbered, checked after each change:
 *  O1. An owner is known as long as pieces of it are in the queue.
 *  O2. Of no owner more are in flight than each_max.
 *  O3. A piece enters the line only while as many as may are in flight. */
#pragma once

struct work_owner;

struct work_owners {
    int each_max; /* 0: no limit; then nothing is remembered, and all else here is empty */
    struct work_owner *owners;
    struct work_owned *pieces; /* by the index of the piece */
    int *buckets;
    int bucket_mask;
    int free, fresh;
};

/* 0, or -ERR_MEMORY; deinit is fine after that. */
int work_owners_init(struct work_owners *owners, int piece_max, int each_max);
void work_owners_deinit(struct work_owners *owners);

/* A piece comes, of nobody where key is NULL; and goes. */
void work_owners_add(struct work_owners *owners, int piece, const char *key);
void work_owners_remove(struct work_owners *owners, int piece);

_Bool work_owners_may_send(const struct work_owners *owners, int piece);
void work_owners_sent(struct work_owners *owners, int piece);
void work_owners_landed(struct work_owners *owners, int piece);

/* How many stand in the line of its owner; into it, at its end. */
int work_owners_behind(const struct work_owners *owners, int piece);
void work_owners_queue(struct work_owners *owners, int piece);

/* Takes the first out of the line of this piece's owner when one more may be sent. -1: none. */
int work_owners_call(struct work_owners *owners, int piece);
