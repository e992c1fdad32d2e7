/* Guards: the few conditions that keep the rules, marked where they stand. The programs of
 * tests/mesh/breakable leave one out (JOURNEY_WITHOUT_GUARD=gap_rule), so that `scripts/faults
 * --guards` can prove that the checks from outside notice. Everywhere else GUARD(name) is the
 * constant 1, and the programs contain none of this. */
#pragma once

#ifdef JOURNEY_REMOVABLE_GUARDS
_Bool guard_stands(const char *name);
#define GUARD(name) guard_stands(#name)
#else
#define GUARD(name) 1
#endif
