/* Samples: events as they were published once, letter by letter, kept as golden samples in
 * FOLDER/VERSION/LOG.jsonl (scripts/samples keeps them): {"subject", "headers": [[key, value], …],
 * "data"} a line. Whoever changes a schema or an `apply` hears here of the first event in the
 * streams out there that would not be read any more. */
#pragma once
#include "journey.h"

struct arena;
struct log_head;
struct schema;
struct source;

/* For Criterion tests. Reads all samples below `folder`, of the service's own log and of those that
 * it reads, each the way of an event from outside: envelope, contract, chain, apply; into tables of
 * each version's own. The first that is not read fails the test, and is named. Returns how many
 * were read; 0 where the folder is not there, because nothing has been released. */
int samples_run(const struct service *service, const char *folder);

/* Finds the contract of a type of that log; NULL when nobody knows it. */
typedef const struct schema *contract_finder(const struct source *leader, const char *type);

/* Reads one line behind `head`, which it moves on. 0; 1 and `ret_why` (512 bytes). An event that
 * `contract_of` does not know is not looked into. The memory is of the arena. */
int sample_read(const char *line, const struct source *leader, contract_finder *contract_of,
                struct arena *arena, struct log_head *head, struct event *ret_event, char *ret_why);
