/* Http request: the head of a request, up to its empty line, and the head of an answer. What a page
 * needs of HTTP/1.1 (RFC 9112) and no more: the method and the path. No I/O. */
#pragma once
#include "base/buf.h"

#define HTTP_HEAD_MAX 4096 /* bytes; beyond it the answer is 431 */

struct http_request {
    const char *path; /* as it was sent: a path with an encoded character is another path */
    size_t path_length;
    _Bool is_head; /* HEAD: the answer has no body */
    int status;    /* 0: a page is wanted; else the refusal: 400, 405, 431, 505 */
};

/* False: the head has not come as a whole. The path is borrowed from the text. */
_Bool http_request_read(const char *text, size_t length, struct http_request *ret_request);

/* The answer, after which the connection is closed. */
void http_answer_write(const struct http_request *request, int status, const char *content_type,
                       const struct buf *body, struct buf *out);
