/* Operations: see operations.h. */
#include "runtime/repair/operations.h"
#include "runtime/request/reply.h"
#include "runtime/repair/orphans.h"
#include "schemas/runtime.durable.h"
#include "schemas/runtime.durable.reply.h"
#include "schemas/runtime.hand-over.h"
#include "schemas/runtime.hand-over.reply.h"
#include "schemas/runtime.orphans.h"
#include "schemas/runtime.orphans.reply.h"
#include "schemas/runtime.rebuild.h"
#include "schemas/runtime.rebuild.reply.h"
#include "schemas/runtime.redrive.h"
#include "schemas/runtime.redrive.reply.h"
#include "schemas/runtime.status.h"
#include "schemas/runtime.status.reply.h"
#include "schemas/runtime.take-over.h"
#include "schemas/runtime.take-over.reply.h"
#include <assert.h>
#include <stdio.h>

/* Name of the endpoint, subject behind the service's prefix, body, reply, the kind of item that it
 * becomes, and whether each instance hears it. */
static const struct {
    const char *name, *subject;
    const struct schema *request, *reply;
    enum item_kind kind;
    _Bool is_of_each;
} table[OPERATIONS] = {
    { "redrive", "redrive", &runtime_redrive_schema, &runtime_redrive_reply_schema, ITEM_REDRIVE,
      0 },
    { "rebuild", "rebuild", &runtime_rebuild_schema, &runtime_rebuild_reply_schema, ITEM_REBUILD,
      0 },
    { "durable", "durable.*.make", &runtime_durable_schema, &runtime_durable_reply_schema,
      ITEM_DURABLE, 0 },
    { "hand-over", "hand-over", &runtime_hand_over_schema, &runtime_hand_over_reply_schema,
      ITEM_HAND_OVER, 0 },
    { "take-over", "take-over", &runtime_take_over_schema, &runtime_take_over_reply_schema,
      ITEM_TAKE_OVER, 1 },
    { "orphans", "orphans", &runtime_orphans_schema, &runtime_orphans_reply_schema, ITEM_ORPHANS,
      1 },
    { "status", "status", &runtime_status_schema, &runtime_status_reply_schema, ITEM_STATUS, 1 },
};

void operations_init(struct operations *operations, struct sender *sender,
                     const struct rebuilder_options *options)
{
    assert(sender && options->service && options->bus);
    operations->sender = sender;
    atomic_store(&operations->operators_waiting, 0);
    atomic_store(&operations->readers_waiting, 0);
    rebuilder_init(&operations->rebuilder, options);
    for (int i = 0; i < OPERATIONS; i++) {
        snprintf(operations->subjects[i], sizeof(operations->subjects[i]), "%s.%s",
                 options->service->prefix, table[i].subject);
        operations->requests[i] = (struct operator_request){
            .subject = operations->subjects[i],
            .name = table[i].name,
            .request = table[i].request,
            .reply = table[i].reply,
            .kind = table[i].kind,
            .is_of_each = table[i].is_of_each,
        };
    }
}

static atomic_int *waiting_of(struct operations *operations, const struct item *item)
{
    return item->kind == ITEM_DURABLE ? &operations->readers_waiting
                                      : &operations->operators_waiting;
}

int operations_accept(void *context, struct item *item)
{
    struct operations *operations = context;
    assert(item->kind == ITEM_REDRIVE || item->kind == ITEM_REBUILD || item->kind >= ITEM_DURABLE);
    assert(item->kind != ITEM_STATUS); /* another's */
    atomic_int *waiting = waiting_of(operations, item);
    if (atomic_fetch_add(waiting, 1) >= OPERATIONS_WAITING) {
        atomic_fetch_sub(waiting, 1);
        return REFUSED_BUSY;
    }
    sender_operate(operations->sender, item);
    return 0;
}

static void refuse_busy(struct operations *operations, struct item *item, const char *why)
{
    item->outcome = OUTCOME_REFUSED;
    item->refusal = refusal_of(REFUSED_BUSY);
    item->message = why;
    reply_send(operations->sender->outbound.bus, BUS_URGENT, item);
    item_free(item);
}

/* What changes no table, and waits for no other. False: it is another one. */
static _Bool begin_apart(struct operations *operations, struct item *item, int64_t now_ms)
{
    struct sender *sender = operations->sender;
    switch (item->kind) {
    case ITEM_DURABLE:   durable_io_begin(&sender->durables, item, now_ms); return 1;
    case ITEM_TAKE_OVER: successor_io_take_over(&sender->successor, item, now_ms); return 1;
    case ITEM_ORPHANS:
        orphans_answer(item, sender->outbound.bus, sender->options.database_path,
                       sender->lead_io.lead.id, sender->lead_io.lead.state == LEAD_LEADING);
        return 1;
    default: return 0;
    }
}

void operations_begin(void *context, struct item *item, int64_t now_ms)
{
    struct operations *operations = context;
    struct redrive *redrive = &operations->sender->redrive;
    owner_assert(&operations->sender->outbound.owner);
    atomic_fetch_sub(waiting_of(operations, item), 1);
    if (begin_apart(operations, item, now_ms))
        return;
    if (redrive_is_active(redrive))
        refuse_busy(operations, item, "a redrive is under way");
    else if (rebuilder_is_active(&operations->rebuilder))
        refuse_busy(operations, item, "a rebuild is under way");
    else if (item->kind == ITEM_HAND_OVER)
        handover_io_begin(&operations->sender->handover, item, now_ms);
    else if (item->kind == ITEM_REBUILD)
        rebuilder_begin(&operations->rebuilder, item);
    else
        redrive_begin(redrive, item, now_ms);
}

void operations_between_batches(struct operations *operations, struct writer *writer)
{
    rebuilder_between_batches(&operations->rebuilder, writer);
}

void operations_stop(struct operations *operations)
{
    rebuilder_stop(&operations->rebuilder);
}

void operations_end(struct operations *operations)
{
    if (!operations->sender) /* it was never opened */
        return;
    redrive_stop(&operations->sender->redrive);
    durable_io_stop(&operations->sender->durables);
}
