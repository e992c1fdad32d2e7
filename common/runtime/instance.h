/* Instance: one running service: its table, its configuration, and the parts that the threads
 * share. service.c makes it and takes it apart; the parts know each other through it. */
#pragma once
#include "bus/bus.h"
#include "runtime/repair/admin.h"
#include "runtime/request/client_rate.h"
#include "runtime/core/config.h"
#include "runtime/outbound/sender.h"
#include "runtime/watch/http.h"
#include "runtime/watch/statistics.h"
#include "runtime/request/inbox.h"
#include "runtime/request/micro.h"
#include "runtime/request/readers.h"
#include "runtime/repair/rebuilder.h"
#include "runtime/core/status.h"
#include "runtime/writer/writer.h"

struct endpoint;

struct instance {
    const struct service *service;
    const struct config *config;
    const char *database_path;
    struct status status;
    struct bus *bus;
    struct inbox inbox;
    struct readers readers;
    struct writer writer;
    struct sender sender;
    struct rebuilder rebuilder;
    struct micro micro;
    struct statistics statistics; /* of all these, for $SRV.STATS and /metrics */
    struct admin admin;
    struct client_rate client_rate;
    struct http *http;               /* NULL: off */
    struct micro_endpoint *counters; /* one an endpoint */
    struct endpoint *endpoints;
    int endpoint_count;
    _Bool endpoints_closed; /* draining: nothing is subscribed any more (endpoint.c) */
    atomic_int exit_code;   /* -1 while it runs */
    int lock_fd;            /* nobody else writes in our folder */
    int wake_fd;            /* eventfd: main looks at exit_code */
};

/* Ends the process in order: any thread; the first reason counts. */
void instance_exit(struct instance *instance, int exit_code);
