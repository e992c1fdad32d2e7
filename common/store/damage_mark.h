/* Damage mark: a file beside a database, DATABASE.corrupt, that says that the database was found
 * damaged. A restart may meet none of the damage, so the mark outlives it: the service does not
 * start on such a database before a person has restored it, set it aside, or checked it and removed
 * the mark. Its text is the reason and the time, for people. */
#pragma once
#include <stddef.h>

#define DAMAGE_MARK_SUFFIX ".corrupt"

/* Best effort: on a disk that cannot be written there is none. The first reason stays. */
void damage_mark_write(const char *database_path, const char *reason);

/* 1: there is a mark of this database, and its text; 0: none. A mark without its database is
 * removed: the database was set aside. */
int damage_mark_read(const char *database_path, char *ret_text, size_t size);

int damage_mark_remove(const char *database_path); /* 0, also when there was none; ERR_READONLY */
