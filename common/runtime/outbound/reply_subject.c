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

void reply_subject_of_own(reply_subject ret_subject, const char *inbox, int64_t generation,
                          int64_t pull)
{
    check_length(snprintf(ret_subject, sizeof(reply_subject), "%s.o.%lld.%lld", inbox,
                          (long long)generation, (long long)pull));
}

void reply_subject_of_request(reply_subject ret_subject, const char *inbox,
                              const struct reply_tag *tag)
{
    assert(tag->part > ' ' && tag->step > ' ');
    check_length(snprintf(ret_subject, sizeof(reply_subject), "%s.q.%c.%c.%lld.%lld", inbox,
                          tag->part, tag->step, (long long)tag->epoch, (long long)tag->n));
}

static _Bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* Appends a dot and the text as one token; the length then, or one that is too large. */
static size_t put_token(reply_subject subject, size_t length, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    size_t wanted = length + 1;
    for (const char *c = text; *c; c++)
        wanted += is_plain((unsigned char)*c) ? 1 : 3;
    if (!*text || wanted > BUS_SUBJECT_MAX)
        return BUS_SUBJECT_MAX + 1;
    subject[length++] = '.';
    for (const char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (is_plain(byte)) {
            subject[length++] = *c;
            continue;
        }
        subject[length++] = '=';
        subject[length++] = digits[byte >> 4];
        subject[length++] = digits[byte & 15];
    }
    subject[length] = '\0';
    assert(length == wanted);
    return length;
}

_Bool reply_subject_of_call(reply_subject ret_subject, const char *inbox,
                            const struct call_tag *tag)
{
    assert(tag->id > 0 && tag->call >= 0);
    int head = snprintf(ret_subject, sizeof(reply_subject), "%s.w.%lld.%lld.%lld", inbox,
                        (long long)tag->id, (long long)tag->call, (long long)tag->number);
    check_length(head);
    size_t length = put_token(ret_subject, (size_t)head, tag->work);
    if (length <= BUS_SUBJECT_MAX)
        length = put_token(ret_subject, length, tag->key);
    return length <= BUS_SUBJECT_MAX;
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

static _Bool read_pair(const char *subject, const char *inbox, char kind, int64_t *ret_first,
                       int64_t *ret_second)
{
    int64_t numbers[2];
    if (!read_numbers(after_kind(subject, inbox, kind), numbers, 2))
        return 0;
    *ret_first = numbers[0];
    *ret_second = numbers[1];
    return 1;
}

_Bool reply_subject_read_ack(const char *subject, const char *inbox, int64_t *ret_epoch,
                             int64_t *ret_ahead)
{
    return read_pair(subject, inbox, 'a', ret_epoch, ret_ahead);
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

_Bool reply_subject_read_own(const char *subject, const char *inbox, int64_t *ret_generation,
                             int64_t *ret_pull)
{
    return read_pair(subject, inbox, 'o', ret_generation, ret_pull);
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

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A dot and a token, up to the next dot or the end; NULL: none, or one that is too long. */
static const char *read_token(const char *text, char ret_token[WORK_KEY_SIZE])
{
    size_t length = 0;
    if (!text || *text++ != '.')
        return NULL;
    for (; *text && *text != '.'; text++) {
        int byte = (unsigned char)*text;
        if (byte == '=') {
            if (hex(text[1]) < 0 || hex(text[2]) < 0)
                return NULL;
            byte = hex(text[1]) * 16 + hex(text[2]);
            text += 2;
        } else if (!is_plain((unsigned char)byte)) {
            return NULL;
        }
        if (byte == 0 || length == WORK_KEY_SIZE - 1)
            return NULL;
        ret_token[length++] = (char)byte;
    }
    ret_token[length] = '\0';
    return length > 0 ? text : NULL;
}

/* A dot and a number; NULL: none. */
static const char *read_number(const char *text, int64_t *ret_number)
{
    char *end = NULL;
    if (!text || *text != '.')
        return NULL;
    *ret_number = strtoll(text + 1, &end, 10);
    return end > text + 1 ? end : NULL;
}

_Bool reply_subject_read_call(const char *subject, const char *inbox, struct call_tag *ret_tag)
{
    struct call_tag tag = { 0 };
    const char *rest = read_number(after_kind(subject, inbox, 'w'), &tag.id);
    rest = read_number(rest, &tag.call);
    rest = read_number(rest, &tag.number);
    rest = read_token(rest, tag.work);
    rest = read_token(rest, tag.key);
    if (!rest || *rest)
        return 0;
    *ret_tag = tag;
    return 1;
}
