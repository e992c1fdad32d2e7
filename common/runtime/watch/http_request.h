/* Http request: one of HTTP/1.1 (RFC 9112), and the head of an answer: what our pages need, and no
 * more. No I/O.
 *
 * Pages for machines are answered under whatever name they are asked for, and only GET and HEAD are
 * taken. A page for browsers has names: a page of another site must neither read it nor change
 * something, so the name under which a request comes must be one of ours (a foreign name that is
 * made to point here is refused), and a POST must say that it comes from our own page. */
#pragma once
#include "base/buf.h"

#define HTTP_HEAD_MAX 8192 /* bytes; beyond it the answer is 431 */
#define HTTP_BODY_MAX 1024 /* beyond it 413 */

struct http_request {
    _Bool is_head, is_post;
    _Bool is_foreign; /* the browser says that a page of another site asks */
    int status;       /* 0: it is answered; else the refusal: 400, 403, 405, 411, 413, 415 … */
    const char *path; /* as it was sent, without the query: an encoded character is another path */
    const char *query;
    const char *body; /* these three are NUL-terminated */
    size_t body_length;
    int64_t number; /* of its connection, for http_server_answer */
};

/* Reads what has come, and cuts it into strings where it stands: the text has a byte of room behind
 * its length. False: it has not come as a whole. hosts: names that are ours beside those of the
 * loopback, with commas; NULL: pages for machines. */
_Bool http_request_read(char *text, size_t length, const char *hosts,
                        struct http_request *ret_request);

/* The value of `name=` in a query, its %XX decoded; false: it is not there, or longer. */
_Bool http_request_parameter(const struct http_request *request, const char *name, char *ret_value,
                             size_t size);

/* The head of an answer, after which the connection is closed. length < 0: the body has no end, an
 * event stream. allow: the methods that a 405 names. headers: more of them, each with its CRLF. */
void http_answer_begin(int status, const char *content_type, int64_t length, const char *allow,
                       const char *headers, struct buf *out);
