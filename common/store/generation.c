/* Generation: see generation.h. */
#include "store/generation.h"
#include "base/result.h"
#include "store/migrate.h"

#define META_WAL_NUMBER "wal_number"
#define META_WAL_AFTER "wal_after"
#define COUNT_BITS 16
#define COUNT_MAX ((INT64_C(1) << COUNT_BITS) - 1)

static int64_t generation_of(int64_t number)
{
    return number >> COUNT_BITS;
}

/* A generation is 46 random bits and not 0. */
static int new_number(struct db *db, int64_t *ret_number)
{
    return trace(db_find_number(db, ret_number, "SELECT ((random() & 0x3fffffffffff) | 1) << ?1",
                                "i", (int64_t)COUNT_BITS));
}

static int number_wal(struct db *db, _Bool is_new)
{
    int64_t before = 0, number = 0;
    int r = meta_read_or(db, META_WAL_NUMBER, 0, &before);
    if (r == 0 && (is_new || before == 0)) {
        r = meta_write(db, META_WAL_AFTER, before);
        if (r == 0)
            r = new_number(db, &number);
    } else {
        number = (before & COUNT_MAX) < COUNT_MAX ? before + 1 : before;
    }
    return r < 0 ? trace(r) : trace(meta_write(db, META_WAL_NUMBER, number));
}

void generation_begin(struct db *db)
{
    db_set_wal_numbering(db, number_wal);
    db_want_wal_number(db);
}

static int read_numbers(struct db *db, int64_t *ret_number, int64_t *ret_after)
{
    *ret_number = *ret_after = 0;
    int r = db_has_row(db, "SELECT 1 FROM sqlite_master WHERE name = 'meta'", "");
    if (r <= 0)
        return trace(r);
    r = meta_read_or(db, META_WAL_NUMBER, 0, ret_number);
    return r < 0 ? trace(r) : trace(meta_read_or(db, META_WAL_AFTER, 0, ret_after));
}

int generation_check(struct db *db)
{
    _free_(db) struct db *alone = NULL;
    int64_t number, after, own = 0, unused;
    int r = read_numbers(db, &number, &after);
    if (r < 0)
        return trace(r);
    if (number == 0)
        return 0;
    r = db_open_without_wal(db, &alone);
    if (r == 0)
        r = read_numbers(alone, &own, &unused);
    if (r < 0)
        return r == -ERR_CORRUPT || r == -ERR_CONFIG ? GENERATION_UNKNOWN : trace(r);
    if (generation_of(own) == generation_of(number) || own == after)
        return 0;
    if (own == 0) { /* of a program without numbers; or its page was torn by a power cut */
        fail(ERR_CORRUPT, "%s by itself has no number", db_path(db));
        return GENERATION_UNKNOWN;
    }
    return fail(ERR_CONFIG,
                "%s and the -wal beside it are not of one database: a copy was put in the place of "
                "one that has not ended in peace, and together they would be a mixture of two; "
                "`restore FILE` puts a copy in its place",
                db_path(db));
}
