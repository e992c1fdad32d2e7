/* Resolve: a fork, where an operator must choose between log and stream (docs/OPERATIONS.md). Shows
 * what each of them has and what giving it up would lose; gives one of them up. Run by tools.c. */
#pragma once
#include "runtime/core/config.h"

/* Arguments, config->arguments[1] and on: none, to look only, also beside the running service; or
 * `--keep log` or `--keep stream`, while the service is stopped. 0, TOOL_USAGE (tools.h) or < 0. */
int resolve_run(const struct service *service, const struct config *config,
                const char *database_path);
/* A part of `--keep log`: what the file of a stopped service knows of how far its stream went. 0 or
 * < 0. */
int resolve_forget_stream(const char *database_path);
