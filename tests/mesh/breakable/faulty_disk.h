/* Faulty disk: an SQLite VFS that stands before the system's own and lets reads, writes, syncs and
 * truncations of a database and its WAL fail as a plan says. Everything else passes through. It is
 * registered as the default, so that the code under test knows nothing of it.
 *
 * A plan is a text of at most 255 bytes, one rule a line (or behind a semicolon):
 *
 *     OPERATION ERROR FIRST [COUNT]           the FIRST-th such call from now on, and COUNT in a
 *                                             row; 1; 0: for ever
 *     OPERATION ERROR chance PERCENT SEED     each such call, with so many percent
 *
 *     OPERATION    read, write, sync, truncate, change (all but read), or wal-write and so on for
 *                  the WAL alone
 *     ERROR        io     nothing is done, EIO
 *                  full   nothing is done, no space (not for a read)
 *                  torn   write: the first half is written, EIO; else as io
 *                  short  write: the first half is written, no space; else as full
 *                  lost   sync: EIO, and what was not synced before stays so, whatever comes later
 *                  kill   the process is killed; a write has been half done by then
 *
 * Calls are counted from the moment of the plan on, over all files of the process. Any thread may
 * call. */
#pragma once

void faulty_disk_register(void);         /* before the first sqlite3_open */
void faulty_disk_plan(const char *text); /* NULL or "": nothing fails; counts begin anew */
long faulty_disk_struck(void);           /* how many calls have failed since the newest plan */

void faulty_disk_pause(_Bool paused); /* nothing fails and nothing is counted meanwhile */

/* For a real service: the plan is read from `folder`/plan before each call; what fails is told in
 * `folder`/struck, one line each; and with `power` each change is noted in `folder`/undo until a
 * sync covers it, with what was there before, so that somebody can cut the power after the process
 * was killed (tests/mesh/faults/disk.py). */
void faulty_disk_serve(const char *folder, _Bool power);
