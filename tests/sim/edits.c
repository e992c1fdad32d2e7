/* Edits: see edits.h. What is asked for is what FAULTS and OPERATIONS promise, by a list of its own
 * and not by the table of the services (sync/drift.c).
 *
 * What a service has not seen yet when its stream goes cannot come back: so it is looked up in its
 * file what it knows at that moment. Who makes the stream anew and knows it must set it; who does
 * not, because its file is another one, has nothing to keep. */
#include "edits.h"
#include "base/json_text.h"
#include "bus/jetstream.h"
#include "world.h"
#include <inttypes.h>
#include <string.h>

#define HOLD_MS 15000       /* the longest until a setting that holds a service is set back */
#define NAMED_MS_MAX 120000 /* until it must have said so */
#define NUMBERS 900         /* values of a setting */

/* ---- What can be set ------------------------------------------------------------------------- */

/* Borne, and kept. %d: another value each time. */
static const struct {
    const char *field, *value;
} borne[] = {
    { "description", "\"the operator's stream, %d\"" },
    { "metadata", "{\"owner\":\"shop %d\"}" },
    { "duplicate_window", "%d000000000" },
    { "max_bytes", "%d000000000" },
    { "max_msgs", "%d000000" },
    { "max_msg_size", "%d000000" },
    { "compression", "\"s2\"" },
    { "allow_direct", "true" },
    { "deny_purge", "true" },
    { "placement", "{\"tags\":[\"rack%d\"]}" },
    { "republish", "{\"src\":\">\",\"dest\":\"mirror%d.>\"}" },
    { "max_age", "%d000000000000000" }, /* days: longer than a run */
    { "allow_msg_ttl", "true" },
};
#define BORNE (int)(sizeof(borne) / sizeof(*borne))
_Static_assert(BORNE <= EDITS_MAX, "the world remembers too few settings");
enum { MAX_MSGS = 4, MAX_AGE = 11 }; /* from MAX_AGE on: the oldest may be gone */

/* What holds a service until it is set back. */
static const struct hold {
    const char *field, *value; /* %s: the name's prefix; NULL: as many messages as there are */
    const char *back;          /* likewise; NULL: without it */
    _Bool is_for_good;         /* it cannot be set back: the stream is deleted */
} holds[] = {
    { "no_ack", "true", "false", 0 },
    { "subjects", "[\"%s>\",\"others.>\"]", "[\"%s>\"]", 0 },
    { "subject_transform", "{\"src\":\"%s>\",\"dest\":\"moved.>\"}", NULL, 0 },
    { "max_msgs_per_subject", "100000", "-1", 0 },
    { "discard", "\"old\"", "\"new\"", 0 }, /* together with a limit */
    { "max_msgs", NULL, NULL, 0 },
    { "sealed", "true", NULL, 1 },
};

enum { FULL = 5 };
#define LIMIT_MIN 1000000 /* of messages, where it holds nobody */

static struct stream *stream_of(struct world *world, int log)
{
    struct stream *stream = &world->server.streams[log];
    return stream->exists && world->server.is_up && stream_is_led(world, stream) ? stream : NULL;
}

/* As it is in a configuration; in an object others may have set more (metadata). */
static _Bool is_set(struct json_text config, const char *field, const char *value)
{
    const struct json_text wanted = json_text_of(value, strlen(value)),
                           there = json_text_find(config, field);
    struct json_members members;
    struct json_text name, text;
    _Bool has_all = *value == '{';
    json_text_members_begin(&members, wanted);
    while (has_all && json_text_members_next(&members, &name, &text)) {
        char key[SETTING_SIZE];
        snprintf(key, sizeof(key), "%.*s", (int)name.length, name.text);
        has_all = json_text_equal(json_text_find(there, key), text);
    }
    return has_all || json_text_equal(there, wanted);
}

static struct json_text config_of(const char *config)
{
    return json_text_of(config, strlen(config));
}

/* The next of what was set, from i on, that is in a configuration, or is not; BORNE: no more. */
static int next_set(const struct edits *edits, int i, struct json_text config, _Bool is_there)
{
    while (i < BORNE &&
           (!*edits->set[i] || is_set(config, borne[i].field, edits->set[i]) != is_there))
        i++;
    return i;
}

static void bear(struct world *world, int log, int i)
{
    struct edits *edits = &world->operator.edits[log];
    snprintf(edits->set[i], sizeof(edits->set[i]), borne[i].value, 1 + (int)draw(world, NUMBERS));
    settings_put(&world->server.streams[log], borne[i].field, edits->set[i]);
    tell(world, "the operator sets %s=%s on %s", borne[i].field, edits->set[i],
         world->logs[log].name);
}

_Bool edit_bear(struct world *world)
{
    const int log = (int)draw(world, LOGS), i = (int)draw(world, BORNE);
    const struct hold *hold = world->operator.edits[log].hold;
    /* an empty instance could not be filled; a foreign message would look like one of ours */
    if (i >= MAX_AGE && (world->node_count > LOGS || world->server.streams[log].has_foreign))
        return 0;
    if (!stream_of(world, log) || world->server.streams[log].is_sealed ||
        (hold && strcmp(hold->field, borne[i].field) == 0))
        return 0;
    bear(world, log, i);
    return 1;
}

/* ---- What holds a service -------------------------------------------------------------------- */

static void write_value(const struct world *world, int log, const char *format, char *ret_value)
{
    snprintf(ret_value, SETTING_SIZE, format, world->server.streams[log].prefix);
}

static _Bool hold_with(struct world *world, int log, const struct hold *hold)
{
    struct edits *edits = &world->operator.edits[log];
    struct stream *stream = stream_of(world, log);
    if (!stream || edits->hold || (!hold->value && stream->messages == 0))
        return 0;
    if (strcmp(hold->field, "discard") == 0 && !*edits->set[MAX_MSGS])
        bear(world, log, MAX_MSGS);
    if (hold->value)
        write_value(world, log, hold->value, edits->hold_value);
    else
        snprintf(edits->hold_value, SETTING_SIZE, "%" PRId64, stream->messages);
    settings_put(stream, hold->field, edits->hold_value);
    edits->hold = hold;
    edits->back_ms = world->now_ms + 1 + draw(world, one_in(world, 3) ? HOLD_MS : HOLD_MS / 10);
    tell(world, "the operator holds %s with %s=%s", world->logs[log].name, hold->field,
         edits->hold_value);
    return 1;
}

static const struct hold *any_hold(struct world *world)
{
    return &holds[draw(world, (int64_t)(sizeof(holds) / sizeof(*holds)))];
}

_Bool edit_hold(struct world *world)
{
    const int log = (int)draw(world, LOGS);
    return hold_with(world, log, any_hold(world));
}

static void set_back(struct world *world, int log)
{
    struct edits *edits = &world->operator.edits[log];
    struct stream *stream = stream_of(world, log);
    const struct hold *hold = edits->hold;
    char value[SETTING_SIZE] = "-1";
    if (!hold || world->now_ms < edits->back_ms || !stream)
        return;
    if (hold->is_for_good) {
        if (!instances_may_lose_stream(world, log))
            return;
        tell(world, "the operator deletes %s, which is sealed", stream->name);
        stream_delete(world, stream, one_in(world, 2));
        edits->hold = NULL;
        return;
    }
    if (hold->back)
        write_value(world, log, hold->back, value);
    else if (!hold->value && *edits->set[MAX_MSGS])
        snprintf(value, sizeof(value), "%s", edits->set[MAX_MSGS]);
    tell(world, "the operator sets %s of %s back", hold->field, stream->name);
    settings_put(stream, hold->field, hold->back || !hold->value ? value : NULL);
    edits->hold = NULL;
}

void edits_end(struct world *world)
{
    for (int log = 0; log < LOGS; log++)
        world->operator.edits[log].back_ms = world->now_ms;
}

/* ---- Durables of others ---------------------------------------------------------------------- */

static struct other *other_of_name(struct edits *edits, const char *name)
{
    for (int i = 0; i < OTHERS_MAX; i++)
        if (strcmp(edits->others[i].name, name) == 0)
            return &edits->others[i];
    return NULL;
}

static void make_other(struct world *world, int log, int i)
{
    struct edits *edits = &world->operator.edits[log];
    struct other *other = &edits->others[i];
    char config[DURABLE_CONFIG_SIZE];
    *other = (struct other){ .is_expected = 1 };
    snprintf(other->name, sizeof(other->name), "audit-%d", ++edits->numbers);
    snprintf(config, sizeof(config),
             "{\"durable_name\":\"%s\",\"name\":\"%s\",\"description\":\"of %s\",\"deliver_policy\""
             ":\"all\",\"ack_policy\":\"explicit\",\"ack_wait\":30000000000,\"max_deliver\":-1,"
             "\"replay_policy\":\"instant\",\"max_ack_pending\":777,\"num_replicas\":0}",
             other->name, other->name, other->name);
    if (!durable_make(&world->server.streams[log], other->name, 1, config))
        *other = (struct other){ 0 };
    tell(world, "somebody makes the durable %s of %s", other->name, world->logs[log].name);
    for (int n = 0; n < world->node_count; n++)
        if (world->nodes[n].log == log)
            world->nodes[n].kept.places[i] = -1;
}

_Bool edit_other(struct world *world)
{
    const int log = (int)draw(world, LOGS), i = (int)draw(world, OTHERS_MAX);
    struct stream *stream = stream_of(world, log);
    struct other *other = &world->operator.edits[log].others[i];
    if (!stream || other->was_lost)
        return 0;
    if (!other->is_expected) {
        make_other(world, log, i);
        return other->is_expected;
    }
    if (!one_in(world, 4))
        return 0;
    struct durable *durable = durable_of_name(stream, other->name, strlen(other->name));
    tell(world, "somebody deletes the durable %s of %s", other->name, stream->name);
    if (durable)
        durable_delete(world, durable, 0);
    *other = (struct other){ 0 };
    return 1;
}

/* Its owner reads on; what is acknowledged last is a message that was there. What the stream has
 * lost before it is passed over for good. */
static void read_on(struct world *world, struct stream *stream, struct durable *durable,
                    struct other *other)
{
    const int64_t last = durable->acked + draw(world, stream->last - durable->acked + 1);
    int64_t passed = 0;
    if (other->place == INT64_MAX)
        return;
    for (int64_t s = durable->acked + 1; s <= last; s++) {
        const struct stored *stored = stream_at(stream, s);
        passed += !stored;
        if (!stored)
            continue;
        durable->acked = durable->delivered = s;
        other->place += passed;
        passed = 0;
        if (stored->position > other->place)
            other->place = stored->position;
    }
}

/* What it has read of us cannot be known. */
static void note_passed(const struct stream *stream, struct edits *edits)
{
    for (int d = 0; d < DURABLES_MAX; d++) {
        const struct durable *durable = &stream->durables[d];
        struct other *other = durable->exists && durable->passes_over
                                  ? other_of_name(edits, durable->name)
                                  : NULL;
        if (other)
            other->place = INT64_MAX;
    }
}

static void look_at_durables(struct world *world, struct stream *stream, struct edits *edits)
{
    for (int d = 0; d < DURABLES_MAX; d++) {
        struct durable *durable = &stream->durables[d];
        struct other *other = durable->exists && *durable->config
                                  ? other_of_name(edits, durable->name)
                                  : NULL;
        if (other && other->is_expected && durable->acked <= stream->last)
            read_on(world, stream, durable, other);
        else if (other && other->is_expected) /* passes over what comes: a power cut */
            other->place = INT64_MAX;
        else if (durable->exists && *durable->config && !other) /* nobody's any more */
            durable_delete(world, durable, 0);
    }
}

void edits_act(struct world *world)
{
    for (int log = 0; log < LOGS; log++) {
        struct stream *stream = stream_of(world, log);
        if (stream)
            note_passed(stream, &world->operator.edits[log]);
        if (stream)
            look_at_durables(world, stream, &world->operator.edits[log]);
        set_back(world, log);
    }
}

/* ---- What a service knows -------------------------------------------------------------------- */

void edits_look_at_file(struct world *world, struct node *node)
{
    struct kept_view *kept = &node->kept;
    struct edits *edits = &world->operator.edits[node->log];
    kept->config[0] = '\0';
    for (int i = 0; i < OTHERS_MAX; i++)
        kept->places[i] = -1;
    if (sqlite3_step(node->kept_config) == SQLITE_ROW)
        snprintf(kept->config, sizeof(kept->config), "%s",
                 (const char *)sqlite3_column_text(node->kept_config, 0));
    sqlite3_reset(node->kept_config);
    while (sqlite3_step(node->kept_places) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(node->kept_places, 0);
        const struct other *other = other_of_name(edits, name);
        if (other)
            kept->places[other - edits->others] = sqlite3_column_int64(node->kept_places, 1);
    }
    sqlite3_reset(node->kept_places);
}

void edits_stream_gone(struct world *world, int log)
{
    struct edits *edits = &world->operator.edits[log];
    note_passed(&world->server.streams[log], edits);
    for (int n = 0; n < world->node_count; n++) {
        struct kept_view *kept = &world->nodes[n].kept;
        if (world->nodes[n].log != log)
            continue;
        /* with `discard old` a limit holds as well, and goes with it */
        kept->knows_settings = next_set(edits, 0, config_of(kept->config), 0) == BORNE &&
                               !is_set(config_of(kept->config), "discard", "\"old\"");
        for (int i = 0; i < OTHERS_MAX; i++) {
            kept->knows[i] = kept->places[i] >= 0 || (edits->others[i].was_lost && kept->knows[i]);
            if (kept->places[i] >= 0 && !edits->others[i].was_lost)
                kept->floors[i] = kept->places[i];
        }
    }
    for (int i = 0; i < OTHERS_MAX; i++)
        edits->others[i].was_lost |= edits->others[i].is_expected;
}

/* The server moves all durables on over what is gone. Of one that its service has not seen before,
 * that is all that can be known. */
void edits_stream_purged(struct world *world, int log)
{
    struct edits *edits = &world->operator.edits[log];
    const struct node *leader = leader_of(world, log);
    for (int i = 0; i < OTHERS_MAX; i++)
        if (!leader || leader->kept.places[i] < 0)
            edits->others[i].place = INT64_MAX;
}

/* ---- I18 ------------------------------------------------------------------------------------- */

/* A limit that was set back when the service had not seen that yet: once more. */
static void see_limit(struct world *world, int log)
{
    struct edits *edits = &world->operator.edits[log];
    const int64_t limit = world->server.streams[log].max_messages;
    if (edits->hold || limit <= 0 || limit >= LIMIT_MIN)
        return;
    edits->hold = &holds[FULL];
    snprintf(edits->hold_value, SETTING_SIZE, "%" PRId64, limit);
    edits->back_ms = world->now_ms + draw(world, HOLD_MS);
}

void edits_stream_made(struct world *world, int log, int n)
{
    struct edits *edits = &world->operator.edits[log];
    const struct stream *stream = &world->server.streams[log];
    const struct json_text config = config_of(stream->config);
    const struct node *node = &world->nodes[n];
    for (int i = next_set(edits, 0, config, 0); i < BORNE; i = next_set(edits, i + 1, config, 0)) {
        /* one that is reached is kept, too, and holds the service again when it is reached again */
        if (edits->hold && is_set(config, borne[i].field, edits->hold_value))
            continue;
        if (node->kept.knows_settings)
            violated(world, "I18: %s makes %s anew, and its %s=%s is lost", node->name,
                     stream->name, borne[i].field, edits->set[i]);
        edits->set[i][0] = '\0'; /* it was not seen by this one */
    }
    if (edits->hold && !is_set(config, edits->hold->field, edits->hold_value))
        edits->hold = NULL;
    see_limit(world, log);
}

void edits_durable_made(struct world *world, int log, const struct durable *durable, int n)
{
    struct edits *edits = &world->operator.edits[log];
    struct other *other = other_of_name(edits, durable->name);
    const struct node *node = &world->nodes[n];
    char description[64];
    if (!other || !other->is_expected || !other->was_lost)
        return;
    const int i = (int)(other - edits->others);
    const int64_t place = durable->start - 1;
    other->was_lost = 0;
    snprintf(description, sizeof(description), "\"of %s\"", other->name);
    if (!is_set(config_of(durable->config), "description", description) ||
        !is_set(config_of(durable->config), "ack_policy", "\"explicit\"") ||
        !is_set(config_of(durable->config), "max_ack_pending", "777"))
        violated(world, "I18: %s gives %s back as %s", node->name, durable->name, durable->config);
    if (place > other->place)
        violated(world, "I18: %s gives %s back behind %lld, and its owner has read up to %lld",
                 node->name, durable->name, (long long)place, (long long)other->place);
    if (node->kept.knows[i] && place < node->kept.floors[i])
        violated(world, "I18: %s gives %s back behind %lld, and knew that it had read up to %lld",
                 node->name, durable->name, (long long)place, (long long)node->kept.floors[i]);
}

const char *edits_wait_for(const struct world *world)
{
    for (int log = 0; log < LOGS; log++) {
        const struct node *leader = leader_of(world, log);
        if (world->operator.edits[log].hold)
            return "an operator's setting holds a service";
        if (leader && leader->runs && leader->instance->sender.relay_io.keep.owed_count > 0)
            return "a durable of others is not given back";
        if (leader && leader->runs && atomic_load(&leader->instance->status.notices.held) > 0)
            return "a service says that it is held, and nothing holds it";
    }
    return NULL;
}

/* It says what is set, by its field. */
static _Bool names(const struct node *node, const char *field, enum notice_kind kind)
{
    struct notice notice;
    for (int i = 0; notices_read(&node->instance->status.notices, i, &notice); i++)
        if (notice.kind == kind && strcmp(notice.field, field) == 0 &&
            strncmp(notice.of, "stream ", 7) == 0)
            return 1;
    return 0;
}

static void check_others(struct world *world, int log, const struct node *leader)
{
    struct edits *edits = &world->operator.edits[log];
    struct stream *stream = &world->server.streams[log];
    for (int i = 0; i < OTHERS_MAX; i++) {
        struct other *other = &edits->others[i];
        if (!other->is_expected || durable_of_name(stream, other->name, strlen(other->name)))
            continue;
        if (!other->was_lost || leader->kept.knows[i])
            violated(world, "I18: the durable %s of %s is lost", other->name, stream->name);
        *other = (struct other){ 0 };
    }
}

void check_edits(struct world *world)
{
    for (int log = 0; log < LOGS; log++) {
        const struct node *leader = node_of_log(world, log);
        const struct stream *stream = &world->server.streams[log];
        const struct edits *edits = &world->operator.edits[log];
        const struct json_text config = config_of(stream->config);
        const int lost = next_set(edits, 0, config, 0);
        if (lost < BORNE)
            violated(world, "I18: %s was set to %s=%s", stream->name, borne[lost].field,
                     edits->set[lost]);
        for (int i = next_set(edits, 0, config, 1); i < BORNE;
             i = next_set(edits, i + 1, config, 1))
            if (!names(leader, borne[i].field, NOTICE_BORNE))
                violated(world, "I18: %s does not say that it bears %s=%s", leader->name,
                         borne[i].field, edits->set[i]);
        check_others(world, log, leader);
    }
}

static _Bool is_named(const struct world *world, int log, const struct hold *hold)
{
    const struct node *leader = leader_of(world, log);
    return leader && leader->runs && names(leader, hold->field, NOTICE_HELD) &&
           status_state(&leader->instance->status) == SERVICE_HELD;
}

_Bool see_hold_named(struct world *world)
{
    const int log = (int)draw(world, LOGS);
    const struct hold *hold = any_hold(world);
    if (!stream_of(world, log))
        return 0;
    bear(world, log, (int)draw(world, BORNE - 1) < MAX_MSGS ? 0 : 1);
    (void)edit_other(world);
    if (!hold_with(world, log, hold))
        return 0;
    const int64_t end_ms = world->now_ms + NAMED_MS_MAX;
    world->operator.edits[log].back_ms = end_ms;
    while (!is_named(world, log, hold) && world->now_ms < end_ms && !world->violation[0])
        step(world);
    if (!is_named(world, log, hold))
        violated(world, "I18: %s was set to %s=%s, and nobody says that it is held",
                 world->logs[log].name, hold->field, world->operator.edits[log].hold_value);
    edits_end(world);
    return 1;
}
