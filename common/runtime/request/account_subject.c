/* Account subject: see account_subject.h. */
#include "runtime/request/account_subject.h"
#include "runtime/core/event_text.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- The request's schema -------------------------------------------------------------------- */

static const char *const *without(const char *const *names, const char *name, struct arena *arena)
{
    size_t count = 0;
    while (names[count])
        count++;
    const char **left = arena_alloc(arena, (count + 1) * sizeof(*left));
    if (!left)
        return NULL;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) != 0)
            left[kept++] = names[i];
    left[kept] = NULL;
    return left;
}

/* The struct in C stays as it is: a text is a pointer, whether it must be there or not. */
int account_request_make(const struct schema *request, struct arena *arena,
                         struct account_request **ret_request)
{
    size_t size = (size_t)request->field_count * sizeof(*request->fields);
    struct account_request *made = arena_alloc(arena, sizeof(*made));
    struct schema_field *fields = arena_alloc(arena, size);
    const char *const *required = request->required
                                      ? without(request->required, request->account, arena)
                                      : NULL;
    if (!made || !fields || (request->required && !required))
        return fail(ERR_MEMORY, "no memory for the endpoints");
    memcpy(fields, request->fields, size);
    *made = (struct account_request){ .schema = *request };
    made->schema.fields = fields;
    made->schema.required = required;
    if (request->properties_min > 0)
        made->schema.properties_min--; /* the account may be the one that is left out */
    for (int i = 0; i < request->field_count; i++)
        if (strcmp(fields[i].name, request->account) == 0) {
            fields[i].required = 0;
            made->account = &fields[i];
        }
    assert(made->account && made->account->schema->shape == SHAPE_TEXT);
    *ret_request = made;
    return 0;
}

/* ---- The account ----------------------------------------------------------------------------- */

static _Bool text_fits(const struct schema *schema, const char *text)
{
    size_t length = strlen(text);
    return length > 0 && (schema->length_max < 0 || (int64_t)length <= schema->length_max) &&
           (!schema->pattern || pattern_matches(schema->pattern, text, length));
}

int account_take(const struct account_request *of, const char *subject, struct item *item,
                 struct invalid *ret_invalid)
{
    const char *dot = strrchr(subject, '.');
    assert(dot); /* it matched the wildcard */
    /* the server checks no subject: a token is any bytes but blanks and dots */
    if (!text_is_utf8(dot + 1, strlen(dot + 1)) || !text_fits(of->account->schema, dot + 1)) {
        snprintf(ret_invalid->message, sizeof(ret_invalid->message),
                 "the subject: its last part is no %s", of->account->name);
        return REFUSED_INVALID_REQUEST;
    }
    item->account = arena_copy(&item->arena, dot + 1, strlen(dot + 1));
    return item->account ? 0 : fail(ERR_MEMORY, "no memory for a request");
}

int account_fill_in(const struct account_request *of, const struct item *item, void *request,
                    struct invalid *ret_invalid)
{
    const char **named = (const char **)((char *)request + of->account->offset);
    assert(item->account);
    if (!*named)
        *named = item->account;
    if (strcmp(*named, item->account) == 0)
        return 0;
    snprintf(ret_invalid->message, sizeof(ret_invalid->message), "%s: no such account",
             of->account->name);
    return REFUSED_NOT_FOUND;
}

/* ---- Its keys -------------------------------------------------------------------------------- */

/* Without printf, because each request with a key passes here. */
static const char *join(struct arena *arena, const char *const parts[4])
{
    size_t lengths[4], length = 0;
    for (int i = 0; i < 4; i++)
        length += lengths[i] = strlen(parts[i]);
    char *text = arena_alloc(arena, length + 1), *at = text;
    for (int i = 0; text && i < 4; at += lengths[i], i++)
        memcpy(at, parts[i], lengths[i]);
    if (text)
        *at = '\0';
    return text;
}

int account_take_key(struct item *item, const char *key, struct invalid *ret_invalid)
{
    const char *account = item->account;
    assert(!item->origin.cause);
    item->origin.causation = key;
    item->key = account ? join(&item->arena, (const char *const[]){ account, "\n", key, "" }) : key;
    item->origin.cause = join(&item->arena,
                              account ? (const char *const[]){ CAUSE_ACCOUNT, account, "/", key }
                                      : (const char *const[]){ CAUSE_REQUEST, key, "", "" });
    if (!item->key || !item->origin.cause)
        return fail(ERR_MEMORY, "no memory for a request");
    if (strlen(item->origin.cause) <= EVENT_TEXT_MAX)
        return 0;
    assert(account); /* a plain one has room: EVENT_TEXT_FROM_OUTSIDE_MAX */
    snprintf(ret_invalid->field, sizeof(ret_invalid->field), "Idempotency-Key");
    snprintf(ret_invalid->message, sizeof(ret_invalid->message),
             "the header must have at most %zu bytes on the subject of an account",
             EVENT_TEXT_MAX - strlen(CAUSE_ACCOUNT) - strlen(account) - 1);
    return REFUSED_INVALID_REQUEST;
}
