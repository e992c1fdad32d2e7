/* Orphans: answers `<prefix>.orphans`: what this instance has set aside in its data folder
 * (writer/set_aside.h), by files, and by events, a page at a time. */
#pragma once
#include "bus/bus.h"
#include "runtime/core/item.h"

/* Takes the request over. One for another instance gets no answer; one that names none is for the
 * one that leads. On the sender's thread: it reads at most a page. */
void orphans_answer(struct item *item, struct bus *bus, const char *database_path,
                    const char *instance, _Bool leads);
