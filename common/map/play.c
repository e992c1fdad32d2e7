/* Play: see play.h. */
#include "map/play.h"
#include "base/clock.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/result.h"
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define CHILD_TURN_MS 50
#define WORD_SIZE 65

extern char **environ;

/* A call of the program; pid 0: none. */
struct child {
    pid_t pid;
    int64_t number, end_ms; /* of the request; when it is killed */
};

struct play {
    const struct options *options;
    struct http_server *server;
    struct load *load;
    struct child children[PLAY_CHILDREN_MAX];
    int child_count;
    int64_t due_ms;
};

/* ---- On the loopback only -------------------------------------------------------------------- */

/* The host of "nats://user@host:port", "[::1]:1" or "host". */
static _Bool is_loopback(const char *address, size_t length)
{
    const char *from = memmem(address, length, "://", 3);
    from = from ? from + 3 : address;
    const char *at = memrchr(from, '@', length - (size_t)(from - address));
    from = at ? at + 1 : from;
    const size_t rest = length - (size_t)(from - address);
    static const char *const names[] = { "127.", "localhost:", "[::1]" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (rest >= strlen(names[i]) && strncmp(from, names[i], strlen(names[i])) == 0)
            return 1;
    return rest == strlen("localhost") && strncmp(from, "localhost", rest) == 0;
}

/* "127.evil.example" begins like an address of the loopback: only digits and dots may follow. */
static _Bool is_numeric_or_name(const char *address, size_t length)
{
    const char *from = memmem(address, length, "127.", 4);
    if (!from)
        return 1;
    const size_t host = strspn(from, "0123456789.");
    return host == length - (size_t)(from - address) || from[host] == ':';
}

int play_check(const struct options *options)
{
    if (!is_loopback(options->http, strlen(options->http)) ||
        !is_numeric_or_name(options->http, strlen(options->http)))
        return fail(ERR_CONFIG, "--play wants a page on the loopback, not %s", options->http);
    for (const char *at = options->server; *at;) {
        const size_t length = strcspn(at, ",");
        if (!is_loopback(at, length) || !is_numeric_or_name(at, length))
            return fail(ERR_CONFIG, "--play wants servers on the loopback, not %.*s", (int)length,
                        at);
        at += length + (at[length] == ',');
    }
    return 0;
}

struct play *play_new(const struct options *options, struct watcher *watcher,
                      struct http_server *server)
{
    struct play *play = calloc(1, sizeof(*play));
    if (!play)
        return NULL;
    play->options = options;
    play->server = server;
    play->load = load_new(watcher);
    if (!play->load) {
        free(play);
        return NULL;
    }
    return play;
}

void play_free(struct play *play)
{
    if (!play)
        return;
    for (int i = 0; i < PLAY_CHILDREN_MAX; i++)
        if (play->children[i].pid > 0)
            waitpid(play->children[i].pid, NULL, 0); /* a plug that is half pulled ends by itself */
    load_free(play->load);
    free(play);
}

/* ---- Plugs ----------------------------------------------------------------------------------- */

static void answer(struct play *play, int64_t number, int status, const char *text)
{
    http_server_answer(play->server, number, status, "application/json", text, strlen(text));
}

static _Bool is_plug(const struct play *play, const char *process)
{
    const size_t length = strlen(process);
    for (const char *at = play->options->plugs; at && *at; at += strspn(at, ",")) {
        const size_t one = strcspn(at, ",");
        if (one == length && strncmp(at, process, length) == 0)
            return 1;
        at += one;
    }
    return 0;
}

static _Bool is_verb(const char *verb)
{
    static const char *const verbs[] = { "kill", "pause", "resume", "start" };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
        if (strcmp(verbs[i], verb) == 0)
            return 1;
    return 0;
}

/* The program, with neither our signals nor our descriptors. */
static int spawn(const struct play *play, char *verb, char *process, pid_t *ret_pid)
{
    char *arguments[] = { (char *)play->options->play, verb, process, NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int r = posix_spawn(ret_pid, play->options->play, &files, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return r == 0 ? 0 : fail(ERR_IO, "cannot run %s: %s", play->options->play, errno_text(r));
}

static void pull(struct play *play, int64_t number, char *verb, char *process)
{
    struct child *child = play->children;
    if (!is_verb(verb) || !is_plug(play, process)) {
        answer(play, number, 400, "{\"error\":{\"message\":\"no such plug\"}}");
        return;
    }
    while (child < play->children + PLAY_CHILDREN_MAX && child->pid > 0)
        child++;
    if (child == play->children + PLAY_CHILDREN_MAX) {
        answer(play, number, 429, "{\"error\":{\"message\":\"too many plugs at a time\"}}");
        return;
    }
    log_info("map_plug", LOG_TEXT("do", verb), LOG_TEXT("process", process));
    if (spawn(play, verb, process, &child->pid) < 0) {
        child->pid = 0;
        log_warn("map_plug_failed", LOG_TEXT("reason", failure_reason()));
        answer(play, number, 502, "{\"error\":{\"message\":\"it cannot be run\"}}");
        return;
    }
    child->number = number;
    child->end_ms = clock_monotonic_ms() + PLAY_CHILD_MS;
    play->child_count++;
}

static void look_after(struct play *play, int64_t now_ms)
{
    for (int i = 0; i < PLAY_CHILDREN_MAX; i++) {
        struct child *child = &play->children[i];
        int status;
        if (child->pid == 0)
            continue;
        if (now_ms > child->end_ms)
            kill(child->pid, SIGKILL);
        if (waitpid(child->pid, &status, WNOHANG) != child->pid)
            continue;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            answer(play, child->number, 200, "{\"done\":true}");
        else
            answer(play, child->number, 502, "{\"error\":{\"message\":\"it was not done\"}}");
        child->pid = 0;
        play->child_count--;
    }
}

/* ---- Requests, turns ------------------------------------------------------------------------- */

static void read_word(struct json_text body, const char *key, char ret_word[WORD_SIZE])
{
    const struct json_text value = json_text_find(body, key);
    *ret_word = '\0';
    if (value.length > 2 && *value.text == '"')
        json_text_plain((struct json_text){ value.text + 1, value.length - 2 }, ret_word,
                        WORD_SIZE);
}

void play_take(struct play *play, const struct http_request *request)
{
    const struct json_text body = json_text_of(request->body, request->body_length);
    const int64_t rate = json_text_number(json_text_find(body, "rate"), -1),
                  declined = json_text_number(json_text_find(body, "declined"), -1);
    char verb[WORD_SIZE], process[WORD_SIZE];
    read_word(body, "do", verb);
    read_word(body, "process", process);
    if (*verb) {
        pull(play, request->number, verb, process);
    } else if (rate >= 0 && rate <= LOAD_RATE_MAX && declined >= 0 && declined <= 100) {
        load_set(play->load, (int)rate, (int)declined);
        answer(play, request->number, 200, "{\"done\":true}");
    } else {
        answer(play, request->number, 400, "{\"error\":{\"message\":\"not a thing to do\"}}");
    }
}

void play_turn(struct play *play, int64_t now_ms)
{
    load_turn(play->load, now_ms);
    if (play->child_count > 0 && now_ms >= play->due_ms) {
        look_after(play, now_ms);
        play->due_ms = now_ms + CHILD_TURN_MS;
    }
}

int64_t play_due_ms(const struct play *play)
{
    const int64_t load_ms = load_due_ms(play->load);
    return play->child_count > 0 && play->due_ms < load_ms ? play->due_ms : load_ms;
}

void play_write(const struct play *play, struct buf *out)
{
    const char *plugs = play->options->plugs ? play->options->plugs : "";
    buf_put_text(out, "{\"plugs\":");
    buf_put_json(out, plugs, strlen(plugs));
    buf_put_char(out, ',');
    load_write(play->load, out);
    buf_put_char(out, '}');
}
