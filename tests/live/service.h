/* Service: a shipped service as a process, and a customer who sends requests to it. The programs
 * are ACCOUNT_SVC and ORDER_SVC in the environment, which meson sets. All waiting is for
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
void process_kill(struct process *process); /* SIGKILL, and waits for the end */
int process_stop(struct process *process);  /* SIGTERM; the exit code */
/* SIGTERM to all that run; each must end with 0 */
void processes_finish(struct process *first, struct process *second);
/* waits until the process ends by itself; the exit code */
int process_end(struct process *process);

/* Runs a subcommand of the service, with up to two arguments (NULL ends them), whether the service
 * runs or not. The exit code; tool_output() is what it printed, until the next call. */
int process_tool(const struct process *process, const struct server *server, const char *tool,
                 const char *first, const char *second);
const char *tool_output(void);

/* Each test has one customer, who connects to the server, which may not run yet. */
void customer_open(const struct server *server);
void customer_close(void);
/* From now on with that user's rights; user and password are the same text; NULL: without. */
void customer_become(const struct server *server, const char *user);
/* Publishes a request and does not wait; customer_answers() says how many answers ever came. */
void customer_send(const char *subject, const char *body);
int customer_answers(void);
struct bus *customer_bus(void);

/* The text of the answer, valid until the next call; NULL: none in time. key NULL: no key. */
const char *ask(const char *subject, const void *body, size_t length, const char *key);
const char *ask_text(const char *subject, const char *body);
/* Where `part` holds {ORDER:3} or {ACCOUNT:3}, the answer must have head_of that log there. */
_Bool says(const char *answer, const char *part);

/* The position of the log's head when its journeys have made so many events: beside them it has a
 * TermBegan of each life of the service that led, and a TermEnded of each handover, counted in its
 * file. */
int64_t head_of(const char *log, int events);

/* The text of a string field in an answer: field("order_id"). The newest four results are valid. */
const char *field(const char *answer, const char *name);
int64_t number(const char *answer, const char *name); /* -1: not there */

/* Waits until the service's statistics hold `part`; fails the test after the limit. */
void wait_for_stats(const char *service, const char *part);
