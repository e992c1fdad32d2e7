/* Request: one of HTTP/1.1 (RFC 9112) as browsers send it to the map, and the head of an answer. A
 * page of another site must neither read the mesh nor change it, so the name under which a request
 * comes must be one of ours (a foreign name that is made to point here is refused), and what
 * changes something must say that it comes from our own page. No I/O. */
#pragma once
#include "base/buf.h"

#define REQUEST_HEAD_MAX 8192 /* bytes; beyond it the answer is 431 */
#define REQUEST_BODY_MAX 1024 /* beyond it 413 */
#define REQUEST_HOST_SIZE 256

struct request {
    _Bool is_head, is_post;
    _Bool is_foreign; /* the browser says that a page of another site asks */
    int status;       /* 0: it is answered; else the refusal: 400, 403, 405, 411, 413, 415 … */
    const char *path; /* without the query; NUL-terminated, as the query is */
    const char *query;
    const char *body; /* NUL-terminated */
    size_t body_length;
    int64_t number; /* of its connection, for server_answer */
};

/* Reads what has come, and cuts it into strings where it stands: the text has a byte of room behind
 * its length. False: it has not come as a whole. hosts: names that are ours beside those of the
 * loopback, with commas; NULL: none. */
_Bool request_read(char *text, size_t length, const char *hosts, struct request *ret_request);

/* The value of `name=` in a query, its %XX decoded; false: it is not there, or longer. */
_Bool request_parameter(const struct request *request, const char *name, char *ret_value,
                        size_t size);

/* The head of an answer. length < 0: the body has no end, an event stream. */
void request_put_head(int status, const char *content_type, int64_t length, struct buf *out);
