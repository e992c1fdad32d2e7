/* Stream keep: see stream_keep.h. */
#include "runtime/outbound/stream_keep.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/smaller.h"
#include "store/kept_streams.h"
#include <stdio.h>
#include <string.h>

#define ASK_AGAIN_MS 5000
#define REFUSED_MAX 3 /* then our own configuration is tried */

static char *copy_text(struct json_text text)
{
    return text.text ? strndup(text.text, text.length) : NULL;
}

static struct json_text text_of(const char *text)
{
    return text ? json_text_of(text, strlen(text)) : (struct json_text){ 0 };
}

int stream_keep_init(struct stream_keep *keep, struct outbound *outbound,
                     const struct js_stream_config *config)
{
    _deinit_(buf) struct buf wish = { 0 };
    *keep = (struct stream_keep){ .outbound = outbound, .stream = config->name };
    snprintf(keep->of, sizeof(keep->of), "stream %s", config->name);
    int r = js_stream_config_put(config, &wish);
    if (r < 0)
        return trace(r);
    keep->wish = buf_take(&wish, NULL);
    return 0;
}

static void forget_durables(struct stream_keep *keep)
{
    for (int i = 0; i < keep->durable_count; i++)
        free(keep->durables[i].config);
    keep->durable_count = keep->owed_count = 0;
}

void stream_keep_deinit(struct stream_keep *keep)
{
    forget_durables(keep);
    free(take(keep->config));
    free(take(keep->wish));
}

/* ---- In our file ---------------------------------------------------------------------------- */

static int load_durables(struct stream_keep *keep, const struct kept_stream_row *row)
{
    for (int i = 0; i < row->durable_count && i < KEPT_DURABLES_MAX; i++) {
        struct kept_durable *durable = &keep->durables[i];
        *durable = (struct kept_durable){ .position = row->durables[i].position,
                                          .config = strdup(row->durables[i].config) };
        snprintf(durable->name, sizeof(durable->name), "%s", row->durables[i].name);
        keep->durable_count++;
        if (!durable->config)
            return fail(ERR_MEMORY, "no memory for a durable");
    }
    return 0;
}

int stream_keep_load(struct stream_keep *keep)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct kept_stream_row row;
    int r = kept_streams_read(keep->outbound->db, keep->stream, &arena, &row);
    if (r != 0)
        return r == NOT_FOUND ? 0 : trace(r);
    keep->config = strdup(row.config);
    snprintf(keep->created, sizeof(keep->created), "%s", row.created);
    snprintf(keep->owner, sizeof(keep->owner), "%s", row.created);
    return keep->config ? trace(load_durables(keep, &row))
                        : fail(ERR_MEMORY, "no memory for a configuration");
}

static const char *copy(struct arena *arena, const char *text, _Bool *failed)
{
    const char *copied = arena_copy(arena, text, strlen(text));
    *failed |= !copied;
    return copied;
}

/* An item for the writer; NULL: no memory. */
static struct item *make_item(const struct stream_keep *keep)
{
    _free_(item) struct item *item = item_new(ITEM_KEEP);
    if (!item)
        return NULL;
    const size_t size = sizeof(struct kept_durable_row) * (size_t)keep->durable_count;
    struct kept_stream_row *row = arena_alloc(&item->arena, sizeof(*row));
    struct kept_durable_row *durables = arena_alloc(&item->arena, size);
    _Bool failed = !row || !durables;
    if (failed)
        return NULL;
    *row = (struct kept_stream_row){ .stream = copy(&item->arena, keep->stream, &failed),
                                     .created = copy(&item->arena, keep->owner, &failed),
                                     .config = copy(&item->arena, keep->config, &failed),
                                     .durable_count = keep->durable_count,
                                     .durables = durables };
    for (int i = 0; i < keep->durable_count; i++)
        durables[i] = (struct kept_durable_row){
            .name = copy(&item->arena, keep->durables[i].name, &failed),
            .position = keep->durables[i].position - keep->durables[i].gain, /* what is certain */
            .config = copy(&item->arena, keep->durables[i].config, &failed),
        };
    item->kept = row;
    item->stream_position = keep->saw;
    return failed ? NULL : take(item);
}

void stream_keep_whole(struct stream_keep *keep)
{
    memcpy(keep->whole, keep->created, sizeof(keep->whole));
}

void stream_keep_saw(struct stream_keep *keep, int64_t position)
{
    keep->is_changed |= position > keep->saw;
    keep->saw = larger(keep->saw, position);
    (void)stream_keep_save(keep);
}

_Bool stream_keep_save(struct stream_keep *keep)
{
    if (keep->is_changed && !keep->is_saving && keep->config) {
        struct item *item = make_item(keep);
        if (item) { /* else with the next look */
            keep->is_saving = 1;
            keep->is_changed = 0;
            inbox_push(keep->outbound->inbox, item);
        }
    }
    return keep->is_saving;
}

_Bool stream_keep_settled(struct stream_keep *keep, const struct batch *batch)
{
    const struct item *item = keep->is_saving ? batch->items : NULL;
    while (item && item->kind != ITEM_KEEP)
        item = item->next;
    if (!item)
        return 0;
    keep->is_saving = 0;
    keep->is_changed |= batch->aborted; /* tried again with the next look */
    return 1;
}

/* All that are owed are given back: from now on they are those of the stream that is there. */
static void note_owner(struct stream_keep *keep)
{
    if (keep->owed_count > 0 || strcmp(keep->owner, keep->created) == 0)
        return;
    memcpy(keep->owner, keep->created, sizeof(keep->owner));
    keep->is_changed = 1;
}

static void owe_durables(struct stream_keep *keep)
{
    for (int i = 0; i < keep->durable_count; i++)
        keep->durables[i].state = KEPT_OWED;
    keep->owed_count = keep->durable_count;
}

/* The stream that is there. */
static void see_stream(struct stream_keep *keep, const char *created)
{
    if (strcmp(keep->created, created) == 0)
        return;
    if (*keep->created) /* another one than before */
        owe_durables(keep);
    snprintf(keep->created, sizeof(keep->created), "%s", created);
    note_owner(keep);
}

/* ---- The configuration ---------------------------------------------------------------------- */

/* What is ours is set back by an update; the next look sees whether that helped. */
static void mend(struct stream_keep *keep)
{
    _deinit_(js_request) struct js_request request;
    _deinit_(buf) struct buf config = { 0 };
    const struct reply_tag tag = { .part = PART_RELAY, .step = 'x' };
    js_request_init(&request, NULL);
    drift_keep(drift_stream_fields, text_of(keep->config), text_of(keep->wish), &config);
    int built = buf_status(&config);
    if (built == 0)
        built = js_stream_update(&request, keep->stream, config.data);
    if (outbound_request_api(keep->outbound, &tag, built, &request) < 0)
        log_debug("stream_not_mended", LOG_TEXT("reason", failure_text()));
}

_Bool stream_keep_compare(struct stream_keep *keep, const struct js_stream_state *state)
{
    const struct drift_use use = { .messages = state->messages, .bytes = state->bytes };
    struct drift drift;
    drift_compare(drift_stream_fields, keep->of, state->config, text_of(keep->wish), &use, &drift);
    keep->first_sequence = state->first_sequence;
    drift_text(&drift, NOTICE_HELD, keep->held, sizeof(keep->held));
    if (*keep->lost && drift.count < DRIFT_MAX)
        notice_set(&drift.found[drift.count++], NOTICE_LOST, keep->of, "durables", keep->lost,
                   strlen(keep->lost));
    notices_replace(&keep->outbound->status->notices, keep->of, drift.found, drift.count);
    if (!keep->config || !json_text_equal(text_of(keep->config), state->config)) {
        free(keep->config);
        keep->config = copy_text(state->config);
        keep->is_changed = 1;
    }
    see_stream(keep, state->created);
    (void)stream_keep_save(keep);
    if (drift.mends && !drift.holds)
        mend(keep);
    return drift.holds;
}

void stream_keep_put(struct stream_keep *keep, const struct stream_fill *fill, struct buf *out)
{
    _deinit_(buf) struct buf config = { 0 };
    const _Bool as_it_was = keep->refused_count < REFUSED_MAX && GUARD(kept_settings);
    drift_keep(drift_stream_fields, text_of(as_it_was ? keep->config : NULL), text_of(keep->wish),
               &config);
    if (buf_status(&config) == 0)
        drift_put_fill(text_of(config.data), fill, out);
}

void stream_keep_made(struct stream_keep *keep, const struct js_stream_state *state)
{
    if (keep->refused_count >= REFUSED_MAX)
        log_error("stream_settings_lost", LOG_TEXT("stream", keep->stream),
                  LOG_TEXT("settings", keep->config));
    keep->refused_count = 0;
    see_stream(keep, state->created);
}

void stream_keep_refused(struct stream_keep *keep)
{
    keep->refused_count++;
}

/* ---- The durables of others ----------------------------------------------------------------- */

int stream_keep_ask_list(struct stream_keep *keep, const struct reply_tag *tag)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    int built = js_consumer_list(&request, keep->stream, 0);
    return trace(outbound_request_api(keep->outbound, tag, built, &request));
}

static const struct kept_durable *find_kept(const struct kept_durable *list, int count,
                                            const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

/* A consumer of the list; false: it is none that can be given back. */
static _Bool read_durable(struct json_text consumer, const struct relay *relay,
                          struct kept_durable *ret_durable)
{
    _deinit_(buf) struct buf tried = { 0 };
    const struct json_text config = json_text_find(consumer, "config"),
                           name = json_text_find(config, "durable_name"),
                           floor = json_text_find(json_text_find(consumer, "ack_floor"),
                                                  "stream_seq");
    const int64_t position = json_text_number(floor, 0) - relay->offset;
    if (name.length < 3 || name.length > sizeof(ret_durable->name) + 1 ||
        drift_is_standbys(config) || !drift_durable_at(config, 0, &tried))
        return 0;
    *ret_durable = (struct kept_durable){ .position = position > 0 ? position : 0,
                                          .config = copy_text(config) };
    snprintf(ret_durable->name, sizeof(ret_durable->name), "%.*s", (int)name.length - 2,
             name.text + 1);
    return ret_durable->config != NULL;
}

static _Bool are_equal(const struct stream_keep *keep, const struct kept_durable *now, int count)
{
    _Bool equal = keep->durable_count == count;
    for (int i = 0; i < count && equal; i++) {
        const struct kept_durable *before = find_kept(keep->durables, keep->durable_count,
                                                      now[i].name);
        equal = before && before->position == now[i].position && before->gain == now[i].gain &&
                strcmp(before->config, now[i].config) == 0;
    }
    return equal;
}

struct kept_place stream_keep_place(const struct kept_durable *before, int64_t floor, int64_t gone,
                                    int64_t gone_before, int64_t published)
{
    /* what is acknowledged behind our newest event is a stranger's: the new stream has another
     * event at that place */
    const int64_t listed = smaller(floor, larger(published, before ? before->position : 0));
    if (!before)
        return (struct kept_place){ .position = listed };
    if (listed > gone)
        return (struct kept_place){ listed, listed - before->position };
    if (gone > gone_before) /* the list before may already have had what the server moved */
        return (struct kept_place){ .position = before->position - before->gain };
    return (struct kept_place){ .position = before->position < gone ? before->position : listed };
}

/* Those that the list does not have stay. */
static int keep_others(struct stream_keep *keep, struct kept_durable *now, int count)
{
    for (int i = 0; i < keep->durable_count && count < KEPT_DURABLES_MAX; i++) {
        if (find_kept(now, count, keep->durables[i].name))
            continue;
        now[count] = keep->durables[i];
        now[count++].config = take(keep->durables[i].config);
    }
    return count;
}

/* A page of the list. What the server has moved over messages that are gone stays where it was; so
 * does all that an earlier life has kept, until we know which position is at which sequence. */
static void remember(struct stream_keep *keep, const struct relay *relay,
                     const struct js_consumer_page *page, _Bool is_last)
{
    struct kept_durable now[KEPT_DURABLES_MAX] = { 0 };
    struct json_members members;
    struct json_text key, consumer;
    const int64_t gone = keep->first_sequence - 1 - relay->offset;
    /* Only while we publish: the server may have lost the end that we had published. */
    const _Bool is_ours = relay->state == RELAY_PUBLISHING &&
                          strcmp(keep->whole, keep->created) == 0;
    const int64_t published = is_ours ? relay->published : 0;
    int count = 0, found = 0;
    json_text_members_begin(&members, page->consumers);
    while (json_text_members_next(&members, &key, &consumer)) {
        struct kept_durable durable;
        if (!read_durable(consumer, relay, &durable))
            continue;
        found++;
        const struct kept_durable *before = find_kept(keep->durables, keep->durable_count,
                                                      durable.name);
        struct kept_place place = { .position = before ? before->position : 0 };
        if (!before || relay->was_whole)
            place = stream_keep_place(before, durable.position, gone, keep->gone, published);
        durable.position = place.position;
        durable.gain = place.gain;
        if (count < KEPT_DURABLES_MAX)
            now[count++] = durable;
        else
            free(durable.config);
    }
    if (found > count)
        snprintf(keep->lost, sizeof(keep->lost), "%d of %d would be lost with the stream",
                 found - count, found);
    keep->is_changed |= !are_equal(keep, now, count);
    if (is_last)
        count = keep_others(keep, now, count);
    forget_durables(keep);
    memcpy(keep->durables, now, sizeof(now[0]) * (size_t)count);
    keep->durable_count = count;
    (void)stream_keep_save(keep);
    keep->gone = gone;
}

void stream_keep_take_list(struct stream_keep *keep, const struct relay *relay,
                           struct bus_message *message, _Bool is_last)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_page page;
    keep->may_list = !bus_message_status(message);
    if (bus_message_status(message) || keep->owed_count > 0)
        return; /* those that are owed are not all there */
    if (js_parse_consumer_list(bus_message_data(message), bus_message_length(message), &arena,
                               &page) == 0)
        remember(keep, relay, &page, is_last);
}

/* ---- Giving back ---------------------------------------------------------------------------- */

static void give_back(struct stream_keep *keep, int i, const struct reply_tag *tag, int64_t now_ms)
{
    struct kept_durable *durable = &keep->durables[i];
    _deinit_(js_request) struct js_request request;
    _deinit_(buf) struct buf config = { 0 };
    struct reply_tag own = *tag;
    own.n = i;
    js_request_init(&request, NULL);
    drift_durable_at(text_of(durable->config), durable->position, &config);
    int built = buf_status(&config);
    if (built == 0)
        built = js_consumer_create_as(&request, keep->stream, durable->name, config.data);
    if (outbound_request_api(keep->outbound, &own, built, &request) < 0)
        return; /* with the next turn */
    durable->state = KEPT_ASKED;
    durable->asked_ms = now_ms;
}

void stream_keep_give_back(struct stream_keep *keep, const struct relay *relay,
                           const struct reply_tag *tag, int64_t now_ms)
{
    if (relay->state != RELAY_PUBLISHING)
        return;
    for (int i = 0; i < keep->durable_count; i++) {
        struct kept_durable *durable = &keep->durables[i];
        const int64_t place = durable->position < relay->head ? durable->position : relay->head;
        if (durable->state == KEPT_ASKED && now_ms >= durable->asked_ms + ASK_AGAIN_MS)
            durable->state = KEPT_OWED;
        if (durable->state == KEPT_OWED && relay->published >= place)
            give_back(keep, i, tag, now_ms);
    }
}

static void name_lost(struct stream_keep *keep, const struct kept_durable *durable,
                      const char *words)
{
    log_error("durable_lost", LOG_TEXT("stream", keep->stream), LOG_TEXT("durable", durable->name),
              LOG_INT("position", durable->position), LOG_TEXT("reason", words));
    const size_t length = strlen(keep->lost);
    snprintf(keep->lost + length, sizeof(keep->lost) - length, "%s%s at %lld", length ? ", " : "",
             durable->name, (long long)durable->position);
}

void stream_keep_take_given(struct stream_keep *keep, int64_t n, struct bus_message *message)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    if (n < 0 || n >= keep->durable_count || keep->durables[n].state != KEPT_ASKED ||
        bus_message_status(message))
        return; /* asked for again */
    struct kept_durable *durable = &keep->durables[n];
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message), &arena,
                                   &state);
    if (r < 0 || (r == JS_REFUSED && state.error.code >= 500))
        return;
    if (r == 0)
        log_warn("durable_given_back", LOG_TEXT("stream", keep->stream),
                 LOG_TEXT("durable", durable->name), LOG_INT("position", durable->position));
    else if (state.error.error_code != JS_ERR_CONSUMER_EXISTS)
        name_lost(keep, durable, state.error.description);
    durable->state = KEPT_KEPT;
    keep->owed_count--;
    note_owner(keep);
    (void)stream_keep_save(keep);
}
