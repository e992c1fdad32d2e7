/* Log: a flood of lines, and a reader that stands still. What a line looks like: test_base.c. */
#include "base/buf.h"
#include "base/log.h"
#include "base/log_limit.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(log, a_kind_has_twenty_lines_a_second_and_the_rest_is_counted)
{
    char event[LOG_LIMIT_NAME_SIZE];
    int number;
    for (int i = 0; i < 5000; i++)
        cr_assert_eq(log_limit_takes("flood", 1000 + i % 999, &number), i < LOG_LIMIT_LINES);
    cr_assert(log_limit_takes("other", 1999, &number));
    cr_assert_eq(number, 1);
    cr_assert_eq(log_limit_take_suppressed(1999, event), 0, "its second is not over");
    cr_assert_eq(log_limit_take_suppressed(2000, event), 4980);
    cr_assert_str_eq(event, "flood");
    cr_assert_eq(log_limit_take_suppressed(9000, event), 0, "it was told once");
    cr_assert(log_limit_takes("flood", 2000, &number));
    cr_assert_eq(number, 1);
    cr_assert_eq(log_limit_suppressed(), 4980);
}

/* More kinds than there are places: each has its first line. */
Test(log, kinds_beyond_the_table_share_a_place)
{
    char event[16];
    int number, taken = 0;
    for (int i = 0; i < 2 * LOG_LIMIT_KINDS; i++) {
        snprintf(event, sizeof(event), "kind_%d", i);
        taken += log_limit_takes(event, 1, &number);
    }
    cr_assert_eq(taken, LOG_LIMIT_KINDS + LOG_LIMIT_LINES - 1);
}

/* All that comes out of the pipe once there is a reader; ends when nobody holds the other end. */
static void *read_all(void *argument)
{
    int *ends = argument;
    struct buf *text = calloc(1, sizeof(*text));
    char part[4096];
    ssize_t length;
    while ((length = read(ends[0], part, sizeof(part))) > 0)
        buf_put(text, part, (size_t)length);
    return text;
}

/* 20,000 debug lines, which have no limit, and a pipe that takes 64 KiB of them. */
Test(log, a_reader_that_stands_still_delays_nobody_and_hears_what_was_dropped)
{
    int ends[2], kept = dup(STDERR_FILENO);
    cr_assert(pipe(ends) == 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    log_setup("test-svc", LOG_DEBUG, LOG_LOGFMT);
    cr_assert_eq(log_start(), 0);
    log_info("before");
    for (int i = 0; i < 20000; i++)
        log_debug("flood", LOG_INT("n", i));
    log_error("corrupt", LOG_TEXT("reason", "an error is urgent"));
    log_flush(1); /* returns, though nothing is read */
    cr_assert_gt(log_lines_dropped(), 10000);
    pthread_t reader;
    struct buf *text;
    pthread_create(&reader, NULL, read_all, ends);
    log_stop(600000);
    dup2(kept, STDERR_FILENO);
    pthread_join(reader, (void **)&text);
    static const char told[] = "event=log_lines_dropped lines=";
    long long dropped = 0;
    for (const char *at = text->data; (at = strstr(at, told)); at++)
        dropped += strtoll(at + strlen(told), NULL, 10);
    cr_expect_eq(dropped, log_lines_dropped());
    cr_expect(strstr(text->data, "event=before\n"));
    cr_expect(strstr(text->data, "event=corrupt reason=\"an error is urgent\"\n"));
    buf_deinit(text);
    free(text);
    close(kept);
    close(ends[0]);
}

Test(log, a_reader_that_never_comes_back_does_not_hold_up_the_end)
{
    int ends[2];
    cr_assert(pipe(ends) == 0);
    dup2(ends[1], STDERR_FILENO);
    log_setup("test-svc", LOG_DEBUG, LOG_LOGFMT);
    cr_assert_eq(log_start(), 0);
    for (int i = 0; i < 5000; i++)
        log_debug("flood", LOG_INT("n", i));
    log_stop(1);
    _exit(0);
}
