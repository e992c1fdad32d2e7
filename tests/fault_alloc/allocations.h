/* Allocations: makes the n-th call of malloc, calloc, realloc or strdup fail, in our own code and jansson
 * (the linker's --wrap) and in SQLite (its hook). One thread only. */
#pragma once

void allocations_init(void);                          /* before the first use of SQLite */
void allocations_fail_at(long call, long failures);   /* the call-th from now on, and as many in a row */
long allocations_stop_failing(void);                  /* how many have failed */
