/* Notices: see notices.h. */
#include "runtime/core/notices.h"
#include "base/log.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *notice_kind_name(enum notice_kind kind)
{
    static const char *const names[] = {
        [NOTICE_BORNE] = "borne",
        [NOTICE_MENDED] = "mended",
        [NOTICE_LOST] = "lost",
        [NOTICE_HELD] = "held",
    };
    return names[kind];
}

/* Quotes and backslashes go, for the text stands in JSON and in labels of metrics. */
static void copy_printable(char *to, size_t size, const char *from, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length && n + 1 < size; i++)
        if (from[i] != '"' && from[i] != '\\')
            to[n++] = (char)(from[i] >= ' ' && from[i] <= '~' ? from[i] : '?');
    to[n] = '\0';
}

void notice_set(struct notice *notice, enum notice_kind kind, const char *of, const char *field,
                const char *value, size_t value_length)
{
    assert(of && field && (value || value_length == 0));
    notice->kind = kind;
    copy_printable(notice->of, sizeof(notice->of), of, strlen(of));
    copy_printable(notice->field, sizeof(notice->field), field, strlen(field));
    copy_printable(notice->value, sizeof(notice->value), value, value_length);
}

static _Bool is_same(const struct notice *one, const struct notice *other)
{
    return one->kind == other->kind && strcmp(one->of, other->of) == 0 &&
           strcmp(one->field, other->field) == 0 && strcmp(one->value, other->value) == 0;
}

static _Bool is_among(const struct notice *one, const struct notice *list, int count)
{
    for (int i = 0; i < count; i++)
        if (is_same(one, &list[i]))
            return 1;
    return 0;
}

static void log_notice(const struct notice *notice, const char *event, enum log_level level)
{
    log_at(level, event, LOG_TEXT("of", notice->of), LOG_TEXT("field", notice->field),
           LOG_TEXT("value", notice->value), LOG_TEXT("is", notice_kind_name(notice->kind)));
}

void notices_replace(struct notices *notices, const char *of, const struct notice *now, int count)
{
    int kept = 0, held = 0;
    assert(count >= 0);
    pthread_mutex_lock(&notices->lock);
    for (int i = 0; i < count; i++) {
        assert(strcmp(now[i].of, of) == 0);
        if (!is_among(&now[i], notices->at, notices->count))
            log_notice(&now[i], "notice", LOG_WARN);
    }
    for (int i = 0; i < notices->count; i++) {
        if (strcmp(notices->at[i].of, of) != 0)
            notices->at[kept++] = notices->at[i];
        else if (!is_among(&notices->at[i], now, count))
            log_notice(&notices->at[i], "notice_over", LOG_INFO);
    }
    for (int i = 0; i < kept; i++)
        held += notices->at[i].kind == NOTICE_HELD;
    for (int i = 0; i < count && kept < NOTICES_MAX; i++) {
        held += now[i].kind == NOTICE_HELD;
        notices->at[kept++] = now[i];
    }
    notices->count = kept;
    atomic_store(&notices->held, held);
    pthread_mutex_unlock(&notices->lock);
}

_Bool notices_read(const struct notices *notices, int i, struct notice *ret_notice)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&notices->lock;
    pthread_mutex_lock(lock);
    const _Bool is_there = i >= 0 && i < notices->count;
    if (is_there)
        *ret_notice = notices->at[i];
    pthread_mutex_unlock(lock);
    return is_there;
}

_Bool notices_read_held(const struct notices *notices, char *ret_text, size_t size)
{
    struct notice notice;
    for (int i = 0; notices_read(notices, i, &notice); i++) {
        if (notice.kind != NOTICE_HELD)
            continue;
        snprintf(ret_text, size, "%s=%s (%s)", notice.field, notice.value, notice.of);
        return 1;
    }
    return 0;
}

_Bool status_text_set(struct status_text *status, const char *text)
{
    char printable[sizeof(status->text)];
    copy_printable(printable, sizeof(printable), text, strlen(text));
    pthread_mutex_lock(&status->lock);
    const _Bool is_new = strcmp(status->text, printable) != 0;
    memcpy(status->text, printable, sizeof(printable));
    pthread_mutex_unlock(&status->lock);
    return is_new;
}

void status_text_read(const struct status_text *status, char *ret_text, size_t size)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&status->lock;
    pthread_mutex_lock(lock);
    snprintf(ret_text, size, "%s", status->text);
    pthread_mutex_unlock(lock);
}
