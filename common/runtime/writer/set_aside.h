/* Set aside: takes the events out of our log that the stream never had, when another instance has
 * begun a term (sync/relay.h, FENCED). They are orphans: nobody else has them, and some of them
 * may have been answered (--answer-when committed). They are never dropped silently: a file
 * orphans-<term>-<first>-<last>.jsonl in the data folder (mode 600) has each as a line of
 * `.events`, synced before the commit that takes them out. The tables are folded anew at the next
 * start, as with another tables_version. Where only TermBegans and TermEndeds are taken out,
 * there is no file and no fold. */
#pragma once
#include "runtime/core/item.h"

struct loop;

/* Of an ITEM_ASIDE: what is behind item->common goes. From here on nothing is decided, and others'
 * events are not applied. 0 or < 0; then nothing was taken out. */
int set_aside(struct loop *loop, struct item *item);
