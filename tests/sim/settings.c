/* Settings: the configuration of a stream as the server keeps it: the text that it was given, which
 * it shows again, and of which it does a few things. See server.h. */
#include "base/buf.h"
#include "server.h"
#include "world.h"
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000

struct json_text settings_find(const struct stream *stream, const char *field)
{
    return json_text_find(json_text_of(stream->config, strlen(stream->config)), field);
}

void settings_set(struct stream *stream, const char *config, size_t length)
{
    if (length >= sizeof(stream->config)) {
        fprintf(stderr, "simulate: a configuration of %zu bytes has no room\n", length);
        exit(1);
    }
    memcpy(stream->config, config, length);
    stream->config[length] = '\0';
    stream->duplicate_window_ms = json_text_number(settings_find(stream, "duplicate_window"), 0) /
                                  NS_PER_MS;
    stream->max_messages = json_text_number(settings_find(stream, "max_msgs"), 0);
    stream->no_ack = json_text_is(settings_find(stream, "no_ack"), "true");
    stream->is_sealed = json_text_is(settings_find(stream, "sealed"), "true");
}

_Bool settings_forget(const struct stream *stream)
{
    return json_text_is(settings_find(stream, "allow_msg_ttl"), "true") ||
           json_text_number(settings_find(stream, "max_age"), 0) > 0;
}

/* value NULL: it is there no more. */
void settings_put(struct stream *stream, const char *field, const char *value)
{
    _deinit_(buf) struct buf config = { 0 };
    struct json_members members;
    struct json_text name, text;
    const char *comma = "";
    buf_put_char(&config, '{');
    json_text_members_begin(&members, json_text_of(stream->config, strlen(stream->config)));
    while (json_text_members_next(&members, &name, &text)) {
        if (name.length == strlen(field) && memcmp(name.text, field, name.length) == 0)
            continue;
        buf_put_format(&config, "%s\"%.*s\":%.*s", comma, (int)name.length, name.text,
                       (int)text.length, text.text);
        comma = ",";
    }
    if (value)
        buf_put_format(&config, "%s\"%s\":%s", comma, field, value);
    buf_put_char(&config, '}');
    settings_set(stream, config.data, config.length);
}
