/* Crash points: named places where a test build kills itself, as a power cut would
 * (JOURNEY_CRASH_AT=after_commit, the n-th time with after_commit:n). Other builds contain
 * nothing. */
#pragma once

#ifdef JOURNEY_CRASH_POINTS
void crash_point(const char *name);
#else
#define crash_point(name) ((void)0)
#endif
