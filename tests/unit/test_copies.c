/* Copies: a file and the WAL beside it, the end of a log, marks of damage, what a file's tables are
 * made of, and files that are moved away. */
#include "runtime/core/data_folder.h"
#include "store/damage_mark.h"
#include "store/event_log.h"
#include "store/file_place.h"
#include "store/generation.h"
#include "store/layout.h"
#include "store/log_check.h"
#include "store_folder.h"
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

TestSuite(copies, .init = make_folder, .fini = remove_folder);

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
    char command[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    cr_assert_eq(system(command), 0, "%s", command);
}

/* ---- A WAL and its file --------------------------------------------------------------------- */

static void write_once(struct db *db, int64_t value)
{
    cr_assert(db_begin(db) == 0 && meta_write(db, "value", value) == 0 && db_commit(db) == 0, "%s",
              failure_text());
}

/* As the writer does it. */
static void number_and_checkpoint(struct db *db)
{
    db_want_wal_number(db);
    write_once(db, 0);
    cr_assert(db_wal_is_numbered(db) && db_checkpoint(db, 1, NULL) == 0);
}

/* A process that is killed now leaves these files. */
static void leave(const char *name)
{
    shell("cp %s %s/%s.db && cp %s-wal %s/%s.db-wal", path, folder, name, path, folder, name);
}

static int judge(const char *name)
{
    char file[128];
    struct db *db = NULL;
    snprintf(file, sizeof(file), "%s/%s.db", folder, name);
    cr_assert(db_open(&(struct db_options){ .path = file }, &db) == 0, "%s", failure_text());
    int r = generation_check(db);
    db_abandon(db);
    db_free(db);
    return r;
}

static struct db *open_numbered(void)
{
    struct db *db = open_store();
    cr_assert_eq(db_checkpoint(db, 1, NULL), 0);
    generation_begin(db);
    write_once(db, 1);
    return db;
}

Test(copies, a_file_fits_its_own_wal_at_every_moment)
{
    _free_(db) struct db *db = open_numbered();
    for (int i = 0; i < 5; i++) {
        write_once(db, i);
        leave("killed");
        cr_assert_eq(judge("killed"), 0, "%s", failure_text());
        number_and_checkpoint(db);
        write_once(db, i);
        leave("killed");
        cr_assert_eq(judge("killed"), 0, "%s", failure_text());
        cr_assert_eq(db_checkpoint(db, i % 2, NULL), 0); /* one that was not numbered */
        leave("killed");
        cr_assert_eq(judge("killed"), 0, "%s", failure_text());
    }
}

Test(copies, a_checkpoint_in_part_and_readers_do_not_matter)
{
    _free_(db) struct db *db = open_numbered();
    _free_(db) struct db *reader = open_db(1);
    int64_t value;
    for (int i = 0; i < 4; i++) {
        cr_assert(db_begin(reader) == 0 && meta_find(reader, "value", &value) == 0);
        write_once(db, i);
        db_want_wal_number(db);
        write_once(db, i);
        cr_assert_eq(db_checkpoint(db, 0, NULL), 0);
        write_once(db, i);
        leave("killed");
        cr_assert_eq(judge("killed"), 0, "%s", failure_text());
        cr_assert_eq(db_rollback(reader), 0);
        cr_assert_eq(db_checkpoint(db, 0, NULL), 0);
        write_once(db, i);
        leave("killed");
        cr_assert_eq(judge("killed"), 0, "%s", failure_text());
    }
}

Test(copies, an_older_copy_does_not_fit_the_wal)
{
    _free_(db) struct db *db = open_numbered();
    char copies[3][128];
    for (int i = 0; i < 3; i++) {
        snprintf(copies[i], sizeof(copies[i]), "%s/copy-%d.db", folder, i);
        cr_assert_eq(db_backup(db, copies[i]), 0);
        write_once(db, i); /* the copy is of the middle of a WAL */
        if (i < 2)
            number_and_checkpoint(db);
    }
    write_once(db, 9);
    for (int i = 0; i < 2; i++) {
        leave("mixed");
        shell("cp %s %s/mixed.db", copies[i], folder);
        cr_assert_eq(judge("mixed"), -ERR_CONFIG, "copy %d", i);
        cr_assert(strstr(failure_reason(), "restore FILE"), "%s", failure_reason());
    }
    leave("same"); /* the WAL makes this one whole: it has all that came after it */
    shell("cp %s %s/same.db", copies[2], folder);
    cr_assert_eq(judge("same"), 0, "%s", failure_text());
}

Test(copies, a_file_without_a_wal_is_itself)
{
    _free_(db) struct db *db = open_numbered();
    write_once(db, 3);
    leave("older");
    shell("rm %s/older.db-wal", folder);
    cr_assert_eq(judge("older"), 0, "%s", failure_text());
}

Test(copies, a_transaction_that_is_rolled_back_numbers_nothing)
{
    _free_(db) struct db *db = open_numbered();
    int64_t before, after;
    cr_assert_eq(meta_find(db, "wal_number", &before), 0);
    db_want_wal_number(db);
    cr_assert(db_begin(db) == 0 && db_rollback(db) == 0 && !db_wal_is_numbered(db) == 0);
    cr_assert(meta_find(db, "wal_number", &after) == 0 && after == before);
    write_once(db, 2); /* the wish stays */
    cr_assert(meta_find(db, "wal_number", &after) == 0 && after == before + 1);
}

/* ---- The log -------------------------------------------------------------------------------- */

static void fill(struct db *db, int64_t count)
{
    struct log_head head = { 0 };
    for (int64_t position = 1; position <= count; position++) {
        struct event event = {
            .log = "TEST",
            .position = position,
            .id = "id",
            .type = "Happened",
            .entity = "e",
            .data = "{}",
            .data_length = 2,
        };
        struct digest digest;
        cr_assert(event_digest(&event, &digest) == 0 &&
                  event_chain(&head.chain, &digest, &event.chain) == 0 &&
                  event_log_append(db, &event) == 0);
        head = (struct log_head){ position, event.chain };
    }
}

Test(copies, the_end_of_a_log_and_all_of_it_are_checked)
{
    _free_(db) struct db *empty = NULL;
    cr_assert(db_open(&(struct db_options){ .path = ":memory:" }, &empty) == 0 &&
              log_check_end(empty, "TEST") == 0);
    _free_(db) struct db *db = open_store();
    struct log_check check = { .log = "TEST" };
    _Bool more = 0;
    cr_assert_eq(log_check_end(db, "TEST"), 0);
    fill(db, 200);
    cr_assert(log_check_part(&check, db, 150, &more) == 0 && more && check.at.position == 150);
    cr_assert(log_check_part(&check, db, 150, &more) == 0 && !more && check.at.position == 200);
    cr_assert_eq(log_check_end(db, "TEST"), 0);
    cr_assert_eq(log_check_end(db, "OTHER"), -ERR_CORRUPT); /* another service's file */
    cr_assert_eq(db_exec(db, "UPDATE event_log SET data = '[]' WHERE position = 50", ""), 0);
    cr_assert_eq(log_check_end(db, "TEST"), 0); /* the end alone */
    check = (struct log_check){ .log = "TEST" };
    cr_assert_eq(log_check_part(&check, db, 150, &more), -ERR_CORRUPT);
    cr_assert(strstr(failure_reason(), "position 50"), "%s", failure_reason());
    cr_assert_eq(db_exec(db, "DELETE FROM event_log WHERE position = 190", ""), 0);
    cr_assert_eq(log_check_end(db, "TEST"), -ERR_CORRUPT);
    cr_assert(strstr(failure_reason(), "191 follows 189"), "%s", failure_reason());
}

/* ---- Marks ---------------------------------------------------------------------------------- */

Test(copies, damage_is_remembered_beside_the_file)
{
    char text[700] = "";
    cr_assert_eq(damage_mark_read(path, text, sizeof(text)), 0);
    damage_mark_write(path, "a database that is not there gets no mark");
    cr_assert_eq(damage_mark_read(path, text, sizeof(text)), 0);
    struct db *db = open_store();
    db_free(db);
    damage_mark_write(path, "page 7 is damaged");
    damage_mark_write(path, "a later reason");
    cr_assert_eq(damage_mark_read(path, text, sizeof(text)), 1);
    cr_assert(strncmp(text, "page 7 is damaged (found at ", 28) == 0 && !strchr(text, '\n'), "%s",
              text);
    cr_assert_eq(damage_mark_remove(path), 0);
    cr_assert(damage_mark_read(path, text, sizeof(text)) == 0 && damage_mark_remove(path) == 0);
    damage_mark_write(path, "set aside");
    shell("rm %s", path);
    cr_assert_eq(damage_mark_read(path, text, sizeof(text)), 0);
    shell("test ! -e %s" DAMAGE_MARK_SUFFIX, path);
}

/* ---- Tables --------------------------------------------------------------------------------- */

#define TABLES "CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT) STRICT; CREATE INDEX a_y ON a (y);"

static const char *layout_with(const char *more)
{
    static char text[512];
    _free_(db) struct db *db = NULL, *model = NULL;
    _deinit_(buf) struct buf out = { 0 };
    struct db_options options = { .path = ":memory:" };
    cr_assert(db_open(&options, &db) == 0 && db_open(&options, &model) == 0 &&
              db_script(model, TABLES) == 0 && db_script(db, more) == 0);
    int r = layout_compare(db, model, &out);
    buf_put_char(&out, '\0');
    cr_assert_eq(r, out.length > 1 ? LAYOUT_DIFFERS : 0);
    snprintf(text, sizeof(text), "%s", out.data);
    return text;
}

Test(copies, what_others_have_made_of_the_tables_is_named)
{
    cr_assert_str_eq(layout_with(TABLES), "");
    cr_assert_str_eq(layout_with("CREATE TABLE IF NOT EXISTS a\n(x INTEGER  PRIMARY KEY, y TEXT) "
                                 "STRICT; CREATE INDEX a_y ON a (y); ANALYZE;"),
                     "");
    cr_assert_str_eq(layout_with(TABLES "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END;"),
                     "trigger t is not ours");
    cr_assert_str_eq(layout_with(TABLES "CREATE VIEW v AS SELECT 1; CREATE INDEX i ON a (y, x);"),
                     "view v is not ours; index i is not ours");
    cr_assert_str_eq(layout_with(TABLES "ALTER TABLE a ADD COLUMN z TEXT;"), "table a differs");
    cr_assert_str_eq(layout_with(TABLES "DROP INDEX a_y; CREATE TABLE b (x);"),
                     "table b is not ours; index a_y is missing");
}

Test(copies, triggers_and_views_of_others_do_nothing)
{
    sqlite3 *other;
    cr_assert_eq(sqlite3_open(path, &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other,
                              "PRAGMA journal_mode=WAL; CREATE TABLE a (x); CREATE TABLE b (x);"
                              " CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO b VALUES (1); "
                              "END; CREATE VIEW v AS SELECT x FROM a;",
                              NULL, NULL, NULL),
                 SQLITE_OK);
    sqlite3_close(other);
    _free_(db) struct db *db = open_db(0);
    int64_t count = -1;
    cr_assert(db_exec(db, "INSERT INTO a VALUES (1)", "") == 0 &&
              db_find_number(db, &count, "SELECT count(*) FROM b", "") == 0 && count == 0);
    cr_assert(db_find_number(db, &count, "SELECT count(*) FROM v", "") < 0);
}

/* ---- Files ---------------------------------------------------------------------------------- */

Test(copies, a_file_that_was_moved_or_replaced_is_noticed)
{
    static struct file_place place;
    char other[128];
    snprintf(other, sizeof(other), "%s/other", folder);
    const char *const paths[] = { path, other, NULL };
    file_place_note(&place, paths);
    cr_assert(place.count == 0 && !file_place_changed(&place)); /* as with one in memory */
    shell("touch %s %s", path, other);
    file_place_note(&place, paths);
    cr_assert(place.count == 2 && !file_place_changed(&place) && !file_place_was_written(&place));
    shell("mv %s %s.away", other, other);
    cr_assert(strstr(file_place_changed(&place), "other was removed or moved"));
    shell("mv %s.away %s", other, other);
    cr_assert_null(file_place_changed(&place));
    shell("touch -d 2020-01-01 %s", path);
    cr_assert(file_place_was_written(&place) && !file_place_changed(&place));
    file_place_wrote(&place);
    cr_assert_not(file_place_was_written(&place));
    shell("cp %s %s.new && mv %s.new %s", path, path, path, path);
    cr_assert(strstr(file_place_changed(&place), "t.db is another file now"));
}

Test(copies, modes_are_tightened_and_leftovers_of_the_dead_removed)
{
    struct stat status;
    char name[160];
    pid_t dead = fork();
    if (dead == 0)
        _exit(0);
    cr_assert_eq(waitpid(dead, NULL, 0), dead);
    shell("cd %s && touch t.db t.db-wal t.db.verify-%d t.db.verify-%d-journal t.db.restore-%d "
          "t.db.verify-%d other.db.verify-%d && chmod 644 t.db t.db-wal",
          folder, (int)dead, (int)dead, (int)dead, (int)getpid(), (int)dead);
    data_folder_tighten(folder, "t");
    data_folder_sweep(folder, "t");
    snprintf(name, sizeof(name), "%s/t.db-wal", folder);
    cr_assert(stat(name, &status) == 0 && (status.st_mode & 0777) == 0600);
    shell(
        "cd %s && test \"$(ls | tr '\\n' ' ')\" = 'other.db.verify-%d t.db t.db-wal t.db.verify-%d "
        "'",
        folder, (int)dead, (int)getpid());
}

Test(copies, a_restart_loop_slows_down)
{
    int waits[9];
    for (int i = 0; i < 9; i++)
        waits[i] = data_folder_count_end(folder, "t", 500);
    cr_assert(waits[0] == 0 && waits[1] == 0 && waits[2] == 400 && waits[3] == 800 &&
              waits[8] == 25600);
    cr_assert_eq(data_folder_count_end(folder, "t", 500), 30000);
    cr_assert_eq(data_folder_start_wait_ms(folder, "t"), 0); /* it has waited before its end */
    data_folder_count_death(folder, "t", 500);
    cr_assert_eq(data_folder_start_wait_ms(folder, "t"), 30000);
    cr_assert_eq(data_folder_count_end(folder, "t", 3600000), 0); /* it has lived long enough */
    data_folder_count_end(folder, "t", 500);
    cr_assert_eq(data_folder_count_end(folder, "t", 500), 400);
    data_folder_forget_ends(folder, "t");
    cr_assert_eq(data_folder_count_end(folder, "t", 500), 0);
}
