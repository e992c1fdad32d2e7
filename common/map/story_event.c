/* Story, events: see story_event.h. */
#include "map/story_event.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_SIZE 200

static const char *header(const struct bus_view *view, const char *key)
{
    const char *value = bus_header_find(view, key);
    return value ? value : "";
}

_Bool story_event_read(const struct bus_view *view, struct story_event *ret_event)
{
    const char *dot = strrchr(view->subject, '.');
    *ret_event = (struct story_event){
        .type = dot ? dot + 1 : view->subject,
        .id = header(view, "ce-id"),
        .entity = header(view, "ce-subject"),
        .time = header(view, "ce-time"),
        .correlation = header(view, "ce-correlationid"),
        .causation = header(view, "ce-causationid"),
        .cause = header(view, "journey-cause"),
        .has_digest = bus_header_find(view, "journey-cause-digest") != NULL,
        .trace = header(view, "traceparent"),
        .position = strtoll(header(view, "journey-position"), NULL, 10),
        .data = json_text_of(view->data, view->data_length),
    };
    /* of a version beside the first one: OrderPlaced.v2 */
    if (dot && dot - view->subject > 4 && dot[1] == 'v' && dot[2] >= '0' && dot[2] <= '9') {
        const char *before = memrchr(view->subject, '.', (size_t)(dot - view->subject));
        ret_event->type = before ? before + 1 : ret_event->type;
    }
    return ret_event->position > 0 && *ret_event->id;
}

/* ---- Ids ------------------------------------------------------------------------------------- */

/* The text of a member; "" when it is none, or longer. */
static void read_member(struct json_text data, const char *key, char ret_text[VALUE_SIZE])
{
    const struct json_text value = json_text_find(data, key);
    *ret_text = '\0';
    if (value.length > 2 && *value.text == '"' && value.length < VALUE_SIZE)
        json_text_plain((struct json_text){ value.text + 1, value.length - 2 }, ret_text,
                        VALUE_SIZE);
}

static _Bool has(const struct story_ids *ids, const char *id)
{
    for (int i = 0; *id && i < ids->count; i++)
        if (strcmp(ids->ids[i], id) == 0)
            return 1;
    return 0;
}

static void add(struct story_ids *ids, const char *id, const char *prefix)
{
    if (!*id || strncmp(id, prefix, strlen(prefix)) != 0 || strlen(id) >= STORY_ID_SIZE ||
        has(ids, id))
        return;
    if (ids->count < STORY_IDS_MAX)
        snprintf(ids->ids[ids->count++], STORY_ID_SIZE, "%s", id);
    else
        ids->full = 1;
}

void story_scope_init(struct story_scope *scope, const char *id)
{
    *scope = (struct story_scope){ .kind = strncmp(id, "ord_", 4) == 0   ? STORY_OF_ORDER
                                           : strncmp(id, "acc_", 4) == 0 ? STORY_OF_ACCOUNT
                                                                         : STORY_OF_REQUEST };
    snprintf(scope->id, sizeof(scope->id), "%s", id);
}

/* The idempotency key of the request that made it; "": none. */
static const char *request_key(const struct story_event *event)
{
    const char *slash = strchr(event->cause, '/');
    if (!*event->cause && event->has_digest) /* docs/PROTOCOL.md, M8 */
        return event->causation;
    return slash && (strncmp(event->cause, "request/", 8) == 0 ||
                     strncmp(event->cause, "request.", 8) == 0)
               ? slash + 1
               : "";
}

static _Bool names(const struct story_scope *scope, const struct story_event *event,
                   const char *order, const char *account)
{
    const char *id = scope->id;
    if (scope->kind != STORY_OF_REQUEST)
        return strcmp(event->entity, id) == 0 || strcmp(order, id) == 0 || strcmp(account, id) == 0;
    return strcmp(event->correlation, id) == 0 || strcmp(event->id, id) == 0 ||
           strcmp(request_key(event), id) == 0;
}

void story_scope_find(struct story_scope *scope, const struct story_event *event)
{
    char order[VALUE_SIZE], account[VALUE_SIZE], card[VALUE_SIZE], next[VALUE_SIZE];
    read_member(event->data, "order_id", order);
    read_member(event->data, "account_id", account);
    if (!names(scope, event, order, account))
        return;
    read_member(event->data, "card_id", card);
    read_member(event->data, "next_card_id", next);
    add(&scope->orders, order, "ord_");
    add(&scope->orders, event->entity, "ord_");
    add(&scope->accounts, account, "acc_");
    add(&scope->accounts, event->entity, "acc_");
    add(&scope->cards, card, "");
    add(&scope->cards, next, "");
    add(&scope->correlations, event->correlation, "");
}

_Bool story_scope_knows(const struct story_scope *scope, const struct story_event *event)
{
    char order[VALUE_SIZE], account[VALUE_SIZE];
    if (has(&scope->correlations, event->correlation) || has(&scope->orders, event->entity) ||
        has(&scope->accounts, event->entity))
        return 1;
    read_member(event->data, "order_id", order);
    read_member(event->data, "account_id", account);
    return has(&scope->orders, order) || has(&scope->accounts, account);
}

_Bool story_scope_tells(const struct story_scope *scope, const struct story_event *event)
{
    char order[VALUE_SIZE], card[VALUE_SIZE];
    if (scope->kind == STORY_OF_ACCOUNT || has(&scope->correlations, event->correlation))
        return 1;
    read_member(event->data, "order_id", order);
    read_member(event->data, "card_id", card);
    return scope->kind == STORY_OF_ORDER &&
           (strcmp(event->entity, scope->id) == 0 || strcmp(order, scope->id) == 0 ||
            (strncmp(event->type, "Card", 4) == 0 && has(&scope->cards, card)));
}

/* ---- The time in an id ----------------------------------------------------------------------- */

/* Of a UUID of version 7, with or without what stands before it; 0: it is none. */
static int64_t time_of(const char *id)
{
    const char *underscore = strrchr(id, '_'), *uuid = underscore ? underscore + 1 : id;
    char digits[13] = "";
    if (strlen(uuid) != 36 || uuid[8] != '-' || uuid[13] != '-' || uuid[14] != '7')
        return 0;
    memcpy(digits, uuid, 8);
    memcpy(digits + 8, uuid + 9, 4);
    return strspn(digits, "0123456789abcdef") == 12 ? strtoll(digits, NULL, 16) : 0;
}

static void take_earlier(int64_t *begin_ms, const char *id)
{
    const int64_t time_ms = time_of(id);
    if (time_ms > 0 && (*begin_ms == 0 || time_ms < *begin_ms))
        *begin_ms = time_ms;
}

int64_t story_scope_begin_ms(const struct story_scope *scope)
{
    int64_t begin_ms = 0;
    take_earlier(&begin_ms, scope->id);
    for (int i = 0; i < scope->orders.count; i++)
        take_earlier(&begin_ms, scope->orders.ids[i]);
    for (int i = 0; i < scope->accounts.count; i++)
        take_earlier(&begin_ms, scope->accounts.ids[i]);
    return begin_ms;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_text(struct buf *out, const char *key, const char *value)
{
    buf_put_format(out, "\"%s\":", key);
    buf_put_json(out, value, strlen(value));
    buf_put_char(out, ',');
}

static _Bool is_one_of(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

/* What may be shown of a member: an id, a listed word or number, an amount of money, how many lines
 * there are. All else may be personal. */
static void put_member(struct buf *out, struct json_text key_text, struct json_text value)
{
    static const char *const words[] = { "reason", "decline",  "brand",    "pay_until",
                                         "sku",    "instance", "currency", NULL };
    static const char *const numbers[] = {
        "attempt", "refund", "quantity", "term", "amount", NULL
    };
    static const char *const money[] = { "total", "amount", "refunded", NULL };
    char key[40], text[VALUE_SIZE];
    if (key_text.length == 0 || key_text.length >= sizeof(key) || value.length == 0)
        return;
    memcpy(key, key_text.text, key_text.length);
    key[key_text.length] = '\0';
    if (strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_") != key_text.length)
        return;
    const _Bool is_id = key_text.length > 3 && strcmp(key + key_text.length - 3, "_id") == 0;
    if (*value.text == '"' && (is_id || is_one_of(words, key))) {
        if (value.length >= VALUE_SIZE)
            return;
        json_text_plain((struct json_text){ value.text + 1, value.length - 2 }, text, sizeof(text));
        put_text(out, key, text);
    } else if (*value.text == '{' && is_one_of(money, key)) {
        read_member(value, "currency", text);
        buf_put_format(out, "\"%s\":{\"amount\":%lld,", key,
                       (long long)json_text_number(json_text_find(value, "amount"), 0));
        put_text(out, "currency", text);
        buf_cut(out, out->length - 1);
        buf_put_text(out, "},");
    } else if (*value.text == '[' && strcmp(key, "lines") == 0) {
        struct json_members members;
        struct json_text name, line;
        int count = 0;
        json_text_members_begin(&members, value);
        while (json_text_members_next(&members, &name, &line))
            count++;
        buf_put_format(out, "\"lines\":%d,", count);
    } else if (is_one_of(numbers, key) && json_text_number(value, -1) >= 0) {
        buf_put_format(out, "\"%s\":%lld,", key, (long long)json_text_number(value, 0));
    }
}

void story_event_put(const struct story_event *event, const char *log, _Bool told, struct buf *out)
{
    struct json_members members;
    struct json_text key, value;
    buf_put_char(out, '{');
    put_text(out, "log", log);
    buf_put_format(out, "\"position\":%lld,\"told\":%s,", (long long)event->position,
                   told ? "true" : "false");
    put_text(out, "type", event->type);
    put_text(out, "time", event->time);
    put_text(out, "entity", event->entity);
    put_text(out, "id", event->id);
    put_text(out, "correlation", event->correlation);
    put_text(out, "causation", event->causation);
    put_text(out, "key", request_key(event));
    put_text(out, "trace", event->trace);
    buf_put_text(out, "\"data\":{");
    json_text_members_begin(&members, event->data);
    while (json_text_members_next(&members, &key, &value))
        put_member(out, key, value);
    if (out->length > 0 && out->data[out->length - 1] == ',')
        buf_cut(out, out->length - 1);
    buf_put_text(out, "}}");
}
