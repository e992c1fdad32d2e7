/* Http: pages that exist, paths that do not, and addresses that cannot be bound. */
#include "base/result.h"
#include "runtime/watch/http.h"
#include "runtime/watch/http_request.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int write_text(void *context, struct buf *out, const char **content_type)
{
    (void)content_type;
    buf_put_text(out, context);
    return 200;
}

static int write_json(void *context, struct buf *out, const char **content_type)
{
    (void)context;
    *content_type = "application/json";
    buf_put_text(out, "{}");
    return 503;
}

static int write_without_memory(void *context, struct buf *out, const char **content_type)
{
    (void)context;
    (void)content_type;
    out->failed = 1;
    return 200;
}

#define LARGE_BYTES (8 << 20) /* more than a socket takes at once */

static int write_large(void *context, struct buf *out, const char **content_type)
{
    (void)context;
    (void)content_type;
    for (int i = 0; i < LARGE_BYTES / 16; i++)
        buf_put_text(out, "sixteen bytes  \n");
    return 200;
}

static const struct http_page pages[] = {
    { "/text", write_text },
    { "/large", write_large },
    { "/json", write_json },
    { "/failing", write_without_memory },
    { 0 },
};

static int port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

/* A socket at a port of the loopback that the kernel chose. */
static int bind_anywhere(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* The answer of the daemon, up to the end of the connection. */
static const char *ask(int port, const char *method, const char *path, const char *body)
{
    static char text[4096];
    size_t length = 0;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_gt(
        dprintf(
            fd,
            "%s %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
            method, path, strlen(body), body),
        0);
    for (ssize_t count; (count = read(fd, text + length, sizeof(text) - 1 - length)) > 0;)
        length += (size_t)count;
    text[length] = '\0';
    close(fd);
    return text;
}

/* Listens at a port that was free a moment ago. */
static struct http *start(char *context, int *ret_port)
{
    struct http *http = NULL;
    static char address[32]; /* borrowed */
    int fd = bind_anywhere();
    *ret_port = port_of(fd);
    close(fd);
    snprintf(address, sizeof(address), "127.0.0.1:%d", *ret_port);
    cr_assert_eq(http_start(address, pages, context, &http), 0, "%s", failure_text());
    return http;
}

Test(http, each_page_is_served_and_other_paths_are_not_found)
{
    static const struct {
        const char *method, *path, *body, *status, *type, *text;
    } cases[] = {
        { "GET", "/text", "", " 200 ", "text/plain; charset=utf-8", "\r\n\r\nall is well" },
        { "GET", "/json", "", " 503 ", "application/json", "\r\n\r\n{}" },
        { "GET", "/", "", " 404 ", "text/plain", "\r\n\r\n" },
        { "GET", "/text/", "", " 404 ", "text/plain", "\r\n\r\n" },
        { "GET", "/failing", "", " 500 ", "text/plain", "\r\n\r\n" },
        { "POST", "/text", "a body", " 405 ", "text/plain", "\r\n\r\n" },
        { "DELETE", "/text", "", " 405 ", "text/plain", "\r\n\r\n" },
    };
    int port;
    char text[] = "all is well";
    _free_(http) struct http *http = start(text, &port);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *answer = ask(port, cases[i].method, cases[i].path, cases[i].body);
        cr_expect(strstr(answer, cases[i].status) && strstr(answer, cases[i].type) &&
                      strstr(answer, cases[i].text),
                  "%s %s: %s", cases[i].method, cases[i].path, answer);
    }
    const char *head = ask(port, "HEAD", "/text", "");
    cr_expect(strstr(head, " 200 ") && !strstr(head, "all is well"), "%s", head);
}

Test(http, an_address_that_cannot_be_bound_is_named)
{
    static char long_host[400];
    memset(long_host, 'a', 300);
    strcpy(long_host + 300, ":9101");
    const char *const wrong[] = { "127.0.0.1",       "127.0.0.1:",     "127.0.0.1:0",
                                  "127.0.0.1:99999", "127.0.0.1:http", "127.0.0.1:1x",
                                  long_host };
    struct http *http = NULL;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        cr_expect_eq(http_check(wrong[i]), -ERR_CONFIG, "%s", wrong[i]);
        cr_expect_eq(http_start(wrong[i], pages, NULL, &http), -ERR_CONFIG, "%s", wrong[i]);
        cr_expect(strstr(failure_reason(), wrong[i]) || strlen(wrong[i]) > 200, "%s",
                  failure_reason());
    }
}

static struct sockaddr_in address_of(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* Sends these bytes, which may have NUL, and returns the status of the answer. */
static int status_of(int port, const char *bytes, size_t length)
{
    struct sockaddr_in address = address_of(port);
    char text[64] = "";
    int fd = socket(AF_INET, SOCK_STREAM, 0), status = 0;
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
    shutdown(fd, SHUT_WR);
    if (read(fd, text, sizeof(text) - 1) > 0)
        sscanf(text, "HTTP/1.1 %d ", &status);
    close(fd);
    return status;
}

#define STATUS(port, bytes) status_of((port), bytes, sizeof(bytes) - 1)

Test(http, only_the_very_path_is_a_page)
{
    int port;
    char text[] = "all is well";
    _free_(http) struct http *http = start(text, &port);
    cr_expect_eq(STATUS(port, "GET /text HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    cr_expect_eq(STATUS(port, "GET /text HTTP/1.0\n\n"), 200);
    cr_expect_eq(STATUS(port, "GET /text?of=it HTTP/1.1\r\n\r\n"), 200);
    cr_expect_eq(STATUS(port, "GET /text%00x HTTP/1.1\r\n\r\n"), 404);
    cr_expect_eq(STATUS(port, "GET /text%00 HTTP/1.1\r\n\r\n"), 404);
    cr_expect_eq(STATUS(port, "GET /%74ext HTTP/1.1\r\n\r\n"), 404);
    cr_expect_eq(STATUS(port, "GET /textual HTTP/1.1\r\n\r\n"), 404);
    cr_expect_eq(STATUS(port, "GET /tex HTTP/1.1\r\n\r\n"), 404);
    cr_expect_eq(STATUS(port, "GET //text HTTP/1.1\r\n\r\n"), 404);
    cr_expect_eq(STATUS(port, "GET /./text HTTP/1.1\r\n\r\n"), 404);
    cr_expect_eq(STATUS(port, "GET /TEXT HTTP/1.1\r\n\r\n"), 404);
    cr_expect_eq(STATUS(port, "GET /text\0x HTTP/1.1\r\n\r\n"), 400);
    cr_expect_eq(STATUS(port, "GET /text HTTP/1.1\r\nHost: a\0b\r\n\r\n"), 400);
    cr_expect_eq(STATUS(port, "GET text HTTP/1.1\r\n\r\n"), 400);
    cr_expect_eq(STATUS(port, "GET  /text HTTP/1.1\r\n\r\n"), 400);
    cr_expect_eq(STATUS(port, "GET /text x HTTP/1.1\r\n\r\n"), 400);
    cr_expect_eq(STATUS(port, "GET /text\r\n\r\n"), 400);
    cr_expect_eq(STATUS(port, "\r\n\r\n"), 400);
    cr_expect_eq(STATUS(port, "GET /text HTTP/2.0\r\n\r\n"), 505);
    cr_expect_eq(STATUS(port, "get /text HTTP/1.1\r\n\r\n"), 405);
    cr_expect_eq(STATUS(port, "GETS /text HTTP/1.1\r\n\r\n"), 405);
    cr_expect_eq(STATUS(port, "TRACE /text HTTP/1.1\r\n\r\n"), 405);
    static char long_head[HTTP_HEAD_MAX + 1] = "GET /text HTTP/1.1\r\nHost: ";
    memset(long_head + strlen(long_head), 'x', HTTP_HEAD_MAX - strlen(long_head));
    cr_expect_eq(status_of(port, long_head, HTTP_HEAD_MAX), 431);
}

/* Some say that they send no more, and read on. */
Test(http, a_large_page_is_sent_as_a_whole)
{
    int port, fd = socket(AF_INET, SOCK_STREAM, 0);
    static char text[65536], request[] = "GET /large HTTP/1.1\r\n\r\n";
    size_t length = 0;
    _free_(http) struct http *http = start(request, &port);
    struct sockaddr_in address = address_of(port);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    shutdown(fd, SHUT_WR);
    for (ssize_t count; (count = read(fd, text, sizeof(text))) > 0;)
        length += (size_t)count;
    cr_expect_gt(length, LARGE_BYTES);
    close(fd);
}

/* 40 that say nothing, 40 that say half of a request and 40 that read no answer are more than there
 * are places, and all come from here. */
Test(http, slow_connections_do_not_keep_a_page_from_others)
{
    static const char *const begun[] = { "", "GET /te", "GET /text HTTP/1.1\r\n\r\n" };
    int port, slow[120];
    char text[] = "all is well";
    _free_(http) struct http *http = start(text, &port);
    struct sockaddr_in address = address_of(port);
    for (int i = 0; i < 120; i++) {
        const char *bytes = begun[i / 40];
        slow[i] = socket(AF_INET, SOCK_STREAM, 0);
        cr_assert_eq(connect(slow[i], (struct sockaddr *)&address, sizeof(address)), 0);
        cr_assert_eq(write(slow[i], bytes, strlen(bytes)), (ssize_t)strlen(bytes));
        if (i % 20 == 19)
            cr_expect(strstr(ask(port, "GET", "/text", ""), "all is well"), "after %d", i);
    }
    cr_expect_geq(http_cut(http), 80 - 16, "%lld", (long long)http_cut(http));
    for (int i = 0; i < 120; i++)
        close(slow[i]);
}

Test(http, an_address_that_is_taken_is_bound_when_it_is_free)
{
    struct http *http = NULL;
    static char taken[32], text[] = "all is well";
    int fd = bind_anywhere(), port = port_of(fd);
    cr_assert_eq(listen(fd, 1), 0);
    snprintf(taken, sizeof(taken), "127.0.0.1:%d", port);
    cr_expect_eq(http_probe(taken), -ERR_NETWORK);
    cr_expect(strstr(failure_reason(), "cannot bind to it"), "%s", failure_reason());
    cr_assert_eq(http_start(taken, pages, text, &http), 0);
    cr_expect_not(http_is_listening(http));
    close(fd);
    while (!http_is_listening(http)) /* it tries again each second */
        sched_yield();
    cr_expect(strstr(ask(port, "GET", "/text", ""), "all is well"));
    http_free(http);
}

Test(http, a_name_that_is_not_found_stops_nobody)
{
    struct http *http = NULL;
    cr_assert_eq(http_start("no-such-host.invalid:9101", pages, NULL, &http), 0);
    cr_expect_not(http_is_listening(http));
    http_free(http);
}

/* The last descriptor is the spare one. */
Test(http, a_page_is_served_without_a_free_descriptor)
{
    int port, fds[4096], count = 0;
    char text[] = "all is well";
    struct sockaddr_in address;
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 256, 256 });
    _free_(http) struct http *http = start(text, &port);
    address = address_of(port);
    int here = socket(AF_INET, SOCK_STREAM, 0);
    while ((fds[count] = dup(here)) >= 0)
        count++;
    cr_assert_eq(connect(here, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_gt(dprintf(here, "GET /text HTTP/1.1\r\n\r\n"), 0);
    char answer[512] = "";
    cr_expect_gt(read(here, answer, sizeof(answer) - 1), 0);
    cr_expect(strstr(answer, " 200 OK"), "%s", answer);
    while (count > 0)
        close(fds[--count]);
    close(here);
}
