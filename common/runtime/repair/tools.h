/* Tools: the sub-commands of a service's program, run beside the service or while it is down. */
#pragma once
#include "base/buf.h"
#include "runtime/core/config.h"

/* Runs the sub-command config->arguments[0]. Returns the exit code; output goes to stdout and
 * stderr. */
int tool_run(const struct service *service, const struct config *config, const char *database_path);

/* Results of a tool beside 0 and < 0: it ran, and its answer is no; wrong arguments. */
enum tool_result { TOOL_NO = 1, TOOL_USAGE = 2 };

/* Their lines of --help. */
void tools_write_usage(const struct service *service, struct buf *out);
