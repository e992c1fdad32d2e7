/* Tools: the sub-commands of a service's program, run beside the service or while it is down. They read. */
#pragma once
#include "runtime/config.h"

/* config->arguments says which. Returns the exit code; what it has to say goes to stdout and stderr. */
int tool_run(const struct service *service, const struct config *config, const char *database_path);
