/* Verify's report: the rows that it prints on stdout, one for each thing that it has compared, or
 * with --json one object at its end; and how far it is, on a terminal. One thread. */
#pragma once
#include <stdint.h>

#define VERIFY_PROGRESS_EVENTS 1000 /* between two lines of it */

void verify_begin(const char *database_path, _Bool as_json);
void verify_progress(const char *what, int64_t done, int64_t all);
/* One row: what was compared, and what was found. */
void verify_print(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The row of a difference; its text may hold what others have written. TOOL_NO. */
int verify_different(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The verdict, from the result of the run (0: all agrees, TOOL_NO, < 0) and whether nothing was
 * left out. The result again, or -ERR_MEMORY: the object could not be made. */
int verify_end(int result, _Bool is_complete);
