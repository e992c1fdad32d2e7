/* Log: see log.h. */
#include "base/log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log_limit.h"
#include "base/log_queue.h"
#include "base/result.h"
#include "base/utf8.h"
#include <assert.h>
#include <string.h>

#define LINE_MAX_BYTES 4096 /* PIPE_BUF: up to here a pipe takes a line as a whole */
#define VALUE_MAX_BYTES 600 /* a failure's text has at most 514 */
#define CUT_BYTES 16        /* room for the mark of a line that was cut, and the line's end */

static const char *log_service = "journey";
static enum log_level log_threshold = LOG_INFO;
static enum log_format log_shape = LOG_LOGFMT;
static _Bool log_is_limited; /* since log_start: what tools print is asked for */

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_setup(const char *service, enum log_level level, enum log_format format)
{
    assert(service);
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

/* Bytes of the printable character that starts here; controls are escaped by buf_put_json. 0: what
 * a line could be forged with. */
static size_t shown_bytes(const char *text)
{
    return (unsigned char)*text < 0x80 ? 1 : utf8_printable_length(text);
}

/* At most VALUE_MAX_BYTES of the text. U+FFFD stands for what is not shown, an ellipsis for what is
 * cut. */
static void put_quoted(struct buf *line, const char *text)
{
    char clean[VALUE_MAX_BYTES + 3];
    size_t length = 0;
    while (*text) {
        size_t bytes = shown_bytes(text), wanted = bytes ? bytes : 3;
        if (length + wanted > VALUE_MAX_BYTES) {
            /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): its length is counted */
            memcpy(clean + length, "…", 3);
            length += 3;
            break;
        }
        memcpy(clean + length, bytes ? text : "\xef\xbf\xbd", wanted);
        length += wanted;
        text += bytes ? bytes : 1;
    }
    buf_put_json(line, clean, length);
}

/* A value that could be misread is quoted as a JSON string, so that control characters are
 * escaped. */
static void put_value(struct buf *line, const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    while (*c > 0x20 && *c < 0x7f && *c != '"' && *c != '=' && *c != '\\')
        c++;
    size_t length = (size_t)(c - (const unsigned char *)text);
    if (*c == '\0' && length > 0 && length <= VALUE_MAX_BYTES && log_shape == LOG_LOGFMT)
        buf_put(line, text, length);
    else
        put_quoted(line, text);
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

static void put_field(struct buf *line, const struct log_field *field)
{
    if (!field->is_text) {
        put_key(line, field->key);
        buf_put_int(line, field->number);
    } else if (field->text) {
        put_text(line, field->key, field->text);
    }
}

_Bool log_is_written(enum log_level level)
{
    return level >= log_threshold;
}

static void write_line(enum log_level level, const char *event, const struct log_field *fields,
                       _Bool is_urgent)
{
    _deinit_(buf) struct buf line = { 0 };
    char now[RFC3339_SIZE];
    rfc3339_format(clock_wall_ms(), now);
    put_text(&line, "time", now);
    put_text(&line, "level", level_names[level]);
    put_text(&line, "service", log_service);
    put_text(&line, "event", event);
    for (; fields->key; fields++) {
        /* cppcheck-suppress variableScope ; it is taken before put_field() */
        size_t before = line.length;
        put_field(&line, fields);
        if (line.length > LINE_MAX_BYTES - CUT_BYTES) {
            buf_cut(&line, before);
            put_text(&line, "cut", "yes");
            break;
        }
    }
    buf_put_text(&line, log_shape == LOG_JSON ? "}\n" : "\n");
    if (!line.failed)
        log_queue_put(line.data, line.length, is_urgent);
}

/* The kinds of which lines were left out, when their second is over. */
static void tell_suppressed(int64_t now_ms)
{
    char event[LOG_LIMIT_NAME_SIZE];
    int64_t lines;
    while ((lines = log_limit_take_suppressed(now_ms, event)) > 0) {
        const struct log_field fields[] = { LOG_TEXT("kind", event),
                                            LOG_INT("lines", lines),
                                            { 0 } };
        write_line(LOG_WARN, "log_lines_suppressed", fields, 1);
    }
}

/* On the queue's thread. */
static void tick(int64_t dropped)
{
    const struct log_field fields[] = { LOG_INT("lines", dropped), { 0 } };
    if (dropped > 0)
        write_line(LOG_WARN, "log_lines_dropped", fields, 1);
    tell_suppressed(clock_monotonic_ms());
}

/* Debug lines are asked for one by one. The first of a kind in a second is urgent: a change of
 * state is always that. */
void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    assert(event && fields);
    if (level < log_threshold)
        return;
    int64_t now_ms = clock_monotonic_ms();
    int number = 0;
    _Bool takes = !log_is_limited || level == LOG_DEBUG || log_limit_takes(event, now_ms, &number);
    if (takes)
        write_line(level, event, fields, level == LOG_ERROR || number == 1);
}

int log_start(void)
{
    log_is_limited = 1;
    return trace(log_queue_start(tick));
}

void log_flush(int timeout_ms)
{
    log_queue_flush(timeout_ms);
}

void log_stop(int timeout_ms)
{
    tell_suppressed(INT64_MAX);
    log_queue_stop(timeout_ms);
}

int64_t log_lines_dropped(void)
{
    return log_queue_dropped();
}

int64_t log_lines_suppressed(void)
{
    return log_limit_suppressed();
}
