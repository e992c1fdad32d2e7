/* Layout: are the tables, indexes, triggers and views of a file those that a program makes? What
 * somebody else has put into a file, or taken from it, is told by its name. */
#pragma once
#include "base/buf.h"
#include "store/db.h"

/* Writes to `out` what differs, such as "trigger poison is not ours; table orders differs". model:
 * a file in memory with what the program makes. Blanks in the statements do not count. 0: the same;
 * LAYOUT_DIFFERS; or < 0. */
int layout_compare(struct db *db, struct db *model, struct buf *out);
#define LAYOUT_DIFFERS 1
