/* Tools: the sub-commands of a service's program, run beside the service or while it is down. */
#pragma once
#include "base/buf.h"
#include "runtime/core/config.h"

/* config->arguments says which. Returns the exit code; what it has to say goes to stdout and
 * stderr. */
int tool_run(const struct service *service, const struct config *config, const char *database_path);

/* What each returns beside 0 and < 0. */
/* it ran, and the answer is no; not with these arguments */
enum tool_result { TOOL_NO = 1, TOOL_USAGE = 2 };

/* Their lines of --help. */
void tools_write_usage(const struct service *service, struct buf *out);
