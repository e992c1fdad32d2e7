/* Node: one service process: it starts, connects, takes what comes, runs its loop, crashes, and
 * finds its database as it left it, older, or gone. The loop is the real one; this is the frame
 * that service.c, endpoint.c and writer.c are in the real process. */
#include "world.h"
#include "disk.h"
#include "account-svc/service.h"
#include "order-svc/service.h"
#include <stdlib.h>
#include <string.h>

#define INBOX_MAX 256
#define RETRY_MS 50
#define PAYMENT_TIMEOUT_MS "1000"
#define PAYMENT_DEADLINE_S "20"

int64_t node_wall_ms(const struct world *world, const struct node *node)
{
    return WALL_BEGIN_MS + world->now_ms + node->clock_ms;
}

/* ---- A life --------------------------------------------------------------------------------- */

void node_open(struct world *world, int index)
{
    struct node *node = &world->nodes[index];
    const struct service *service = index == ACCOUNT ? &account_service : &order_service;
    *node = (struct node){ .index = index, .service = service, .on_disk = world->on_disk };
    node->self = (struct source){ .log = service->log,
                                  .service = service->name,
                                  .prefix = service->prefix,
                                  .events = service->events };
    static const char *const payment[][2] = {
        { "payment", "nats" },
        { "payment-timeout-ms", PAYMENT_TIMEOUT_MS },
        { "payment-deadline-s", PAYMENT_DEADLINE_S },
        { "payment-inflight-max", "64" },
    };
    for (int i = 0; service->options && service->options[i].name; i++)
        for (size_t p = 0; p < sizeof(payment) / sizeof(*payment); p++)
            if (strcmp(service->options[i].name, payment[p][0]) == 0)
                node->option_values[i] = payment[p][1];
    node->inbox_last = &node->inbox;
    node->mail_last = &node->mail;
    node_open_database(world, node);
    node_start(world, node);
}

/* A commit that failed half way has happened or not, as a whole: now it is seen which (rule 4). */
static void settle_unsure(struct world *world, struct node *node)
{
    const int64_t head = node->loop.at.head.position;
    if (head > node->history_count && node->unsure_count > 0)
        for (int i = 0; i < node->unsure_count; i++)
            history_add(world, node, &node->unsure[i]->event);
    node->unsure_count = 0;
    const struct record *newest = history_at(node, head);
    if (head > 0 && (!newest || !digest_equal(&newest->event.chain, &node->loop.at.head.chain)))
        violated(
            world,
            "I4: %s starts with a log that differs at position %lld from what it has said before",
            node->service->name, (long long)head);
    if (node->disk_promise > head)
        violated(world, "I1: %s had committed position %lld, and starts at %lld",
                 node->service->name, (long long)node->disk_promise, (long long)head);
}

void node_start(struct world *world, struct node *node)
{
    node_free_disk(node);
    node->life = (uint64_t)++world->packet_number;
    if (loop_open(&node->loop, node->service, node->option_values, node->db, world->random | 1) <
        0) {
        violated(world, "I12: %s does not start: %s", node->service->name, failure_text());
        return;
    }
    settle_unsure(world, node);
    struct relay_config own_relay = world->relay_config;
    struct feed_config own_feed = world->feed_config;
    own_relay.seed = own_feed.seed = world->random | 1;
    relay_init(&node->relay, &own_relay, node->loop.at.head.position);
    relay_saw(&node->relay, node->loop.at.stream_position);
    feed_init(&node->feed, &own_feed, node->loop.at.cursors[0].position);
    node->runs = 1;
    node->announced = node->connected = 0;
    node->acked_epoch = node->acked_position = 0;
    node->connect_ms = world->now_ms + draw(world, 20);
    node->writer_ms = 0;
    tell(world, "%s starts at %lld, cursor %lld", node->service->name,
         (long long)node->loop.at.head.position, (long long)node->loop.at.cursors[0].position);
}

void node_connect(struct world *world, struct node *node)
{
    tell(world, "%s connects", node->service->name);
    node->connected = node->more = 1;
    relay_connected(&node->relay, world->now_ms);
    feed_connected(&node->feed);
}

void node_disconnect(struct world *world, struct node *node)
{
    if (!node->connected)
        return;
    tell(world, "%s disconnects", node->service->name);
    node->connected = 0;
    node->connection++;
    node->cut_ms = world->now_ms + draw(world, 20);
    node->connect_ms = world->now_ms + 1 + draw(world, 300);
    server_drop(world, node->index);
    relay_disconnected(&node->relay);
    feed_disconnected(&node->feed);
}

static void forget_all(struct node *node)
{
    item_list_free(node->inbox);
    node->inbox = NULL;
    node->inbox_last = &node->inbox;
    node->inbox_count = 0;
    while (node->mail) {
        struct note *next = node->mail->next;
        batch_free(node->mail->batch);
        free(node->mail);
        node->mail = next;
    }
    node->mail_last = &node->mail;
    memset(&node->recovery, 0, sizeof(node->recovery));
    node->delivered = node->call_count = 0;
    node->more = 0;
    loop_close(&node->loop);
}

/* The guard that is missing: the cursor was written by itself, and the crash came before it. */
static void set_cursor_back(struct world *world, struct node *node)
{
    struct cursor cursor;
    const struct source *source = &node->service->sources[0];
    if (cursor_read(node->db, source->log, &cursor) < 0 || cursor.position < 2)
        return;
    const struct record *before = history_at(&world->nodes[1 - node->index], cursor.position - 1);
    cursor = (struct cursor){ .position = before->event.position, .chain = before->event.chain };
    if (cursor_write(node->db, source->log, &cursor) == 0)
        node->cursor = cursor.position;
}

void node_crash(struct world *world, struct node *node)
{
    if (!node->runs)
        return;
    tell(world, "%s crashes", node->service->name);
    node_disconnect(world, node);
    forget_all(node);
    if (world->without == GUARD_CURSOR_IN_TRANSACTION)
        set_cursor_back(world, node);
    node->runs = 0;
    node->start_ms = world->now_ms + 1 + draw(world, 400);
    if (node->on_disk)
        /* a dead disk: the power went in the middle of a write */
        node_reopen_database(world, node, disk_is_dead(node->index));
}

void node_close(struct node *node)
{
    forget_all(node);
    if (node->on_disk)
        disk_kill(node->index); /* what is closed in peace writes once more */
    db_free(node->db);
    db_free(node->copy);
    db_free(node->before);
    free(node->history);
}

/* ---- What comes in -------------------------------------------------------------------------- */

void node_push(struct node *node, struct item *item)
{
    item->next = NULL;
    *node->inbox_last = item;
    node->inbox_last = &item->next;
    node->inbox_count++;
}

void node_note(struct node *node, struct note note)
{
    struct note *kept = must(malloc(sizeof(*kept)));
    *kept = note;
    kept->next = NULL;
    *node->mail_last = kept;
    node->mail_last = &kept->next;
}

static void refuse(struct world *world, struct node *node, const struct packet *packet,
                   enum refusal refusal)
{
    send_packet(world, (struct packet){
                           .kind = PACKET_REPLY,
                           .node = node->index,
                           .reply = { .request = packet->reply.request, .refusal = refusal } });
}

void node_request(struct world *world, struct node *node, const struct packet *packet)
{
    struct request *request = packet->reply.request;
    if (!node->announced) {
        if (node->relay.state == RELAY_RECOVERING || node->relay.state == RELAY_FORKED)
            refuse(world, node, packet, REFUSED_REPLAYING);
        return; /* else nobody listens yet */
    }
    if (node->inbox_count >= INBOX_MAX) {
        refuse(world, node, packet, REFUSED_BUSY);
        return;
    }
    struct item *item = must(item_new(ITEM_COMMAND));
    item->command = request->command;
    item->request = &request->body;
    item->key = request->key;
    item->origin = (struct origin){ .cause = request->cause, .cause_digest = request->digest };
    item->reply_to = request->key;
    item->received_ns = request->number; /* by which the reply finds its request */
    node_push(node, item);
}

/* ---- The writer ----------------------------------------------------------------------------- */

int64_t writer_due_ms(const struct world *world, const struct node *node)
{
    if (!node->runs)
        return INT64_MAX;
    int64_t due_ms = loop_due_ms(&node->loop);
    if (due_ms != INT64_MAX)
        due_ms -= WALL_BEGIN_MS + node->clock_ms;
    if (node->inbox)
        due_ms = world->now_ms;
    return due_ms < node->writer_ms ? node->writer_ms : due_ms;
}

static int take_items(struct world *world, struct node *node, struct item **items)
{
    int count = 0, max = 1 + (int)draw(world, BATCH_MAX);
    while (node->inbox && count < max) {
        items[count++] = node->inbox;
        node->inbox = node->inbox->next;
        node->inbox_count--;
    }
    if (!node->inbox)
        node->inbox_last = &node->inbox;
    return count;
}

/* What must be true of every commit, whatever it was (I4, I8). */
static void check_commit(struct world *world, struct node *node, const struct batch *batch)
{
    for (const struct committed_event *e = batch->events; e; e = e->next)
        history_add(world, node, &e->event);
    const struct log_head *head = &batch->at.head;
    const struct record *newest = history_at(node, head->position);
    if (head->position > 0 && (!newest || !digest_equal(&newest->event.chain, &head->chain)))
        violated(world, "I4: the log of %s differs at position %lld from what it has said before",
                 node->service->name, (long long)head->position);
    if (batch->at.cursors[0].position < node->cursor)
        violated(world, "I8: the cursor of %s goes back to %lld", node->service->name,
                 (long long)batch->at.cursors[0].position);
    node->cursor = batch->at.cursors[0].position;
    node->disk_promise = head->position;
}

/* The guard that is missing: what stands after a gap looks as if it followed. */
static void close_gap(struct world *world, struct node *node, struct item **items, int count)
{
    for (int i = 0; i < count; i++) {
        struct cursor *cursor = &node->loop.at.cursors[0];
        if (items[i]->kind != ITEM_EVENT || !items[i]->source)
            continue;
        int64_t before = items[i]->event.position - 1;
        const struct record *record = history_at(&world->nodes[1 - node->index], before);
        if (record && before > cursor->position)
            *cursor = (struct cursor){ .position = before, .chain = record->event.chain };
        return;
    }
}

/* The guard that is missing: the replies are out, and then the power goes before the commit. */
static _Bool lose_commit(struct world *world, struct node *node, struct batch *batch)
{
    if (world->without != GUARD_REPLY_AFTER_COMMIT || world->calm || !one_in(world, 20))
        return 0;
    for (const struct item *item = batch->items; item; item = item->next)
        if (item->kind == ITEM_COMMAND)
            node_reply(world, node, item);
    node_take_back(world, node);
    batch_free(batch);
    node_crash(world, node);
    return 1;
}

static void note_unsure(struct world *world, struct node *node, const struct batch *batch)
{
    for (const struct committed_event *e = batch->events; e && node->unsure_count < UNSURE_MAX;
         e = e->next)
        node->unsure[node->unsure_count++] = record_of(world, node->index, &e->event);
}

void node_run_writer(struct world *world, struct node *node)
{
    struct item *items[BATCH_MAX];
    if (node->disk_full_until_ms > 0 && world->now_ms >= node->disk_full_until_ms)
        node_free_disk(node);
    int count = take_items(world, node, items);
    int64_t wall_ms = node_wall_ms(world, node);
    loop_look_at_clock(&node->loop, wall_ms);
    if (world->without == GUARD_GAP)
        close_gap(world, node, items, count);
    if (world->without == GUARD_REPLY_AFTER_COMMIT)
        node_remember(world, node);
    struct batch *batch = must(batch_new());
    int r = loop_run(&node->loop, items, count, wall_ms, batch);
    tell(world, "%s runs %d items: %s; head %lld, cursor %lld", node->service->name, count,
         r < 0 ? failure_text() : "committed", (long long)node->loop.at.head.position,
         (long long)node->loop.at.cursors[0].position);
    if (batch->outcome_unknown || (r < 0 && disk_is_dead(node->index))) {
        note_unsure(world, node, batch);
        batch_free(batch);
        node_crash(world, node);
        return;
    }
    if (r < 0)
        node->writer_ms = world->now_ms + RETRY_MS;
    else if (lose_commit(world, node, batch))
        return;
    else
        check_commit(world, node, batch);
    node_note(node, (struct note){ .kind = NOTE_BATCH, .batch = batch });
    if (node->on_disk && one_in(world, 30) && db_checkpoint(node->db, one_in(world, 4), NULL) < 0 &&
        disk_is_dead(node->index))
        node_crash(world, node);
}
