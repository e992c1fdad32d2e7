/* Server: a real nats-server for one live test, with a free port and a folder of its own. The
 * server is killed when the test process ends, in whatever way. The program is NATS_SERVER in the
 * environment, else nats-server on PATH. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

/* The limit of a wait for something that must come. It is long, because the machine may have other
 * work: only what never comes reaches the limit. */
#define FAR_MS 300000

/* A time that a test measures, with what this machine allows now: `ms` on an idle machine, and more
 * in proportion to the processes that want to run for each processor. */
int64_t slower_ms(int64_t ms);

struct server {
    pid_t pid; /* 0: not running */
    int port;
    char folder[64];
    char url[64];
    const char *config; /* more lines for its configuration file; NULL */
};

/* Chooses port and folder; starts no process. */
void server_init(struct server *server, const char *config);
void server_start(struct server *server);  /* returns when it takes connections; with JetStream */
void server_kill(struct server *server);   /* SIGKILL, and waits for the end; the store stays */
void server_deinit(struct server *server); /* kills the server and removes the folder */

/* A plain connection, for a test that speaks the protocol itself; -1: the server refuses. */
int server_dial(const struct server *server);

/* Calls condition(context) every few milliseconds; true when it became true in time. */
_Bool wait_until(_Bool (*condition)(void *context), void *context, int64_t timeout_ms);

/* Conditions for wait_until; the context is a struct bus. */
_Bool bus_is_there(void *bus);
_Bool bus_is_away(void *bus);
