/* Store: the event log and its chain, cursors, refusals, parked events, migrations. */
#include "base/refusal.h"
#include "store/compare.h"
#include "store/cursor.h"
#include "store/kept_streams.h"
#include "store/parked.h"
#include "store/refusals.h"
#include "store_folder.h"
#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>

TestSuite(store, .init = make_folder, .fini = remove_folder);

/* ---- The log -------------------------------------------------------------------------------- */

static struct event event_at(int64_t position, const struct digest *previous)
{
    struct event event = {
        .log = "TEST",
        .position = position,
        .id = "id",
        .type = "Happened",
        .entity = "e1",
        .time_ms = 1795412400000 + position,
        .correlation = position % 2 ? "c" : NULL,
        .cause = position == 3 ? "request/k" : NULL,
        .data = "{\"a\":1}",
        .data_length = 7,
    };
    struct digest digest;
    cr_assert(event_digest(&event, &digest) == 0 &&
              event_chain(previous, &digest, &event.chain) == 0);
    return event;
}

static struct log_head fill(struct db *db, int64_t count)
{
    struct log_head head = { 0 };
    for (int64_t p = 1; p <= count; p++) {
        struct event event = event_at(p, &head.chain);
        cr_assert(event_log_append(db, &event) == 0, "%s", failure_text());
        head = (struct log_head){ p, event.chain };
    }
    return head;
}

Test(store, the_log_returns_the_events_that_were_appended)
{
    _free_(db) struct db *db = open_store();
    struct log_head head, filled = fill(db, 10);
    struct digest chain;
    cr_assert(event_log_head(db, &head) == 0 && head.position == 10 &&
              digest_equal(&head.chain, &filled.chain));
    cr_assert(event_log_find_chain(db, 10, &chain) == 0 && digest_equal(&chain, &head.chain) &&
              event_log_find_chain(db, 11, &chain) == NOT_FOUND);
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    struct digest digest, previous;
    cr_assert(event_log_find_chain(db, 3, &previous) == 0 &&
              event_reader_open(&reader, db, "TEST", 3, 5) == 0);
    for (int64_t p = 4; p <= 8; p++) {
        cr_assert(event_reader_has_next(&reader, &event) && event.position == p &&
                  strcmp(event.data, "{\"a\":1}") == 0);
        cr_assert((event.correlation != NULL) == (p % 2 == 1));
        cr_assert(event_digest(&event, &digest) == 0 &&
                  event_chain(&previous, &digest, &chain) == 0 &&
                  digest_equal(&chain, &event.chain));
        previous = event.chain;
    }
    cr_assert(!event_reader_has_next(&reader, &event) && event_reader_status(&reader) == 0);
    cr_assert(event_log_has_cause(db, "request/k") == 1 &&
              event_log_has_cause(db, "request/other") == 0);
}

Test(store, each_position_is_used_once)
{
    _free_(db) struct db *db = open_store();
    struct log_head head = fill(db, 2);
    static const int64_t wrong[] = { -1, 0, 1, 2, 4, 5, INT32_MAX };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct event event = event_at(wrong[i], &head.chain);
        cr_assert_eq(event_log_append(db, &event), -ERR_CONSTRAINT, "position %lld",
                     (long long)wrong[i]);
        cr_assert_eq(number(db, "SELECT max(position) FROM event_log"), 2);
    }
    struct event third = event_at(3, &head.chain);
    cr_assert_eq(event_log_append(db, &third), 0);
}

Test(store, the_first_event_of_a_cause_is_found)
{
    _free_(db) struct db *db = open_store();
    struct log_head head = { 0 };
    static const char *const causes[] = { NULL, "OTHER/7", "request/a", NULL, "request/a" };
    for (int64_t p = 1; p <= 5; p++) {
        struct event event = event_at(p, &head.chain);
        event.cause = causes[p - 1];
        cr_assert_eq(event_log_append(db, &event), 0);
    }
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    cr_assert_eq(event_reader_find_cause(&reader, db, "TEST", "request/b", &event), NOT_FOUND);
    event_reader_deinit(&reader);
    cr_assert_eq(event_reader_find_cause(&reader, db, "TEST", "request/a", &event), 0);
    cr_assert(event.position == 3 && strcmp(event.log, "TEST") == 0 &&
              strcmp(event.cause, "request/a") == 0);
}

Test(store, a_copy_of_an_event_stands_alone)
{
    struct digest zero = { 0 }, before, after;
    char texts[11][8];
    for (int i = 0; i < 11; i++)
        snprintf(texts[i], sizeof(texts[i]), "text%d", i);
    struct event copy, event = {
        .log = texts[0],
        .position = 9,
        .chain = zero,
        .id = texts[1],
        .type = texts[2],
        .entity = texts[3],
        .time_ms = 5,
        .correlation = texts[4],
        .causation = texts[5],
        .cause = texts[6],
        .cause_digest = texts[7],
        .traceparent = NULL,
        .data = texts[8],
        .data_length = 5,
    };
    _deinit_(arena) struct arena arena = { 0 };
    cr_assert(event_digest(&event, &before) == 0 && event_copy(&event, &arena, &copy) == 0);
    memset(texts, '!', sizeof(texts));
    cr_assert(event_digest(&copy, &after) == 0 && digest_equal(&before, &after) &&
              copy.traceparent == NULL);
}

Test(store, every_field_is_in_the_chain)
{
    struct digest zero = { 0 }, base, other;
    struct event event = event_at(3, &zero);
    event.correlation = event.causation = event.cause_digest = event.traceparent = "x";
    cr_assert(event_digest(&event, &base) == 0);
    const char **texts[] = { &event.log,    &event.id,           &event.type,
                             &event.entity, &event.correlation,  &event.causation,
                             &event.cause,  &event.cause_digest, &event.traceparent };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        const char *kept = *texts[i];
        *texts[i] = "another";
        cr_assert(event_digest(&event, &other) == 0 && !digest_equal(&base, &other), "field %zu",
                  i);
        *texts[i] = NULL;
        cr_assert(event_digest(&event, &other) == 0 && !digest_equal(&base, &other), "field %zu",
                  i);
        *texts[i] = kept;
    }
    event.time_ms++;
    cr_assert(event_digest(&event, &other) == 0 && !digest_equal(&base, &other));
}

Test(store, a_long_event_has_the_digest_of_its_canonical_form)
{
    char data[5000];
    memset(data, 'x', sizeof(data));
    struct digest zero = { 0 }, one, two;
    struct event event = event_at(1, &zero);
    event.data = data;
    for (size_t length = 1000; length < 5000; length += 1000) {
        event.data_length = length;
        cr_assert(event_digest(&event, &one) == 0);
        event.data_length = length + 1;
        cr_assert(event_digest(&event, &two) == 0 && !digest_equal(&one, &two));
    }
}

/* ---- Places in others' logs ------------------------------------------------------------------ */

Test(store, a_cursor_tells_next_repeat_gap_and_fork)
{
    struct digest zero = { 0 }, digest;
    struct event first = event_at(1, &zero), second = event_at(2, &first.chain),
                 wrong = event_at(2, &zero);
    struct cursor cursor = { .position = 1, .chain = first.chain };
    static const char *const names[] = { "next", "repeat", "gap", "fork" };
    const struct {
        struct event *event;
        int64_t position;
        enum cursor_fit fit;
    } cases[] = {
        { &second, 2, CURSOR_NEXT }, { &first, 1, CURSOR_REPEAT }, { &first, 0, CURSOR_REPEAT },
        { &second, 3, CURSOR_GAP },  { &wrong, 2, CURSOR_FORK },   { &wrong, 1, CURSOR_FORK },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cr_assert(event_digest(cases[i].event, &digest) == 0);
        enum cursor_fit fit = cursor_compare(&cursor, cases[i].position, &cases[i].event->chain,
                                             &digest);
        cr_assert_eq(fit, cases[i].fit, "case %zu is a %s", i, names[fit]);
    }
}

Test(store, cursors_refusals_and_parked_events_are_kept)
{
    _free_(db) struct db *db = open_store();
    struct cursor cursor = { .position = 7, .event_time_ms = 5 }, read;
    memset(cursor.chain.bytes, 9, DIGEST_SIZE);
    cr_assert(cursor_read(db, "OTHER", &read) == 0 && read.position == 0);
    cr_assert(cursor_write(db, "OTHER", &cursor) == 0 && cursor_read(db, "OTHER", &read) == 0);
    cr_assert(read.position == 7 && digest_equal(&read.chain, &cursor.chain) &&
              read.event_time_ms == 5);

    _deinit_(arena) struct arena arena = { 0 };
    const char *digest, *message;
    int refusal;
    cr_assert(refusals_find_by_key(db, "k", &arena, &digest, &refusal, &message) == NOT_FOUND);
    cr_assert(refusals_write(db, "k", "d", REFUSED_OWN, "none left", 1) == 0);
    cr_assert(refusals_find_by_key(db, "k", &arena, &digest, &refusal, &message) == 0);
    cr_assert(refusal == REFUSED_OWN && strcmp(digest, "d") == 0 &&
              strcmp(message, "none left") == 0);

    struct parked parked = { "OTHER", 3, "e1", "Happened", "bad", 1 }, list[4];
    int count;
    int64_t parked_rows;
    cr_assert(parked_has_entity(db, "OTHER", "e1") == 0 && parked_add(db, &parked) == 0 &&
              parked_has_entity(db, "OTHER", "e1") == 1);
    cr_assert(parked_list(db, "", 0, &arena, list, 4, &count) == 0 && count == 1 &&
              strcmp(list[0].error, "bad") == 0);
    cr_assert(parked_list(db, "OTHER", 3, &arena, list, 4, &count) == 0 && count == 0);
    struct parked more[] = { { "OTHER", 5, "e1", "Happened", "behind", 1 },
                             { "OTHER", 6, "e2", "Happened", "bad", 1 } };
    cr_assert(parked_add(db, &more[0]) == 0 && parked_add(db, &more[1]) == 0);
    static const struct {
        struct parked_filter filter;
        int64_t after, next, count;
    } nexts[] = {
        { { 0 }, 0, 3, 3 },
        { { 0 }, 3, 6, 3 },
        { { 0 }, 6, 0, 3 },
        { { .log = "ELSE" }, 0, 0, 0 },
        { { .entity = "e2" }, 0, 6, 1 },
        { { "OTHER", "e1" }, 3, 0, 2 },
    };
    for (size_t i = 0; i < sizeof(nexts) / sizeof(*nexts); i++) {
        const char *log = "";
        int64_t next = 0;
        int r = parked_find_next(db, &nexts[i].filter, "OTHER", nexts[i].after, &arena, &log,
                                 &next);
        cr_assert(r == (nexts[i].next > 0 ? 0 : NOT_FOUND) && next == nexts[i].next,
                  "case %zu: %d, %" PRId64, i, r, next);
        cr_assert(parked_count_of(db, &nexts[i].filter, &parked_rows) == 0 &&
                      parked_rows == nexts[i].count,
                  "case %zu", i);
    }
    cr_assert(parked_set_error(db, "OTHER", 6, "worse") == 0 &&
              parked_list(db, "OTHER", 5, &arena, list, 4, &count) == 0);
    cr_assert(count == 1 && strcmp(list[0].error, "worse") == 0);
    cr_assert(parked_find_first(db, "OTHER", "e1", &parked_rows) == 0 && parked_rows == 3);
    cr_assert(parked_find_first(db, "OTHER", "e9", &parked_rows) == NOT_FOUND);
    cr_assert(parked_remove(db, "OTHER", 5) == 0 && parked_remove(db, "OTHER", 6) == 0);
    cr_assert(parked_remove(db, "OTHER", 3) == 0 && parked_count(db, &parked_rows) == 0 &&
              parked_rows == 0);
}

/* 1,000 events of one entity behind its first: the walk over them ends after each 256. */
Test(store, parked_events_behind_others_are_walked_in_slices)
{
    _free_(db) struct db *db = open_store();
    _deinit_(arena) struct arena arena = { 0 };
    const struct parked_filter all = { 0 };
    const char *log = "";
    int64_t position = 0;
    for (int i = 1; i <= 1000; i++)
        cr_assert(parked_add(db, &(struct parked){ "OTHER", i, "e1", "Happened", "bad", 1 }) == 0);
    cr_assert(parked_add(db, &(struct parked){ "OTHER", 1001, "e2", "Happened", "bad", 1 }) == 0);
    cr_assert(parked_find_next(db, &all, log, position, &arena, &log, &position) == 0);
    cr_assert(strcmp(log, "OTHER") == 0 && position == 1);
    for (int i = 1; i <= 3; i++) {
        cr_assert(parked_find_next(db, &all, log, position, &arena, &log, &position) ==
                  PARKED_GOES_ON);
        cr_assert_eq(position, 1 + i * PARKED_WALK_MAX);
    }
    cr_assert(parked_find_next(db, &all, log, position, &arena, &log, &position) == 0);
    cr_assert(strcmp(log, "OTHER") == 0 && position == 1001);
    cr_assert(parked_find_next(db, &all, log, position, &arena, &log, &position) == NOT_FOUND);
}

/* The name of a folder may hold characters with a meaning in the URI by which a file is
 * attached. */
Test(store, a_file_with_any_name_is_attached_read_only)
{
    static const char *const names[] = { "plain.db", "a?mode=rwc.db", "50%25 off#1.db",
                                         "a b&c=d;e.db", "\xc3\xa9't\xc3\xa9.db" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        _free_(db) struct db *scratch = NULL;
        char scratch_path[96];
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        snprintf(scratch_path, sizeof(scratch_path), "%s/scratch-%zu", folder, i);
        struct db *served = open_store();
        cr_assert_eq(meta_write(served, "found", 7), 0);
        db_free(served);
        struct db_options options = { .path = scratch_path, .scratch = 1 };
        cr_assert(db_open(&options, &scratch) == 0 && compare_attach(scratch, path) == 0, "%s: %s",
                  names[i], failure_text());
        cr_expect_eq(number(scratch, "SELECT value FROM served.meta WHERE name = 'found'"), 7, "%s",
                     names[i]);
        cr_expect(db_script(scratch, "DELETE FROM served.meta") == -ERR_READONLY, "%s: %s",
                  names[i], failure_text());
    }
}

/* ---- Versions of the file -------------------------------------------------------------------- */

Test(store, a_file_of_a_newer_program_is_refused)
{
    _free_(db) struct db *db = open_store();
    cr_assert(store_migrate(db) == 0);
    db_script(db, "PRAGMA user_version=99");
    cr_assert(store_migrate(db) == -ERR_CONFIG && strstr(failure_text(), "version 99"), "%s",
              failure_text());
}

Test(store, a_file_of_another_program_is_refused)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "CREATE TABLE theirs (x)");
    cr_assert(store_migrate(db) == -ERR_CONFIG && strstr(failure_text(), "another program"), "%s",
              failure_text());
}

Test(store, a_file_of_another_program_is_not_changed)
{
    static const char *const theirs[] = { "CREATE TABLE theirs (x)", "PRAGMA application_id=7" };
    for (size_t i = 0; i < sizeof(theirs) / sizeof(*theirs); i++) {
        sqlite3 *handle;
        unlink(path);
        cr_assert(sqlite3_open(path, &handle) == SQLITE_OK &&
                  sqlite3_exec(handle, theirs[i], NULL, NULL, NULL) == SQLITE_OK);
        sqlite3_close(handle);
        size_t length;
        char *before = contents(path, &length);
        struct db *db = NULL;
        struct db_options options = { .path = path };
        cr_assert(db_open(&options, &db) == -ERR_CONFIG &&
                      strstr(failure_text(), "another program"),
                  "%s", failure_text());
        assert_untouched(before, length);
    }
}

Test(store, refusals_are_forgotten_by_age_the_oldest_first_a_slice_at_a_time)
{
    _free_(db) struct db *db = open_store();
    int64_t count;
    char key[16];
    for (int i = 9; i > 0; i--) {
        snprintf(key, sizeof(key), "key-%d", i);
        cr_assert(refusals_write(db, key, "d", REFUSED_OWN, "none left", i) == 0);
    }
    cr_assert(refusals_has_older(db, 6) == 1 && refusals_has_older(db, 1) == 0);
    cr_assert(refusals_forget(db, 6, 3, &count) == 0 && count == 3);
    cr_assert_eq(number(db, "SELECT min(time_ms) FROM refusals"), 4);
    cr_assert(refusals_forget(db, 6, 3, &count) == 0 && count == 2);
    cr_assert(refusals_forget(db, 6, 3, &count) == 0 && count == 0);
    cr_assert_eq(number(db, "SELECT count(*) FROM refusals"), 4, "6 to 9 are young enough");
}

Test(store, what_was_set_on_a_stream_is_kept_in_the_place_of_what_was_kept_before)
{
    static const struct kept_durable_row two[] = { { "analytics", 7, "{\"a\":1}" },
                                                   { "books", 0, "{}" } };
    _free_(db) struct db *db = open_store();
    _deinit_(arena) struct arena arena = { 0 };
    struct kept_stream_row row = { .stream = "TEST",
                                   .created = "t1",
                                   .config = "{\"max\":1}",
                                   .durable_count = 2,
                                   .durables = two },
                           other = { .stream = "OTHER",
                                     .created = "",
                                     .config = "{}",
                                     .durable_count = 1,
                                     .durables = two },
                           read;
    cr_assert_eq(kept_streams_read(db, "TEST", &arena, &read), NOT_FOUND);
    cr_assert(kept_streams_write(db, &row) == 0 && kept_streams_write(db, &other) == 0);
    cr_assert_eq(kept_streams_read(db, "TEST", &arena, &read), 0);
    cr_assert(strcmp(read.created, "t1") == 0 && strcmp(read.config, "{\"max\":1}") == 0);
    cr_assert_eq(read.durable_count, 2);
    cr_assert_str_eq(read.durables[0].name, "analytics");
    cr_assert(read.durables[0].position == 7 && strcmp(read.durables[0].config, "{\"a\":1}") == 0);
    row.created = "t2";
    row.durable_count = 1;
    row.durables = two + 1;
    cr_assert(kept_streams_write(db, &row) == 0);
    cr_assert_eq(kept_streams_read(db, "TEST", &arena, &read), 0);
    cr_assert(read.durable_count == 1 && strcmp(read.durables[0].name, "books") == 0);
    cr_assert_str_eq(read.created, "t2");
    cr_assert_eq(kept_streams_read(db, "OTHER", &arena, &read), 0);
    cr_assert(read.durable_count == 1 && read.durables[0].position == 7, "another stream's stay");
}

Test(store, a_file_of_an_older_version_keeps_streams_from_now_on)
{
    _free_(db) struct db *db = open_db(0);
    _deinit_(arena) struct arena arena = { 0 };
    const struct kept_stream_row row = { .stream = "TEST", .created = "t", .config = "{}" };
    struct kept_stream_row read;
    cr_assert_eq(store_migrate(db), 0);
    cr_assert_eq(db_script(db, "DROP TABLE kept_streams; DROP TABLE kept_durables;"
                               " PRAGMA user_version=2"),
                 0);
    cr_assert_eq(store_migrate(db), 0, "%s", failure_text());
    cr_assert_eq(kept_streams_write(db, &row), 0, "%s", failure_text());
    cr_assert(kept_streams_read(db, "TEST", &arena, &read) == 0 && read.durable_count == 0);
}

Test(store, our_file_is_accepted_in_any_journal_mode)
{
    db_free(open_store());
    sqlite3 *handle;
    cr_assert(sqlite3_open(path, &handle) == SQLITE_OK);
    cr_assert(sqlite3_exec(handle, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(handle);
    _free_(db) struct db *db = open_store();
    cr_assert_eq(number(db, "PRAGMA user_version"), 3);
}

Test(store, a_failed_migration_step_is_rolled_back)
{
    _free_(db) struct db *db = open_db(0);
    db_script(db, "PRAGMA application_id=0x4a4d5348; CREATE TABLE event_log (theirs)");
    cr_assert(store_migrate(db) < 0);
    cr_assert_eq(number(db, "PRAGMA user_version"), 0);
    cr_assert_eq(number(db, "SELECT count(*) FROM sqlite_master"), 1);
}

static pthread_barrier_t at_once;

static void *migrate_one(void *argument)
{
    struct db *db = argument;
    pthread_barrier_wait(&at_once);
    return store_migrate(db) == 0 ? db : NULL;
}

static void migrate_both(struct db *both[2])
{
    pthread_t threads[2];
    void *fine[2];
    struct db_options options = { .path = path, .lock_timeout_ms = 600000 };
    for (int i = 0; i < 2; i++)
        cr_assert_eq(db_open(&options, &both[i]), 0);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, migrate_one, both[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], &fine[i]);
    cr_assert(fine[0] && fine[1]);
}

Test(store, two_processes_that_start_at_once_both_find_their_tables)
{
    struct db *both[2];
    pthread_barrier_init(&at_once, NULL, 2);
    for (int round = 0; round < 30; round++) {
        if (round > 0) {
            db_free(both[0]);
            db_free(both[1]);
        }
        snprintf(path, sizeof(path), "%s/%d.db", folder, round);
        migrate_both(both);
    }
    int64_t value = 3;
    cr_assert(meta_find(both[0], "answer", &value) == NOT_FOUND && value == 3);
    cr_assert(meta_write(both[0], "answer", 42) == 0 && meta_find(both[1], "answer", &value) == 0 &&
              value == 42);
    for (int i = 0; i < 2; i++)
        db_free(both[i]);
}
