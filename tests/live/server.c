/* Server: see server.h. */
#include "server.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "bus/bus.h"

#define TICK_MS 5

int64_t slower_ms(int64_t ms)
{
    double minute = 0;
    int running = 0, processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
    FILE *file = fopen("/proc/loadavg", "r");
    if (file && fscanf(file, "%lf %*f %*f %d/", &minute, &running) == 2) {
        double factor = (minute > running ? minute : running) / processors;
        ms = factor > 1 ? (int64_t)((double)ms * factor) : ms;
    }
    const char *build = getenv("JOURNEY_SLOWER"); /* meson sets it where sanitizers run */
    ms *= build ? atoi(build) : 1;
    if (file)
        fclose(file);
    return ms;
}

_Bool wait_until(_Bool (*condition)(void *context), void *context, int64_t timeout_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    while (!condition(context)) {
        if (clock_monotonic_ms() > deadline_ms)
            return 0;
        poll(NULL, 0, TICK_MS);
    }
    return 1;
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static int free_port(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(probe >= 0 && bind(probe, (struct sockaddr *)&address, length) == 0 &&
              getsockname(probe, (struct sockaddr *)&address, &length) == 0);
    close(probe);
    return ntohs(address.sin_port);
}

int server_dial(const struct server *server)
{
    struct sockaddr_in address = loopback(server->port);
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof(address)) == 0)
        return connection;
    close(connection);
    return -1;
}

void server_init(struct server *server, const char *config)
{
    const char *base = getenv("TMPDIR");
    *server = (struct server){ .port = free_port(), .config = config };
    snprintf(server->folder, sizeof(server->folder), "%s/journey-live-XXXXXX",
             base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(server->folder));
    snprintf(server->url, sizeof(server->url), "nats://127.0.0.1:%d", server->port);
}

static void write_config(const struct server *server)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/server.conf", server->folder);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(file,
            "listen: \"127.0.0.1:%d\"\nlog_file: \"%s/server.log\"\njetstream { store_dir: "
            "\"%s/store\" }\n%s\n",
            server->port, server->folder, server->folder, server->config ? server->config : "");
    fclose(file);
}

static void run(const struct server *server)
{
    char path[128];
    const char *program = getenv("NATS_SERVER");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, STDOUT_FILENO);
    dup2(nothing, STDERR_FILENO);
    snprintf(path, sizeof(path), "%s/server.conf", server->folder);
    execlp(program ? program : "nats-server", "nats-server", "-c", path, (char *)NULL);
    _exit(127);
}

static _Bool answers_or_ends(void *context)
{
    struct server *server = context;
    if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
        server->pid = 0;
        return 1;
    }
    int connection = server_dial(server);
    if (connection < 0)
        return 0;
    close(connection);
    return 1;
}

/* Every connection begins with INFO {"server_id":…,"version":"2.10.27",…}. With an old server, such
 * as Debian 12's, tests would fail without naming the reason. */
static void check_version(const struct server *server)
{
    char info[4096];
    int major = 0, minor = 0, patch = 0, connection = server_dial(server);
    ssize_t length = recv(connection, info, sizeof(info) - 1, 0);
    close(connection);
    info[length > 0 ? length : 0] = '\0';
    const char *version = strstr(info, "\"version\":\"");
    cr_assert(version && sscanf(version, "\"version\":\"%d.%d.%d", &major, &minor, &patch) == 3);
    cr_assert_geq(major * 1000000 + minor * 1000 + patch, 2010027,
                  "nats-server %d.%d.%d is too old: 2.10.27 is wanted", major, minor, patch);
}

void server_start(struct server *server)
{
    write_config(server);
    server->pid = fork();
    cr_assert_geq(server->pid, 0);
    if (server->pid == 0)
        run(server);
    cr_assert(wait_until(answers_or_ends, server, FAR_MS) && server->pid > 0,
              "no nats-server: is it on PATH, or in NATS_SERVER?");
    check_version(server);
}

void server_kill(struct server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void server_deinit(struct server *server)
{
    char command[128];
    server_kill(server);
    snprintf(command, sizeof(command), "rm -rf '%s'", server->folder);
    if (server->folder[0] && system(command) != 0)
        fprintf(stderr, "%s stays behind\n", server->folder);
    server->folder[0] = '\0';
}

_Bool bus_is_there(void *bus)
{
    return bus_is_connected(bus);
}

_Bool bus_is_away(void *bus)
{
    return !bus_is_connected(bus);
}
