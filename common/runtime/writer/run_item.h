/* Run item: what one item does inside the loop's transaction, whole or not at all. */
#pragma once
#include "runtime/writer/batch.h"

struct loop;

/* 0 with item->outcome set, or < 0: the whole batch must be rolled back. */
int run_item(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch);
