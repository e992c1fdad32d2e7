/* Crash points: named places where a test build kills its own process, as a power cut would.
 * JOURNEY_CRASH_AT=after_commit names the place; after_commit:3 means the third time that it is
 * reached. In other builds a crash point is empty. */
#pragma once

#ifdef JOURNEY_CRASH_POINTS
void crash_point(const char *name);
#else
#define crash_point(name) ((void)0)
#endif
