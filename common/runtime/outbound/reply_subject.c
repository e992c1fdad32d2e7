/* Reply subjects: see reply_subject.h. */
#include "runtime/outbound/reply_subject.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_length(int length)
{
    assert(length > 0 && length <= BUS_SUBJECT_MAX);
    (void)length; /* without assertions */
}

void reply_subject_of_ack(reply_subject ret_subject, const char *inbox, int64_t epoch,
                          int64_t ahead)
{
    check_length(snprintf(ret_subject, sizeof(reply_subject), "%s.a.%lld.%lld", inbox,
                          (long long)epoch, (long long)ahead));
}

void reply_subject_of_pull(reply_subject ret_subject, const char *inbox, int feed, int64_t epoch,
                           int64_t pull)
{
    assert(feed >= 0);
    check_length(snprintf(ret_subject, sizeof(reply_subject), "%s.f.%d.%lld.%lld", inbox, feed,
                          (long long)epoch, (long long)pull));
}

void reply_subject_of_request(reply_subject ret_subject, const char *inbox,
                              const struct reply_tag *tag)
{
    assert(tag->part > ' ' && tag->step > ' ');
    check_length(snprintf(ret_subject, sizeof(reply_subject), "%s.q.%c.%c.%lld.%lld", inbox,
                          tag->part, tag->step, (long long)tag->epoch, (long long)tag->n));
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* What follows <inbox>.<kind>; NULL: another kind, or no subject of ours. */
static const char *after_kind(const char *subject, const char *inbox, char kind)
{
    size_t length = strlen(inbox);
    if (strncmp(subject, inbox, length) != 0)
        return NULL;
    const char *rest = subject + length;
    return rest[0] == '.' && rest[1] == kind ? rest + 2 : NULL;
}

/* All of the text: so many numbers, each behind a dot. */
static _Bool read_numbers(const char *text, int64_t *ret_numbers, int count)
{
    assert(count > 0);
    for (int i = 0; i < count; i++) {
        char *end = NULL;
        if (!text || *text != '.')
            return 0;
        ret_numbers[i] = strtoll(text + 1, &end, 10);
        if (end == text + 1)
            return 0;
        text = end;
    }
    return *text == '\0';
}

_Bool reply_subject_read_ack(const char *subject, const char *inbox, int64_t *ret_epoch,
                             int64_t *ret_ahead)
{
    int64_t numbers[2];
    if (!read_numbers(after_kind(subject, inbox, 'a'), numbers, 2))
        return 0;
    *ret_epoch = numbers[0];
    *ret_ahead = numbers[1];
    return 1;
}

_Bool reply_subject_read_pull(const char *subject, const char *inbox, int64_t *ret_epoch,
                              int64_t *ret_pull)
{
    int64_t numbers[3];
    if (!read_numbers(after_kind(subject, inbox, 'f'), numbers, 3))
        return 0;
    *ret_epoch = numbers[1];
    *ret_pull = numbers[2];
    return 1;
}

_Bool reply_subject_read_request(const char *subject, const char *inbox, struct reply_tag *ret_tag)
{
    const char *rest = after_kind(subject, inbox, 'q');
    int64_t numbers[2];
    if (!rest || strnlen(rest, 4) < 4 || rest[0] != '.' || rest[2] != '.' ||
        !read_numbers(rest + 4, numbers, 2))
        return 0;
    *ret_tag = (struct reply_tag){
        .part = rest[1],
        .step = rest[3],
        .epoch = numbers[0],
        .n = numbers[1],
    };
    return 1;
}
