/* Check: is the world at rest, and is then everything as it was promised? By SQL of its own and by
 * what the customers remember, not by what the services say of themselves. The invariants: I1 to I3
 * by key, I4 and I6 by position, I12 by looking. I9 and I11 are in check_tables.c, I5 and I8 in
 * fold.c and history.c, I10 in load.c; I6, I7 and I14 are looked at with each message, too. The
 * list stands in docs/FAULTS-COVERED.md. What is violated as `contract` is an answer that does not
 * fit its schema; as `gate`, something that has left a service before its stream had what it rests
 * on (--answer-when published). */
#include "world.h"
#include <stdlib.h>
#include <string.h>

/* ---- Asking the tables ----------------------------------------------------------------------- */

sqlite3_stmt *prepare(struct world *world, const struct node *node, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(node->handle, sql, -1, &statement, NULL) != SQLITE_OK)
        violated(world, "%s: %s: %s", node->name, sql, sqlite3_errmsg(node->handle));
    return statement;
}

int64_t number_of(struct world *world, const struct node *node, const char *sql)
{
    sqlite3_stmt *statement = prepare(world, node, sql);
    int64_t value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return value;
}

/* ---- I6, I7: with each message, and with each word of a relay -------------------------------- */

static _Bool has_chain(const struct wire *wire, struct digest *ret_chain)
{
    const char *value;
    char text[DIGEST_HEX_SIZE];
    const int length = wire_header(wire, "Journey-Chain", &value);
    if (length < 0 || length >= DIGEST_HEX_SIZE)
        return 0;
    snprintf(text, sizeof(text), "%.*s", length, value);
    return digest_parse_any(text, ret_chain) == 0;
}

static _Bool is_committed(const struct history *history, int64_t position, const struct wire *wire)
{
    const struct digest *known = history_at(history, position);
    struct digest chain;
    return known && has_chain(wire, &chain) && digest_equal(known, &chain);
}

/* By another instance than the one that was first. */
static _Bool is_committed_by_another(struct world *world, int log, int64_t position,
                                     const struct wire *wire)
{
    struct digest chain;
    return world->logs[log].instances > 1 && has_chain(wire, &chain) &&
           instances_have_committed(world, log, position, &chain);
}

/* Behind the beginning of a higher term, the rest of a group of a leader of before: it was
 * committed by one of them, and has no position here. */
static void check_void(struct world *world, struct stream *stream, const struct wire *wire)
{
    struct history *history = &world->logs[stream - world->server.streams];
    struct digest chain;
    history->voids++;
    stream->at[stream->last].position = STORED_VOID;
    if (!has_chain(wire, &chain) || !anybody_has_committed(world, history, &chain))
        violated(world, "I7: stream %s holds a void event that was never committed", stream->name);
    tell(world, "stream %s: what came last is void", stream->name);
}

/* What a leader that had been followed still had in flight took the place of one of ours, and the
 * one behind that found the sequence that it expects. */
static _Bool is_place_taken(const struct stream *stream)
{
    return stream->last > stream->first && stream->at[stream->last - 1].position == STORED_VOID;
}

/* What is stored is committed, and comes in order or is a repeat; but for what others write. A
 * message of theirs may take the place of one of ours, until the relay has heard of it and makes
 * the stream anew: it must not count anything behind it as published (check_published). */
void check_stored(struct world *world, struct stream *stream, const struct wire *wire)
{
    const int log = (int)(stream - world->server.streams);
    struct history *history = &world->logs[log];
    const int64_t position = stream->at[stream->last].position;
    if (position == 0) {
        stream->has_foreign = 1;
        return;
    }
    if (stream->at[stream->last].term < stream->term) {
        check_void(world, stream, wire);
        return;
    }
    stream->term = stream->at[stream->last].term;
    if (!is_committed(history, position, wire) &&
        !is_committed_by_another(world, log, position, wire))
        violated(world, "I7: stream %s holds an event at position %lld that was never committed",
                 stream->name, (long long)position);
    else if (position > stream->in_order + 1 && is_place_taken(stream))
        stream->has_foreign = 1;
    else if (position > stream->in_order + 1 && !stream->has_foreign)
        violated(world, "I6: stream %s goes from position %lld to %lld", stream->name,
                 (long long)stream->in_order, (long long)position);
    else if (position == stream->in_order + 1)
        stream->in_order = position;
    if (stream->in_order > history->in_stream)
        history->in_stream = stream->in_order;
}

/* Rule 6: a relay does not count as published what the stream has never had. One that follows (its
 * own life before, where it is alone), or has just claimed and not looked yet, answers nobody. */
void check_published(struct world *world, const struct node *node)
{
    const struct history *history = &world->logs[node->log];
    const struct relay *relay = node_relay(node);
    if (node_leads(node) && !relay->follows && !relay->looks_back &&
        relay->published > history->in_stream && relay->state != RELAY_FORKED)
        violated(world,
                 "I6: %s counts position %lld as published, and its stream has never had %lld",
                 node->name, (long long)relay->published, (long long)history->in_stream + 1);
}

/* The order that a call to the provider is about is in the stream, when it has to be. */
static void check_call(struct world *world, const struct node *node, const struct wire *wire)
{
    char order[64];
    const struct history *history = &world->logs[node->log];
    const char *key = strstr(wire_data(wire), "\"key\":\"");
    if (!history->answers_wait || !key || sscanf(key, "\"key\":\"%63[^/]/", order) != 1)
        return;
    sqlite3_stmt *placed = prepare(world, node,
                                   "SELECT min(position) FROM event_log WHERE entity = ?1");
    sqlite3_bind_text(placed, 1, order, -1, SQLITE_STATIC);
    int64_t position = sqlite3_step(placed) == SQLITE_ROW ? sqlite3_column_int64(placed, 0) : 0;
    sqlite3_finalize(placed);
    if (position > history->in_stream)
        violated(world,
                 "gate: %s asks the provider for %s of position %lld, and its stream has"
                 " never had more than %lld",
                 node->name, order, (long long)position, (long long)history->in_stream);
}

/* Rule 4: who is told of a position may rely on it; and none is above what is committed, or above
 * what the stream has had, where answers wait for it. */
void check_reply(struct world *world, const struct node *node, const struct wire *wire)
{
    const struct history *history = &world->logs[node->log];
    if (strncmp(wire_subject(wire), "psp.", 4) == 0)
        check_call(world, node, wire);
    if (strncmp(wire_subject(wire), "_INBOX.customers.", 17) != 0)
        return;
    instances_note_answer(world, node, wire);
    if (wire->block_length > 0)
        return;
    const int64_t position = wire_member(wire, "\"position\":", 0);
    const int64_t count = history->instances > 1 ? node->line.count : history->line.count;
    if (history->answers_wait && position > history->in_stream)
        violated(world,
                 "gate: %s answers with position %lld, and its stream has never had more than %lld",
                 node->name, (long long)position, (long long)history->in_stream);
    if (position > count)
        violated(world,
                 "I14: %s answers with position %lld, and %lld is the last that it has"
                 " committed",
                 node->name, (long long)position, (long long)count);
}

/* ---- Rest ------------------------------------------------------------------------------------ */

/* Has the audit read the whole stream since it ended where it ends now? It goes on where it was:
 * twice round. */
static _Bool is_audited(const struct world *world, struct node *node)
{
    const struct relay *relay = node_relay(node);
    const int64_t count = world->logs[node->log].line.count;
    if (node->audited_count != count || relay->published != count) {
        node->audited_count = count;
        node->audited_from_ms = world->now_ms;
    }
    int64_t audits = 2 * (count / relay->config.audit_read_max + 2);
    return world->now_ms >= node->audited_from_ms + audits * (relay->config.audit_interval_ms +
                                                              2 * world->latency_ms + 100);
}

static const char *what_a_feed_does(const struct world *world, const struct node *node, int i)
{
    const struct feed *feed = node_feed(node, i);
    if (feed->state == FEED_FORKED)
        return "a feed says `forked`, and nothing was lost";
    if (feed->state != FEED_PULLING || feed->unsettled != 0 ||
        feed->cursor != world->logs[node_source_log(node, i)].line.count)
        return "a feed is not at the end of its leader's log";
    return NULL;
}

/* One that does not lead: it has all that its leader has, as far as heartbeats let it. */
static const char *what_stands_by(const struct world *world, const struct node *node)
{
    if (!node->runs)
        return "an instance does not run";
    const struct relay *relay = node_relay(node);
    if (node_lead(node)->state != LEAD_FOLLOWING || relay->state != RELAY_FOLLOWING)
        return relay->state == RELAY_FORKED ? "a standby says `forked`"
                                            : "an instance does not stand by";
    if (relay->head != node->promise || node->promise != world->logs[node->log].line.count)
        return "a standby has not all that its leader has";
    for (int i = 0; node->sources[i].log; i++)
        if (node_feed(node, i)->cursor != world->logs[node_source_log(node, i)].line.count)
            return "a standby has not all that others have said";
    return NULL;
}

static const char *what_moves(const struct world *world, const struct node *node)
{
    if (!node_leads(node))
        return what_stands_by(world, node);
    if (leader_of(world, node->log) != node)
        return "two instances of a service serve";
    const int64_t count = world->logs[node->log].line.count;
    if (!node->runs || !node_serves(node))
        return "a service does not serve";
    const struct sender *sender = &node->instance->sender;
    const struct relay *relay = node_relay(node);
    if (relay->state == RELAY_FORKED)
        return "a relay says `forked`, and nothing was lost";
    if (relay->state != RELAY_PUBLISHING || relay->published != relay->head)
        return "a relay has not published its log";
    if (relay->head != node->promise || node->promise != count)
        return "a log has not all that was committed";
    if (atomic_load(&node->instance->status.parked) > 0)
        return "an event is parked";
    const char *moves = NULL;
    for (int i = 0; node->sources[i].log && !moves; i++)
        moves = what_a_feed_does(world, node, i);
    if (!moves && (inbox_length(&node->instance->inbox) > 0 || sender->outbound.mailbox.first ||
                   sender->calls.open || sender->redrive.item || sender->gate.gate.items ||
                   sender->gate.gate.calls))
        moves = "something waits in a service";
    return moves;
}

const char *what_is_not_quiet(struct world *world)
{
    if (!world->server.is_up)
        return "the server is down";
    for (int i = 0; i < world->node_count; i++) {
        const char *moves = what_moves(world, &world->nodes[i]);
        if (moves)
            return moves;
    }
    for (int log = 0; log < LOGS; log++)
        if (!leader_of(world, log))
            return "no instance of a service serves";
    const char *waits = edits_wait_for(world);
    if (waits)
        return waits;
    if (world->load.waiting_count > 0)
        return "a request has no answer";
    for (int i = 0; i < world->node_count; i++)
        if (node_leads(&world->nodes[i]) && !is_audited(world, &world->nodes[i]))
            return "an audit has not read its whole stream";
    if (number_of(world, node_of_log(world, ORDER),
                  "SELECT count(*) FROM orders WHERE status <= 2") > 0)
        return "an order is neither paid nor cancelled";
    if (number_of(world, node_of_log(world, ORDER),
                  "SELECT count(*) FROM refunds WHERE status = 1") > 0)
        return "a refund is neither done nor refused";
    if (unexplained_charge(world))
        return "a charge has no paid order and was not taken back";
    return NULL;
}

/* ---- I1, I2, I3: what was answered ----------------------------------------------------------- */

static void check_requests(struct world *world, const struct node *node)
{
    const struct load *load = &world->load;
    unsigned char *effects = must(calloc((size_t)load->count + 1, 1));
    sqlite3_stmt *causes =
        prepare(world, node,
                "SELECT cause FROM event_log WHERE cause LIKE 'request/k%' OR cause"
                " LIKE 'request.acc%/k%'");
    while (sqlite3_step(causes) == SQLITE_ROW) {
        int number = atoi(strrchr((const char *)sqlite3_column_text(causes, 0), '/') + 2);
        if (number >= 0 && number < load->count)
            effects[number] += effects[number] < 255;
    }
    sqlite3_finalize(causes);
    for (int i = 0; i < load->count; i++) {
        const struct request *request = load->requests[i];
        if (request->log != node->log || request->other)
            continue;
        const _Bool is_excused = request->is_contested && effects[i] == 0 &&
                                 !world->logs[node->log].answers_wait &&
                                 is_orphans_request(&world->logs[node->log], i);
        _Bool accepted = request->is_answered && !*request->refusal;
        _Bool refused = request->is_answered && *request->refusal;
        if (accepted && effects[i] != 1 && !is_excused)
            violated(world, "I1: %s %s was accepted and is %d times in the log",
                     wire_subject(request->wire), request->key, effects[i]);
        else if (refused && effects[i] != 0 && !request->is_contested &&
                 request->restores == world->logs[node->log].restores)
            violated(world, "I2: %s %s was refused and is in the log", wire_subject(request->wire),
                     request->key);
        else if (effects[i] > 1)
            violated(world, "I3: %s %s is %d times in the log", wire_subject(request->wire),
                     request->key, effects[i]);
    }
    free(effects);
}

/* ---- I4, I6: log and stream ------------------------------------------------------------------ */

static void check_log(struct world *world, const struct node *node)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    struct digest chain = { 0 }, digest;
    struct db *db = NULL;
    const _Bool leads = node_leads(node);
    const int64_t count = leads ? world->logs[node->log].line.count : node->line.count;
    int64_t position = 0;
    if (db_open(&(struct db_options){ .path = node->path, .read_only = 1 }, &db) < 0)
        must(NULL);
    int r = event_reader_open(&reader, db, node->service->log, 0, INT64_MAX);
    while (r == 0 && event_reader_has_next(&reader, &event)) {
        const struct digest *known = ++position > count ? NULL
                                     : leads ? history_at(&world->logs[node->log], position)
                                             : &node->line.at[position].chain;
        if (event_digest(&event, &digest) < 0 || event_chain(&chain, &digest, &chain) < 0)
            must(NULL);
        if (event.position != position || !known || !digest_equal(&chain, &event.chain) ||
            !digest_equal(&chain, known)) {
            violated(world, "I4: the log of %s differs from what was committed at position %lld",
                     node->name, (long long)position);
            break;
        }
    }
    if (position != count)
        violated(world, "I4: the log of %s ends at %lld of %lld", node->name, (long long)position,
                 (long long)count);
    event_reader_deinit(&reader);
    db_free(db);
}

/* Where an operator lets messages go, the oldest are not missed; or none of which the server may
 * have removed what stood there: a reader asks the leader for them. */
static void check_stream(struct world *world, int log)
{
    const struct stream *stream = &world->server.streams[log];
    const _Bool is_marked = json_text_is(settings_find(stream, "allow_msg_ttl"), "true"),
                forgets = settings_forget(stream);
    _Bool is_behind_hole = 0;
    int64_t position = 0;
    for (int64_t s = stream->first; stream->exists && s <= stream->last; s++) {
        const struct stored *stored = stream_at(stream, s);
        if (stored && stored->unreadable && is_marked)
            stored = NULL; /* as a marker that is gone */
        if (!stored && (is_marked || (forgets && position == 0))) {
            is_behind_hole = 1;
            continue;
        }
        if (forgets && (position == 0 || is_behind_hole) && stored && stored->position > position)
            position = stored->position - 1;
        is_behind_hole = 0;
        if (!stored) {
            violated(world, "I6: stream %s has a hole at %lld", stream->name, (long long)s);
            return;
        }
        if (stored->position == 0) {
            violated(world, "I6: stream %s has a foreign message at %lld", stream->name,
                     (long long)s);
            return;
        }
        if (stored->position > position + 1) {
            violated(world, "I6: stream %s goes from %lld to %lld", stream->name,
                     (long long)position, (long long)stored->position);
            return;
        }
        position += stored->position == position + 1;
    }
    if (position != world->logs[log].line.count && !(forgets && position == 0))
        violated(world, "I6: stream %s ends at %lld of %lld", stream->name, (long long)position,
                 (long long)world->logs[log].line.count);
}

void check_all(struct world *world)
{
    for (int log = 0; log < LOGS; log++)
        check_stream(world, log);
    for (int i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        check_log(world, node);
        if (!node_leads(node))
            continue;
        check_requests(world, node);
        if (number_of(world, node, "SELECT count(*) FROM parked") > 0)
            violated(world, "I8: %s has parked an event of a healthy leader", node->name);
    }
    check_tables(world);
    check_folds(world);
    check_edits(world);
}
