/* Data folder: see data_folder.h. */
#include "runtime/core/data_folder.h"
#include "base/log.h"
#include "base/result.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4400
#define QUICK_MS 60000 /* who lived longer has started well */
#define WAIT_MIN_MS 400
#define WAIT_MAX_MS 30000
#define ENDS_FREE 2 /* failed ends that cost nothing */

static const char *const suffixes[] = { ".db", ".db-wal", ".db-shm", ".lock" };
#define SUFFIX_COUNT (sizeof(suffixes) / sizeof(*suffixes))

static const char *name_of(char path[PATH_SIZE], const char *folder, const char *service,
                           const char *suffix)
{
    snprintf(path, PATH_SIZE, "%s/%s%s", folder, service, suffix);
    return path;
}

/* ---- The folder and its modes --------------------------------------------------------------- */

int data_folder_make(const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return 0;
    if (mkdir(path, 0700) == 0)
        return 0;
    _Bool passes = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOSPC ||
                   errno == EDQUOT || errno == EIO;
    return fail(passes ? ERR_IO : ERR_CONFIG, "%s: cannot make the data folder: %s", path,
                errno_text(errno));
}

void data_folder_tighten(const char *path, const char *service)
{
    char name[PATH_SIZE];
    struct stat status;
    for (size_t i = 0; i < SUFFIX_COUNT; i++) {
        if (stat(name_of(name, path, service, suffixes[i]), &status) < 0 ||
            !(status.st_mode & 0077))
            continue;
        if (chmod(name, 0600) == 0)
            log_warn("mode_tightened", LOG_TEXT("file", name),
                     LOG_TEXT("reason", "others could read or write it"));
        else
            log_warn("mode_too_open", LOG_TEXT("file", name), LOG_TEXT("reason", errno_text(errno)),
                     LOG_TEXT("help", "chmod 600: it holds personal data"));
    }
    if (stat(path, &status) == 0 && status.st_mode & 0077)
        log_warn("mode_too_open", LOG_TEXT("file", path),
                 LOG_TEXT("reason", status.st_mode & 0022 ? "others may replace its files"
                                                          : "others may see its files' names"),
                 LOG_TEXT("help", "chmod 700, if the folder is this service's alone"));
}

const char *data_folder_denies(const char *path, const char *service)
{
    static _Thread_local char text[PATH_SIZE + 100];
    char name[PATH_SIZE];
    if (access(path, R_OK | W_OK | X_OK) < 0) {
        snprintf(text, sizeof(text), "%s: %s", path, errno_text(errno));
        return text;
    }
    for (size_t i = 0; i < SUFFIX_COUNT; i++)
        if (access(name_of(name, path, service, suffixes[i]), R_OK | W_OK) < 0 && errno != ENOENT) {
            snprintf(text, sizeof(text), "%s: %s", name, errno_text(errno));
            return text;
        }
    return NULL;
}

/* ---- Scratch files -------------------------------------------------------------------------- */

/* Of "order-svc.db.verify-123", with or without what SQLite puts behind it. 0: it is none. */
static pid_t owner_of_scratch(const char *name, const char *service)
{
    static const char *const kinds[] = { ".db.verify-", ".db.restore-" };
    const size_t length = strlen(service);
    if (strncmp(name, service, length) != 0)
        return 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (strncmp(name + length, kinds[i], strlen(kinds[i])) == 0)
            return (pid_t)strtol(name + length + strlen(kinds[i]), NULL, 10);
    return 0;
}

void data_folder_sweep(const char *path, const char *service)
{
    char name[PATH_SIZE];
    DIR *folder = opendir(path);
    if (!folder)
        return;
    const struct dirent *entry;
    /* cppcheck-suppress readdirCalled ; nobody else reads this folder's handle */
    while ((entry = readdir(folder))) {
        pid_t owner = owner_of_scratch(entry->d_name, service);
        if (owner <= 0 || kill(owner, 0) == 0 || errno != ESRCH)
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (unlink(name) == 0)
            log_info("scratch_removed", LOG_TEXT("file", name));
    }
    closedir(folder);
}

/* ---- Restart loops -------------------------------------------------------------------------- */

struct ends {
    int count, died; /* failed ends in a row; died: the newest could not wait */
};

static struct ends read_ends(const char *path, const char *service)
{
    char name[PATH_SIZE], text[64] = "";
    struct ends ends = { 0 };
    FILE *file = fopen(name_of(name, path, service, ".ends"), "re");
    if (!file)
        return ends;
    if (fgets(text, sizeof(text), file)) {
        char *rest;
        ends.count = (int)strtol(text, &rest, 10);
        ends.died = strstr(rest, "died") != NULL;
    }
    (void)fclose(file);
    if (ends.count < 0 || ends.count > 1000)
        ends.count = 0;
    return ends;
}

static int count(const char *path, const char *service, int64_t after_ms, _Bool died)
{
    char name[PATH_SIZE];
    int ends = after_ms < QUICK_MS ? read_ends(path, service).count + 1 : 1;
    FILE *file = fopen(name_of(name, path, service, ".ends"), "we");
    if (file) { /* a disk that cannot be written: no count, no wait */
        (void)fprintf(file, "%d%s\n", ends, died ? " died" : "");
        (void)fclose(file);
    }
    return ends;
}

static int wait_ms(int ends)
{
    int wait = ends > ENDS_FREE ? WAIT_MIN_MS : 0;
    for (int i = ENDS_FREE + 1; i < ends && wait < WAIT_MAX_MS; i++)
        wait *= 2;
    return wait < WAIT_MAX_MS ? wait : WAIT_MAX_MS;
}

int data_folder_count_end(const char *path, const char *service, int64_t after_ms)
{
    return wait_ms(count(path, service, after_ms, 0));
}

void data_folder_count_death(const char *path, const char *service, int64_t after_ms)
{
    (void)count(path, service, after_ms, 1);
}

int data_folder_start_wait_ms(const char *path, const char *service)
{
    struct ends ends = read_ends(path, service);
    return ends.died ? wait_ms(ends.count) : 0;
}

void data_folder_forget_ends(const char *path, const char *service)
{
    char name[PATH_SIZE];
    (void)unlink(name_of(name, path, service, ".ends"));
}
