/* Contracts: what the events of a service mean, by the contracts that services print
 * (--print-contract), so that a story tells those of a service that the page has never heard of. */
#pragma once
#include "base/buf.h"

#define CONTRACTS_MAX 64
#define CONTRACT_BYTES_MAX (4 << 20)

/* Reads the files of the list, which has commas, and writes {"LOG":{"Event":"what it means"}}.
 * -ERR_CONFIG, naming the file that is no contract; -ERR_MEMORY. */
int contracts_read(const char *files, struct buf *out);
