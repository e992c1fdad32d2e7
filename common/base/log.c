/* Log: see log.h. */
#include "base/log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/result.h"
#include <string.h>
#include <unistd.h>

static const char *log_service = "journey";
static enum log_level log_threshold = LOG_INFO;
static enum log_format log_shape = LOG_LOGFMT;

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_setup(const char *service, enum log_level level, enum log_format format)
{
    log_service = service;
    log_threshold = level;
    log_shape = format;
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    return fail(ERR_CONFIG, "a log level is debug, info, warn or error");
}

int log_format_parse(const char *text, enum log_format *ret_format)
{
    if (strcmp(text, "logfmt") == 0)
        *ret_format = LOG_LOGFMT;
    else if (strcmp(text, "json") == 0)
        *ret_format = LOG_JSON;
    else
        return fail(ERR_CONFIG, "a log format is logfmt or json");
    return 0;
}

/* A value that could be misread is quoted as a JSON string: control characters cannot get through. */
static void put_value(struct buf *line, const char *text)
{
    _Bool plain = *text != '\0';
    for (const unsigned char *c = (const unsigned char *)text; *c && plain; c++)
        plain = *c > 0x20 && *c < 0x7f && *c != '"' && *c != '=' && *c != '\\';
    if (plain && log_shape == LOG_LOGFMT)
        buf_put_text(line, text);
    else
        buf_put_json(line, text, strlen(text));
}

static void put_key(struct buf *line, const char *key)
{
    if (line->length > 0)
        buf_put_char(line, log_shape == LOG_JSON ? ',' : ' ');
    else if (log_shape == LOG_JSON)
        buf_put_char(line, '{');
    if (log_shape == LOG_JSON)
        buf_put_format(line, "\"%s\":", key);
    else
        buf_put_format(line, "%s=", key);
}

static void put_text(struct buf *line, const char *key, const char *text)
{
    put_key(line, key);
    put_value(line, text);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    if (level < log_threshold)
        return;
    _deinit_(buf) struct buf line = { 0 };
    char now[RFC3339_SIZE];
    rfc3339_format(clock_wall_ms(), now);
    put_text(&line, "time", now);
    put_text(&line, "level", level_names[level]);
    put_text(&line, "service", log_service);
    put_text(&line, "event", event);
    for (; fields->key; fields++) {
        if (!fields->is_text) {
            put_key(&line, fields->key);
            buf_put_int(&line, fields->number);
        } else if (fields->text) {
            put_text(&line, fields->key, fields->text);
        }
    }
    buf_put_text(&line, log_shape == LOG_JSON ? "}\n" : "\n");
    if (!line.failed && write(STDERR_FILENO, line.data, line.length) < 0)
        return;         /* nowhere left to say it */
}
