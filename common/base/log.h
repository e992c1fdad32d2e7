/* Log: lines on stderr, as logfmt (the default) or JSON. Each line is one write(2). Values are
 * escaped, so that nothing from outside can forge a line. Personal data and card tokens do not
 * belong here: log ids. Any thread. A value has at most 600 bytes and a line at most 4096, which a
 * pipe takes as a whole. A longer value ends in an ellipsis; fields for which there is no room are
 * left out, and cut=yes stands in their place.
 *
 * From log_start to log_stop, lines go through a bounded queue to a thread of its own, so that a
 * reader of the log that stands still delays nobody; log_lines_dropped says how many lines found no
 * place (log_queue.h). Of one event at most 20 lines are written in a second then, but for debug
 * lines; log_lines_suppressed says how many were left out (log_limit.h).
 *
 *     log_info("relay_resumed", LOG_TEXT("stream", name), LOG_INT("position", position));
 *     time=2026-11-23T05:40:00.123Z level=info service=order-svc event=relay_resumed stream=ORDER
 *     position=7
 */
#pragma once
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_field {
    const char *key;  /* NULL ends the list */
    const char *text; /* NULL with is_text: the field is left out */
    int64_t number;
    _Bool is_text;
};
#define LOG_TEXT(k, v) (struct log_field){ .key = (k), .text = (v), .is_text = 1 }
#define LOG_INT(k, v)                      \
    (struct log_field)                     \
    {                                      \
        .key = (k), .number = (int64_t)(v) \
    }

/* To be called before the first line and before threads are started. service is borrowed for the
 * life of the process. */
void log_setup(const char *service, enum log_level level, enum log_format format);

int log_level_parse(const char *text, enum log_level *ret_level);    /* 0, or -ERR_CONFIG */
int log_format_parse(const char *text, enum log_format *ret_format); /* 0, or -ERR_CONFIG */

int log_start(void);            /* 0, or -ERR_MEMORY: lines are written at once, as before */
void log_flush(int timeout_ms); /* waits until all lines are written, at most so long */
void log_stop(int timeout_ms);  /* likewise, and ends the thread */

int64_t log_lines_dropped(void);    /* since the start, for want of room or by a failed write */
int64_t log_lines_suppressed(void); /* since the start, because there were too many of a kind */

_Bool log_is_written(enum log_level level); /* for what would be worked out for a line alone */
void log_write(enum log_level level, const char *event, const struct log_field *fields);
#define log_list(level, event, ...) \
    log_write((level), (event), (const struct log_field[]){ __VA_ARGS__ })
#define log_at(level, event, ...) log_list(level, event, ##__VA_ARGS__, { 0 })
#define log_debug(event, ...) log_at(LOG_DEBUG, event, ##__VA_ARGS__)
#define log_info(event, ...) log_at(LOG_INFO, event, ##__VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_WARN, event, ##__VA_ARGS__)
#define log_error(event, ...) log_at(LOG_ERROR, event, ##__VA_ARGS__)
