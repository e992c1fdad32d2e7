/* Verify's walk of the stream: is each message of ours the log's event at its position? Markers of
 * the server and messages of ended terms have none. Reads only. One thread. */
#pragma once
#include "runtime/core/config.h"
#include "runtime/repair/api_client.h"
#include "store/event_log.h"

/* What is compared with what; borrowed. */
struct stream_check {
    const struct service *service;
    const struct config *config;
    struct db *db; /* with the log, in a read transaction */
    struct api_client *api;
    struct log_head head; /* of the log in that transaction */
};

/* 0: it agrees; TOOL_NO: there is a difference, which is printed; < 0: it could not be read. */
int verify_stream(const struct stream_check *check);
