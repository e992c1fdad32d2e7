/* Faults: what fails in a run of the journeys. Each program is linked with one of allocations.c
 * (malloc), statements.c (SQLite's answers) and disk.c (the calls of its file system). One thread
 * only. */
#pragma once

extern const char *const faults_kinds[]; /* ends with NULL */

void faults_init(void); /* before the first use of SQLite */
/* the call-th from now on, and so many in a row */
void faults_fail_at(const char *kind, long call, long count);
long faults_stop(void);  /* how many have failed */
long faults_pause(void); /* none fails until faults_resume(what this said) */
void faults_resume(long paused);
