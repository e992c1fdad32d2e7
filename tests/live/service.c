/* Service: see service.h. */
#include "service.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/result.h"
#include "store/db.h"

#define ASKED_AGAIN_MS 5000

/* ---- Processes ------------------------------------------------------------------------------- */

static const struct process *known[4]; /* by process_init */

void process_init(struct process *process, const struct server *server, const char *variable,
                  const char *name)
{
    *process = (struct process){ .variable = variable };
    snprintf(process->folder, sizeof(process->folder), "%s/%s", server->folder, name);
    cr_assert_not_null(getenv(variable), "%s is not set: run this through meson test", variable);
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (!known[i] || known[i] == process) {
            known[i] = process;
            break;
        }
}

void process_start(struct process *process, const struct server *server)
{
    char log[128];
    snprintf(log, sizeof(log), "%s.log", process->folder);
    process->pid = fork();
    cr_assert_geq(process->pid, 0);
    if (process->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    const char *program = getenv(process->variable);
    execl(program, program, "--server", server->url, "--data-dir", process->folder, (char *)NULL);
    _exit(127);
}

void process_kill(struct process *process)
{
    if (process->pid <= 0)
        return;
    kill(process->pid, SIGKILL);
    waitpid(process->pid, NULL, 0);
    process->pid = 0;
}

int process_stop(struct process *process)
{
    kill(process->pid, SIGTERM);
    return process_end(process);
}

/* Both get the signal before either is waited for. */
void processes_finish(struct process *first, struct process *second)
{
    struct process *processes[] = { first, second };
    for (size_t i = 0; i < 2; i++)
        if (processes[i]->pid > 0) {
            kill(processes[i]->pid, SIGTERM);
            kill(processes[i]->pid, SIGCONT); /* a test may have paused it */
        }
    for (size_t i = 0; i < 2; i++)
        if (processes[i]->pid > 0) {
            const int code = process_end(processes[i]);
            if (code == 0)
                continue;
            fprintf(stderr, "%s ended with %d (below 0: a signal)\n", processes[i]->variable, code);
            abort(); /* at the end of a test Criterion counts a crash, and no failed assertion */
        }
}

int process_end(struct process *process)
{
    int status = -1;
    waitpid(process->pid, &status, 0);
    process->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- Sub-commands ---------------------------------------------------------------------------- */

static char tool_said[16 * 1024];

const char *tool_output(void)
{
    return tool_said;
}

int process_tool(const struct process *process, const struct server *server, const char *tool,
                 const char *first, const char *second)
{
    struct process child = { 0 };
    const char *program = getenv(process->variable);
    size_t length = 0;
    ssize_t count;
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    child.pid = fork();
    cr_assert_geq(child.pid, 0);
    if (child.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        execl(program, program, "--server", server->url, "--data-dir", process->folder, tool, first,
              second, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while ((count = read(ends[0], tool_said + length, sizeof(tool_said) - 1 - length)) > 0)
        length += (size_t)count;
    tool_said[length] = '\0';
    close(ends[0]);
    return process_end(&child);
}

/* ---- The customer ---------------------------------------------------------------------------- */

static struct bus *bus;
static struct bus_subscription *answers;
static char inbox[BUS_INBOX_SIZE];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char newest[256 * 1024];
static int newest_number, asked, answers_count;

static void nothing(void *context)
{
    (void)context;
}
static void closed(void *context, const char *reason)
{
    (void)context;
    (void)reason;
}

static void on_answer(void *context, struct bus_message *message)
{
    const int number = atoi(strrchr(bus_message_subject(message), '.') + 1);
    (void)context;
    pthread_mutex_lock(&lock);
    answers_count++;
    if (number >= newest_number) { /* else a late one, which nobody waits for */
        newest_number = number;
        snprintf(newest, sizeof(newest), "%s",
                 bus_message_status(message) ? "nobody listens" : bus_message_data(message));
    }
    pthread_mutex_unlock(&lock);
    bus_message_free(message);
}

static _Bool is_answered(void *context)
{
    (void)context;
    pthread_mutex_lock(&lock);
    _Bool answered = newest_number == asked;
    pthread_mutex_unlock(&lock);
    return answered;
}

static void log_in(const struct server *server, const char *user)
{
    char subject[BUS_SUBJECT_MAX + 1];
    struct bus_options options = {
        .url = server->url,
        .name = user ? user : "customer",
        .user = user,
        .password = user,
        .reconnect_wait_ms = 20,
        .handlers = { .connected = nothing, .disconnected = nothing, .closed = closed },
    };
    cr_assert(bus_open(&options, &bus) == 0 && bus_new_inbox(bus, inbox) == 0);
    snprintf(subject, sizeof(subject), "%s.*", inbox);
    cr_assert_eq(bus_subscribe(bus, subject, NULL, on_answer, NULL, &answers), 0);
}

void customer_open(const struct server *server)
{
    log_in(server, NULL);
}

static void log_out(void)
{
    bus_subscription_free(answers);
    bus_free(bus);
}

void customer_close(void)
{
    log_out();
    bus_library_close();
}

void customer_become(const struct server *server, const char *user)
{
    log_out();
    log_in(server, user);
}

int customer_answers(void)
{
    pthread_mutex_lock(&lock);
    int count = answers_count;
    pthread_mutex_unlock(&lock);
    return count;
}

struct bus *customer_bus(void)
{
    return bus;
}

static void publish(const char *subject, const void *body, size_t length, const char *key)
{
    char reply[BUS_SUBJECT_MAX + 1];
    cr_assert(wait_until(bus_is_there, bus, FAR_MS));
    asked++;
    snprintf(reply, sizeof(reply), "%s.%d", inbox, asked);
    struct bus_header header = { "Idempotency-Key", key };
    struct bus_outgoing message = {
        .subject = subject,
        .reply = reply,
        .headers = &header,
        .header_count = key != NULL,
        .data = body,
        .length = length,
    };
    cr_assert_eq(bus_publish(bus, BUS_URGENT, &message), 0);
}

void customer_send(const char *subject, const char *body)
{
    publish(subject, body, strlen(body), NULL);
}

static const char *ask_within(int64_t wait_ms, const char *subject, const void *body, size_t length,
                              const char *key)
{
    publish(subject, body, length, key);
    return wait_until(is_answered, NULL, wait_ms) ? newest : NULL;
}

const char *ask(const char *subject, const void *body, size_t length, const char *key)
{
    return ask_within(FAR_MS, subject, body, length, key);
}

const char *ask_text(const char *subject, const char *body)
{
    return ask(subject, body, strlen(body), NULL);
}

static const struct process *process_of(const char *log, size_t length)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(*known) && known[i]; i++)
        if (strncmp(known[i]->variable, log, length) == 0)
            return known[i];
    cr_assert_fail("no service has the log %.*s", (int)length, log);
    return NULL;
}

static int64_t terms_of(const struct process *process)
{
    char path[200];
    _Bool is_order = strncmp(process->variable, "ORDER", 5) == 0;
    snprintf(path, sizeof(path), "%s/%s-svc.db", process->folder, is_order ? "order" : "account");
    struct db_options options = { .path = path, .read_only = 1, .lock_timeout_ms = FAR_MS };
    _free_(db) struct db *db = NULL;
    int64_t count = 0;
    if (access(path, F_OK) != 0 || db_open(&options, &db) < 0 ||
        db_find_number(db, &count,
                       "SELECT count(*) FROM event_log WHERE type IN ('TermBegan', "
                       "'TermEnded')",
                       "") != 0)
        return 0; /* a life that has not begun yet */
    return count;
}

int64_t head_of(const char *log, int events)
{
    return events + terms_of(process_of(log, strlen(log)));
}

/* With the positions that {ORDER:3} stands for. */
static void fill_in(const char *part, char *ret_text, size_t size)
{
    static const char *const logs[] = { "ORDER", "ACCOUNT" };
    size_t length = 0;
    for (const char *at = part; *at && length + 24 < size;) {
        char name[16];
        int events = 0, taken = 0;
        _Bool is_place = *at == '{' && sscanf(at, "{%15[A-Z]:%d}%n", name, &events, &taken) == 2 &&
                         taken > 0 && (strcmp(name, logs[0]) == 0 || strcmp(name, logs[1]) == 0);
        if (is_place)
            length += (size_t)snprintf(ret_text + length, size - length, "%" PRId64,
                                       head_of(name, events));
        else
            ret_text[length++] = *at;
        at += is_place ? taken : 1;
    }
    ret_text[length] = '\0';
}

_Bool says(const char *answer, const char *part)
{
    char text[1024];
    if (!answer || !strstr(part, ":") || !strstr(part, "}"))
        return answer && strstr(answer, part);
    fill_in(part, text, sizeof(text));
    return strstr(answer, text) != NULL;
}

static const char *value_of(const char *answer, const char *name)
{
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "\"%s\":", name);
    const char *found = answer ? strstr(answer, wanted) : NULL;
    return found ? found + strlen(wanted) : NULL;
}

const char *field(const char *answer, const char *name)
{
    static char kept[4][64];
    static int next;
    const char *value = value_of(answer, name);
    cr_assert(value && *value == '"', "no %s in %s", name, answer ? answer : "no answer");
    next = (next + 1) % 4;
    snprintf(kept[next], sizeof(kept[next]), "%.*s", (int)strcspn(value + 1, "\""), value + 1);
    return kept[next];
}

int64_t number(const char *answer, const char *name)
{
    const char *value = value_of(answer, name);
    return value ? strtoll(value, NULL, 10) : -1;
}

struct wanted_stats {
    const char *service, *part;
    int64_t wait_ms; /* a request may be lost with a connection; then it is repeated */
};

static _Bool stats_say(void *context)
{
    struct wanted_stats *wanted = context;
    char subject[64];
    snprintf(subject, sizeof(subject), "$SRV.STATS.%s", wanted->service);
    const char *answer = ask_within(wanted->wait_ms, subject, "", 0, NULL);
    if (!answer)
        wanted->wait_ms *= 2;
    return says(answer, wanted->part);
}

void wait_for_stats(const char *service, const char *part)
{
    struct wanted_stats wanted = { service, part, ASKED_AGAIN_MS };
    cr_assert(wait_until(stats_say, &wanted, FAR_MS), "%s does not say %s but %s", service, part,
              newest);
}
