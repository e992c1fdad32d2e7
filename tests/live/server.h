/* A real nats-server for one live test: an own free port, an own folder, killed when the test
 * process ends, however it ends. The program is NATS_SERVER in the environment, else nats-server on
 * PATH. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

/* So long a wait for what must come may last. It is far away, because a machine may have other
 * work: only what never comes reaches it. */
#define FAR_MS 300000

/* A time that is looked at, as long as it may be on this machine now: `ms` when nothing else
 * computes, and more by as much as more processes want to run than there are processors. */
int64_t slower_ms(int64_t ms);

struct server {
    pid_t pid; /* 0: not running */
    int port;
    char folder[64];
    char url[64];
    const char *config; /* more lines for its configuration file; NULL */
};

/* A port and a folder, no process yet. */
void server_init(struct server *server, const char *config);
void server_start(struct server *server);  /* returns when it takes connections; JetStream is on */
void server_kill(struct server *server);   /* SIGKILL, and waits for its end; its store stays */
void server_deinit(struct server *server); /* kills it and removes the folder */

/* A plain connection that speaks the protocol by hand; closes at once when the server refuses. */
int server_dial(const struct server *server);

/* Waits for condition(context) by looking every few milliseconds; true when it came true in
 * time. */
_Bool wait_until(_Bool (*condition)(void *context), void *context, int64_t timeout_ms);
