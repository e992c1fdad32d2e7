/* A folder for each test of the store, and helpers to open a file there and to look into it. */
#pragma once
#include "base/result.h"
#include "store/migrate.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char folder[64], path[96];

static inline void make_folder(void)
{
    strcpy(folder, "/tmp/journey-store-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/t.db", folder);
}

static inline void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    cr_assert(system(command) == 0);
}

static inline struct db *open_db(_Bool read_only)
{
    struct db *db = NULL;
    struct db_options options = { .path = path, .read_only = read_only };
    cr_assert(db_open(&options, &db) == 0, "%s", failure_text());
    return db;
}

static inline struct db *open_store(void)
{
    struct db *db = open_db(0);
    cr_assert(store_migrate(db) == 0, "%s", failure_text());
    return db;
}

static inline int64_t number(struct db *db, const char *sql)
{
    int64_t value = -1;
    cr_assert(db_find_number(db, &value, sql, "") == 0, "%s", failure_text());
    return value;
}

/* All bytes of a file, to see whether it was touched. */
static inline char *contents(const char *file_path, size_t *ret_length)
{
    FILE *file = fopen(file_path, "r");
    cr_assert_not_null(file);
    fseek(file, 0, SEEK_END);
    *ret_length = (size_t)ftell(file);
    char *bytes = malloc(*ret_length + 1);
    rewind(file);
    cr_assert_eq(fread(bytes, 1, *ret_length, file), *ret_length);
    fclose(file);
    return bytes;
}

static inline void assert_untouched(char *before, size_t length_before)
{
    size_t length;
    char *after = contents(path, &length);
    cr_assert(length == length_before && memcmp(before, after, length) == 0,
              "the file has changed");
    free(before);
    free(after);
}
