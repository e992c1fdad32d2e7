/* Http request: see http_request.h. */
#include "runtime/watch/http_request.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct head { /* the fields that matter; NULL: absent */
    const char *host, *origin, *length, *type, *site, *coding;
};

/* Cuts the line that begins here, and moves on to the next one. */
static char *take_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');
    *at = end ? end + 1 : line + strlen(line);
    if (end) {
        if (end > line && end[-1] == '\r')
            end--;
        *end = '\0';
    }
    return line;
}

/* False: it is no line of a head, or a field that must be there once is there twice. */
static _Bool read_field(char *line, struct head *head)
{
    const struct {
        const char *name, **value;
    } fields[] = {
        { "host", &head->host },
        { "origin", &head->origin },
        { "content-length", &head->length },
        { "content-type", &head->type },
        { "sec-fetch-site", &head->site },
        { "transfer-encoding", &head->coding },
    };
    char *colon = strchr(line, ':');
    if (!colon)
        return 0;
    *colon = '\0';
    const char *value = colon + 1 + strspn(colon + 1, " \t");
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        if (strcasecmp(fields[i].name, line) != 0)
            continue;
        if (*fields[i].value)
            return 0;
        *fields[i].value = value;
    }
    return 1;
}

/* "GET /path?query HTTP/1.1" */
static int read_first(char *line, struct http_request *request)
{
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version || target[1] != '/')
        return 400;
    *target++ = *version++ = '\0';
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return strncmp(version, "HTTP/", 5) == 0 ? 505 : 400;
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    request->path = target;
    request->query = query ? query : "";
    request->is_head = strcmp(line, "HEAD") == 0;
    request->is_post = strcmp(line, "POST") == 0;
    return request->is_head || request->is_post || strcmp(line, "GET") == 0 ? 0 : 405;
}

/* Is this name in the list? */
static _Bool is_listed(const char *name, size_t length, const char *list)
{
    while (list && *list) {
        size_t one = strcspn(list, ",");
        if (one == length && strncasecmp(list, name, length) == 0)
            return 1;
        list += one + (list[one] == ',');
    }
    return 0;
}

static _Bool is_our_host(const char *host, const char *hosts)
{
    size_t length = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    return length > 0 && length <= strlen(host) &&
           (is_listed(host, length, "localhost,127.0.0.1,[::1]") || is_listed(host, length, hosts));
}

/* "http://" or "https://" and the name under which it asks. */
static _Bool is_our_page(const struct head *head)
{
    const char *origin = head->origin;
    if (!origin || (head->site && strcmp(head->site, "same-origin") != 0))
        return 0;
    if (strncmp(origin, "http://", 7) == 0)
        origin += 7;
    else if (strncmp(origin, "https://", 8) == 0)
        origin += 8;
    else
        return 0;
    return strcmp(origin, head->host) == 0;
}

/* How long the body is; < 0: no number, or too long. */
static long body_length(const char *text)
{
    char *end;
    long length = strtol(text, &end, 10);
    return *text < '0' || *text > '9' || *end || length > HTTP_BODY_MAX ? -1 : length;
}

/* wanted: the length of the body that has come. */
static int check(const struct http_request *request, const struct head *head, const char *hosts,
                 size_t wanted)
{
    if (!head->host)
        return 400;
    if (!is_our_host(head->host, hosts))
        return 403;
    if (!request->is_post)
        return head->length && strcmp(head->length, "0") != 0 ? 413 : 0;
    if (!is_our_page(head))
        return 403;
    if (!head->type || strcasecmp(head->type, "application/json") != 0)
        return 415;
    if (head->coding || !head->length)
        return 411;
    return body_length(head->length) == (long)wanted ? 0 : 413;
}

/* Where the empty line is that ends the head; NULL: it has not come. *ret_end: what is behind it. A
 * line may end without its CR. */
static char *find_empty(char *text, size_t length, char **ret_end)
{
    char *found = memmem(text, length, "\r\n\r\n", 4);
    const size_t line = found ? 2 : 1;
    if (!found)
        found = memmem(text, length, "\n\n", 2);
    *ret_end = found ? found + 2 * line : NULL;
    return found ? found + line : NULL;
}

/* How much is wanted of the body before the head is cut: its length, whatever else is wrong. */
static size_t wanted_body(const char *text, const char *end)
{
    const char *field = strcasestr(text, "\ncontent-length:");
    long length = field && field < end ? strtol(field + strlen("\ncontent-length:"), NULL, 10) : 0;
    return length > 0 && length <= HTTP_BODY_MAX ? (size_t)length : 0;
}

/* Cuts the head, which ends at `end`, into strings. */
static int read_head(char *text, const char *end, const char *hosts, size_t wanted,
                     struct http_request *request)
{
    struct head head = { 0 };
    char *at = text;
    int status = read_first(take_line(&at), request);
    if (status != 0 || !hosts)
        return status == 0 && request->is_post ? 405 : status;
    while (at < end)
        if (!read_field(take_line(&at), &head))
            return 400;
    request->is_foreign = head.site && strcmp(head.site, "same-origin") != 0 &&
                          strcmp(head.site, "none") != 0;
    return check(request, &head, hosts, wanted);
}

_Bool http_request_read(char *text, size_t length, const char *hosts,
                        struct http_request *ret_request)
{
    struct http_request request = { .path = "", .query = "", .body = "" };
    char *end;
    text[length] = '\0';
    char *empty = find_empty(text, length, &end);
    *ret_request = request;
    if (!empty && length < HTTP_HEAD_MAX)
        return 0;
    if (!empty || memchr(text, '\0', (size_t)(end - text))) {
        ret_request->status = empty ? 400 : 431;
        return 1;
    }
    size_t wanted = hosts ? wanted_body(text, end) : 0, there = length - (size_t)(end - text);
    if (there < wanted)
        return 0;
    *empty = '\0';
    request.status = read_head(text, empty, hosts, wanted, &request);
    request.body = end;
    request.body_length = wanted;
    end[wanted] = '\0';
    *ret_request = request;
    return 1;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *found = c ? strchr(digits, c | 0x20) : NULL;
    return found ? (int)(found - digits) : -1;
}

_Bool http_request_parameter(const struct http_request *request, const char *name, char *ret_value,
                             size_t size)
{
    size_t length = 0;
    const char *at = request->query;
    for (; at && *at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL)
        if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == '=')
            break;
    if (!at || !*at)
        return 0;
    for (at += strlen(name) + 1; *at && *at != '&'; at++) {
        char c = *at;
        if (c == '+')
            c = ' ';
        if (c == '%' && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
            c = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
            at += 2;
        }
        if (length + 1 >= size || c == '\0')
            return 0;
        ret_value[length++] = c;
    }
    ret_value[length] = '\0';
    return 1;
}

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default:  return "Internal Server Error";
    }
}

void http_answer_begin(int status, const char *content_type, int64_t length, const char *allow,
                       const char *headers, struct buf *out)
{
    assert(status >= 200 && status <= 599 && content_type);
    buf_put_format(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n", status, reason_of(status),
                   content_type);
    if (length >= 0)
        buf_put_format(out, "Content-Length: %lld\r\n", (long long)length);
    if (status == 405)
        buf_put_format(out, "Allow: %s\r\n", allow);
    buf_put_format(out, "Cache-Control: no-store\r\n%sConnection: close\r\n\r\n", headers);
}
