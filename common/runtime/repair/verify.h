/* Verify: do file, log, tables and stream of a service agree? Reads only, beside the running
 * service or without it. Run by tools.c. */
#pragma once
#include "runtime/core/config.h"

/* 0: all agrees; TOOL_NO: a difference, the first one told on stdout; < 0: it could not be found
 * out. Without a server it compares what it can, and says what it did not. */
int verify_run(const struct service *service, const struct config *config,
               const char *database_path);
