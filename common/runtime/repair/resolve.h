/* Resolve: a fork, which only a person can decide (docs/OPERATIONS.md): what log and stream say,
 * and what giving up one of them would lose; then the giving up. Run by tools.c. */
#pragma once
#include "runtime/core/config.h"

/* arguments[1…] of the configuration: nothing, which only looks, beside the running service or not;
 * or `--keep log` or `--keep stream`, which refuse to run beside it. 0, TOOL_USAGE (see tools.h) or
 * < 0. */
int resolve_run(const struct service *service, const struct config *config,
                const char *database_path);
