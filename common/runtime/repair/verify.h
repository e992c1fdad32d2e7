/* Verify: do file, log, tables and stream of a service agree? Reads only, beside the running
 * service or without it. Run by tools.c. */
#pragma once
#include "runtime/core/config.h"

/* 0: all agree; TOOL_NO: there is a difference, and the first is printed; < 0: it could not be
 * checked. Without a server only the file is checked; what was not checked is printed. as_json: one
 * object instead of the rows. */
int verify_run(const struct service *service, const struct config *config,
               const char *database_path, _Bool as_json);
