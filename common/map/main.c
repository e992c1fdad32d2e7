/* The map: a page that shows a mesh as it lives. One loop asks the mesh (watcher.h), makes a
 * picture once a second, and gives it to the browsers (http_server.h). */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "base/terminal.h"
#include "map/contracts.h"
#include "map/operator.h"
#include "map/pages.h"
#include "map/play.h"
#include "runtime/watch/http_server.h"
#include "map/story.h"
#include "map/watcher.h"
#include "runtime/core/exit_codes.h"

#define LOG_FLUSH_MS 1000

/* The page may load what this program serves, and nothing else; nothing may frame it. */
static const char headers[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src "
    "'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";

struct map {
    struct options options;
    struct watcher *watcher;
    struct http_server *server;
    struct operator operator;
    struct story *story;
    struct play *play;   /* NULL: there is nothing to play with */
    struct buf meanings; /* of events, by their services' contracts */
    int64_t pictures;
};

static void answer_text(struct map *map, int64_t number, int status, const char *text)
{
    http_server_answer(map->server, number, status, "text/plain; charset=utf-8", text,
                       strlen(text));
}

static void answer_history(struct map *map, const struct http_request *request)
{
    char name[MESH_NAME_SIZE];
    _deinit_(buf) struct buf body = { 0 };
    const struct mesh_service *service = http_request_parameter(request, "service", name,
                                                                sizeof(name))
                                             ? mesh_find(watcher_mesh(map->watcher), name)
                                             : NULL;
    if (!service) {
        answer_text(map, request->number, 404, "no such service\n");
        return;
    }
    mesh_write_history(service, &body);
    if (buf_status(&body) < 0)
        answer_text(map, request->number, 503, "no memory\n");
    else
        http_server_answer(map->server, request->number, 200, "application/json", body.data,
                           body.length);
}

/* One event of the stream: the whole picture. */
static void put_picture(struct map *map, struct buf *out)
{
    buf_put_format(out, "event: mesh\ndata: {\"number\":%lld,\"at\":%lld,\"connected\":%s,",
                   (long long)map->pictures, (long long)clock_wall_ms(),
                   watcher_is_connected(map->watcher) ? "true" : "false");
    if (map->play) {
        buf_put_text(out, "\"play\":");
        play_write(map->play, out);
        buf_put_char(out, ',');
    }
    mesh_write(watcher_mesh(map->watcher), clock_monotonic_ms(), out);
    buf_put_text(out, "}\n\n");
}

static void show(struct map *map)
{
    _deinit_(buf) struct buf out = { 0 };
    map->pictures++;
    if (http_server_streams(map->server) == 0)
        return;
    put_picture(map, &out);
    if (buf_status(&out) == 0)
        http_server_push(map->server, out.data, out.length);
}

static void stream_to(struct map *map, const struct http_request *request)
{
    _deinit_(buf) struct buf out = { 0 };
    put_picture(map, &out);
    if (buf_status(&out) == 0)
        http_server_stream(map->server, request->number, out.data, out.length);
    else
        answer_text(map, request->number, 503, "no memory\n");
}

static void show_parked(struct map *map, const struct http_request *request)
{
    operator_show_parked(&map->operator, request);
}

static void redrive(struct map *map, const struct http_request *request)
{
    operator_redrive(&map->operator, request);
}

static void tell_story(struct map *map, const struct http_request *request)
{
    story_tell(map->story, request);
}

static void play(struct map *map, const struct http_request *request)
{
    if (map->play)
        play_take(map->play, request);
    else
        answer_text(map, request->number, 404, "there is nothing to play with\n");
}

static void answer_meanings(struct map *map, const struct http_request *request)
{
    http_server_answer(map->server, request->number, 200, "application/json", map->meanings.data,
                       map->meanings.length);
}

/* What is not a file of the page. */
static const struct route {
    const char *path;
    _Bool is_post;
    void (*answer)(struct map *map, const struct http_request *request);
} routes[] = {
    { "/events", 0, stream_to },         { "/history", 0, answer_history },
    { "/parked", 0, show_parked },       { "/story", 0, tell_story },
    { "/redrive", 1, redrive },          { "/play", 1, play },
    { "/meanings", 0, answer_meanings },
};

static void handle(void *context, const struct http_request *request)
{
    struct map *map = context;
    const struct page *page = request->is_post ? NULL : page_find(request->path);
    if (page) {
        http_server_answer(map->server, request->number, 200, page->content_type, page->data,
                           page->length);
        return;
    }
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++)
        if (strcmp(routes[i].path, request->path) == 0 && !request->is_head) {
            if (request->is_foreign) /* it would learn nothing, and have us work */
                answer_text(map, request->number, 403, "not for another site\n");
            else if (routes[i].is_post == request->is_post)
                routes[i].answer(map, request);
            else
                answer_text(map, request->number, 405, "not with this method\n");
            return;
        }
    answer_text(map, request->number, 404, "no such page\n");
}

/* Until a signal. */
static void run(struct map *map, int signal_fd)
{
    struct pollfd fds[2 + HTTP_FDS_MAX];
    for (;;) {
        int64_t due_ms = watcher_due_ms(map->watcher);
        if (map->play && play_due_ms(map->play) < due_ms)
            due_ms = play_due_ms(map->play);
        if (http_server_due_ms(map->server) < due_ms)
            due_ms = http_server_due_ms(map->server);
        const int64_t begun_ms = clock_monotonic_ms(), wait_ms = due_ms - begun_ms;
        fds[0] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
        fds[1] = (struct pollfd){ .fd = watcher_fd(map->watcher), .events = POLLIN };
        int count = http_server_prepare(map->server, fds + 2, begun_ms);
        if (poll(fds, (nfds_t)count + 2, wait_ms > 0 ? (int)wait_ms : 0) < 0)
            continue;
        if (fds[0].revents)
            return;
        int64_t now_ms = clock_monotonic_ms();
        if (watcher_turn(map->watcher, now_ms))
            show(map);
        if (map->play)
            play_turn(map->play, now_ms);
        http_server_step(map->server, fds + 2, count, now_ms);
    }
}

static int open_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

static int start(struct map *map)
{
    const struct http_server_options options = {
        .address = map->options.http,
        .hosts = map->options.hosts ? map->options.hosts : "",
        .headers = headers,
        .handler = handle,
        .context = map,
    };
    int r = contracts_read(map->options.contracts, &map->meanings);
    if (r == 0 && map->options.play)
        r = play_check(&map->options);
    map->server = r == 0 ? http_server_new(&options) : NULL;
    if (r == 0)
        r = map->server ? http_server_bind(map->server) : fail(ERR_MEMORY, "no memory");
    if (r == 0)
        r = watcher_open(&map->options, &map->watcher);
    if (r < 0)
        return trace(r);
    map->operator=(struct operator) { map->watcher, map->server };
    map->story = story_new(map->watcher, map->server);
    if (map->options.play)
        map->play = play_new(&map->options, map->watcher, map->server);
    return map->story && (map->play || !map->options.play) ? 0 : fail(ERR_MEMORY, "no memory");
}

int main(int argc, char **argv)
{
    static struct map map;
    int r = options_read(&map.options, argc, argv);
    if (r != 0)
        return r > 0 ? EXIT_FINE : r == -ERR_CONFIG ? EXIT_CONFIG : EXIT_USAGE;
    log_setup("journey-map", map.options.log_level, LOG_LOGFMT);
    int signal_fd = open_signals(); /* before there are threads */
    r = start(&map);
    if (r == 0) {
        log_info("map_serves", LOG_TEXT("address", map.options.http));
        run(&map, signal_fd);
    } else {
        terminal_print(stderr, "journey-map: %s\n", failure_reason());
    }
    play_free(map.play);
    story_free(map.story);
    http_server_free(map.server);
    watcher_free(map.watcher);
    buf_deinit(&map.meanings);
    bus_library_close();
    close(signal_fd);
    log_flush(LOG_FLUSH_MS);
    return r == 0 ? EXIT_FINE : r == -ERR_CONFIG ? EXIT_CONFIG : EXIT_FAILED;
}
