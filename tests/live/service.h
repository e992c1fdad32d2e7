/* Service: a shipped service as a process, and a customer who talks to it. The programs are
 * ACCOUNT_SVC and ORDER_SVC in the environment (meson sets them). Everything waits on
 * conditions. */
#pragma once
#include "bus/bus.h"
#include "server.h"

struct process {
    pid_t pid;            /* 0: not running */
    const char *variable; /* "ORDER_SVC" */
    char folder[96];      /* its data */
};

void process_init(struct process *process, const struct server *server, const char *variable,
                  const char *name);
void process_start(struct process *process, const struct server *server); /* returns at once */
void process_kill(struct process *process); /* SIGKILL, and waits for its end */
int process_stop(struct process *process);  /* SIGTERM; the exit code */
/* SIGTERM to those that run; each must end with 0 */
void processes_finish(struct process *first, struct process *second);
/* waits for its end, which comes by itself; the exit code */
int process_end(struct process *process);

/* One of its sub-commands, with up to two words of arguments (NULL ends them), beside the service
 * or without it: the exit code. What it said is tool_output(), until the next call. */
int process_tool(const struct process *process, const struct server *server, const char *tool,
                 const char *first, const char *second);
const char *tool_output(void);

/* One customer a test: connects to the server, which may not be there yet. */
void customer_open(const struct server *server);
void customer_close(void);
struct bus *customer_bus(void);

/* The answer's text, valid until the next call; NULL: none in time. key NULL: without. */
const char *ask(const char *subject, const void *body, size_t length, const char *key);
const char *ask_text(const char *subject, const char *body);
_Bool says(const char *answer, const char *part);

/* The text of a string field in an answer: field("order_id"). Own copy each of up to four calls. */
const char *field(const char *answer, const char *name);
int64_t number(const char *answer, const char *name); /* -1: not there */

/* Until the service says `part` in its statistics; fails the test when it takes too long. */
void wait_for_stats(const char *service, const char *part);
