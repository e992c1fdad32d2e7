/* Operator: what the map asks a service for a person: its parked events, and their redrive. In a
 * secure mesh both want an operator's rights. */
#pragma once
#include "runtime/watch/http_server.h"
#include "map/watcher.h"

struct operator
{ /* both outlive it */
    struct watcher *watcher;
    struct http_server *server;
};

/* GET /parked?service=NAME: the reply of <prefix>.parked. */
void operator_show_parked(struct operator* operator, const struct http_request * request);
/* POST /redrive {"service":"NAME"}: the reply of <prefix>.redrive. */
void operator_redrive(struct operator* operator, const struct http_request * request);
