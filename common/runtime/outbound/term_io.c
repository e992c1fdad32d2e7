/* Term I/O: see term_io.h. */
#include "runtime/outbound/term_io.h"
#include "base/log.h"
#include <string.h>

#define AGAIN_MS 100 /* after a batch that was rolled back: the disk is full or locked */

static void term_io_check(const struct term_io *term_io)
{
    assert(term_io->term >= 0 && !(term_io->asked && term_io->term > 0));
}

void term_io_init(struct term_io *term_io, struct outbound *outbound, const char *instance)
{
    assert(instance);
    *term_io = (struct term_io){ .outbound = outbound, .instance = instance };
    term_io_check(term_io);
}

void term_io_begin(struct term_io *term_io, int64_t seen, int64_t now_ms)
{
    owner_assert(&term_io->outbound->owner);
    if (term_io->asked || term_io->term > 0 || now_ms < term_io->ask_ms)
        return;
    _free_(item) struct item *item = item_new(ITEM_TERM);
    term_io->ask_ms = now_ms + AGAIN_MS;
    if (item)
        item->instance = arena_copy(&item->arena, term_io->instance, strlen(term_io->instance));
    if (!item || !item->instance) {
        log_error("out_of_memory");
        return;
    }
    item->term = seen;
    term_io->asked = 1;
    inbox_push(term_io->outbound->inbox, take(item));
    term_io_check(term_io);
}

void term_io_end(struct term_io *term_io, const char *successor, int64_t now_ms)
{
    owner_assert(&term_io->outbound->owner);
    if (term_io->asked || term_io->ended_at > 0 || now_ms < term_io->ask_ms)
        return;
    _free_(item) struct item *item = item_new(ITEM_END);
    term_io->ask_ms = now_ms + AGAIN_MS;
    if (item) {
        item->instance = arena_copy(&item->arena, term_io->instance, strlen(term_io->instance));
        item->successor = arena_copy(&item->arena, successor, strlen(successor));
    }
    if (!item || !item->instance || !item->successor) {
        log_error("out_of_memory");
        return;
    }
    term_io->term = 0; /* nothing of ours comes behind it */
    term_io->asked = 1;
    inbox_push(term_io->outbound->inbox, take(item));
    term_io_check(term_io);
}

void term_io_set_aside(struct term_io *term_io, int64_t common, const char *database_path,
                       int64_t now_ms)
{
    owner_assert(&term_io->outbound->owner);
    if (term_io->is_aside || term_io->asked || now_ms < term_io->ask_ms)
        return;
    _free_(item) struct item *item = item_new(ITEM_ASIDE);
    term_io->ask_ms = now_ms + AGAIN_MS;
    if (!item) {
        log_error("out_of_memory");
        return;
    }
    item->common = common;
    item->database_path = database_path;
    term_io->term = 0; /* it is over */
    term_io->asked = 1;
    inbox_push(term_io->outbound->inbox, take(item));
    term_io_check(term_io);
}

void term_io_settled(struct term_io *term_io, const struct batch *batch, int64_t now_ms)
{
    owner_assert(&term_io->outbound->owner);
    if (!term_io->asked)
        return;
    for (const struct item *item = batch->items; item; item = item->next) {
        if (item->kind != ITEM_TERM && item->kind != ITEM_ASIDE && item->kind != ITEM_END)
            continue;
        term_io->asked = 0;
        term_io->ask_ms = now_ms + AGAIN_MS;
        if (batch->aborted)
            continue;
        if (item->kind == ITEM_ASIDE) {
            term_io->is_aside = 1;
            continue;
        }
        if (item->kind == ITEM_END) {
            term_io->ended_at = item->outcome == OUTCOME_DONE ? batch->at.head.position : 0;
            continue;
        }
        term_io->term = item->term;
        term_io->position = batch->at.head.position; /* or before it, in the same commit */
        log_info("term_began", LOG_INT("term", item->term), LOG_TEXT("instance", term_io->instance),
                 LOG_INT("position", batch->at.head.position));
    }
    term_io_check(term_io);
}

int64_t term_io_due_ms(const struct term_io *term_io)
{
    return term_io->term == 0 && !term_io->is_aside && !term_io->asked && term_io->ask_ms > 0
               ? term_io->ask_ms
               : INT64_MAX;
}
