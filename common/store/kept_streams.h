/* Kept streams: what an operator has set on a stream of ours and who else reads it, as it was last
 * seen, so that a stream that is lost while we are down is made again as it was
 * (runtime/outbound/stream_keep.h). Configurations are JSON, as the server writes them. */
#pragma once
#include "base/arena.h"
#include "store/db.h"

struct kept_durable_row {
    const char *name;
    int64_t position; /* of our log: all up to here is acknowledged */
    const char *config;
};

struct kept_stream_row {
    const char *stream;
    const char *created; /* of the stream that had these durables, as the server writes it; "" */
    const char *config;
    int durable_count;
    const struct kept_durable_row *durables; /* of one stream: each name once */
};

int kept_streams_create_tables(struct db *db);
/* Into the arena. 0, NOT_FOUND or < 0. */
int kept_streams_read(struct db *db, const char *stream, struct arena *arena,
                      struct kept_stream_row *ret_row);
/* In the caller's transaction: in the place of what was kept of this stream. 0 or < 0. */
int kept_streams_write(struct db *db, const struct kept_stream_row *row);
