/* Base: memory, buffers, results, refusals, time, ids, digests, log lines. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/lock_file.h"
#include "base/log.h"
#include "base/refusal.h"
#include "base/result.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

Test(arena, memory_is_zeroed_aligned_and_kept)
{
    struct arena arena;
    arena_init(&arena);
    char *texts[500];
    for (size_t i = 0; i < 500; i++) {
        char *memory = arena_alloc(&arena, i);
        cr_assert(memory && (uintptr_t)memory % _Alignof(max_align_t) == 0);
        for (size_t b = 0; b < i; b++)
            cr_assert(memory[b] == 0);
        texts[i] = arena_copy(&arena, "some text", i % 9);
    }
    for (size_t i = 0; i < 500; i++)
        cr_assert(strlen(texts[i]) == i % 9);
    cr_assert_str_eq(arena_copy(&arena, NULL, 0), "");
    cr_assert(arena_alloc(&arena, 1024 * 1024));
    cr_assert_null(arena_alloc(&arena, SIZE_MAX));
    arena_deinit(&arena);
    cr_assert_null(arena.blocks);
}

Test(arena, more_used_than_there_is_is_a_failed_assertion, .signal = SIGABRT)
{
    struct arena arena = { .used_bytes = 16 };
    arena_alloc(&arena, 1);
}

Test(buf, a_text_is_cut_and_goes_on)
{
    _deinit_(buf) struct buf buf = { 0 };
    buf_cut(&buf, 0);
    buf_put_text(&buf, "one,two");
    buf_cut(&buf, 3);
    cr_assert(buf.length == 3 && strcmp(buf.data, "one") == 0);
    buf_put_char(&buf, '!');
    cr_assert_str_eq(buf.data, "one!");
    buf_clear(&buf);
    cr_assert(buf.length == 0 && buf.data[0] == '\0');
}

Test(buf, cutting_behind_the_end_is_a_failed_assertion, .signal = SIGABRT)
{
    struct buf buf = { 0 };
    buf_put_text(&buf, "one");
    buf_cut(&buf, 4);
}

Test(buf, a_length_past_the_memory_is_a_failed_assertion, .signal = SIGABRT)
{
    struct buf buf = { 0 };
    buf_put_text(&buf, "one");
    buf.length = buf.capacity + 1;
    buf_put_text(&buf, "two");
}

Test(buf, json_text_is_escaped_as_rfc_8259_demands)
{
    static const struct {
        const char *text;
        size_t length;
        const char *json;
    } cases[] = {
        { "plain", 5, "\"plain\"" },
        { "", 0, "\"\"" },
        { "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
        { "line\nreturn\rtab\t", 16, "\"line\\nreturn\\rtab\\t\"" },
        { "\x01\x1f\x7f", 3, "\"\\u0001\\u001f\\u007f\"" },
        { "Köln", 5, "\"Köln\"" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        _deinit_(buf) struct buf buf = { 0 };
        buf_put_json(&buf, cases[i].text, cases[i].length);
        cr_assert_str_eq(buf.data, cases[i].json);
    }
}

Test(buf, numbers_and_hex_are_written_while_the_buffer_grows)
{
    _deinit_(buf) struct buf buf = { 0 };
    buf_put_int(&buf, INT64_MIN);
    buf_put_char(&buf, ' ');
    buf_put_int(&buf, 0);
    buf_put_format(&buf, " %s ", "x");
    buf_put_hex(&buf, "\xde\xad", 2);
    cr_assert_str_eq(buf.data, "-9223372036854775808 0 x dead");
    for (int i = 0; i < 10000; i++)
        buf_put_text(&buf, "0123456789");
    cr_assert(buf_status(&buf) == 0 && buf.length == strlen(buf.data));
    size_t length;
    char *taken = buf_take(&buf, &length);
    cr_assert(length == strlen(taken) && buf.data == NULL);
    free(taken);
}

static int inner(void)
{
    return fail(ERR_FULL, "no room for %d", 3);
}
static int outer(void)
{
    return trace(inner());
}

Test(result, a_failure_says_where_it_came_from)
{
    cr_assert_eq(outer(), -ERR_FULL);
    cr_assert(strncmp(failure_text(), "full: no room for 3 (test_base.c:", 33) == 0, "%s",
              failure_text());
    cr_assert_not_null(strstr(failure_text(), " < test_base.c:"));
    cr_assert_eq(trace(7), 7);
    cr_assert_str_eq(failure_name(-ERR_CORRUPT), "corrupt");
}

Test(refusal, each_refusal_has_a_code_and_a_status)
{
    static const struct refusal_type cases[] = {
        { REFUSED_INVALID_REQUEST, "invalid_request", 400, 0 },
        { REFUSED_NOT_FOUND, "not_found", 404, 0 },
        { REFUSED_CONFLICT, "conflict", 409, 0 },
        { REFUSED_TOO_LARGE, "too_large", 413, 0 },
        { REFUSED_INTERNAL, "internal", 500, 1 },
        { REFUSED_BUSY, "busy", 503, 1 },
        { REFUSED_REPLAYING, "replaying", 503, 1 },
        { REFUSED_UNCONFIRMED, "unconfirmed", 503, 1 },
    };
    size_t count = 0;
    for (int number = -1; number < REFUSED_OWN; number++)
        count += refusal_find(NULL, number) != NULL;
    cr_assert_eq(count, sizeof(cases) / sizeof(*cases));
    for (size_t i = 0; i < count; i++) {
        const struct refusal_type *type = refusal_of(cases[i].number);
        cr_assert_eq(type->number, cases[i].number);
        cr_assert_str_eq(type->code, cases[i].code);
        cr_assert_eq(type->status, cases[i].status);
        cr_assert_eq(type->is_transient, cases[i].is_transient);
    }
}

/* Files of 0.1.0 hold these numbers, so no refusal may get one of them. */
Test(refusal, a_service_adds_refusals_of_its_own)
{
    static const struct refusal_type own[] = { { 7, "out_of_stock", 422, 0 },
                                               { REFUSED_OWN, "tired", 503, 1 },
                                               { 0 } };
    cr_assert_eq(refusal_find(own, 7), &own[0]);
    cr_assert_eq(refusal_find(own, REFUSED_OWN), &own[1]);
    cr_assert_eq(refusal_find(own, REFUSED_BUSY), refusal_of(REFUSED_BUSY));
    cr_assert_null(refusal_find(own, 8));
    cr_assert_null(refusal_find(own, 0));
    cr_assert_null(refusal_find(own, REFUSED_OWN + 1));
}

Test(clock, a_formatted_time_is_parsed_to_the_same_time)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 1795412400123, "2026-11-23T05:40:00.123Z" },
        { -1, "1969-12-31T23:59:59.999Z" },
        { 951782400000, "2000-02-29T00:00:00.000Z" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[RFC3339_SIZE];
        int64_t ms = 42;
        rfc3339_format(cases[i].ms, text);
        cr_assert_str_eq(text, cases[i].text);
        cr_assert(rfc3339_parse(text, &ms) == 0 && ms == cases[i].ms);
    }
}

Test(clock, formatted_times_agree_with_libc)
{
    /* years 1 to 9999 */
    for (int64_t ms = -62135596800000; ms < 253402300800000; ms += 86400000 * 13 / 7 * 5 + 12345) {
        time_t seconds = (time_t)((ms - (ms % 1000 + 1000) % 1000) / 1000);
        char text[RFC3339_SIZE], libc[64];
        struct tm tm;
        int64_t again;
        gmtime_r(&seconds, &tm);
        snprintf(libc, sizeof(libc), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int)(ms - (int64_t)seconds * 1000));
        rfc3339_format(ms, text);
        cr_assert_str_eq(text, libc);
        cr_assert(rfc3339_parse(text, &again) == 0 && again == ms, "%s", text);
    }
}

Test(clock, times_with_any_decimals_are_parsed)
{
    static const struct {
        const char *text;
        int64_t ms;
    } others[] = {
        { "2026-11-23T05:40:00Z", 1795412400000 },
        { "2026-11-23T05:40:00.5Z", 1795412400500 },
        { "2026-11-23T05:40:00.123999999999999999Z", 1795412400123 },
        { "2016-12-31T23:59:60Z", 1483228800000 },
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        int64_t ms = 42;
        cr_assert(rfc3339_parse(others[i].text, &ms) == 0 && ms == others[i].ms, "%s",
                  others[i].text);
    }
}

Test(clock, malformed_times_are_refused)
{
    static const char *const wrong[] = {
        "",
        "x",
        "2026-11-23",
        "2026-11-23T05:40:00",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-11-23T05:40:00+01:00",
        "2026-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T05:60:00Z",
        "2026-11-23T05:40:61Z",
        "2026-11-23T05:40:00.Z",
        "2026-11-23T-1:40:00Z",
        " 026-11-23T05:40:00Z",
        "+026-11-23T05:40:00Z",
        "2026-11-23T05:40:00Zx",
        "2026-1-23T05:40:00Z",
        "2026-11-23 05:40:00Z",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        int64_t ms = 42;
        cr_assert(rfc3339_parse(wrong[i], &ms) == -ERR_INVALID && ms == 42, "%s", wrong[i]);
    }
}

Test(id, ids_are_sorted_unique_and_of_version_7)
{
    struct id_source source;
    char last[ID_SIZE] = "", id[ID_SIZE];
    id_source_init(&source, 0);
    for (int i = 0; i < 20000; i++) {
        /* the clock stands, then goes back */
        int64_t now_ms = 1795412400000 + i / 10000 - (i > 15000) * 5000;
        id_make(&source, "ord_", now_ms, id);
        cr_assert(strlen(id) == 40 && id[18] == '7' && strchr("89ab", id[23]), "%s", id);
        cr_assert(strcmp(last, id) < 0, "%s then %s", last, id);
        strcpy(last, id);
    }
}

Test(id, a_long_prefix_is_cut)
{
    struct id_source source;
    struct {
        char id[ID_SIZE], guard;
    } place = { .guard = 'g' };
    id_source_init(&source, 7);
    id_make(&source, "much_too_long_a_prefix_", 1795412400000, place.id);
    cr_assert(strlen(place.id) == ID_SIZE - 1 &&
              strncmp(place.id, "much_too_lo", ID_PREFIX_MAX) == 0 && place.guard == 'g');
}

Test(id, a_seed_makes_the_same_ids_again)
{
    struct id_source a, b;
    char x[ID_SIZE], y[ID_SIZE];
    id_source_init(&a, 7);
    id_source_init(&b, 7);
    for (int i = 0; i < 100; i++) {
        id_make(&a, "", i, x);
        id_make(&b, "", i, y);
        cr_assert_str_eq(x, y);
    }
}

Test(digest, digests_agree_with_known_vectors)
{
    static const struct {
        const char *text, *hex, *brief;
    } cases[] = {
        /* FIPS 180-2, appendix B; base64url by coreutils' basenc */
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
          "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0" },
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
          "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU" },
    };
    for (size_t i = 0; i < 2; i++) {
        struct digest digest, parsed;
        char hex[DIGEST_HEX_SIZE], brief[DIGEST_SHORT_SIZE];
        cr_assert(digest_of(cases[i].text, strlen(cases[i].text), &digest) == 0);
        digest_format(&digest, hex);
        cr_assert_str_eq(hex, cases[i].hex);
        cr_assert(digest_parse(hex, &parsed) == 0 && digest_equal(&digest, &parsed));
        digest_format_short(&digest, brief);
        cr_assert_str_eq(brief, cases[i].brief);
        cr_assert(digest_parse_any(brief, &parsed) == 0 && digest_equal(&digest, &parsed));
        cr_assert(digest_parse_any(hex, &parsed) == 0 && digest_equal(&digest, &parsed));
    }
    struct digest digest;
    static const char *const wrong[] = { "ba78", "", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFV",
                                         "47DEQpj8HBSa+_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
                                         "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuF=" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        cr_assert(digest_parse_any(wrong[i], &digest) == -ERR_INVALID, "%s", wrong[i]);
    cr_assert(digest_parse("ba78", &digest) == -ERR_INVALID);
    cr_assert(digest_parse("Ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                           &digest) == -ERR_INVALID);
}

/* What log_write puts on stderr. */
static void captured(enum log_format format, const char *value, char *text, size_t size)
{
    int ends[2], kept = dup(STDERR_FILENO);
    cr_assert(pipe(ends) == 0);
    dup2(ends[1], STDERR_FILENO);
    log_setup("test-svc", LOG_INFO, format);
    log_debug("hidden");
    log_info("thing", LOG_TEXT("name", value), LOG_INT("n", -5), LOG_TEXT("none", NULL));
    dup2(kept, STDERR_FILENO);
    close(ends[1]);
    ssize_t length = read(ends[0], text, size - 1);
    text[length > 0 ? length : 0] = '\0';
    close(ends[0]);
    close(kept);
}

#define UNSHOWN "\xef\xbf\xbd" /* U+FFFD */

Test(log, no_value_can_forge_a_line)
{
    static const struct {
        const char *value, *logfmt, *json;
    } cases[] = {
        { "plain", "name=plain n=-5\n", "\"name\":\"plain\",\"n\":-5}\n" },
        { "a b\nlevel=error", "name=\"a b\\nlevel=error\" n=-5\n",
          "\"name\":\"a b\\nlevel=error\",\"n\":-5}\n" },
        { "\"}\x1b[2J", "name=\"\\\"}\\u001b[2J\" n=-5\n",
          "\"name\":\"\\\"}\\u001b[2J\",\"n\":-5}\n" },
        { "", "name=\"\" n=-5\n", "\"name\":\"\",\"n\":-5}\n" },
        { "Köln €😀", "name=\"Köln €😀\" n=-5\n", "\"name\":\"Köln €😀\",\"n\":-5}\n" },
        { "C1 \xc2\x9b"
          "2J",
          "name=\"C1 " UNSHOWN UNSHOWN "2J\" n=-5\n", "\"C1 " UNSHOWN UNSHOWN "2J\"" },
        { "\xff\xc3(", "name=\"" UNSHOWN UNSHOWN "(\" n=-5\n", "\"" UNSHOWN UNSHOWN "(\"" },
        { "overlong \xc0\xaf", "\"overlong " UNSHOWN UNSHOWN "\"",
          "\"overlong " UNSHOWN UNSHOWN "\"" },
        { "half \xed\xa0\x80", "\"half " UNSHOWN UNSHOWN UNSHOWN "\"",
          "\"half " UNSHOWN UNSHOWN UNSHOWN "\"" },
        { "line\u2028turned\u202e",
          "\"line" UNSHOWN UNSHOWN UNSHOWN "turned" UNSHOWN UNSHOWN UNSHOWN "\"", "turned" },
        { "end\xe2\x82", "\"end" UNSHOWN UNSHOWN "\"", "\"end" UNSHOWN UNSHOWN "\"" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[512];
        captured(LOG_LOGFMT, cases[i].value, text, sizeof(text));
        cr_assert(strstr(text, cases[i].logfmt) && strchr(text, '\n') == text + strlen(text) - 1,
                  "%s", text);
        cr_assert(strstr(text, "level=info service=test-svc event=thing") &&
                  !strstr(text, "hidden"));
        captured(LOG_JSON, cases[i].value, text, sizeof(text));
        cr_assert(strstr(text, cases[i].json) && text[0] == '{' && strstr(text, "}\n"), "%s", text);
    }
}

Test(log, a_long_line_is_cut)
{
    static const struct {
        char fill;
        enum log_format format;
        const char *contains;
    } cases[] = {
        { 'x', LOG_LOGFMT, "xxx…\" n=-5\n" },
        { 'x', LOG_JSON, "xxx…\",\"n\":-5}\n" },
        { '\x01', LOG_LOGFMT, "\\u0001…\" n=-5\n" },
        { '\xff', LOG_JSON, UNSHOWN "…\",\"n\":-5}\n" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char value[10000], text[20000];
        memset(value, cases[i].fill, sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        captured(cases[i].format, value, text, sizeof(text));
        cr_assert(strlen(text) <= 4096 && strstr(text, cases[i].contains), "%s", text);
    }
}

#define WRITERS 4
#define LINES_EACH 500

static void *write_lines(void *argument)
{
    char value[1000];
    memset(value, *(char *)argument, sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int i = 0; i < LINES_EACH; i++)
        log_info("long", LOG_TEXT("a", value), LOG_TEXT("b", value), LOG_TEXT("c", value),
                 LOG_TEXT("d", value), LOG_TEXT("e", value), LOG_TEXT("f", value),
                 LOG_TEXT("g", value), LOG_TEXT("h", value));
    return NULL;
}

Test(log, lines_of_many_threads_stay_whole)
{
    char path[] = "/tmp/journey-log-XXXXXX", names[WRITERS] = "ABCD", line[5000];
    int file = mkstemp(path), kept = dup(STDERR_FILENO), count = 0;
    pthread_t threads[WRITERS];
    cr_assert(file >= 0 && fcntl(file, F_SETFL, O_APPEND) == 0);
    dup2(file, STDERR_FILENO);
    for (int i = 0; i < WRITERS; i++)
        cr_assert(pthread_create(&threads[i], NULL, write_lines, &names[i]) == 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    dup2(kept, STDERR_FILENO);
    FILE *lines = fopen(path, "r");
    unlink(path);
    for (; fgets(line, sizeof(line), lines); count++) {
        const char *value = strstr(line, " a=\"");
        cr_assert(strncmp(line, "time=", 5) == 0 && value && strlen(line) <= 4096);
        size_t same = strspn(value + 4, (char[]){ value[4], '\0' });
        cr_assert(same == 600 && strcmp(line + strlen(line) - 9, " cut=yes\n") == 0, "%s", line);
    }
    fclose(lines);
    close(file);
    close(kept);
    cr_assert_eq(count, WRITERS * LINES_EACH);
}

Test(log, levels_and_formats_are_parsed_by_name)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    enum log_level level = LOG_WARN;
    enum log_format format = LOG_JSON;
    for (int i = 0; i < 4; i++)
        cr_assert(log_level_parse(levels[i], &level) == 0 && (int)level == i);
    cr_assert(log_level_parse("loud", &level) == -ERR_CONFIG && level == LOG_ERROR);
    cr_assert(log_format_parse("logfmt", &format) == 0 && format == LOG_LOGFMT);
    cr_assert(log_format_parse("json", &format) == 0 && format == LOG_JSON);
    cr_assert(log_format_parse("xml", &format) == -ERR_CONFIG && format == LOG_JSON);
}

/* ---- Lock files ----------------------------------------------------------------------------- */

Test(lock_file, a_lock_has_one_owner_at_a_time)
{
    char path[64] = "/tmp/journey-lock-XXXXXX";
    int owner = -1, second = -1, named = mkstemp(path);
    cr_assert(named >= 0);
    cr_assert_eq(lock_file_take(path, 0, &owner), 0);
    cr_assert_eq(lock_file_take(path, 40, &second), -ERR_LOCKED);
    cr_assert(strstr(failure_text(), "another process works on this folder"));
    cr_assert_eq(second, -1);
    close(owner);
    cr_assert_eq(lock_file_take(path, 0, &second), 0);
    close(second);
    close(named);
    unlink(path);
    cr_assert_eq(lock_file_take("/nowhere/at/all", 0, &second), -ERR_READONLY);
}
