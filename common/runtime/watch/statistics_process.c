/* Statistics of the process: see statistics_process.h. */
#include "runtime/watch/statistics_process.h"
#include "base/log.h"
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

int64_t statistics_read_cpu(const struct statistics_sample *sample, int i)
{
    struct rusage usage = { 0 };
    (void)sample;
    (void)i;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (int64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

int64_t statistics_read_resident_bytes(const struct statistics_sample *sample, int i)
{
    long long pages = 0;
    (void)sample;
    (void)i;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    /* NOLINTNEXTLINE(cert-err34-c): the kernel's own number */
    if (fscanf(file, "%*d %lld", &pages) != 1)
        pages = 0;
    (void)fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

int64_t statistics_read_open_files(const struct statistics_sample *sample, int i)
{
    int64_t count = -3; /* ".", ".." and this one */
    (void)sample;
    (void)i;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    /* cppcheck-suppress readdirCalled ; nobody else reads this folder's handle */
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

int64_t statistics_read_lines_dropped(const struct statistics_sample *sample, int i)
{
    (void)sample;
    (void)i;
    return log_lines_dropped();
}

int64_t statistics_read_lines_suppressed(const struct statistics_sample *sample, int i)
{
    (void)sample;
    (void)i;
    return log_lines_suppressed();
}

int64_t statistics_read_http_listening(const struct statistics_sample *sample, int i)
{
    (void)i;
    return http_is_listening(sample->of->http);
}

int64_t statistics_read_http_cut(const struct statistics_sample *sample, int i)
{
    (void)i;
    return http_cut(sample->of->http);
}

int64_t statistics_read_start(const struct statistics_sample *sample, int i)
{
    (void)i;
    return sample->of->status->started_ms;
}
