/* Load: what load.c and load_body.c share. */
#pragma once
#include "world.h"

void load_put_body(struct world *world, struct request *request, struct buf *out);
enum request_kind load_pick_kind(struct world *world);
