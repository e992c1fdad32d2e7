/* Notify: what arrives at the supervisor's socket, a file or an abstract one, and that nothing
 * happens without one. */
#include "base/notify.h"
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A supervisor: binds its socket, and names it in the environment. */
static int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))),
                 0);
    setenv("NOTIFY_SOCKET", path, 1);
    return fd;
}

static void expect(int fd, const char *wanted)
{
    char text[200] = "";
    notify_send(wanted);
    cr_assert_eq(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT), (ssize_t)strlen(wanted));
    cr_assert_str_eq(text, wanted);
}

Test(notify, messages_arrive_at_a_file_and_at_an_abstract_socket)
{
    char file[64], abstract[64];
    snprintf(file, sizeof(file), "/tmp/notify-%d", (int)getpid());
    snprintf(abstract, sizeof(abstract), "@notify-%d", (int)getpid());
    int fd = listen_at(file);
    expect(fd, "READY=1");
    close(fd);
    unlink(file);
    fd = listen_at(abstract);
    expect(fd, "WATCHDOG=1\nSTATUS=ready");
    close(fd);
}

Test(notify, without_a_supervisor_nothing_happens)
{
    static char too_long[300];
    memset(too_long, 'a', sizeof(too_long) - 1);
    too_long[0] = '/';
    const char *paths[] = { "", "x", "relative", "/nowhere/at/all", "@", too_long };
    notify_send("READY=1");
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        setenv("NOTIFY_SOCKET", paths[i], 1);
        notify_send("READY=1");
    }
}

Test(notify, the_watchdog_interval_is_for_one_process)
{
    char pid[32];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    cr_expect_eq(notify_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "30000000", 1);
    cr_expect_eq(notify_watchdog_ms(), 30000);
    setenv("WATCHDOG_PID", pid, 1);
    cr_expect_eq(notify_watchdog_ms(), 30000);
    setenv("WATCHDOG_PID", "1", 1);
    cr_expect_eq(notify_watchdog_ms(), 0);
}
