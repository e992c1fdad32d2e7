/* Restore: puts a backup in the place of a service's database. Run by tools.c, while the service is
 * down. */
#pragma once
#include "runtime/core/config.h"

/* `restore FILE`: 0; TOOL_NO: FILE cannot be used, and why is printed, and nothing was changed;
 * TOOL_USAGE; < 0. */
int restore_run(const struct service *service, const struct config *config,
                const char *database_path);
