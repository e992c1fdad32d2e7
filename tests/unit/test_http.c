/* Http: pages that exist, paths that do not, and addresses that cannot be bound. */
#include "base/result.h"
#include "runtime/watch/http.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
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

static const struct http_page pages[] = {
    { "/text", write_text },
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
    char address[32];
    int fd = bind_anywhere();
    *ret_port = port_of(fd);
    close(fd);
    snprintf(address, sizeof(address), "127.0.0.1:%d", *ret_port);
    cr_assert_eq(http_start(address, pages, context, &http), 0, "%s", failure_text());
    return http;
}

static void skip_without_library(void)
{
    if (http_check("127.0.0.1:9101") < 0)
        cr_skip("%s", failure_reason());
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
    skip_without_library();
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
    skip_without_library();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        cr_expect_eq(http_check(wrong[i]), -ERR_CONFIG, "%s", wrong[i]);
        cr_expect_eq(http_start(wrong[i], pages, NULL, &http), -ERR_CONFIG, "%s", wrong[i]);
        cr_expect(strstr(failure_reason(), wrong[i]) || strlen(wrong[i]) > 200, "%s",
                  failure_reason());
    }
    char taken[32];
    int fd = bind_anywhere();
    cr_assert_eq(listen(fd, 1), 0);
    snprintf(taken, sizeof(taken), "127.0.0.1:%d", port_of(fd));
    cr_expect_eq(http_start(taken, pages, NULL, &http), -ERR_CONFIG);
    cr_expect(strstr(failure_reason(), "cannot bind to it"), "%s", failure_reason());
    close(fd);
    cr_expect_null(http);
}
