/* Http request: see http_request.h. */
#include "runtime/watch/http_request.h"
#include <assert.h>
#include <string.h>

/* Behind the empty line; NULL: it has not come. A line may end without its CR. */
static const char *find_end(const char *text, size_t length)
{
    const char *end = memmem(text, length, "\r\n\r\n", 4);
    return end ? end : memmem(text, length, "\n\n", 2);
}

/* Up to the next space, which is left out of *rest. */
static size_t take_word(const char **rest, const char *end)
{
    const char *start = *rest, *space = memchr(start, ' ', (size_t)(end - start));
    *rest = space ? space + 1 : end;
    return (size_t)((space ? space : end) - start);
}

static _Bool is_word(const char *word, size_t length, const char *wanted)
{
    return length == strlen(wanted) && memcmp(word, wanted, length) == 0;
}

static int read_line(const char *line, const char *end, struct http_request *request)
{
    const char *method = line, *rest = line;
    size_t method_length = take_word(&rest, end);
    request->path = rest;
    request->path_length = take_word(&rest, end);
    const char *version = rest;
    size_t version_length = (size_t)(end - rest);
    const char *query = memchr(request->path, '?', request->path_length);
    if (method_length == 0 || request->path_length == 0 || *request->path != '/' ||
        version_length != strlen("HTTP/1.1") || memcmp(version, "HTTP/", 5) != 0)
        return 400;
    if (!is_word(version, version_length, "HTTP/1.1") &&
        !is_word(version, version_length, "HTTP/1.0"))
        return 505;
    if (query)
        request->path_length = (size_t)(query - request->path);
    request->is_head = is_word(method, method_length, "HEAD");
    return request->is_head || is_word(method, method_length, "GET") ? 0 : 405;
}

_Bool http_request_read(const char *text, size_t length, struct http_request *ret_request)
{
    struct http_request request = { 0 };
    assert(length <= HTTP_HEAD_MAX);
    const char *end = find_end(text, length);
    if (!end && length < HTTP_HEAD_MAX)
        return 0;
    if (!end) {
        request.status = 431;
    } else if (memchr(text, '\0', (size_t)(end - text))) {
        request.status = 400;
    } else {
        const char *line_end = memchr(text, '\n', length);
        if (line_end > text && line_end[-1] == '\r')
            line_end--;
        request.status = read_line(text, line_end, &request);
    }
    *ret_request = request;
    return 1;
}

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default:  return "Internal Server Error";
    }
}

void http_answer_write(const struct http_request *request, int status, const char *content_type,
                       const struct buf *body, struct buf *out)
{
    assert(status >= 200 && status <= 599 && content_type);
    buf_put_format(out,
                   "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sCache-Control: "
                   "no-store\r\nConnection: close\r\n\r\n",
                   status, reason_of(status), content_type, body->length,
                   status == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (!request->is_head)
        buf_put(out, body->data, body->length);
}
