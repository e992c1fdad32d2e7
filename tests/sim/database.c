/* Database: a node's store. In memory, or on a disk of disk.h where power cuts and I/O errors are
 * wanted: that one is slower. Copies of it are made and given back as SQLite makes backups. */
#include "world.h"
#include "disk.h"
#include <stdlib.h>

static sqlite3 *opened; /* the newest connection: db.h does not give it away */

static int note_opened(sqlite3 *handle, char **error, const struct sqlite3_api_routines *routines)
{
    (void)error;
    (void)routines;
    opened = handle;
    return SQLITE_OK;
}

static int try_open(const struct db_options *options, struct db **ret_db, sqlite3 **ret_handle)
{
    sqlite3_auto_extension((void (*)(void))note_opened);
    int r = db_open(options, ret_db);
    if (r == 0)
        *ret_handle = opened;
    return r;
}

void open_database(struct db **ret_db, sqlite3 **ret_handle)
{
    if (try_open(&(struct db_options){ .path = ":memory:" }, ret_db, ret_handle) < 0) {
        fprintf(stderr, "simulate: %s\n", failure_text());
        exit(1);
    }
}

static void copy_database(struct world *world, sqlite3 *to, sqlite3 *from)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup || sqlite3_backup_step(backup, -1) != SQLITE_DONE ||
        sqlite3_backup_finish(backup) != SQLITE_OK)
        violated(world, "a database cannot be copied: %s", sqlite3_errmsg(to));
}

void node_open_database(struct world *world, struct node *node)
{
    char path[DISK_PATH_SIZE];
    disk_path(node->index, path);
    struct db_options options = { .path = node->on_disk ? path : ":memory:",
                                  .vfs = node->on_disk ? DISK_VFS : NULL };
    if (try_open(&options, &node->db, &node->handle) < 0) {
        violated(world, "I12: %s cannot open its database: %s", node->service->name,
                 failure_text());
        open_database(&node->db, &node->handle); /* so that the run can be taken apart */
    }
    if (world->without == GUARD_SYNC_BEFORE_REPLY)
        sqlite3_exec(node->handle, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
}

/* The process is gone, and another one finds its files. That one may be gone, too, before it has
 * recovered them. */
void node_reopen_database(struct world *world, struct node *node, _Bool power_was_cut)
{
    char path[DISK_PATH_SIZE];
    disk_path(node->index, path);
    disk_kill(node->index);
    db_free(node->db);
    disk_revive(node->index, power_was_cut, &world->random);
    while (!world->calm && one_in(world, 4)) {
        tell(world, "%s is gone once more while it recovers its files", node->service->name);
        disk_fail_after(node->index, 1 + draw(world, 10), 1);
        struct db *db = NULL;
        sqlite3 *handle;
        if (try_open(&(struct db_options){ .path = path, .vfs = DISK_VFS }, &db, &handle) == 0)
            (void)db_checkpoint(db, 1, NULL);
        disk_kill(node->index);
        db_free(db);
        disk_revive(node->index, power_was_cut, &world->random);
    }
    node_open_database(world, node);
}

void node_cut_power(struct world *world, struct node *node)
{
    disk_kill(node->index); /* node_crash finds it so */
    node_crash(world, node);
}

void node_free_disk(struct node *node)
{
    node->disk_full_until_ms = 0;
    sqlite3_exec(node->handle, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL);
}

/* ---- Copies --------------------------------------------------------------------------------- */

void node_copy_database(struct world *world, struct node *node)
{
    if (!node->copy)
        open_database(&node->copy, &node->copy_handle);
    copy_database(world, node->copy_handle, node->handle);
    node->copy_head = node->loop.at.head.position;
}

/* Of a process that does not run. */
void node_restore_database(struct world *world, struct node *node, _Bool from_copy)
{
    node_free_disk(node);
    if (from_copy && node->copy) {
        tell(world, "%s: an older database is restored, up to %lld", node->service->name,
             (long long)node->copy_head);
        copy_database(world, node->handle, node->copy_handle);
    } else {
        tell(world, "%s: the database is lost", node->service->name);
        db_free(node->db);
        if (node->on_disk)
            disk_clear(node->index);
        node_open_database(world, node);
    }
    node->cursor = node->disk_promise = 0;
    node->restores++;
}

void node_remember(struct world *world, struct node *node)
{
    if (!node->before)
        open_database(&node->before, &node->before_handle);
    copy_database(world, node->before_handle, node->handle);
}

void node_take_back(struct world *world, struct node *node)
{
    copy_database(world, node->handle, node->before_handle);
}
