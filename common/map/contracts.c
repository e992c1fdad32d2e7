/* Contracts: see contracts.h. */
#include "map/contracts.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/json_text.h"
#include "base/log.h"
#include "base/result.h"

/* A text of JSON, with its quotes? */
static _Bool is_text(struct json_text value)
{
    return value.length >= 2 && *value.text == '"';
}

static void put_event(struct json_text schemas, struct json_text event, const char **before,
                      struct buf *out)
{
    struct json_text name = json_text_find(event, "name"), members_name, schema,
                     wanted = json_text_find(event, "schema");
    struct json_members members;
    if (!is_text(name) || !is_text(wanted))
        return;
    json_text_members_begin(&members, schemas);
    while (json_text_members_next(&members, &members_name, &schema))
        if (members_name.length + 2 == wanted.length &&
            memcmp(members_name.text, wanted.text + 1, members_name.length) == 0) {
            struct json_text means = json_text_find(schema, "description");
            if (!is_text(means))
                return;
            buf_put_text(out, *before);
            buf_put(out, name.text, name.length);
            buf_put_char(out, ':');
            buf_put(out, means.text, means.length);
            *before = ",";
            return;
        }
}

/* 0; > 0: it is no contract. */
static int put_contract(struct json_text contract, struct buf *out)
{
    struct json_text log = json_text_find(contract, "log"), key, event,
                     schemas = json_text_find(contract, "schemas");
    struct json_members members;
    const char *before = "";
    if (!is_text(log) || json_text_find(contract, "contract").length == 0)
        return 1;
    buf_put(out, log.text, log.length);
    buf_put_text(out, ":{");
    json_text_members_begin(&members, json_text_find(contract, "events"));
    while (json_text_members_next(&members, &key, &event))
        put_event(schemas, event, &before, out);
    buf_put_char(out, '}');
    return 0;
}

static int read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    char block[65536];
    if (!file)
        return fail(ERR_CONFIG, "%s: %s", path, errno_text(errno));
    for (size_t count; (count = fread(block, 1, sizeof(block), file)) > 0;) {
        buf_put(out, block, count);
        if (out->length > CONTRACT_BYTES_MAX)
            break;
    }
    (void)fclose(file);
    if (out->length > CONTRACT_BYTES_MAX)
        return fail(ERR_CONFIG, "%s: too large for a contract", path);
    return trace(buf_status(out));
}

static int read_contract(const char *path, struct buf *out)
{
    _deinit_(buf) struct buf text = { 0 };
    int r = read_file(path, &text);
    if (r == 0 && put_contract(json_text_of(text.data, text.length), out) > 0)
        r = fail(ERR_CONFIG, "%s: no contract, as a service prints it with --print-contract", path);
    return trace(r);
}

int contracts_read(const char *files, struct buf *out)
{
    char path[4096];
    int r = 0, count = 0;
    buf_put_char(out, '{');
    for (const char *at = files; r == 0 && at && *at; count++) {
        const size_t length = strcspn(at, ",");
        if (count == CONTRACTS_MAX || length >= sizeof(path))
            return fail(ERR_CONFIG, "at most %d contracts, and paths of usual length",
                        CONTRACTS_MAX);
        snprintf(path, sizeof(path), "%.*s", (int)length, at);
        at += length + (at[length] == ',');
        if (count > 0)
            buf_put_char(out, ',');
        r = read_contract(path, out);
    }
    buf_put_char(out, '}');
    return r < 0 ? trace(r) : trace(buf_status(out));
}
