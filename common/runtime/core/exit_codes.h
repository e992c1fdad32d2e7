/* Exit codes of a service's program. */
#pragma once

#define EXIT_FINE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_UNREACHABLE 69 /* no server, and --no-retry */
#define EXIT_INTERNAL 70
#define EXIT_IO 74 /* the disk: see rule 4 */
#define EXIT_CONFIG 78
