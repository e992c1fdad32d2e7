/* Caller: see caller.h. A request has a slot, and the answer's subject names slot and turn:
 * `<inbox>.<slot>.<turn>`. The turn changes with each try, so that a late answer to an earlier try
 * is dropped.
 *
 *             ask                 answer
 *     free ───────► OPEN_WAITING ────────► free, done(ANSWERED, REFUSED)
 *                     ▲     │ no responders, busy, timeout: when tries are left; else done(…)
 *          pause over │     ▼
 *                    OPEN_RESTING
 */
#include "shared/caller.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/result.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TICK_MS 10

enum open_state { OPEN_FREE, OPEN_WAITING, OPEN_RESTING };

struct open_question {
    enum open_state state;
    unsigned turn;
    int tries, timeouts;
    int64_t due_ms;             /* monotonic: the timeout, or the next try */
    int next;                   /* the next free slot */
    char *subject, *key, *body; /* one allocation, at subject */
    size_t length;
    caller_done done;
    void *context;
};

struct caller {
    struct bus *bus;
    struct bus_subscription *answers;
    char inbox[BUS_INBOX_SIZE];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    _Bool runs, stopping;
    int free, used; /* first free slot, -1: none; number of slots ever used */
    struct open_question questions[CALLER_OPEN_MAX];
};

struct ending { /* the call of done() that follows after the lock is released */
    caller_done done;
    void *context;
};

/* ---- With the lock held ---------------------------------------------------------------------- */

static struct ending question_end(struct caller *caller, struct open_question *question)
{
    struct ending ending = { question->done, question->context };
    free(question->subject);
    question->subject = NULL;
    question->state = OPEN_FREE;
    question->turn++;
    question->next = caller->free;
    caller->free = (int)(question - caller->questions);
    return ending;
}

/* A try that cannot be sent ends like an unanswered one, by its timeout. */
static void question_send(struct caller *caller, struct open_question *question)
{
    char reply[BUS_SUBJECT_MAX + 1];
    question->turn++;
    question->tries++;
    question->state = OPEN_WAITING;
    question->due_ms = clock_monotonic_ms() + CALLER_TIMEOUT_MS;
    snprintf(reply, sizeof(reply), "%s.%d.%u", caller->inbox, (int)(question - caller->questions),
             question->turn);
    struct bus_header header = { "Idempotency-Key", question->key };
    bus_publish(caller->bus, BUS_URGENT,
                &(struct bus_outgoing){
                    .subject = question->subject,
                    .reply = reply,
                    .headers = &header,
                    .header_count = question->key != NULL,
                    .data = question->body,
                    .length = question->length,
                });
}

/* Plans another try; 0 when no tries are left, and the request ends. */
static _Bool question_rests(struct open_question *question)
{
    if (question->tries >= CALLER_TRIES_MAX || question->timeouts >= CALLER_TIMEOUTS_MAX)
        return 0;
    question->state = OPEN_RESTING;
    question->due_ms = clock_monotonic_ms() + (question->tries == 1 ? 100 : 300);
    return 1;
}

static int slot_take(struct caller *caller)
{
    int slot = caller->free;
    if (slot >= 0)
        caller->free = caller->questions[slot].next;
    else if (caller->used < CALLER_OPEN_MAX)
        slot = caller->used++;
    return slot;
}

/* ---- Requests -------------------------------------------------------------------------------- */

static _Bool question_fill(struct open_question *question, const char *subject, const char *key,
                           const void *body, size_t length)
{
    size_t subject_size = strlen(subject) + 1, key_size = key ? strlen(key) + 1 : 0;
    char *memory = malloc(subject_size + key_size + length);
    if (!memory)
        return 0;
    question->subject = memcpy(memory, subject, subject_size);
    question->key = key ? memcpy(memory + subject_size, key, key_size) : NULL;
    question->body = memory + subject_size + key_size;
    memcpy(question->body, body, length);
    question->length = length;
    question->tries = question->timeouts = 0;
    /* cppcheck-suppress memleak ; the memory is the question's subject, freed by question_end() */
    return 1;
}

void caller_ask(struct caller *caller, const char *subject, const char *key, const void *body,
                size_t length, caller_done done, void *context)
{
    pthread_mutex_lock(&caller->lock);
    int slot = slot_take(caller);
    _Bool asked = slot >= 0 && question_fill(&caller->questions[slot], subject, key, body, length);
    if (asked) {
        caller->questions[slot].done = done;
        caller->questions[slot].context = context;
        question_send(caller, &caller->questions[slot]);
    } else if (slot >= 0) {
        caller->questions[slot].next = caller->free;
        caller->free = slot;
    }
    pthread_mutex_unlock(&caller->lock);
    if (!asked)
        done(context, CALLER_BUSY, NULL);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static enum caller_outcome outcome_of(struct bus_message *message)
{
    if (bus_message_status(message))
        return CALLER_UNREACHABLE;
    const char *code = bus_message_header(message, "Nats-Service-Error-Code");
    if (!code)
        return CALLER_ANSWERED;
    return *code == '5' ? CALLER_UNREACHABLE : CALLER_REFUSED;
}

static void on_answer(void *context, struct bus_message *received)
{
    struct caller *caller = context;
    _free_(bus_message) struct bus_message *message = received;
    unsigned slot, turn;
    const char *place = bus_message_subject(message) + strlen(caller->inbox);
    if (sscanf(place, ".%u.%u", &slot, &turn) != 2 || slot >= CALLER_OPEN_MAX)
        return;
    enum caller_outcome outcome = outcome_of(message);
    struct open_question *question = &caller->questions[slot];
    struct ending ending = { 0 };
    pthread_mutex_lock(&caller->lock);
    _Bool is_ours = question->state == OPEN_WAITING && question->turn == turn;
    if (is_ours && !(outcome == CALLER_UNREACHABLE && question_rests(question)))
        ending = question_end(caller, question);
    pthread_mutex_unlock(&caller->lock);
    if (ending.done)
        ending.done(ending.context, outcome, outcome == CALLER_UNREACHABLE ? NULL : message);
}

/* ---- The clock ------------------------------------------------------------------------------- */

/* Finds the next request from this slot on that ends by its timeout; sends due tries on the way. */
static struct ending look(struct caller *caller, int *slot, int64_t now_ms)
{
    for (; *slot < caller->used; (*slot)++) {
        struct open_question *question = &caller->questions[*slot];
        if (question->state == OPEN_FREE || question->due_ms > now_ms)
            continue;
        if (question->state == OPEN_RESTING) {
            question_send(caller, question);
            continue;
        }
        question->timeouts++;
        if (!question_rests(question))
            return question_end(caller, question);
    }
    return (struct ending){ 0 };
}

static void *caller_main(void *argument)
{
    struct caller *caller = argument;
    pthread_mutex_lock(&caller->lock);
    while (!caller->stopping) {
        int64_t now_ms = clock_monotonic_ms();
        int slot = 0;
        for (struct ending ending = look(caller, &slot, now_ms); ending.done;
             ending = look(caller, &slot, now_ms)) {
            pthread_mutex_unlock(&caller->lock);
            ending.done(ending.context, CALLER_TIMEOUT, NULL);
            pthread_mutex_lock(&caller->lock);
        }
        if (!caller->stopping)
            condition_wait(&caller->changed, &caller->lock, now_ms + TICK_MS);
    }
    pthread_mutex_unlock(&caller->lock);
    return NULL;
}

/* ---- Opening, closing ------------------------------------------------------------------------ */

int caller_open(struct bus *bus, struct caller **ret_caller)
{
    struct caller *caller = calloc(1, sizeof(*caller));
    char subject[BUS_SUBJECT_MAX + 1];
    if (!caller)
        return fail(ERR_MEMORY, "no memory for a caller");
    caller->bus = bus;
    caller->free = -1;
    pthread_mutex_init(&caller->lock, NULL);
    condition_init(&caller->changed);
    int r = bus_new_inbox(bus, caller->inbox);
    snprintf(subject, sizeof(subject), "%s.>", caller->inbox);
    if (r == 0)
        r = bus_subscribe(bus, subject, NULL, on_answer, caller, &caller->answers);
    if (r == 0 && pthread_create(&caller->thread, NULL, caller_main, caller) != 0)
        r = fail(ERR_MEMORY, "no thread for a caller");
    caller->runs = r == 0;
    if (r < 0) {
        caller_free(caller);
        return trace(r);
    }
    *ret_caller = caller;
    return 0;
}

void caller_free(struct caller *caller)
{
    if (!caller)
        return;
    if (caller->runs) {
        pthread_mutex_lock(&caller->lock);
        caller->stopping = 1;
        pthread_cond_signal(&caller->changed);
        pthread_mutex_unlock(&caller->lock);
        pthread_join(caller->thread, NULL);
    }
    if (caller->answers && bus_is_connected(caller->bus))
        bus_subscription_drain(caller->answers, CALLER_TIMEOUT_MS);
    bus_subscription_free(caller->answers);
    for (int i = 0; i < caller->used; i++)
        free(caller->questions[i].subject);
    pthread_cond_destroy(&caller->changed);
    pthread_mutex_destroy(&caller->lock);
    free(caller);
}

const char *caller_server(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--server") == 0)
            return argv[i + 1];
    return getenv("NATS_URL");
}

static void ignore(void *context)
{
    (void)context;
}

/* nats.c has closed the connection for good; the process ends, as a service does. */
static void on_closed(void *context, const char *reason)
{
    (void)context;
    fprintf(stderr, "connection closed: %s\n", reason);
    _Exit(EXIT_FAILURE);
}

int caller_connect(const char *url, const char *name, struct bus **ret_bus)
{
    struct bus_options options = {
        .url = url,
        .name = name,
        .handlers = { .connected = ignore, .disconnected = ignore, .closed = on_closed },
    };
    return trace(bus_open(&options, ret_bus));
}
